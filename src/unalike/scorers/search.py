"""Exact nearest rows of a bank, in bounded memory.

Where the bank fills few dimensions a tree over its principal components proposes candidates (`unalike.scorers.tree`).
Elsewhere the bulk of the work is one matrix product per block, ``|y|^2 - 2 x.y``, in single precision, of which the
least entries are found by minima of groups where neighbours are few (`unalike.scorers.minima`).
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

from unalike.data import evenly
from unalike.scorers import minima
from unalike.scorers.copies import without_copies
from unalike.scorers.frame import Frame, with_one
from unalike.scorers.tree import ProjectedTree, grow, rounds
from unalike.types import BoolArray, FloatArray, IntArray

_SPARE = 8
# Rows in doubt that are tried in the tree before the others.
_TRIED = 16
# As many copies of a row are searched, or more.
_LEAST_COPIES = 8
# Numbers in a block of the product whose minima are taken: it stays in the caches.
_BLOCK = 2**19
# With fewer rows at a time the product is slow.
_LEAST_STEP = 64
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
        precision, ready for the product, and a tree of up to 16 times as much; and, where many rows are copies, the
        others once more.
    """

    def __init__(self, bank: FloatArray, *, metric: Literal["euclidean", "cosine"], chunk_mb: int) -> None:
        self.bank = bank
        self.metric = metric
        self._chunk_mb = chunk_mb
        self._numbers = chunk_mb * 2**20 // 8
        self._frame = Frame(bank, metric, self._numbers)
        self._few: dict[int, tuple[Search, IntArray] | None] = {}
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
        few = self._without_copies(k, skip)
        if few is None:
            return self._all_nearest(queries, k, skip)
        search, kept = few
        distances, positions = search._all_nearest(queries, k, skip and Skip(skip.queries, skip.bank[kept]))
        return distances, kept[positions]

    def _without_copies(self, k: int, skip: Skip | None) -> tuple[Search, IntArray] | None:
        """A search of the rows that matter, and their positions; None where that is most of them."""
        # Rounded up, so that few numbers of neighbours make a search of their own.
        copies = max(1 << (k - 1).bit_length(), _LEAST_COPIES)
        if skip is not None:
            return self._few_rows(copies, skip.bank)
        if copies not in self._few:
            self._few[copies] = self._few_rows(copies, None)
        return self._few[copies]

    def _few_rows(self, copies: int, groups: IntArray | None) -> tuple[Search, IntArray] | None:
        kept = without_copies(self.bank, copies, groups)
        return None if kept is None else (Search(self.bank[kept], metric=self.metric, chunk_mb=self._chunk_mb), kept)

    def _all_nearest(self, queries: FloatArray, k: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        squared = np.empty((len(queries), k))
        positions = np.empty((len(queries), k), dtype=np.int64)
        step = max(self._numbers // (8 * (self._frame.width + k + _SPARE)), 1)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            lifted = self._frame.lift(queries[part]).astype(np.float64)
            squared[part], positions[part] = self._search(lifted, k, skip and skip.part(part))
        return (squared / 2.0 if self.metric == "cosine" else np.sqrt(squared)), positions

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
        tree = self.grown_tree() if counts else None
        if tree is not None:
            yield partial(self._by_tree, tree, counts[0], tree.reach)
            for count in counts[1:]:
                yield partial(self._farther, tree, count)
        step = self._bounded_step(k)
        if step:
            yield partial(self._in_blocks, self._by_minima, step)
        # Half the memory holds a block of distances and the rows that make it; wide ones, for the cost of selecting
        # per distance falls with the length of the row.
        step = max(int(math.sqrt(self._frame.width**2 + self._numbers / 2) - self._frame.width) // 4, 1)
        for precision in (np.float32, np.float64):
            yield partial(self._in_blocks, partial(self._by_product, precision=precision), step)

    def grown_tree(self) -> ProjectedTree | None:
        """The tree over the bank; None where a matrix product is as fast."""
        if not self._grown:
            self._tree = grow(self._frame.rows, len(self.bank), self._frame.width, self._frame.most_kept)
            self._grown = True
        return self._tree

    def _farther(self, tree: ProjectedTree, count: int, lifted: FloatArray, k: int, skip: Skip | None) -> _Found:
        """For rows that lie far from the bank, or have many of its rows at nearly one distance.

        A few of them are tried first: most rows must come out sure, without seeing much of the bank.
        """
        tried = evenly(len(lifted), _TRIED)
        with np.errstate(over="ignore", invalid="ignore"):
            framed = self._frame.framed(lifted[tried])
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
            framed = self._frame.framed(lifted)
            candidates, bound, found = tree.nearest(framed, min(count, len(self.bank)), reach)
            squared = np.where(found, self._exact(lifted, candidates, skip), np.nan)
            squared, positions = _ordered(squared, candidates, k)
            farthest = np.sqrt(squared[:, -1]) / self._frame.scale
            # A nearer row than the farthest one found is at most this long.
            longest = 2.0 * np.sqrt((framed * framed).sum(axis=1)) + farthest
            error = 4.0 * self._frame.width * np.finfo(np.float64).eps * longest
            tied = (bound >= farthest - error) & (error <= _NEGLIGIBLE * farthest)
            sure = (bound >= farthest + error) | tied | (farthest == 0.0)
        return squared, positions, sure

    def _in_blocks(
        self,
        search: Callable[[FloatArray, int, Skip | None], _Found],
        step: int,
        lifted: FloatArray,
        k: int,
        skip: Skip | None,
    ) -> _Found:
        parts = [slice(start, start + step) for start in range(0, len(lifted), step)]
        blocks = [search(lifted[part], k, skip and skip.part(part)) for part in parts]
        squared, positions, sure = zip(*blocks, strict=True)
        return np.concatenate(squared), np.concatenate(positions), np.concatenate(sure)

    def _bounded_step(self, k: int) -> int:
        """Rows at a time for `_by_minima`; 0 where it is of no use."""
        m = len(self.bank)
        step = min(_BLOCK, self._numbers) // m
        return step if step >= _LEAST_STEP and minima.group_size(m, k) and self._frame.keeps else 0

    def _by_minima(self, lifted: FloatArray, k: int, skip: Skip | None) -> _Found:
        m, size = len(self.bank), minima.group_size(len(self.bank), k)
        unit = self._frame.error(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            framed = self._frame.framed(lifted)
            length2 = (framed * framed).sum(axis=1)
            product = minima.blank(len(lifted), m, size)
            bank = self._frame.factors(slice(0, m), torch.float32)
            torch.mm(with_one(framed.astype(np.float32)), bank.T, out=product[:, :m])
            if skip is not None:
                product[:, :m].masked_fill_(torch.from_numpy(skip.queries[:, None] == skip.bank), torch.inf)
            near = minima.near(product, size, k, length2, unit)
            difference = self._frame.lift(self.bank[near.columns]) - lifted[near.rows]
            squared = (difference * difference).sum(axis=-1)
            if skip is not None:
                squared[skip.queries[near.rows] == skip.bank[near.columns]] = np.nan
            squared, positions = minima.least_in_rows(near, squared, k)
            farthest = (np.sqrt(squared[:, -1]) / self._frame.scale) ** 2
            error = unit * (2.0 * np.sqrt(length2) + np.sqrt(farthest)) ** 2
            sure = (near.whole & (near.bound + length2 > farthest + error)) | (farthest == 0.0)
        return squared, positions, sure

    def _by_product(
        self, lifted: FloatArray, k: int, skip: Skip | None, precision: type[np.float32] | type[np.float64]
    ) -> _Found:
        count = min(k + _SPARE, len(self.bank))
        with np.errstate(over="ignore", invalid="ignore"):
            framed = self._frame.framed(lifted)
            length2 = (framed * framed).sum(axis=1)
            candidates, last = self._candidates(framed.astype(precision), count, skip)
            squared, positions = _ordered(self._exact(lifted, candidates, skip), candidates, k)
            farthest = (np.sqrt(squared[:, -1]) / self._frame.scale) ** 2
            # A nearer row than the farthest one found is at most this long.
            longest = 2.0 * np.sqrt(length2) + np.sqrt(farthest)
            error = self._frame.error(precision) * longest**2
            # Also sure: rows whose last candidate is one to be skipped, at infinity, for all others are found; and
            # rows whose product overflowed, for they are so far away that all of the bank is at one distance.
            missed = last + length2 <= farthest + error
            tied = (precision is np.float64) & (error <= _NEGLIGIBLE * farthest)
            sure = ~missed | tied | (farthest == 0.0) | (count == len(self.bank))
        return squared, positions, sure

    def _candidates(self, framed: npt.NDArray[Any], count: int, skip: Skip | None) -> tuple[IntArray, FloatArray]:
        """Positions ``(n, count)`` of the rows of least ``|y|^2 - 2 x.y``, and its largest value ``(n,)`` there."""
        n, m = len(framed), len(self.bank)
        queries = with_one(framed)
        own = None if skip is None else torch.from_numpy(np.ascontiguousarray(skip.queries))
        best, found = queries.new_empty(n, 0), torch.empty(n, 0, dtype=torch.int64)
        step = max(int((self._numbers / 2 - n * self._frame.width) / (n + self._frame.width)), count)
        for start in range(0, m, step):
            bank = self._frame.factors(slice(start, start + step), queries.dtype)
            product = queries @ bank.T
            if skip is not None and own is not None:
                others = torch.from_numpy(skip.bank[start : start + step].copy())
                product.masked_fill_(own[:, None] == others, torch.inf)
            values, places = minima.least(product, min(count, len(bank)))
            best, found = torch.cat([best, values], dim=1), torch.cat([found, places + start], dim=1)
            if best.shape[1] > count:
                best, kept = best.topk(count, dim=1, largest=False, sorted=False)
                found = found.gather(1, kept)
        return found.numpy(), best.amax(dim=1).numpy().astype(np.float64)

    def _exact(self, lifted: FloatArray, positions: IntArray, skip: Skip | None) -> FloatArray:
        """Squared distances ``(n, count)`` to the rows at `positions`; NaN for those to be skipped."""
        squared = np.empty(positions.shape)
        step = max(self._numbers // (2 * positions.shape[1] * self._frame.width), 1)
        for start in range(0, len(lifted), step):
            part = slice(start, start + step)
            difference = self._frame.lift(self.bank[positions[part]]) - lifted[part, None]
            squared[part] = (difference * difference).sum(axis=-1)
        if skip is not None:
            squared[skip.queries[:, None] == skip.bank[positions]] = np.nan
        return squared

    def _directly(self, row: FloatArray, k: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        """Squared distances and positions ``(k,)`` for one row, from direct differences to the whole bank."""
        squared = np.empty(len(self.bank))
        with np.errstate(over="ignore"):
            for part in self._frame.blocks():
                difference = self._frame.lift(self.bank[part]) - row
                squared[part] = (difference * difference).sum(axis=-1)
        if skip is not None:
            squared[skip.bank == skip.queries] = np.nan
        order = np.argsort(squared, kind="stable")[:k]
        return squared[order], order


def _ordered(squared: FloatArray, candidates: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """The `k` least of each row ``(n, count)`` and their positions, least first."""
    order = np.lexsort((candidates, squared), axis=-1)[:, :k]
    return np.take_along_axis(squared, order, axis=1), np.take_along_axis(candidates, order, axis=1)
