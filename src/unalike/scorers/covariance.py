"""A covariance that can be inverted with fewer rows than columns."""

from __future__ import annotations

import numpy as np

from unalike.types import FloatArray


def shrunk_covariance(deviation: FloatArray) -> FloatArray:
    """The covariance, shrunk towards a multiple of the identity by the amount of Ledoit and Wolf.

    "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 88, 2004. One
    matrix product; scikit-learn's ``ledoit_wolf`` makes several of the same size, for sums that the lengths of the
    rows give as well.

    Parameters
    ----------
    deviation : ndarray
        ``(n, d)`` rows minus their mean.

    Returns
    -------
    ndarray
        ``(d, d)`` float64.
    """
    n, d = deviation.shape
    covariance = np.asarray(deviation.T @ deviation / n)
    variance = float(np.trace(covariance)) / d
    squared = float((covariance**2).sum())
    spread = squared - d * variance**2
    noise = (float((np.einsum("nd,nd->n", deviation, deviation) ** 2).sum()) / n - squared) / n
    amount = min(noise / spread, 1.0) if noise > 0.0 and spread > 0.0 else 0.0
    covariance *= 1.0 - amount
    covariance[np.diag_indices(d)] += amount * variance
    return covariance
