"""Which entries of a row can be among its least, by the minima of groups of entries.

To sort out the least entries of long rows takes longer than to compute them. The minima of groups of entries take one
quick pass; the k-th least of them is at least the k-th least entry, so that only groups with a minimum up to it, and
what it may be wrong by, have to be looked into.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unalike.types import BoolArray, FloatArray, IntArray

_GROUPS = 96
_LARGEST_GROUP = 32
_LEAST_GROUP = 4
# Torch is quick to find up to this share of a row, 1 of 64; numpy beyond it.
_FEW = 64
_PER_NEIGHBOUR = 4
_SPARE = 8


@dataclass(frozen=True)
class Near:
    """Entries that can be among the least of their row.

    Parameters
    ----------
    rows, columns : ndarray
        ``(c,)`` int64 each, row by row.
    bound : ndarray
        ``(n,)``: all other entries of a row are above it, where it was looked at as a whole.
    whole : ndarray
        ``(n,)`` bool: False where so many entries lie below the bound that only some of them are given.
    """

    rows: IntArray
    columns: IntArray
    bound: FloatArray
    whole: BoolArray


def group_size(m: int, k: int) -> int:
    """Entries in a group for rows of `m` of which the `k` least are wanted; 0 where sorting them out is as quick."""
    size = min(m // _GROUPS, _LARGEST_GROUP)
    return size if size >= _LEAST_GROUP and m // size >= _PER_NEIGHBOUR * k else 0


def blank(n: int, m: int, size: int) -> Tensor:
    """``(n, width)`` float32 for `m` entries per row; the columns past them, which fill the groups, are infinite."""
    entries = torch.empty(n, -(-m // size) * size)
    entries[:, m:] = torch.inf
    return entries


def near(entries: Tensor, size: int, k: int, length2: FloatArray, error: float) -> Near:
    """What can be among the `k` least of each row of ``|y|^2 - 2 x.y``.

    Parameters
    ----------
    entries : Tensor
        As `blank` made them, filled.
    size : int
        Entries in a group; those of one group lie far apart, for neighbours are often alike.
    k : int
        How many are wanted.
    length2 : ndarray
        ``(n,)`` float64, ``|x|^2``.
    error : float
        An entry is wrong by at most so much times the square of ``2 |x| + |x - y|``.
    """
    n = len(entries)
    minima = entries.view(n, size, -1).amin(dim=1).numpy()  # (n, groups)
    least = np.partition(minima, k - 1, axis=1)[:, k - 1].astype(np.float64)
    # The least entries may be wrong, and so may those that they are compared with.
    longest = 2.0 * np.sqrt(length2) + np.sqrt(np.maximum(least + length2, 0.0))
    bound = least + 2.5 * error * longest**2
    most = _PER_NEIGHBOUR * k + _SPARE
    rows, groups, few_groups = _first(*_where(minima <= bound[:, None]), n, most)
    members = groups[:, None] + minima.shape[1] * np.arange(size)
    hit, member = _where(entries.numpy()[rows[:, None], members] <= bound[rows, None])
    rows, columns, few = _first(rows[hit], members[hit, member], n, most)
    return Near(rows, columns, bound, few_groups & few)


def least_in_rows(near: Near, values: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    """The `k` least of ``(c,)`` `values` in each row and their columns, ``(n, k)``, least first; NaN past the last."""
    n = len(near.bound)
    place = _place(near.rows, n)
    width = max(int(place.max(initial=0)) + 1, k)
    spread, columns = np.full((n, width), np.nan), np.zeros((n, width), dtype=np.int64)
    spread[near.rows, place], columns[near.rows, place] = values, near.columns
    order = np.argsort(spread, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(spread, order, axis=1), np.take_along_axis(columns, order, axis=1)


def least(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` least of each row ``(n, m)`` and their places, in any order."""
    if count * _FEW < values.shape[1] or count == values.shape[1]:
        return values.topk(count, dim=1, largest=False, sorted=False)
    places = torch.from_numpy(np.argpartition(values.numpy(), count - 1, axis=1)[:, :count])
    return values.gather(1, places), places


def _where(chosen: BoolArray) -> tuple[IntArray, IntArray]:
    """Rows and columns of what is chosen, as `numpy.nonzero`, which takes several times as long."""
    places = np.flatnonzero(chosen)
    rows = places // chosen.shape[1]
    return rows, places - rows * chosen.shape[1]


def _first(rows: IntArray, items: IntArray, n: int, most: int) -> tuple[IntArray, IntArray, BoolArray]:
    """The items of rows that have at most so many, the first few of others, and which rows have all, ``(n,)``."""
    counts = np.bincount(rows, minlength=n)
    few = counts <= most
    if few.all():
        return rows, items, few
    kept = few[rows] | (_place(rows, n) < _SPARE)
    return rows[kept], items[kept], few


def _place(rows: IntArray, n: int) -> IntArray:
    """``(c,)``: how many earlier items each has in its row; `rows` rise."""
    return np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows]
