"""The nearest rows of a bank, nearly always: in the cells nearest to a row only (`unalike.scorers.cells`).

The codes propose candidates. Their distances are then computed from the rows themselves by direct differences in double
precision, as in `unalike.scorers.search`, so that a score is wrong only where a nearer row was not among them, and a
row scores alone as it does in a batch.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Literal

import numpy as np

from unalike.data import evenly
from unalike.scorers.cells import Cells, Codes, cut, padded
from unalike.scorers.frame import Frame
from unalike.scorers.search import Search, Skip
from unalike.types import FloatArray, IntArray

LEAST_RECALL = 0.97
"""Of bank rows that are tried, when probes are chosen: other rows come out a little below."""
_TRIED = 512
_CANDIDATES = (32, 256, 1024)
_PER_NEIGHBOUR = 4
# With more of the cells, to look at all rows is as quick.
_LARGEST_SHARE = 0.25
_SMALL_CHUNK = 8
_STEP = 4096
_SAME = 1.0 + 1e-9


class Approximate:
    """Nearest rows of `bank`, as `Search` has them.

    Parameters
    ----------
    bank : ndarray
        ``(m, d)`` finite; kept as it is.
    cells : Cells
        Of its first rows; the others are searched one by one.
    metric, chunk_mb
        As in `Search`.
    """

    def __init__(
        self, bank: FloatArray, cells: Cells, *, metric: Literal["euclidean", "cosine"], chunk_mb: int
    ) -> None:
        self.bank = bank
        self.cells = cells
        self._metric: Literal["euclidean", "cosine"] = metric
        self._core = len(cells.owner)
        self._chunk_mb = chunk_mb
        self._frame = Frame(bank[: self._core], metric, chunk_mb * 2**20 // 8)
        self._codes = Codes(cells)
        rest = bank[self._core :]
        self._rest = Search(rest, metric=metric, chunk_mb=chunk_mb) if len(rest) else None
        self._whole: Search | None = None

    def with_bank(self, bank: FloatArray) -> Approximate:
        """The same cells of a bank with other rows behind those that have one."""
        return Approximate(bank, self.cells, metric=self._metric, chunk_mb=self._chunk_mb)

    def nearest(self, queries: FloatArray, k: int, skip: Skip | None = None) -> tuple[FloatArray, IntArray]:
        """As `Search.nearest`; where the cells hold fewer than `k` rows, all of the bank is searched."""
        distances = np.empty((len(queries), k))
        positions = np.empty((len(queries), k), dtype=np.int64)
        rows: IntArray = np.arange(len(queries))
        for count in _CANDIDATES:
            if count >= min(max(_PER_NEIGHBOUR * k, self.cells.candidates), _CANDIDATES[-1]):
                distances[rows], positions[rows] = self._among(queries[rows], k, count, skip and skip.part(rows))
                rows = rows[~np.isfinite(distances[rows, -1])]
            if len(rows) == 0:
                return distances, positions
        distances[rows], positions[rows] = self._among_all(queries[rows], k, skip and skip.part(rows))
        return distances, positions

    def _among(self, queries: FloatArray, k: int, count: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        """The `k` nearest of `count` candidates and of the rows without a cell; NaN where these are fewer."""
        found = [self._step(queries[part], k, count, skip and skip.part(part)) for part in _parts(len(queries))]
        distances, positions = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if self._rest is None:
            return distances, positions
        own = None if skip is None else Skip(skip.queries, skip.bank[self._core :])
        more, where = self._rest.nearest(queries, min(k, len(self.bank) - self._core), own)
        together = np.concatenate([distances, more], axis=1)
        return _least(together, np.concatenate([positions, where + self._core], axis=1), k)

    def _step(self, queries: FloatArray, k: int, count: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        lifted = self._frame.lift(queries).astype(np.float64)
        candidates = self._codes.nearest(framed(self._frame, lifted), count, self.cells.probes)
        distances = self._exact(lifted, candidates)
        if skip is not None:
            distances[skip.queries[:, None] == skip.bank[candidates]] = np.nan
        distances[candidates < 0] = np.nan
        return _least(distances, candidates, k)

    def _exact(self, lifted: FloatArray, candidates: IntArray) -> FloatArray:
        squared = np.empty(candidates.shape)
        step = max(self._chunk_mb * 2**20 // (16 * candidates.shape[1] * self._frame.width), 1)
        with np.errstate(over="ignore"):
            for start in range(0, len(lifted), step):
                part = slice(start, start + step)
                difference = self._frame.lift(self.bank[candidates[part]]) - lifted[part, None]
                squared[part] = (difference * difference).sum(axis=-1)
        return squared / 2.0 if self._metric == "cosine" else np.sqrt(squared)

    def _among_all(self, queries: FloatArray, k: int, skip: Skip | None) -> tuple[FloatArray, IntArray]:
        if self._whole is None:
            self._whole = _exact_search(self.bank, self._metric, self._chunk_mb)
        return self._whole.nearest(queries, k, skip)


def approximate(
    bank: FloatArray, k: int, *, metric: Literal["euclidean", "cosine"], chunk_mb: int
) -> Approximate | None:
    """Cells of a bank of at least `k` other rows, as few of which are searched as find 97% of the `k` nearest.

    None where these are so many that all rows may as well be searched.

    Raises
    ------
    MissingExtra
        Faiss is not installed.
    """
    m = len(bank)
    frame = Frame(bank, metric, chunk_mb * 2**20 // 8)

    def rows(positions: IntArray) -> FloatArray:
        return framed(frame, frame.lift(bank[positions]).astype(np.float64))

    cells = cut(rows, m, padded(frame.width))
    search = Approximate(bank, cells, metric=metric, chunk_mb=chunk_mb)
    tried = evenly(m, _TRIED)
    skip = Skip(tried, np.arange(m))
    farthest = _exact_search(bank, metric, chunk_mb).nearest(bank[tried], k, skip)[0][:, -1:] * _SAME
    most = int(np.log2(_LARGEST_SHARE * len(cells.centres)))
    # Where many rows are nearly at one distance, more candidates help, and more cells do not.
    for candidates, doubled in product(_CANDIDATES[:2], range(most + 1)):
        search.cells = replace(cells, probes=2**doubled, candidates=candidates)
        recall = float((search.nearest(bank[tried], k, skip)[0] <= farthest).mean())
        if recall >= LEAST_RECALL:
            search.cells = replace(search.cells, recall=recall)
            return search
    return None


def _exact_search(bank: FloatArray, metric: Literal["euclidean", "cosine"], chunk_mb: int) -> Search:
    """One that keeps little, for few rows."""
    return Search(bank, metric=metric, chunk_mb=min(_SMALL_CHUNK, chunk_mb))


def framed(frame: Frame, lifted: FloatArray) -> FloatArray:
    """``(n, padded width)`` float32 rows in the frame of the codes."""
    rows = np.zeros((len(lifted), padded(frame.width)), dtype=np.float32)
    rows[:, : frame.width] = frame.framed(lifted)
    return rows


def _least(distances: FloatArray, positions: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """The `k` least of each row and their positions, least first; NaN past the last."""
    order = np.lexsort((positions, distances), axis=-1)[:, :k]
    missing = k - order.shape[1]
    found = np.take_along_axis(distances, order, axis=1), np.take_along_axis(positions, order, axis=1)
    if missing <= 0:
        return found
    n = len(distances)
    return np.hstack([found[0], np.full((n, missing), np.nan)]), np.hstack([found[1], np.zeros((n, missing), np.int64)])


def _parts(n: int) -> list[slice]:
    return [slice(start, start + _STEP) for start in range(0, n, _STEP)] or [slice(0, 0)]
