"""Many samples judged at once: which share of the alarms may be false?"""

from __future__ import annotations

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter, tell
from unalike.thresholds.checks import ROUNDING, check_rate
from unalike.types import BoolArray, FloatArray


def benjamini_hochberg(p_values: FloatArray, rate: float) -> BoolArray:
    """Which of ``m`` samples are anomalies when at most `rate` of the alarms may be false, in the mean.

    The samples with the ``k`` smallest p-values, for the largest ``k`` whose ``k``-th smallest is at most
    ``rate k / m`` (Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 1995). It holds for
    independent p-values and for those of one `Conformal` threshold, which are positively dependent (Bates et al.,
    "Testing for outliers with conformal p-values", Annals of Statistics 2023).

    Parameters
    ----------
    p_values : ndarray
        ``(m,)`` in ``[0, 1]``.
    rate : float
        The false discovery rate, in ``(0, 1)``.

    Returns
    -------
    ndarray
        ``(m,)`` bool.

    Raises
    ------
    InvalidInput
        When a p-value is NaN or out of range.
    InvalidParameter
        A rate outside ``(0, 1)``.
    """
    check_rate(rate, "false_discovery_rate")
    p_values = np.asarray(p_values, dtype=np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0.0) & (p_values <= 1.0)).all():
        raise InvalidInput(f"`p_values` must be numbers from 0 to 1, one per sample; got {p_values!r}.")
    m = len(p_values)
    ordered = np.sort(p_values)
    holds = np.flatnonzero(ordered * m <= rate * np.arange(1, m + 1) * ROUNDING)
    return p_values <= ordered[holds[-1]] if len(holds) else np.zeros(m, dtype=np.bool_)


def discoveries(p_values: FloatArray, least: FloatArray, rate: float) -> BoolArray:
    """`benjamini_hochberg`, which also says when the calibration samples are too few for it.

    Parameters
    ----------
    p_values : ndarray
        ``(m,)``, NaN where the threshold gives none.
    least : ndarray
        ``(m,)``, the smallest p-value that each sample could have got: ``1 / (n + 1)`` with ``n`` conformal
        calibration samples.
    rate : float
        The false discovery rate.

    Raises
    ------
    InvalidParameter
        When the threshold gives no p-values, the rate is out of range, or no p-values could ever be small enough.
    """
    check_rate(rate, "false_discovery_rate")
    if np.isnan(p_values).any():
        raise InvalidParameter(
            "`false_discovery_rate` must go with a threshold that gives p-values; this one gives none. Calibrate with "
            "thresholds.Conformal() first."
        )
    found = benjamini_hochberg(p_values, rate)
    if len(found) and not found.any():
        _explain_silence(p_values, least, rate)
    return found


def _explain_silence(p_values: FloatArray, least: FloatArray, rate: float) -> None:
    """Nothing was found: is that what the samples say, or could it not be otherwise?"""
    m = len(p_values)
    holds = np.flatnonzero(np.sort(least) * m <= rate * np.arange(1, m + 1) * ROUNDING)
    smallest = float(least.min())
    advice = f"Calibrate on more normal samples ({int(np.ceil(m / rate)) - 1} make one alarm of {m} possible)"
    if len(holds) == 0:
        raise InvalidParameter(
            f"`false_discovery_rate` must be at least the smallest possible p-value, {smallest:.3g}; got {rate:g}: "
            f"nothing could be found whatever the samples are. {advice}, or state a larger rate."
        )
    extreme, together = int((p_values <= least).sum()), int(holds[0]) + 1
    if 0 < extreme < together:
        tell(
            f"No anomaly at a false discovery rate of {rate:g}: the smallest possible p-value is {smallest:.3g}, so "
            f"that {together} of {m} samples must reach it together before any is one; {extreme} did. {advice}, judge "
            "fewer samples at once, or state a false_alarm_rate."
        )
