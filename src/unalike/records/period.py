"""After how many steps a record repeats itself, by its autocorrelation."""

from __future__ import annotations

import numpy as np

from unalike.data import evenly
from unalike.records.collection import Records
from unalike.types import FloatArray

FALLBACK = 125
"""Of records without a period (TSB-AD, Liu and Paparrizos 2024, `find_length_rank`)."""
LEAST, MOST = 6, 300
"""Periods outside of these, in steps, are not looked for."""

_STEPS = 20_000
"""Of a longer record these are enough."""
_REPEATS = 3
"""A record must be so many periods long."""
_RISE = 0.1
"""So much must the autocorrelation rise to the peak of a period, from the least value before it."""
_AS_HIGH = 0.95
"""Of the highest peak: the first that is as high is the period, later ones may be its multiples."""
_RECORDS, _CHANNELS = 20, 50
"""At most so many are looked at, evenly spaced."""


def dominant_period(values: FloatArray, *, least: int = LEAST, most: int = MOST) -> int | None:
    """The lag of the highest peak of the autocorrelation.

    Of the first 20,000 steps, without their linear trend and with far outlying values drawn in; pairs of steps of
    which one is missing do not count. Of peaks that are nearly as high as the highest the first is taken, since every
    multiple of a period is one too.

    Parameters
    ----------
    values : ndarray
        ``(t,)``, NaN = missing.
    least, most : int
        Bounds of the period in steps; it is also at most a third of the record.

    Returns
    -------
    int or None
        None where nothing rises out of the autocorrelation: noise, a random walk, a constant, a record too short.
    """
    values = np.asarray(values, dtype=np.float64)[:_STEPS]
    most = min(most, len(values) // _REPEATS)
    level = _level(values)
    if most <= least or level is None:
        return None
    correlation = autocorrelation(level, most + 1)
    peaks = np.flatnonzero((correlation[1:-1] > correlation[:-2]) & (correlation[1:-1] >= correlation[2:])) + 1
    peaks = peaks[(peaks >= least) & (peaks <= most)]
    rise = correlation[peaks] - np.minimum.accumulate(correlation)[peaks]
    error = _error(correlation, int((~np.isnan(level)).sum()))
    peaks = peaks[(rise >= _RISE) & (correlation[peaks] > 2.0 * error)]
    if len(peaks) == 0:
        return None
    highest = float(correlation[peaks].max())
    first = int(peaks[np.argmax(correlation[peaks] >= min(_AS_HIGH * highest, highest - error))])
    around = np.arange(max(round(0.9 * first), least), min(round(1.1 * first), most) + 1)
    return int(around[np.argmax(correlation[around])])


def period_of(records: Records, fallback: int = FALLBACK) -> int:
    """The median of the `dominant_period` of the records' channels, of those that have one.

    At most 20 records and 50 channels are looked at. Where none has a period it is `fallback`, however short the
    records are.
    """
    segments = evenly(len(records.segments), _RECORDS)
    channels = evenly(len(records.channels), _CHANNELS)
    found = [
        dominant_period(records.segments[segment].values[:, channel])
        for segment in segments.tolist()
        for channel in channels.tolist()
    ]
    periods = [period for period in found if period is not None]
    return int(np.median(periods)) if periods else fallback


def autocorrelation(level: FloatArray, lags: int) -> FloatArray:
    """``(lags + 1,)``: the mean product of steps so far apart, over the mean square; of pairs without a missing step.

    Parameters
    ----------
    level : ndarray
        ``(t,)`` of mean about 0, NaN = missing, not all zero.
    lags : int
        Below ``t``.
    """
    there = ~np.isnan(level)
    length = 1 << int(2 * len(level) - 1).bit_length()
    power = np.abs(np.fft.rfft(np.where(there, level, 0.0), length)) ** 2
    products = np.fft.irfft(power, length)[: lags + 1]
    if there.all():
        pairs: FloatArray = len(level) - np.arange(lags + 1.0)
    else:
        pairs = np.rint(np.fft.irfft(np.abs(np.fft.rfft(there.astype(np.float64), length)) ** 2, length)[: lags + 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.where(pairs > 0, products / pairs, 0.0)
    return np.asarray(made / made[0])


def _level(values: FloatArray) -> FloatArray | None:
    """Without outliers and trend, of a square mean of 1; None of a constant, or too few steps."""
    there = ~np.isnan(values)
    if there.sum() < _REPEATS * 2:
        return None
    low, high = np.quantile(values[there], (0.01, 0.99))
    reach = 3.0 * (high - low)
    if reach > 0.0:
        values = np.clip(values, low - reach, high + reach)
    steps = np.arange(len(values), dtype=np.float64)
    steps -= steps[there].mean()
    values = values - values[there].mean()
    largest = float(np.abs(values[there]).max())
    if not 0.0 < largest < np.inf:
        return None
    values = values / largest
    slope = (steps[there] * values[there]).sum() / (steps[there] ** 2).sum()
    left = values - slope * steps
    spread = float(np.sqrt((left[there] ** 2).mean()))
    return None if spread < 1e-9 else np.asarray(left / spread)


def _error(correlation: FloatArray, n: int) -> float:
    """About what chance adds to a value of the autocorrelation: more where neighbours are alike (Bartlett 1946)."""
    alike = correlation[1 : 1 + int(np.argmax(correlation[1:] < 0.5))]
    return float(max(2.0, 1.25 * np.sqrt(1.0 + 2.0 * (alike**2).sum())) / np.sqrt(n))
