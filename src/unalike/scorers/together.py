"""Rows that come alone, as in a stream, against one bank or the banks of many blocks: what `KNN.score` gives.

A search in each of many small banks takes longer to begin than to do. Here one product in single precision tells which
few rows of each bank can be among the nearest, and these are measured exactly, by direct differences in double
precision as `unalike.scorers.search` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unalike.scorers.neighbors import KNN
from unalike.types import BoolArray, FloatArray, IntArray

_SINGLES = 8
"""After so many rows that came alone a search for those is prepared."""

_LARGEST_SHARE = 0.1
"""Of all rows; where more can be among the nearest, bank by bank is as fast."""

_MANY = 16
"""Where so many rows of a bank can be among the nearest, they may all be copies of one."""


class Alone:
    """Scores of rows that come alone, once there were some of them; the banks are held a second time."""

    def __init__(self) -> None:
        self._rows = 0
        self._known: Together | None = None

    def scores(self, scorers: Sequence[Any], rows: FloatArray) -> FloatArray | None:
        """``(blocks,)`` scores of ``(blocks, d)``, one row for each scorer, to the bit as theirs; None: ask them.

        Parameters
        ----------
        scorers : sequence
            Fitted, always the same ones; what they learn between two calls is heeded.
        rows : ndarray
            Any numbers.
        """
        if rows.dtype != np.float32:
            return None
        self._rows += 1
        if self._rows < _SINGLES:
            return None
        known = self._known
        if self._rows == _SINGLES or (known is not None and not known.of(scorers)):
            known = self._known = together(scorers)
        return None if known is None else known.scores(rows)


@dataclass(frozen=True, eq=False)
class Together:
    """Banks of the same shape, ready for one row at a time.

    Parameters
    ----------
    banks : tuple of ndarray
        ``(m, d)`` float32 each.
    stack : ndarray
        ``(blocks, m, d)``: the same, side by side.
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
    stack: FloatArray
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
        last = np.partition(squared, self.k - 1, axis=1)[:, self.k - 1]
        # A row may be nearer than it seems, and the last of the nearest farther.
        near: BoolArray = squared <= (last + 2.0 * error).astype(np.float32)[:, None]
        self._thin_out(near, squared, exact)
        places = np.flatnonzero(near)
        if len(places) > _LARGEST_SHARE * near.size:
            return None
        owner, position = np.divmod(places, near.shape[1])
        measured = self._squared(exact, owner, position)
        order = np.lexsort((measured, owner))
        begin = np.searchsorted(owner, np.arange(len(near)))
        return np.asarray(np.sqrt(measured[order][begin[:, None] + np.arange(self.k)]))

    def _about(self, rows: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """``(blocks, m)`` squared distances in single precision, and ``(blocks,)`` by how much they may be wrong."""
        with np.errstate(over="ignore", invalid="ignore"):
            centred = rows - self.centres
            squared = np.matmul(self.stack, -2.0 * centred.astype(np.float32)[:, :, None])[..., 0]
            length2 = (centred * centred).sum(axis=1)
            squared += self.squares
            squared += (length2 + 2.0 * (self.centres * centred).sum(axis=1)).astype(np.float32)[:, None]
            unit = (16.0 + 4.0 * np.sqrt(rows.shape[1])) * np.finfo(np.float32).eps
            error = unit * (np.sqrt(length2) + self.longest) ** 2
        return (squared, error) if np.isfinite(squared).all() else None

    def _thin_out(self, near: BoolArray, squared: FloatArray, rows: FloatArray) -> None:
        """Of banks with `k` copies of the row only these are near: none is nearer than those at no distance at all."""
        many = np.flatnonzero(np.count_nonzero(near, axis=1) > max(_MANY, 2 * self.k))
        if len(many) == 0:
            return
        first = np.argpartition(squared[many], self.k - 1, axis=1)[:, : self.k]
        apart = self._squared(rows, np.repeat(many, self.k), first.ravel()).reshape(first.shape).max(axis=1)
        many, first = many[apart == 0.0], first[apart == 0.0]
        near[many] = False
        near[many[:, None], first] = True

    def _squared(self, rows: FloatArray, owner: IntArray, position: IntArray) -> FloatArray:
        """``(c,)`` squared distances of rows of the banks to the row of their block."""
        apart = self.stack[owner, position] - rows[owner]
        return np.asarray((apart * apart).sum(axis=-1))


def together(scorers: Sequence[Any]) -> Together | None:
    """The banks of nearest-neighbour scorers side by side; None where they are not alike."""
    first = scorers[0]
    if not all(type(scorer) is KNN and scorer.metric == "euclidean" and scorer.cells_ is None for scorer in scorers):
        return None
    shape = first.bank_.shape
    alike = all(scorer.bank_.shape == shape and scorer.bank_.dtype == np.float32 for scorer in scorers)
    if not alike or not isinstance(first.k, int) or first.k >= shape[0]:
        return None
    banks = tuple(scorer.bank_ for scorer in scorers)
    stack = np.stack(banks) if len(banks) > 1 else banks[0][None]
    centres = stack.mean(axis=1, dtype=np.float64)
    squares = [((bank - centre) ** 2).sum(axis=1) for bank, centre in zip(banks, centres, strict=True)]
    longest = np.array([np.sqrt(np.square(bank, dtype=np.float64).sum(axis=1).max()) for bank in banks])
    return Together(
        banks, stack, first.k, first.distance == "mean", centres, np.stack(squares).astype(np.float32), longest
    )
