"""Normal images or texts against spoiled ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.head import embedding_width
from unalike.objectives.nearby import anomalous, check_count
from unalike.objectives.pairs import full_precision, make_plain
from unalike.objectives.spoiling import SpoilImage
from unalike.seeding import RowGenerator, derive
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class SpoiledContrast:
    """Settings of the contrast of images, or texts, with spoiled ones.

    A linear logit on the embedding tells them apart, each under a view (noise-contrastive estimation, as
    `SyntheticContrast` for tables and `InjectedContrast` for series).

    Parameters
    ----------
    spoil : SpoilImage or View
        How samples are spoiled: of texts `views.SpoilText`. Any view of which nothing normal comes out will do.
    per_image : int
        Spoiled images for each normal one, 1 or more; normal and spoiled ones weigh the same in all.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Gutmann and Hyvarinen, "Noise-contrastive estimation: a new estimation principle for unnormalized statistical
    models", AISTATS 2010. Turns as what is abnormal: Golan and El-Yaniv, "Deep anomaly detection using geometric
    transformations", NeurIPS 2018; defects: Li et al., "CutPaste", CVPR 2021. The kinds together are ours.
    """

    spoil: SpoilImage | View = field(default_factory=SpoilImage)
    per_image: int = 4

    def __post_init__(self) -> None:
        make_plain(self)
        if not callable(self.spoil) or isinstance(self.spoil, type):
            raise InvalidParameter(
                f"`spoil` must be SpoilImage(...) or another view, such as views.SpoilText(...) for texts; got "
                f"{self.spoil!r}. Leave it out for all kinds of images."
            )
        check_count("per_image", self.per_image)

    def build(self, encoder: nn.Module) -> SpoiledContrastObjective:
        """Put `encoder` under a linear logit, whose weights torch's generator draws."""
        return SpoiledContrastObjective(encoder, nn.Linear(embedding_width(encoder), 1), self)


class SpoiledContrastObjective(nn.Module):
    """The contrast with its network: `encoder`, then `logit`; higher logit = more like a normal image.

    The logit is no anomaly score: of anomalies unlike the spoiled images it knows nothing. Score the embedding with
    neighbours.

    Parameters
    ----------
    encoder : Module
        ``(n, ...) -> (n, width)``.
    logit : Linear
        ``(n, width) -> (n, 1)``.
    settings : SpoiledContrast
        How images are spoiled, and how many.
    """

    def __init__(self, encoder: nn.Module, logit: nn.Linear, settings: SpoiledContrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit = logit
        self.settings = settings
        self._spoil: Any = settings.spoil

    def prepare(self, sample: Tensor) -> None:
        """Know training samples ``(m, ...)``, of which spoiled ones take parts."""
        spoil = self.settings.spoil
        self._spoil = spoil.prepare(sample) if hasattr(spoil, "prepare") else spoil

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss: mean softplus(-logit) of the normal images plus mean softplus(logit) of the others.

        Labelled anomalies join the spoiled images, with the weight of one each; they are not spoiled.

        Raises
        ------
        NotFitted
            Before `prepare`, where images are spoiled with parts of others.
        """
        normal = ~anomalous(batch)
        real = views(batch.data, generator)
        # All copies at once, each with draws of its own: a batch for each would cost more than the network.
        copies = generator.integers(2**62, self.settings.per_image).T.flatten()
        own = RowGenerator(derive(0, "spoiled-contrast"), copies)
        copied = batch.data.repeat(self.settings.per_image, *(1,) * (batch.data.ndim - 1))
        spoiled = views(self.negatives(copied, own), own)
        other = torch.cat((spoiled[normal.repeat(self.settings.per_image)], real[~normal]))
        logits = self.logit(self.encoder(torch.cat((real[normal], other)))).squeeze(1)
        logits = full_precision(logits)
        of_real, of_other = torch.split(logits, [int(normal.sum()), len(other)])
        return functional.softplus(-of_real).sum() / max(len(of_real), 1) + functional.softplus(of_other).mean()

    def negatives(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, ...)``: each sample spoiled.

        Raises
        ------
        NotFitted
            Before `prepare`, where images are spoiled with parts of others.
        """
        spoiled: Tensor = self._spoil(data, generator)
        return spoiled
