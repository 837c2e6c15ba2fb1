"""Exact nearest rows of a bank, in bounded memory.

Where the bank fills few dimensions a tree over its principal components proposes candidates (`unalike.scorers.tree`).
Elsewhere the bulk of the work is one matrix product per block, ``|y|^2 - 2 x.y`` by ``addmm``, in single precision.
Either only proposes: distances are computed again by direct differences in double precision, so near-duplicates do
not suffer from cancellation and a row scores in a batch as it does alone. Whether a nearer row can have been missed is
decided from the rounding error of the projection, or of the product, which grows as
``sqrt(d) u (|x| + |y|)^2`` (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM
J. Sci. Comput. 2019); the few rows where it can are searched again in double precision, then directly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unalike.data import evenly
from unalike.scorers.arrays import unit_rows
from unalike.scorers.tree import ProjectedTree, grow, rounds
from unalike.types import BoolArray, FloatArray, IntArray

_SPARE = 8
# Rows in doubt that are tried in the tree before the others.
_TRIED = 16
# A prepared bank answers single queries many times faster; past this many chunks it would cost too much memory.
_KEPT_CHUNKS = 16
# Torch is quick to find up to this share of a row, 1 of 64; numpy beyond it.
_FEW = 64
# An error this small relative to the distance cannot be told from the exact answer (ties, mostly).
_NEGLIGIBLE = 1e-9

# Squared distances and positions ``(n, k)``, and ``(n,)`` whether no nearer row can have been missed.
_Found = tuple[FloatArray, IntArray, BoolArray]


@dataclass(frozen=True, slots=True)
class Skip:
    """Which bank rows a query must not find: those of its own group.

    Parameters
    ----------
    queries, bank : ndarray
        ``(n,)`` and ``(m,)`` int64 group codes.
    """

    queries: IntArray
    bank: IntArray

    def part(self, rows: slice | IntArray) -> Skip:
        """The same for some of the queries."""
        return Skip(self.queries[rows], self.bank)


class Search:
    """Nearest rows of `bank`.

    Parameters
    ----------
    bank : ndarray
        ``(m, d)`` finite, at least one row; kept as it is.
    metric : {"euclidean", "cosine"}
        Cosine distance is ``1 - cos``, computed as half the squared distance of unit vectors.
    chunk_mb : int
        Working memory of a search in MiB. Between searches a bank of up to 16 times as much is also kept in single
        precision, ready for the product, and a tree of up to 16 times as much.
    """

    def __init__(self, bank: FloatArray, *, metric: Literal["euclidean", "cosine"], chunk_mb: int) -> None:
        self.bank = bank
        self.metric = metric
        self._numbers = chunk_mb * 2**20 // 8
        self._width = bank.shape[1] + (metric == "cosine")
        self._centre, self._scale = self._frame()
        self._kept: tuple[Tensor, Tensor] | None = None
        self._tree: ProjectedTree | None = None
        self._grown = False

    def nearest(self, queries: FloatArray, k: int, skip: Skip | None = None) -> tuple[FloatArray, IntArray]:
        """Distances and positions of the `k` nearest bank rows, nearest first.

        Parameters
        ----------
        queries : ndarray
            ``(n, d)``.
        k : int
            At most ``m``.
        skip : Skip, optional
            What each query must not find.

        Returns
        -------
        distances : ndarray
            ``(n, k)`` float64; NaN where `skip` leaves fewer than `k` rows.
        positions : ndarray
            ``(n, k)`` int64 in the bank. Rows at the same distance come in any order.
        """
        squared = np.empty((len(queries), k))
        positions = np.empty((len(queries), k), dtype=np.int64)
        step = max(self._numbers // (8 * (self._width + k + _SPARE)), 1)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            lifted = self._lift(queries[part]).astype(np.float64)
            squared[part], positions[part] = self._search(lifted, k, skip and skip.part(part))
        return (squared / 2.0 if self.metric == "cosine" else np.sqrt(squared)), positions

    def _lift(self, rows: FloatArray) -> FloatArray:
        return unit_rows(rows) if self.metric == "cosine" else rows

    def _frame(self) -> tuple[FloatArray, float]:
        """Centre and largest deviation of the bank: the product loses least in a frame near its own rows."""
        blocks = self._blocks()
        centre = sum(self._lift(self.bank[part]).sum(axis=0, dtype=np.float64) / len(self.bank) for part in blocks)
        centre = np.asarray(centre).astype(np.float64 if self.metric == "cosine" else self.bank.dtype)
        scale = max(float(np.abs(self._lift(self.bank[part]) - centre).max()) for part in blocks)
        return centre, scale if scale > 0.0 else 1.0

    def _search(self, lifted: FloatArray, k: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        squared = np.empty((len(lifted), k))
        positions = np.empty((len(lifted), k), dtype=np.int64)
        rows: IntArray = np.arange(len(lifted))
        for search in self._ways(k):
            squared[rows], positions[rows], sure = search(lifted[rows], k, skip and skip.part(rows))
            rows = rows[~sure]
            if len(rows) == 0:
                return squared, positions
        for row in rows:
            squared[row], positions[row] = self._directly(lifted[row], k, skip and skip.part(slice(row, row + 1)))
        return squared, positions

    def _ways(self, k: int) -> Iterator[Callable[[FloatArray, int, Skip | None], _Found]]:
        """Searches, each for the rows that those before it left in doubt."""
        counts = rounds(k)
        tree = self._grown_tree() if counts else None
        if tree is not None:
            yield partial(self._by_tree, tree, counts[0], tree.reach)
            for count in counts[1:]:
                yield partial(self._farther, tree, count)
        for precision in (np.float32, np.float64):
            yield partial(self._in_blocks, partial(self._by_product, precision=precision))

    def _grown_tree(self) -> ProjectedTree | None:
        if not self._grown:
            self._tree = grow(self._framed_rows, len(self.bank), self._width, _KEPT_CHUNKS * self._numbers)
            self._grown = True
        return self._tree

    def _farther(self, tree: ProjectedTree, count: int, lifted: FloatArray, k: int, skip: Skip | None) -> _Found:
        """For rows that lie far from the bank, or have many of its rows at nearly one distance.

        A few of them are tried first: most rows must come out sure, without seeing much of the bank.
        """
        tried = evenly(len(lifted), _TRIED)
        with np.errstate(over="ignore", invalid="ignore"):
            framed = (lifted[tried] - self._centre) / self._scale
            bound = tree.nearest(framed, count, math.inf)[1]
            reach = math.inf if tree.sees_little(framed, bound) else tree.reach
        if (
            len(lifted) > _TRIED
            and self._by_tree(tree, count, reach, lifted[tried], k, skip and skip.part(tried))[2].mean() < 0.5
        ):
            nothing = np.zeros((len(lifted), k))
            return nothing, nothing.astype(np.int64), np.zeros(len(lifted), dtype=bool)
        return self._by_tree(tree, count, reach, lifted, k, skip)

    def _by_tree(
        self, tree: ProjectedTree, count: int, reach: float, lifted: FloatArray, k: int, skip: Skip | None
    ) -> _Found:
        with np.errstate(over="ignore", invalid="ignore"):
            framed = (lifted - self._centre) / self._scale
            candidates, bound, found = tree.nearest(framed, min(count, len(self.bank)), reach)
            squared = np.where(found, self._exact(lifted, candidates, skip), np.nan)
            squared, positions = _ordered(squared, candidates, k)
            farthest = np.sqrt(squared[:, -1]) / self._scale
            # A nearer row than the farthest one found is at most this long.
            longest = 2.0 * np.sqrt((framed * framed).sum(axis=1)) + farthest
            error = 4.0 * self._width * np.finfo(np.float64).eps * longest
            tied = (bound >= farthest - error) & (error <= _NEGLIGIBLE * farthest)
            sure = (bound >= farthest + error) | tied | (farthest == 0.0)
        return squared, positions, sure

    def _in_blocks(
        self,
        search: Callable[[FloatArray, int, Skip | None], _Found],
        lifted: FloatArray,
        k: int,
        skip: Skip | None,
    ) -> _Found:
        # Half the memory holds a block of distances and the rows that make it; wide ones, for the cost of selecting
        # per distance falls with the length of the row.
        step = max(int(math.sqrt(self._width**2 + self._numbers / 2) - self._width) // 4, 1)
        parts = [slice(start, start + step) for start in range(0, len(lifted), step)]
        blocks = [search(lifted[part], k, skip and skip.part(part)) for part in parts]
        squared, positions, sure = zip(*blocks, strict=True)
        return np.concatenate(squared), np.concatenate(positions), np.concatenate(sure)

    def _by_product(
        self, lifted: FloatArray, k: int, skip: Skip | None, precision: type[np.float32] | type[np.float64]
    ) -> _Found:
        count = min(k + _SPARE, len(self.bank))
        with np.errstate(over="ignore", invalid="ignore"):
            framed = (lifted - self._centre) / self._scale
            length2 = (framed * framed).sum(axis=1)
            candidates, last = self._candidates(framed.astype(precision), count, skip)
            squared, positions = _ordered(self._exact(lifted, candidates, skip), candidates, k)
            farthest = (np.sqrt(squared[:, -1]) / self._scale) ** 2
            # A nearer row than the farthest one found is at most this long.
            longest = 2.0 * np.sqrt(length2) + np.sqrt(farthest)
            error = (8.0 + 4.0 * math.sqrt(self._width)) * np.finfo(precision).eps / 2.0 * longest**2
            # Also sure: rows whose last candidate is one to be skipped, at infinity, for all others are found; and
            # rows whose product overflowed, for they are so far away that all of the bank is at one distance.
            missed = last + length2 <= farthest + error
            tied = (precision is np.float64) & (error <= _NEGLIGIBLE * farthest)
            sure = ~missed | tied | (farthest == 0.0) | (count == len(self.bank))
        return squared, positions, sure

    def _candidates(self, framed: npt.NDArray[Any], count: int, skip: Skip | None) -> tuple[IntArray, FloatArray]:
        """Positions ``(n, count)`` of the rows of least ``|y|^2 - 2 x.y``, and its largest value ``(n,)`` there."""
        n, m = len(framed), len(self.bank)
        queries = torch.from_numpy(framed)
        own = None if skip is None else torch.from_numpy(np.ascontiguousarray(skip.queries))
        best, found = queries.new_empty(n, 0), torch.empty(n, 0, dtype=torch.int64)
        step = max(int((self._numbers / 2 - n * self._width) / (n + self._width)), count)
        for start in range(0, m, step):
            bank, length2 = self._framed_bank(slice(start, start + step), queries.dtype)
            product = torch.addmm(length2, queries, bank.T, alpha=-2.0)
            if skip is not None and own is not None:
                others = torch.from_numpy(skip.bank[start : start + step].copy())
                product.masked_fill_(own[:, None] == others, torch.inf)
            values, places = _least(product, min(count, len(bank)))
            best, found = torch.cat([best, values], dim=1), torch.cat([found, places + start], dim=1)
            if best.shape[1] > count:
                best, kept = best.topk(count, dim=1, largest=False, sorted=False)
                found = found.gather(1, kept)
        return found.numpy(), best.amax(dim=1).numpy().astype(np.float64)

    def _framed_bank(self, part: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Rows of the bank in its frame ``(b, width)`` and their squared lengths ``(b,)``."""
        if dtype is not torch.float32 or len(self.bank) * self._width > 2 * _KEPT_CHUNKS * self._numbers:
            return self._framed(part, dtype)
        if self._kept is None:
            rows, length2 = torch.empty(len(self.bank), self._width), torch.empty(len(self.bank))
            for block in self._blocks():
                rows[block], length2[block] = self._framed(block, dtype)
            self._kept = rows, length2
        return self._kept[0][part], self._kept[1][part]

    def _framed(self, part: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        lifted = self._lift(self.bank[part])
        if dtype is torch.float64:
            lifted = lifted.astype(np.float64)
        rows = torch.from_numpy((lifted - self._centre) / self._scale).to(dtype)
        return rows, rows.square().sum(dim=1)

    def _framed_rows(self, positions: IntArray) -> FloatArray:
        """Rows ``(b, width)`` of the bank in its frame, in double precision."""
        return np.asarray((self._lift(self.bank[positions]).astype(np.float64) - self._centre) / self._scale)

    def _blocks(self) -> list[slice]:
        """The whole bank, in parts that fit in a quarter of the memory as float64."""
        step = max(self._numbers // (4 * self._width), 1)
        return [slice(start, start + step) for start in range(0, len(self.bank), step)]

    def _exact(self, lifted: FloatArray, positions: IntArray, skip: Skip | None) -> FloatArray:
        """Squared distances ``(n, count)`` to the rows at `positions`; NaN for those to be skipped."""
        squared = np.empty(positions.shape)
        step = max(self._numbers // (2 * positions.shape[1] * self._width), 1)
        for start in range(0, len(lifted), step):
            part = slice(start, start + step)
            difference = self._lift(self.bank[positions[part]]) - lifted[part, None]
            squared[part] = (difference * difference).sum(axis=-1)
        if skip is not None:
            squared[skip.queries[:, None] == skip.bank[positions]] = np.nan
        return squared

    def _directly(self, row: FloatArray, k: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        """Squared distances and positions ``(k,)`` for one row, from direct differences to the whole bank."""
        squared = np.empty(len(self.bank))
        with np.errstate(over="ignore"):
            for part in self._blocks():
                difference = self._lift(self.bank[part]) - row
                squared[part] = (difference * difference).sum(axis=-1)
        if skip is not None:
            squared[skip.bank == skip.queries] = np.nan
        order = np.argsort(squared, kind="stable")[:k]
        return squared[order], order


def _least(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` least of each row ``(n, m)`` and their places, in any order."""
    if count * _FEW < values.shape[1] or count == values.shape[1]:
        return values.topk(count, dim=1, largest=False, sorted=False)
    places = torch.from_numpy(np.argpartition(values.numpy(), count - 1, axis=1)[:, :count])
    return values.gather(1, places), places


def _ordered(squared: FloatArray, candidates: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """The `k` least of each row ``(n, count)`` and their positions, least first."""
    order = np.lexsort((candidates, squared), axis=-1)[:, :k]
    return np.take_along_axis(squared, order, axis=1), np.take_along_axis(candidates, order, axis=1)
