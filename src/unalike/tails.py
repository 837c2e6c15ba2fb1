"""How far in the tail of the reference scores is a score?

Scores of different branches have different units; their tail scores are comparable and can be summed.
Within the reference scores the tail score is ``-log`` of the (interpolated) share of them that is at
least as large; past the largest it goes on growing with the excess over it, so that strong anomalies
keep their order.
"""

from __future__ import annotations

import numpy as np

from unalike.errors import InvalidInput
from unalike.types import FloatArray


def tail_scores(scores: FloatArray, reference: FloatArray) -> FloatArray:
    """Tail score of each score against reference scores of normal samples.

    Parameters
    ----------
    scores : ndarray
        ``(n,)``, higher = more anomalous.
    reference : ndarray
        ``(m,)``, scores of normal samples that the scorer has not memorised.

    Returns
    -------
    ndarray
        ``(n,)`` float64, at least 0, non-decreasing in `scores`:
        ``-log((1 + #{reference >= s}) / (m + 1)) + log1p(max(s - max(reference), 0) / (q95 - median))``,
        where the count is interpolated between neighbouring reference scores.

    Raises
    ------
    InvalidInput
        When `reference` is empty.
    """
    if len(reference) == 0:
        raise InvalidInput("`reference` must hold at least one score; got none.")
    ordered, positions = np.unique(np.asarray(reference, dtype=np.float64), return_index=False, return_inverse=True)
    scores = np.asarray(scores, dtype=np.float64)
    m = len(reference)
    multiplicity = np.bincount(positions.reshape(-1), minlength=len(ordered))
    at_least = multiplicity[::-1].cumsum()[::-1]
    counted = np.interp(scores, ordered, at_least, left=m, right=0.0)
    excess = np.maximum(scores - ordered[-1], 0.0) / spread_of(np.asarray(reference, dtype=np.float64))
    return np.asarray(-np.log((1.0 + counted) / (m + 1.0)) + np.log1p(excess))


def spread_of(reference: FloatArray) -> float:
    """The unit of an excess over the largest reference score: 95% quantile less median, or what there is."""
    median, high = np.quantile(reference, [0.5, 0.95])
    spread = float(high - median)
    if spread > 0.0:
        return spread
    return float(np.ptp(reference)) or max(abs(float(median)), 1.0)
