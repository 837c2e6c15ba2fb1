"""PaAno: windows near in time are alike, and the first half of a window tells its second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.anomalies import check_windows
from unalike.objectives.head import check_head, embedding_width, head_for, projection_head
from unalike.objectives.nearby import (
    anomalous,
    check_amount,
    check_count,
    check_share,
    cosine_distances,
    mean_of,
    near,
    neighbors,
    pair_distances,
    triplet,
)
from unalike.objectives.pairs import full_precision, make_plain
from unalike.parallel import gather, rank
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class PaAno:
    """Settings of the training of PaAno, for windows of series.

    A triplet loss: the positive is a neighbouring window, the negative another window of the batch. For the first
    steps a pretext task joins it: to tell whether one half of a window goes on in another.

    Departures from the paper: the neighbour is the window's own content, moved and mirrored, and the pretext task is
    told by halves of windows (each at the end of a window that is missing before it) through a small network, because
    a batch does not hold the windows before and after. In the paper these are whole patches, and the layer is linear,
    which cannot tell whether two embeddings fit each other. The networks and the scoring are the detector's.

    Parameters
    ----------
    margin : float
        By how much the negative must be farther away, above 0; in cosine distance, from 0 to 2.
    neighbor : float
        The positive begins up to this share of the length before or after, in ``[0, 1]``.
    negative : {"farthest", "nearest"}
        Which window of the batch, on all processes, that does not overlap with the anchor. The farthest one: other
        windows of a repeating series may look like the anchor and be no negatives. The nearest one: the hardest.
    pretext_weight : float
        Weight of the pretext task at the first step, 0 or more; it falls to 0 in equal steps.
    pretext_steps : int
        Optimiser steps until it is 0. The paper takes a tenth of all.
    unrelated : int
        How many halves of other windows each first half is compared with.
    with_views : bool
        See anchors, positives and halves under views. False: as they are, as in the paper.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Park and Kang, "PaAno: patch-based representation learning for time-series anomaly detection", ICLR 2026,
    arXiv:2602.01359.
    """

    margin: float = 0.5
    neighbor: float = 0.1
    negative: Literal["farthest", "nearest"] = "farthest"
    pretext_weight: float = 1.0
    pretext_steps: int = 50
    unrelated: int = 5
    with_views: bool = False
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_amount("margin", self.margin, above=True)
        check_share("neighbor", self.neighbor)
        if self.negative not in ("farthest", "nearest"):
            raise InvalidParameter(f"`negative` must be 'farthest' or 'nearest'; got {self.negative!r}.")
        check_amount("pretext_weight", self.pretext_weight)
        check_count("pretext_steps", self.pretext_steps, least=0)
        check_count("unrelated", self.unrelated)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> PaAnoObjective:
        """Put `encoder` under a projection head and a pretext head, whose weights torch's generator draws."""
        width = embedding_width(encoder)
        return PaAnoObjective(encoder, head_for(encoder, self), projection_head(2 * width, hidden=width, out=1), self)


