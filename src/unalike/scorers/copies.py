"""Rows of a bank without those that are copies of too many others.

What stands still, and what takes few values, gives the same row again and again. Neighbours are counted up to `k`, so
more than `k` copies of a row tell nothing, and a search takes as long for each of them as for any other row; that all
are at one distance makes it doubt which come first, besides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray

_LARGEST_SHARE = 0.75


def without_copies(bank: FloatArray, k: int, groups: IntArray | None) -> IntArray | None:
    """Sorted positions of the rows that a search for `k` neighbours needs; None where they are most of the rows.

    Parameters
    ----------
    bank : ndarray
        ``(m, d)``.
    k : int
        At least so many copies of a row stay.
    groups : ndarray, optional
        ``(m,)`` codes: rows of any one group may have to be passed over. Then up to ``2 k`` copies stay, at most `k`
        of them from one group.
    """
    keys = _keys(bank)
    order = np.lexsort((np.arange(len(bank)), keys) if groups is None else (np.arange(len(bank)), groups, keys))
    if groups is not None:
        order = order[_rank(keys[order], groups[order]) < k]
    order = order[_rank(keys[order]) < (k if groups is None else 2 * k)]
    if len(order) > _LARGEST_SHARE * len(bank) or not _are_copies(bank, keys, order):
        return None
    return np.sort(order)


def _keys(bank: FloatArray) -> npt.NDArray[np.uint64]:
    """``(m,)``: equal rows have equal keys, and others most likely have not."""
    bits: npt.NDArray[Any] = bank.view(np.uint32 if bank.dtype == np.float32 else np.uint64)
    factors = numpy_generator(0, "copies").integers(2**64, size=bits.shape[1], dtype=np.uint64) | np.uint64(1)
    # Sums that wrap around do not depend on their order.
    return np.concatenate([(bits[block] * factors).sum(axis=1, dtype=np.uint64) for block in _blocks(bank)])


def _rank(*keys: npt.NDArray[np.integer]) -> IntArray:
    """``(m,)``: how many equal items stand before each, where equal items stand together."""
    new = np.ones(len(keys[0]), dtype=np.bool_)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    starts = np.flatnonzero(new)
    return np.asarray(np.arange(len(new)) - starts[np.cumsum(new) - 1])


def _are_copies(bank: FloatArray, keys: npt.NDArray[np.uint64], kept: IntArray) -> bool:
    """Whether each row equals the kept row of its key."""
    first = kept[np.searchsorted(keys[kept], keys)]
    return all(bool((bank[first[block]] == bank[block]).all()) for block in _blocks(bank))


def _blocks(bank: FloatArray) -> list[slice]:
    step = max(2**20 // bank.shape[1], 1)
    return [slice(start, start + step) for start in range(0, len(bank), step)]
