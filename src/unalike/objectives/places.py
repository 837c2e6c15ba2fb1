"""Places of normal images against places of synthetic defects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.defects import SyntheticDefect
from unalike.objectives.head import embedding_width
from unalike.objectives.nearby import anomalous
from unalike.objectives.pairs import full_precision, make_plain
from unalike.parallel import mean_count
from unalike.plain import is_number
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class DefectContrast:
    """Settings of the contrast of places with places of synthetic defects, for an encoder with ``locations``.

    A linear logit on the embedding of a place tells whether a defect lies there. It is for large images that are
    judged place by place: give the branch a `PatchBank`.

    Parameters
    ----------
    defect : SyntheticDefect
        What is put into the images, after the views.
    least_cover : float
        Above 0 and at most 1: a place of which so much is covered belongs to the defect. What is covered less, but not
        free of it, does not count.

    Raises
    ------
    InvalidParameter
        A setting is out of range; by `build`, an encoder without ``locations``.

    References
    ----------
    Li, Sohn, Yoon and Pfister, "CutPaste", CVPR 2021; place by place on features: Liu, Zhou, Xu and Wang, "SimpleNet: a
    simple network for image anomaly detection and localization", CVPR 2023, whose defects are noise on features.
    """

    defect: SyntheticDefect = field(
        default_factory=lambda: SyntheticDefect(contents=("elsewhere", "another", "shade", "noise"))
    )
    least_cover: float = 0.4

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.defect, SyntheticDefect):
            raise InvalidParameter(f"`defect` must be SyntheticDefect(...); got {self.defect!r}. Leave it out.")
        if not is_number(self.least_cover) or not 0.0 < self.least_cover <= 1.0:
            raise InvalidParameter(f"`least_cover` must be above 0 and at most 1; got {self.least_cover!r}. Try 0.4.")

    def build(self, encoder: nn.Module) -> DefectContrastObjective:
        """Put `encoder` under a linear logit for places, whose weights torch's generator draws."""
        if not callable(getattr(encoder, "locations", None)):
            raise InvalidParameter(
                f"`objective` DefectContrast must have an encoder with locations(data) -> (n, places, width); "
                f"{type(encoder).__name__} has none. Give Timm(layers=..., trainable=...), or ConvNet()."
            )
        return DefectContrastObjective(encoder, nn.Linear(embedding_width(encoder), 1), self)


class DefectContrastObjective(nn.Module):
    """The contrast with its network: ``encoder.locations``, then `logit`; higher logit = more like a normal place.

    Parameters
    ----------
    encoder : Module
        With ``locations``, of the same width as its embedding, and `grid`.
    logit : Linear
        ``(..., width) -> (..., 1)``.
    settings : DefectContrast
        Defects and places.
    """

    def __init__(self, encoder: nn.Module, logit: nn.Linear, settings: DefectContrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit = logit
        self.settings = settings
        self._defect: Any = settings.defect

    def prepare(self, sample: Tensor) -> None:
        """Know training images ``(m, channels, height, width)``, of which defects take parts."""
        self._defect = self.settings.defect.prepare(sample)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss: mean softplus(-logit) of the normal places plus mean softplus(logit) of those of defects.

        Of a labelled anomaly nobody told the place: the one with the lowest logit counts as one of a defect.

        Raises
        ------
        InvalidParameter
            Places of another width than the embedding.
        """
        normal = ~anomalous(batch)
        real = views(batch.data, generator)
        spoiled, where = self._defect.spoil(views(batch.data, generator), generator)
        logits = self._logits(torch.cat((real, spoiled[normal])))  # (n + normal, places)
        of_real, of_spoiled = torch.split(logits, [len(real), int(normal.sum())])
        covered = self._cover(where[normal])  # (normal, places)
        defect = (covered >= self.settings.least_cover) | (covered == covered.amax(dim=1, keepdim=True))
        told = [of_spoiled[defect], of_real[~normal].amin(dim=1)]
        free = [of_real[normal].flatten(), of_spoiled[covered == 0.0]]
        return _mean(functional.softplus(-torch.cat(free))) + _mean(functional.softplus(torch.cat(told)))

    def _logits(self, data: Tensor) -> Tensor:
        places = self.encoder.locations(data)  # type: ignore[operator]
        if places.shape[2] != self.logit.in_features:
            raise InvalidParameter(
                f"`encoder` must give places as wide as its embedding, {self.logit.in_features}; got "
                f"{places.shape[2]}. Use pool='average'."
            )
        return full_precision(self.logit(places).squeeze(2))

    def _cover(self, where: Tensor) -> Tensor:
        """``(n, places)``: the share of each place that is covered."""
        grid: Any = self.encoder.grid
        return functional.adaptive_avg_pool2d(where.to(self.logit.weight.dtype), grid).flatten(1)


def _mean(values: Tensor) -> Tensor:
    """Over all processes; 0 of none."""
    return values.sum() / mean_count(torch.tensor(values.numel(), device=values.device))
