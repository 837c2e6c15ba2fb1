"""The log of a sum over all candidates without the matrix of all similarities, for batches whose matrix is large.

A contrastive loss needs two numbers of each anchor: the similarity of its pair, and the log-sum-exp of its
similarities to all candidates. The second is summed tile by tile, and the backward pass makes each tile again, so that
memory grows with the rows of a batch and not with their square. Value and gradient are those of the whole matrix, up
to rounding. See Rabe and Staats, "Self-attention does not need O(n^2) memory", arXiv:2112.05682, for the same sum in
attention, and Cheng et al., "Breaking the memory barrier of contrastive loss via tile-based strategy", CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from unalike.errors import TrainingFailed

SIDE = 512
"""Rows and columns of a tile: in single precision 1 MiB, which stays in a core's cache."""
LARGEST_MATRIX = 2**22
"""Similarities; a larger matrix (1,024 pairs in two views fill it: 16 MiB in single precision) is made in tiles."""

Adjust = Callable[[Tensor, slice, slice], None]
"""Changes the tile of logits of these rows and columns in place, by numbers that no weight depends on."""


def in_tiles(anchors: int, candidates: int) -> bool:
    """Whether so many similarities are summed in tiles."""
    return anchors * candidates > LARGEST_MATRIX


def log_sum_exp(anchors: Tensor, candidates: Tensor, temperature: float, adjust: Adjust | None = None) -> Tensor:
    """The log of the sum of ``exp(anchors @ candidates.T / temperature)`` over the candidates.

    Parameters
    ----------
    anchors, candidates : Tensor
        ``(n, d)`` and ``(m, d)``, in single or double precision.
    temperature : float
        Above 0.
    adjust : callable, optional
        As `Adjust`; minus infinity leaves a candidate out.

    Returns
    -------
    Tensor
        ``(n,)``; minus infinity where no candidate is left. It can be differentiated once.

    Raises
    ------
    TrainingFailed
        In the backward pass, when a second derivative is asked for.
    """
    sums: Tensor = _LogSumExp.apply(anchors, candidates, temperature, adjust)
    return sums


def without_own(ids: Tensor, others: Tensor, pair: Tensor | None = None) -> Adjust:
    """Leaves out candidates with the id of their anchor, but for its pair: ``(n,)``, ``(m,)`` and ``(n,)``."""

    def adjust(tile: Tensor, rows: slice, columns: slice) -> None:
        own = ids[rows, None] == others[columns]
        if pair is not None:
            at = torch.arange(columns.start, columns.stop, device=tile.device)
            own &= pair[rows, None] != at
        tile.masked_fill_(own, -torch.inf)

    return adjust


def without(excluded: Tensor) -> Adjust:
    """Leaves out the candidates of a mask ``(n, m)``."""

    def adjust(tile: Tensor, rows: slice, columns: slice) -> None:
        tile.masked_fill_(excluded[rows, columns], -torch.inf)

    return adjust


class _Kept(Protocol):
    """What the backward pass needs of the forward pass."""

    saved_tensors: tuple[Tensor, ...]
    temperature: float
    adjust: Adjust | None

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Kept, anchors: Tensor, candidates: Tensor, temperature: float, adjust: Adjust | None) -> Tensor:
        sums = anchors.new_full((len(anchors),), -torch.inf)  # (n,)
        for rows, _, tile in _tiles(anchors, candidates, temperature, adjust):
            sums[rows] = torch.logaddexp(sums[rows], tile.logsumexp(dim=1))
        ctx.save_for_backward(anchors, candidates, sums)
        ctx.temperature, ctx.adjust = temperature, adjust
        return sums

    @staticmethod
    def backward(ctx: _Kept, *gradients: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise TrainingFailed(
                "The loss of a batch this large must be differentiated only once; got create_graph=True. Give at most "
                f"{LARGEST_MATRIX} similarities (anchors times candidates), whose matrix is kept."
            )
        anchors, candidates, sums = ctx.saved_tensors
        slope = (gradients[0] / ctx.temperature)[:, None]  # (n, 1)
        # Without candidates the weights are exp(-inf - 0) = 0.
        sums = sums.masked_fill(sums.isneginf(), 0.0)[:, None]
        of_anchors, of_candidates = torch.zeros_like(anchors), torch.zeros_like(candidates)
        with torch.autocast(anchors.device.type, enabled=False):
            for rows, columns, tile in _tiles(anchors, candidates, ctx.temperature, ctx.adjust):
                weights = tile.sub_(sums[rows]).exp_().mul_(slope[rows])
                of_anchors[rows].addmm_(weights, candidates[columns])
                of_candidates[columns].addmm_(weights.T, anchors[rows])
        return of_anchors, of_candidates, None, None


def _tiles(
    anchors: Tensor, candidates: Tensor, temperature: float, adjust: Adjust | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and logits of every tile."""
    scaled = anchors / temperature
    for start in range(0, len(anchors), SIDE):
        rows = slice(start, min(start + SIDE, len(anchors)))
        for first in range(0, len(candidates), SIDE):
            columns = slice(first, min(first + SIDE, len(candidates)))
            tile = scaled[rows] @ candidates[columns].T
            if adjust is not None:
                adjust(tile, rows, columns)
            yield rows, columns, tile
