"""Triplets: a view of a sample is nearer to its other view than to another sample, by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.head import check_head, head_for
from unalike.objectives.nearby import check_amount, cosine_distances, pair_distances, triplet
from unalike.objectives.pairs import make_plain, two_views
from unalike.parallel import gather
from unalike.seeding import RowGenerator
from unalike.types import Batch, View

Negatives = Literal["all", "hardest"]


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """Settings of a triplet loss on two views, the simplest of contrasts.

    Both views of a sample are anchors, each the positive of the other. Negatives are rows of the batch from other
    samples. Distances are one minus the cosine of projections.

    Parameters
    ----------
    margin : float
        By how much the negative must be farther away, above 0; in cosine distance, from 0 to 2.
    negatives : {"all", "hardest"}
        The mean over all of them, or the nearest alone. Against the nearest of many the embedding can collapse, the
        loss then staying at the margin.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and clustering", CVPR 2015;
    Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification", arXiv:1703.07737, whose
    "batch all" and "batch hard" these are.
    """

    margin: float = 0.5
    negatives: Negatives = "all"
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_amount("margin", self.margin, above=True)
        if self.negatives not in get_args(Negatives):
            raise InvalidParameter(f"`negatives` must be 'all' or 'hardest'; got {self.negatives!r}. Try 'all'.")
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> TripletObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws."""
        return TripletObjective(encoder, head_for(encoder, self), self)


class TripletObjective(nn.Module):
    """The triplet loss with its network: `encoder`, then `head`.

    A labelled anomaly is a sample like any other: its two views are a pair, and it is a negative of all the
    others.

    Parameters
    ----------
    encoder, head : Module
        ``(n, ...) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    settings : Triplet
        Margin and negatives.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: Triplet) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``2n`` triplets."""
        return self.loss(self.head(self.encoder(self.pairs(batch, views, generator))), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
        return two_views(batch, views, generator)

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the projections ``(2n, head_width)`` of `pairs`."""
        near = pair_distances(z, z.roll(len(z) // 2, dims=0))  # (2n,)
        far = cosine_distances(z, gather(z))  # (2n, M), M = 2n over all processes
        ids = batch.index.repeat(2)
        allowed = ids[:, None] != gather(ids)  # (2n, M)
        margin = self.settings.margin
        if self.settings.negatives == "hardest":
            return triplet(near, far, allowed, margin).mean()
        short = functional.relu(near[:, None] + margin - far).where(allowed, 0.0)
        return (short.sum(dim=1) / allowed.sum(dim=1).clamp_min(1)).mean()
