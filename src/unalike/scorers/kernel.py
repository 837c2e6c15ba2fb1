"""Weighted sums of Gaussian kernels, row by row and without underflow."""

from __future__ import annotations

import numpy as np

from unalike.scorers.arrays import checked
from unalike.types import FloatArray, IntArray

_NUMBERS_AT_ONCE = 2**22
_LARGEST = float(np.finfo(np.float64).max) / 2**64


def squared_distances(rows: FloatArray, bank: FloatArray) -> FloatArray:
    """``(n, m)`` float64 squared Euclidean distances, by direct differences, so that a row stands alone.

    Rows so far apart that the square would overflow are at about 1e289 from one another.
    """
    from scipy.spatial.distance import cdist

    with np.errstate(over="ignore"):
        squared = cdist(rows.astype(np.float64), bank.astype(np.float64), "sqeuclidean")
    return np.asarray(np.minimum(squared, _LARGEST))


def log_kernel_sums(
    rows: FloatArray,
    bank: FloatArray,
    log_weights: FloatArray,
    squared_scale: float,
    *,
    own: tuple[IntArray, IntArray] | None = None,
) -> FloatArray:
    """``log sum_j w_j exp(-|x - y_j|^2 / squared_scale)`` of each row.

    The largest term is taken out first: far from the bank, where every kernel underflows to 0, the sum still
    falls with the distance.

    Parameters
    ----------
    rows, bank : ndarray
        ``(n, d)`` and ``(m, d)``.
    log_weights : ndarray
        ``(m,)``.
    squared_scale : float
        ``2 h^2`` for a bandwidth ``h``.
    own : pair of ndarray, optional
        ``(n,)`` and ``(m,)`` groups: a row does not count the rows of its own group.

    Returns
    -------
    ndarray
        ``(n,)`` float64; ``-inf`` where no row is left.
    """
    sums = np.empty(len(rows))
    step = max(_NUMBERS_AT_ONCE // len(bank), 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        exponents = log_weights - squared_distances(rows[part], bank) / squared_scale
        if own is not None:
            exponents[own[0][part, None] == own[1]] = -np.inf
        sums[part] = log_sum_exp(exponents)
    return sums


def log_sum_exp(exponents: FloatArray) -> FloatArray:
    """``(n, m) -> (n,)``; a row of nothing but ``-inf`` gives ``-inf``."""
    largest = exponents.max(axis=1)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log(np.exp(exponents - shift[:, None]).sum(axis=1)))


def spread(rows: FloatArray) -> float:
    """Root of the mean variance of the columns: how far rows are from their mean, per column; 0 for equal rows."""
    rows = rows.astype(np.float64)
    deviation = rows - rows.mean(axis=0)
    largest = float(np.abs(deviation).max())
    # Equal rows leave rounding errors of their mean behind.
    if largest <= 10 * np.finfo(np.float64).eps * float(np.abs(rows).max()):
        return 0.0
    return largest * float(np.sqrt(((deviation / largest) ** 2).mean()))


def in_fixed_order(rows: FloatArray) -> FloatArray:
    """``(m, d)`` rows sorted by their columns: a fit that depends on the order of rows then does not on the user's."""
    return checked(rows[np.lexsort(rows.T[::-1])])
