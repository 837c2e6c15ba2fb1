"""Mean-shifted contrast: a pretrained encoder is adapted around the centre of the normal samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives.head import embedding_width
from unalike.objectives.losses import check_temperature, nt_xent
from unalike.objectives.pairs import at_unit_length, make_plain, two_views
from unalike.plain import is_number
from unalike.seeding import RowGenerator
from unalike.types import Batch, View

_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class MeanShifted:
    """Settings of mean-shifted contrast, for an encoder that is pretrained.

    The loss of SimCLR pushes all samples apart over the whole sphere, and so away from what pretraining has learned.
    Here directions are looked at from the centre of the normal samples: two views of a sample must point the same way
    from there, and two samples different ways, which leaves all of them near the centre.

    The centre is the mean of the unit embeddings of the training samples, by the encoder as it comes. There is no
    projection head: the loss is paid on the embedding. Give a small learning rate (1e-5 to 1e-4), and let only the last
    blocks train (`Timm(trainable=...)`).

    Parameters
    ----------
    temperature : float
        Of `unalike.objectives.losses.nt_xent`, above 0.
    center_weight : float
        Of a second part of the loss, 0 or more: the mean of 1 minus the cosine of embedding and centre, of normal
        samples.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Reiss and Hoshen, "Mean-shifted contrastive loss for anomaly detection", AAAI 2023 (arXiv:2106.03844); the second
    part is their angular centre loss, which weighs 1 in their code.
    """

    temperature: float = 0.25
    center_weight: float = 0.0

    def __post_init__(self) -> None:
        make_plain(self)
        check_temperature(self.temperature)
        if not is_number(self.center_weight) or not 0.0 <= self.center_weight < math.inf:
            raise InvalidParameter(f"`center_weight` must be 0 or more; got {self.center_weight!r}. Try 1.")

    def build(self, encoder: nn.Module) -> MeanShiftedObjective:
        """Put `encoder` into it; nothing is drawn."""
        return MeanShiftedObjective(encoder, self)


class MeanShiftedObjective(nn.Module):
    """Mean-shifted contrast with its network.

    A labelled anomaly is a sample like any other in the contrast, and is not drawn to the centre.

    Parameters
    ----------
    encoder : Module
        ``(n, ...) -> (n, width)``.
    settings : MeanShifted
        The loss.

    Attributes
    ----------
    center : Tensor
        ``(width,)``, from `prepare`; before, zeros.
    """

    center: Tensor

    def __init__(self, encoder: nn.Module, settings: MeanShifted) -> None:
        super().__init__()
        self.encoder = encoder
        self.settings = settings
        # `prepare` finds it again before a checkpoint is read.
        self.register_buffer("center", torch.zeros(embedding_width(encoder)), persistent=False)
        self._knows_center = False

    @torch.no_grad()
    def prepare(self, sample: Tensor) -> None:
        """Take the centre from training data ``(m, ...)``, in evaluation mode."""
        training = self.encoder.training
        self.encoder.eval()
        device = self.center.device
        sums = [at_unit_length(self.encoder(rows.to(device))).sum(dim=0) for rows in torch.split(sample, _CHUNK)]
        self.encoder.train(training)
        self.center.copy_(torch.stack(sums).sum(dim=0) / len(sample))
        self._knows_center = True

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``n`` positive pairs.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        return self.loss(self.encoder(self.pairs(batch, views, generator)), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
        return two_views(batch, views, generator)

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the embeddings ``(2n, width)`` of `pairs`.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        if not self._knows_center:
            raise NotFitted("`MeanShifted` must know the centre first. Call `prepare` with training data.")
        with torch.autocast(z.device.type, enabled=False):
            unit = at_unit_length(z)  # (2n, width)
            first, second = (unit - self.center).chunk(2)
            contrast = nt_xent(first, second, self.settings.temperature, batch.index)
            if self.settings.center_weight == 0.0:
                return contrast
            normal = torch.ones_like(unit[:, 0]) if batch.label is None else (batch.label == 0).repeat(2).to(unit.dtype)
            away = 1.0 - functional.cosine_similarity(unit, self.center[None], dim=1)  # (2n,)
            return contrast + self.settings.center_weight * (away * normal).sum() / normal.sum().clamp_min(1.0)
