"""SupCon for one class: contrast that knows a few anomalies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter
from unalike.objectives.head import check_head, head_for
from unalike.objectives.losses import check_temperature, nt_xent, sup_con
from unalike.objectives.pairs import make_plain, two_views
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class SupCon:
    """Settings of supervised contrast, adapted to one class and few labelled anomalies.

    All normal samples attract each other, and the views of one anomaly do; anomalies are negatives of every normal
    sample. Without labelled anomalies this is SimCLR.

    Parameters
    ----------
    temperature : float
        Of `unalike.objectives.losses.sup_con`, above 0.
    anomaly_weight : float
        How many times a labelled anomaly counts among the negatives, above 0. They are few: with 1 they are
        lost among the normal negatives.
    attract_normals : bool
        Make all normal samples positives of each other in batches that hold anomalies, as the original does with a
        class. That draws the normal class together; trained for long it may lose what tells normal samples, and
        with them unknown kinds of anomaly, apart. False: only views of one sample attract each other. The default
        was the better one where it was measured, for kinds of anomaly without a label too (docs/objectives.md).
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Khosla et al., "Supervised contrastive learning", NeurIPS 2020.
    """

    temperature: float = 0.2
    anomaly_weight: float = 4.0
    attract_normals: bool = True
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        if not (isinstance(self.anomaly_weight, (int, float)) and 0.0 < self.anomaly_weight < math.inf):
            raise InvalidParameter(
                f"`anomaly_weight` must be a finite number above 0; got {self.anomaly_weight!r}. Try 4."
            )
        check_temperature(self.temperature)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> SupConObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws."""
        return SupConObjective(encoder, head_for(encoder, self), self)


class SupConObjective(nn.Module):
    """Supervised contrast with its network: `encoder`, then `head`, then `sup_con`.

    Parameters
    ----------
    encoder, head : Module
        ``(n, ...) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    settings : SupCon
        Temperature, weight and who attracts whom.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: SupCon) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings

    @property
    def attracts_normals(self) -> bool:
        """Whether labelled anomalies make normal samples positives of each other, against the loss without labels."""
        return self.settings.attract_normals

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of both views of the batch's ``n`` samples."""
        return self.loss(self.head(self.encoder(self.pairs(batch, views, generator))), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
        return two_views(batch, views, generator)

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the projections ``(2n, head_width)`` of `pairs`."""
        settings = self.settings
        if batch.label is None:
            first, second = z.chunk(2)
            return nt_xent(first, second, settings.temperature, batch.index)
        normal = batch.label == 0  # (n,)
        group = batch.index
        if settings.attract_normals:
            # No sample has index -1. Without an anomaly nothing would hold the normal samples apart.
            group = group.masked_fill(normal & (~normal).any(), -1)
        weights = torch.ones(len(group), device=z.device).masked_fill(~normal, settings.anomaly_weight)
        return sup_con(z, group.repeat(2), settings.temperature, weights.repeat(2))
