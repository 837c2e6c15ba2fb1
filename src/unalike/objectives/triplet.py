"""CARLA's pretext: a window is nearer to one of its recent past than to windows with an injected anomaly."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unalike.objectives.anomalies import InjectAnomalies
from unalike.objectives.head import check_head, head_for
from unalike.objectives.nearby import (
    Injector,
    anomalous,
    check_amount,
    check_injection,
    check_share,
    cosine_distances,
    mean_of,
    neighbors,
    pair_distances,
    triplet,
)
from unalike.objectives.pairs import make_plain
from unalike.parallel import gather, rank
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class CARLA:
    """Settings of a triplet loss with injected anomalies, after CARLA's first stage, for windows of series.

    The anchor is a view of a window, the positive a view of a window that began a little before, the negative a view
    of a window with an injected anomaly. Distances are of projections at unit length.

    Left out of the paper: its margin that shrinks with the loss, and its second stage, which classifies windows by
    their neighbours; score the embedding with neighbours instead. Its past windows are real ones of the last steps;
    a batch does not hold them, so that here the window's own content is moved and mirrored.

    Parameters
    ----------
    margin : float
        By how much the negative must be farther away, above 0; in cosine distance, from 0 to 2.
    neighbor : float
        The positive begins up to this share of the length earlier, in ``[0, 1]``.
    hardest : bool
        Take the nearest of all windows with an injected anomaly, on all processes, as the negative, as the authors'
        code does. Against the hardest of many negatives the embedding can collapse, the loss then staying at the
        margin. False: the anchor's own.
    injection : InjectAnomalies
        Kinds and sizes of the anomalies.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Darban, Webb, Pan, Aggarwal and Salehi, "CARLA: self-supervised contrastive representation learning for time
    series anomaly detection", Pattern Recognition 157, 2025.
    """

    margin: float = 0.5
    neighbor: float = 0.1
    hardest: bool = False
    injection: InjectAnomalies = field(default_factory=InjectAnomalies)
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_amount("margin", self.margin, above=True)
        check_share("neighbor", self.neighbor)
        check_injection(self.injection)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> CARLAObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws."""
        return CARLAObjective(encoder, head_for(encoder, self), self)


class CARLAObjective(nn.Module):
    """The triplet loss with its network: `encoder`, then `head`.

    A labelled anomaly is no anchor and gets no injected one; it is a candidate for the negative of every anchor.

    Parameters
    ----------
    encoder, head : Module
        ``(n, channels, length) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    settings : CARLA
        Margin, positives and negatives.
    """

    kinds = ("injected",)
    """Names of the equal parts of what `negatives` gives."""

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: CARLA) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings
        self.injector = Injector(settings.injection)

    def prepare(self, sample: Tensor) -> None:
        """Know training windows ``(m, channels, length)``, of which anomalies take values.

        Raises
        ------
        InvalidInput
            `sample` holds no such windows.
        """
        self.injector.prepare(sample, next(self.head.parameters()).device)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``n`` triplets.

        Raises
        ------
        NotFitted
            Before `prepare`, where kinds of anomaly take values of other windows.
        """
        return self.loss(self.head(self.encoder(self.pairs(batch, views, generator))), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(3n, ...)``: every window, one of its recent past, and every window with an anomaly; all under views."""
        past = neighbors(batch.data, generator, self.settings.neighbor, earlier=True)
        several = (batch.data, past, self.negatives(batch.data, generator))
        return torch.cat([views(data, generator) for data in several])

    def negatives(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, channels, length)``: the windows with anomalies in them."""
        made: Tensor = self.injector(data, generator)
        return made

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the projections ``(3n, head_width)`` of `pairs`."""
        anchor, positive, negative = z.chunk(3)
        labelled = anomalous(batch)  # (n,)
        n = len(anchor)
        of_anomalies = gather(labelled)  # (N,), N = n over all processes
        drawn = (~of_anomalies).expand(n, -1)  # (n, N)
        if not self.settings.hardest:
            row = torch.arange(n, device=z.device)
            own = torch.zeros_like(drawn).scatter(1, row[:, None] + rank() * n, True)
            drawn = drawn & own
        allowed = torch.cat((drawn, of_anomalies.expand(n, -1)), dim=1)
        distances = cosine_distances(anchor, torch.cat((gather(negative), gather(anchor))))  # (n, 2N)
        short = triplet(pair_distances(anchor, positive), distances, allowed, self.settings.margin)
        return mean_of(short, ~labelled)
