"""Candidates for the nearest rows of a bank that fills few of its dimensions.

Rows of a table, and what a network makes of them, lie near a surface of few dimensions. There a k-d tree (Bentley,
"Multidimensional binary search trees used for associative searching", Communications of the ACM 18, 1975) over the
first principal components finds the nearest rows after a look at a few hundred. A distance between projections is at
most that between the rows themselves, so it also tells when no nearer row can have been missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unalike.data import evenly
from unalike.types import BoolArray, FloatArray, IntArray

# With fewer rows, or more columns to decompose, a matrix product is as fast.
_LEAST_ROWS = 5000
_WIDEST = 512
_SPARE = 3
_MOST_CANDIDATES = 256
_COMPONENTS = 16
_SAMPLE = 2000
_PROBES = 64
_LEAF = 16
# A row looked at in the tree takes as long as about ten in a matrix product, more when the tree outgrows the caches.
_LARGEST_SHARE = 0.15
_MOST_ROWS_SEEN = 4000
# From far off the tree's cells look nearer than the boxes of their rows, and it sees several times as many.
_MOST_SEEN_FROM_AFAR = 400
# Beyond this a square overflows.
_LARGEST = 1e150


@dataclass(frozen=True)
class ProjectedTree:
    """A k-d tree over projections of a bank's rows.

    Parameters
    ----------
    directions : ndarray
        ``(d, p)`` orthonormal columns.
    tree : scipy.spatial.cKDTree
        Over ``(m, p)`` projections.
    boxes : tuple of ndarray
        Least and largest projection ``(b, p)`` in each 16 neighbouring rows.
    reach : float
        Within it, a search from a row of the bank sees little of the bank.
    """

    directions: FloatArray
    tree: Any
    boxes: tuple[FloatArray, FloatArray]
    reach: float

    def nearest(self, rows: FloatArray, count: int, reach: float) -> tuple[IntArray, FloatArray, BoolArray]:
        """The bank rows of nearest projection.

        Parameters
        ----------
        rows : ndarray
            ``(n, d)`` float64.
        count : int
            How many to look for, 2 to ``m``.
        reach : float
            Farther than this it does not look.

        Returns
        -------
        positions : ndarray
            ``(n, count)`` int64; 0 where `found` is False.
        bound : ndarray
            ``(n,)``: the projections of all other rows of the bank are at least so far.
        found : ndarray
            ``(n, count)`` bool: False past the end of the reach.
        """
        projected, usable = self._projected(rows)
        distances = np.full((len(rows), count), np.inf)
        positions = np.zeros((len(rows), count), dtype=np.int64)
        distances[usable], positions[usable] = self.tree.query(
            projected[usable], k=count, distance_upper_bound=reach, workers=torch.get_num_threads()
        )
        found = np.isfinite(distances)
        bound = np.where(usable, np.minimum(distances[:, -1], reach), 0.0)
        return np.where(found, positions, 0), bound, found

    def sees_little(self, rows: FloatArray, farthest: FloatArray) -> bool:
        """Whether searches from ``(n, d)`` rows as far as ``(n,)`` are cheaper than a matrix product."""
        gaps = _gaps(self._projected(rows)[0], self.boxes)
        return bool((gaps <= farthest[:, None] ** 2).mean() * self.tree.n <= _MOST_SEEN_FROM_AFAR)

    def _projected(self, rows: FloatArray) -> tuple[FloatArray, BoolArray]:
        """``(n, p)``, and ``(n,)`` whether the tree can work with them."""
        with np.errstate(over="ignore", invalid="ignore"):
            projected = rows @ self.directions
        return projected, np.asarray((np.abs(projected) < _LARGEST).all(axis=1))


def grow(rows: Callable[[IntArray], FloatArray], m: int, width: int, most_numbers: int) -> ProjectedTree | None:
    """A tree over a bank, or None where a matrix product over all of it is as fast.

    Parameters
    ----------
    rows : callable
        Positions ``(b,)`` in the bank to rows ``(b, width)`` float64, centred and of ordinary size.
    m, width : int
        Shape of the bank.
    most_numbers : int
        The tree keeps at most so many float64 numbers; `rows` is asked for a 64th of that at a time.
    """
    if m < _LEAST_ROWS or not 1 <= width <= _WIDEST or m * min(width, _COMPONENTS) > most_numbers:
        return None
    from scipy.spatial import cKDTree

    step = max(most_numbers // (64 * width), 1)
    directions = _principal(rows(evenly(m, min(_SAMPLE, step))))
    if directions.shape[1] == 0:
        return None
    projected = np.empty((m, directions.shape[1]))
    for start in range(0, m, step):
        projected[start : start + step] = rows(np.arange(start, min(start + step, m))) @ directions
    # Splits in the middle, not at the median: these stay short where many rows are equal.
    tree = cKDTree(projected, leafsize=_LEAF, balanced_tree=False)
    starts = np.arange(0, m, _LEAF)
    in_order = projected[tree.indices]
    boxes = np.minimum.reduceat(in_order, starts), np.maximum.reduceat(in_order, starts)
    reach = _reach(tree, projected[evenly(m, _PROBES)], boxes)
    return None if reach is None else ProjectedTree(directions, tree, boxes, reach)


def rounds(k: int) -> list[int]:
    """How many candidates to look for in turn, for `k` neighbours; none where they are too many for a tree."""
    counts = [factor * (k + _SPARE) for factor in (1, 4, 16)]
    return counts if counts[-1] <= _MOST_CANDIDATES else []


def _principal(sample: FloatArray) -> FloatArray:
    """``(d, p)`` directions of the largest spread of ``(n, d)`` centred rows."""
    values, vectors = np.linalg.eigh(sample.T @ sample)
    kept = np.flatnonzero(values > np.finfo(np.float64).eps * len(values) * values[-1])[::-1][:_COMPONENTS]
    return np.ascontiguousarray(vectors[:, kept])


def _reach(tree: Any, probes: FloatArray, boxes: tuple[FloatArray, FloatArray]) -> float | None:
    """The distance within which a mean search from the bank is cheap; None where the neighbours are farther."""
    reach = float(np.sqrt(np.quantile(_gaps(probes, boxes), _share(tree.n))))
    nearest = tree.query(probes, k=min(10, tree.n))[0][:, -1]
    return reach if np.quantile(nearest, 0.9) < reach else None


def _gaps(rows: FloatArray, boxes: tuple[FloatArray, FloatArray]) -> FloatArray:
    """``(n, b)`` squared distances from ``(n, p)`` rows to boxes."""
    low, high = boxes
    return np.array([(np.maximum(np.maximum(low - row, row - high), 0.0) ** 2).sum(axis=1) for row in rows])


def _share(m: int) -> float:
    """The largest share of a bank that a search may see to be cheaper than a matrix product."""
    return min(_LARGEST_SHARE, _MOST_ROWS_SEEN / m)
