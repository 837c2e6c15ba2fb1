"""What every peer on series shares: the period, the windows, and the score of a step from those of its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.signal import argrelextrema

from unalike.types import FloatArray, IntArray

NO_PERIOD = 125
MULTIVARIATE_WINDOW = 32
MULTIVARIATE_STRIDE = 4
MOST_WINDOWS = 8_000
"""Training windows of a peer, evenly spaced over the record."""

_LAGS, _FIRST_LAG, _LONGEST, _STEPS = 400, 3, 300, 20_000
_CHUNK = 4_096
_CLIP = 20.0

Rows = TypeVar("Rows", FloatArray, IntArray)


class Scaler:
    """Each channel minus its mean, by its standard deviation, as trained (constant: 1), clipped at 20.

    A missing value is drawn between its neighbours in time; at an edge it is the nearest one.
    """

    def fit(self, train: FloatArray) -> Scaler:
        filled = _without_gaps(train)
        spread = filled.std(axis=0)
        self._mean = filled.mean(axis=0)
        self._spread = np.where(spread < 1e-6, 1.0, spread)
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        scaled: FloatArray = np.clip((_without_gaps(X) - self._mean) / self._spread, -_CLIP, _CLIP)
        return scaled


def period(values: FloatArray) -> int:
    """TSB-AD's ``find_length_rank(values, rank=1)``: the lag of the highest peak of the autocorrelation.

    Parameters
    ----------
    values : ndarray
        ``(t,)``; at most the first 20,000 count.

    Returns
    -------
    int
        From 6 to 303 steps; 125 when no peak lies there.
    """
    values = values[:_STEPS]
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    autocorrelation = np.fft.irfft(spectrum * spectrum.conj())[: min(_LAGS, len(values) - 1) + 1]
    if autocorrelation[0] <= 0:
        return NO_PERIOD
    after = autocorrelation[_FIRST_LAG:] / autocorrelation[0]
    peaks = argrelextrema(after, np.greater)[0]
    if len(peaks) == 0:
        return NO_PERIOD
    best = int(peaks[np.argsort(after[peaks])[::-1][0]])
    return best + _FIRST_LAG if _FIRST_LAG <= best <= _LONGEST else NO_PERIOD


def window_of(train: FloatArray) -> int:
    """Window of the peers: the period, at most a sixth of the record; 32 for more than one channel."""
    wanted = period(train[:, 0]) if train.shape[1] == 1 else MULTIVARIATE_WINDOW
    return max(2, min(wanted, len(train) // 6))


def starts(steps: int, window: int, stride: int) -> IntArray:
    """First steps of the windows; the last one ends with the record."""
    last = max(steps - window, 0)
    return np.unique(np.append(np.arange(0, last + 1, stride, dtype=np.int64), last))


def cut(X: FloatArray, first: IntArray, window: int) -> FloatArray:
    """``(n, channels * window)``: windows that start at `first`; a record shorter than one repeats its last step."""
    if len(X) < window:
        X = np.concatenate([X, np.repeat(X[-1:], window - len(X), axis=0)])
    views = np.lib.stride_tricks.sliding_window_view(X, window, axis=0)
    return views[first].reshape(len(first), -1)


def to_steps(scores: FloatArray, first: IntArray, window: int, steps: int) -> FloatArray:
    """``(steps,)``: mean of the scores of the windows that cover a step."""
    sums, counts = np.zeros(steps + 1), np.zeros(steps + 1)
    for array, values in ((sums, scores), (counts, np.ones(len(first)))):
        np.add.at(array, first, values)
        np.add.at(array, np.minimum(first + window, steps), -values)
    mean: FloatArray = np.cumsum(sums)[:-1] / np.cumsum(counts)[:-1]
    return mean


def thinned(rows: Rows, most: int = MOST_WINDOWS) -> Rows:
    """At most `most` of the rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def training_windows(X: FloatArray, window: int, most: int = MOST_WINDOWS) -> FloatArray:
    """At most `most` windows, evenly spaced; only those are cut."""
    first = starts(len(X), window, 1)
    return cut(X, thinned(first, most), window)


def score_steps(
    X: FloatArray, window: int, stride: int, score: Callable[[FloatArray], FloatArray], chunk: int = _CHUNK
) -> FloatArray:
    """Score of each step of `X` from `score`, which takes ``(n, channels * window)`` windows, `chunk` at a time."""
    first = starts(len(X), window, stride)
    parts = [
        np.asarray(score(cut(X, first[at : at + chunk], window)), dtype=np.float64)
        for at in range(0, len(first), chunk)
    ]
    return to_steps(np.concatenate(parts), first, window, len(X))


def standardised_rows(rows: FloatArray) -> FloatArray:
    """Each row minus its mean, by its standard deviation; a constant row becomes 0."""
    spread = rows.std(axis=1, keepdims=True)
    scaled: FloatArray = (rows - rows.mean(axis=1, keepdims=True)) / np.where(spread < 1e-8, 1.0, spread)
    return scaled


def _without_gaps(X: FloatArray) -> FloatArray:
    if not np.isnan(X).any():
        return X
    filled = X.copy()
    steps = np.arange(len(X))
    for channel in filled.T:
        known = ~np.isnan(channel)
        channel[:] = np.interp(steps, steps[known], channel[known]) if known.any() else 0.0
    return filled