class PaAnoObjective(nn.Module):
    """PaAno with its network: `encoder`, then `head` for the triplets and `pretext` for the halves.

    A labelled anomaly is no anchor; to each anchor the nearest one is a second negative.

    Parameters
    ----------
    encoder, head : Module
        ``(n, channels, length) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    pretext : Module
        ``(m, 2 width) -> (m, 1)``, a logit: does the second half follow on the first?
    settings : PaAno
        Margin, positives, negatives and pretext.
    """

    steps: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Module, pretext: nn.Module, settings: PaAno) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.pretext = pretext
        self.settings = settings
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def prepare(self, sample: Tensor) -> None:
        """Refuse what are no windows.

        Raises
        ------
        InvalidInput
            `sample` is no tensor ``(m, channels, length)``.
        """
        check_windows("sample", sample)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss; in evaluation mode that of the triplets alone, which means the same at every step."""
        n = len(batch.data)
        anchor, positive = batch.data, neighbors(batch.data, generator, self.settings.neighbor)
        if self.settings.with_views:
            anchor, positive = views(anchor, generator), views(positive, generator)
        # Drawn at every step, so that the pretext task does not change what else is drawn.
        keys = generator.uniform()
        weight = self._weight()
        if weight == 0.0:
            embeddings = self.encoder(torch.cat((anchor, positive)))
            # The processes of DDP wait for the gradient of every weight.
            idle = torch.stack([parameter.sum() for parameter in self.pretext.parameters()]).sum() * 0.0
            return self._triplets(self.head(embeddings), batch) + idle
        halves = _halves(anchor)
        known = torch.stack([~half.isnan().flatten(1).all(dim=1) for half in halves]).all(dim=0)  # (n,)
        embeddings = self.encoder(torch.cat((anchor, positive, *halves)))
        loss = self._triplets(self.head(embeddings[: 2 * n]), batch)
        return loss + weight * self._pretext(embeddings[2 * n :], keys, batch, known)

    @torch.no_grad()
    def after_step(self) -> None:
        """Count the step; the pretext task weighs less with each."""
        if self.training:
            self.steps += 1

    def _weight(self) -> float:
        settings = self.settings
        if not self.training or not settings.pretext_steps:
            return 0.0
        return settings.pretext_weight * max(0.0, 1.0 - int(self.steps) / settings.pretext_steps)

    def _triplets(self, z: Tensor, batch: Batch) -> Tensor:
        anchor, positive = z.chunk(2)
        labelled = anomalous(batch)
        of_anomalies = gather(labelled).expand(len(anchor), -1)  # (n, N)
        distance = pair_distances(anchor, positive)
        distances = cosine_distances(anchor, gather(positive))  # (n, N)
        farthest = self.settings.negative == "farthest"
        short = triplet(distance, distances, ~near(batch) & ~of_anomalies, self.settings.margin, farthest=farthest)
        short = short + triplet(distance, distances, of_anomalies, self.settings.margin)
        return mean_of(short, ~labelled)

    def _pretext(self, halves: Tensor, keys: Tensor, batch: Batch, known: Tensor) -> Tensor:
        """Cross entropy of telling the second half that follows, and some that do not; of halves that are known."""
        first, second = halves.chunk(2)
        others = _others(keys, self.settings.unrelated)  # (n, k), positions among all processes
        counted = known & ~anomalous(batch)
        unlike = (~near(batch) & gather(counted)).gather(1, others)  # (n, k)
        second_of = gather(second)[others]  # (n, k, width)
        pairs = torch.cat((second[:, None], second_of), dim=1)
        told = self.pretext(torch.cat((first[:, None].expand_as(pairs), pairs), dim=2))[..., 0]  # (n, 1 + k)
        told = full_precision(told)
        wrong = torch.where(unlike, functional.softplus(told[:, 1:]), 0.0).sum(dim=1)
        cost = functional.softplus(-told[:, 0]) + wrong / unlike.sum(dim=1).clamp_min(1)
        return mean_of(cost, counted)


def _halves(data: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second half of each window, at the end of a window that is missing before it.

    Of an odd number of steps the last is in neither.
    """
    half = data.shape[2] // 2
    gap = torch.full_like(data[..., half:], torch.nan)
    return torch.cat((gap, data[..., :half]), dim=2), torch.cat((gap, data[..., half : 2 * half]), dim=2)


def _others(keys: Tensor, count: int) -> Tensor:
    """``(n, count)``: for each row positions of others, the next ones in a random order of all processes' rows.

    By keys, not by position, so that neither the order of the rows nor the number of processes counts.
    """
    order = gather(keys).argsort()
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    own = place[rank() * len(keys) :][: len(keys)]
    return order[(own[:, None] + 1 + torch.arange(count, device=order.device)) % len(order)]
