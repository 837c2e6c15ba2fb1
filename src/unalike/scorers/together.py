"""One row of many blocks against the bank of each: what `KNN.score` gives block by block, with little to begin with.

A search in each of many small banks takes longer to begin than to do. Here one product in single precision per bank
tells which few rows can be among the nearest, all selections are made at once, and what is left is measured exactly, by
direct differences in double precision as `unalike.scorers.search` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unalike.scorers.neighbors import KNN
from unalike.types import BoolArray, FloatArray, IntArray

_LARGEST_SHARE = 0.1
"""Of all rows; where more can be among the nearest, block by block is as fast."""


@dataclass(frozen=True, eq=False)
class Together:
    """Banks of the same shape, ready for one row at a time; they are not copied.

    Parameters
    ----------
    banks : tuple of ndarray
        ``(m, d)`` float32 each.
    k : int
        Neighbours that count.
    mean : bool
        Whether the mean distance of these is the score, or that of the last.
    centres : ndarray
        ``(blocks, d)`` float64.
    squares : ndarray
        ``(blocks, m)`` float32: squared distance of each row from its centre.
    longest : ndarray
        ``(blocks,)``: the length of the longest row of each bank, not centred.
    """

    banks: tuple[FloatArray, ...]
    k: int
    mean: bool
    centres: FloatArray
    squares: FloatArray
    longest: FloatArray

    def of(self, scorers: Sequence[Any]) -> bool:
        """Whether these are still the banks of the scorers."""
        return all(scorer.bank_ is bank for scorer, bank in zip(scorers, self.banks, strict=True))

    def scores(self, rows: FloatArray) -> FloatArray | None:
        """``(blocks,)`` scores of ``(blocks, d)``, one row for each block; None where nothing is gained."""
        distances = self.nearest(rows)
        if distances is None:
            return None
        return np.asarray(distances.mean(axis=1) if self.mean else distances[:, -1])

    def nearest(self, rows: FloatArray) -> FloatArray | None:
        """``(blocks, k)`` distances, nearest first, or None as in `scores`."""
        exact = rows.astype(np.float64)
        about = self._about(exact)
        if about is None:
            return None
        squared, error = about
        first = np.argpartition(squared, self.k - 1, axis=1)[:, : self.k]
        blocks = np.arange(len(self.banks))
        farthest = self._squared(exact, np.repeat(blocks, self.k), first.ravel()).reshape(first.shape).max(axis=1)
        near: BoolArray = squared <= (farthest + error).astype(np.float32)[:, None]
        # None is nearer than those at no distance at all.
        near[farthest == 0.0] = False
        near[blocks[:, None], first] = True
        if near.mean() > _LARGEST_SHARE:
            return None
        owner, position = np.nonzero(near)
        measured = self._squared(exact, owner, position)
        order = np.lexsort((measured, owner))
        begin = np.searchsorted(owner, blocks)
        return np.asarray(np.sqrt(measured[order][begin[:, None] + np.arange(self.k)]))

    def _about(self, rows: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """``(blocks, m)`` squared distances in single precision, and ``(blocks,)`` by how much they may be wrong."""
        with np.errstate(over="ignore", invalid="ignore"):
            centred = rows - self.centres
            single = centred.astype(np.float32)
            product = np.stack([bank @ row for bank, row in zip(self.banks, single, strict=True)])
            length2 = (centred * centred).sum(axis=1)
            apart = length2 + 2.0 * (self.centres * centred).sum(axis=1)
            squared = self.squares - 2.0 * product + apart.astype(np.float32)[:, None]
            unit = (16.0 + 4.0 * np.sqrt(rows.shape[1])) * np.finfo(np.float32).eps
            error = unit * (np.sqrt(length2) + self.longest) ** 2
        return (squared, error) if np.isfinite(squared).all() else None

    def _squared(self, rows: FloatArray, owner: IntArray, position: IntArray) -> FloatArray:
        """``(c,)`` squared distances of rows of the banks to the row of their block; `owner` is rising."""
        ends = np.searchsorted(owner, np.arange(len(self.banks) + 1)).tolist()
        near = [bank[position[a:b]] for bank, a, b in zip(self.banks, ends[:-1], ends[1:], strict=True)]
        apart = np.concatenate(near) - rows[owner]
        return np.asarray((apart * apart).sum(axis=-1))


def together(scorers: Sequence[Any]) -> Together | None:
    """The banks of nearest-neighbour scorers side by side; None where they are not alike."""
    first = scorers[0]
    if len(scorers) < 2 or not all(type(scorer) is KNN and scorer.metric == "euclidean" for scorer in scorers):
        return None
    shape = first.bank_.shape
    alike = all(scorer.bank_.shape == shape and scorer.bank_.dtype == np.float32 for scorer in scorers)
    if not alike or not isinstance(first.k, int) or first.k >= shape[0]:
        return None
    banks = tuple(scorer.bank_ for scorer in scorers)
    centres = np.stack([bank.mean(axis=0, dtype=np.float64) for bank in banks])
    apart = [((bank - centre) ** 2).sum(axis=1) for bank, centre in zip(banks, centres, strict=True)]
    longest = np.array([np.sqrt(np.square(bank, dtype=np.float64).sum(axis=1).max()) for bank in banks])
    return Together(banks, first.k, first.distance == "mean", centres, np.stack(apart).astype(np.float32), longest)
