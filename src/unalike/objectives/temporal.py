"""Contrast of windows in time: a window and its neighbour are alike, windows that do not overlap are not."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unalike.objectives.anomalies import InjectAnomalies, check_windows
from unalike.objectives.head import check_head, head_for
from unalike.objectives.losses import check_temperature, info_nce
from unalike.objectives.nearby import Injector, anomalous, check_injection, check_share, near, neighbors
from unalike.objectives.pairs import make_plain
from unalike.parallel import gather, world_size
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class TemporalContrast:
    """Settings of temporal contrast, for windows of series.

    SimCLR (`unalike.objectives.losses.nt_xent`) with three differences: the second view may be of a neighbouring
    window; windows that overlap in time are no negatives of each other; the windows with injected anomalies, seen
    under a view too, may be negatives of all.

    Parameters
    ----------
    temperature : float
        Divides the cosines, above 0.
    neighbor : float
        The second view is of the window that begins up to this share of the length before or after, in ``[0, 1]``.
        0: of the window itself. The steps around a window are not known, so what moves in is the mirror image of
        what is there.
    overlaps : bool
        Let windows that overlap in time be negatives of each other.
    injected : bool
        Add windows of the batch with injected anomalies to the negatives.
    injection : InjectAnomalies
        How; it counts with `injected` only.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020. Neighbours in
    time as positives: Tonekaboni, Eytan and Goldenberg, "Unsupervised representation learning for time series with
    temporal neighborhood coding", ICLR 2021.
    """

    temperature: float = 0.2
    neighbor: float = 0.25
    overlaps: bool = False
    injected: bool = False
    injection: InjectAnomalies = field(default_factory=InjectAnomalies)
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_temperature(self.temperature)
        check_share("neighbor", self.neighbor)
        check_injection(self.injection)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> TemporalContrastObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws."""
        return TemporalContrastObjective(encoder, head_for(encoder, self), self)


class TemporalContrastObjective(nn.Module):
    """Temporal contrast with its network: `encoder`, then `head`, then `info_nce` in both directions.

    A labelled anomaly is a sample like any other: its two views are a pair, and it is a negative of all the others.
    No anomaly is injected into it.

    Parameters
    ----------
    encoder, head : Module
        ``(n, channels, length) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    settings : TemporalContrast
        Temperature, neighbours and negatives.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: TemporalContrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings
        self.injector = Injector(settings.injection)

    def prepare(self, sample: Tensor) -> None:
        """Know training windows ``(m, channels, length)``, of which injected anomalies take values.

        Raises
        ------
        InvalidInput
            `sample` holds no such windows.
        """
        check_windows("sample", sample)
        if self.settings.injected:
            self.injector.prepare(sample, next(self.head.parameters()).device)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``n`` positive pairs.

        Raises
        ------
        NotFitted
            With injected anomalies that take values of other windows, before `prepare`.
        """
        return self.loss(self.head(self.encoder(self.pairs(batch, views, generator))), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(2n, ...)``, a view of every window and one of its neighbour; ``(3n, ...)`` with those with anomalies."""
        first = views(batch.data, generator)
        second = views(neighbors(batch.data, generator, self.settings.neighbor), generator)
        if not self.settings.injected:
            return torch.cat((first, second))
        return torch.cat((first, second, views(self.injector(batch.data, generator), generator)))

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the projections of `pairs`."""
        first, second, *_ = torch.split(z, len(batch.data))
        excluded = self._excluded(batch).repeat(2, 1)  # (2n, M), M = rows of z over all processes
        query, key = torch.cat((first, second)), torch.cat((second, first))
        return info_nce(query, key, gather(z), self.settings.temperature, excluded)

    def _excluded(self, batch: Batch) -> Tensor:
        """``(n, M)``: which projections of all processes are no negatives of a window."""
        alike = near(batch) if not self.settings.overlaps else batch.index[:, None] == gather(batch.index)
        parts = [alike, alike]
        if self.settings.injected:
            parts.append(gather(anomalous(batch)).expand_as(alike))
        # Each process brings its parts one after the other.
        return torch.cat([part.reshape(len(alike), world_size(), -1) for part in parts], dim=2).flatten(1)
