"""From scores to alarms, on held-out normal data.

A score is an anomaly when it is above `threshold_`, the largest score that is still normal. Changing the
false-alarm rate never needs another fit: see `Conformal.at`.
"""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from unalike import lookup
from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter, NotCalibrated
from unalike.types import BoolArray, FloatArray
from unalike.types import Threshold as ThresholdContract

THRESHOLDS = {
    "conformal": "unalike.thresholds:Conformal",
    "quantile": "unalike.thresholds:Quantile",
    "fixed": "unalike.thresholds:Fixed",
}
"""Names that ``threshold=`` takes."""

_USUAL_RATE = 0.01


@dataclass
class _Ranked:
    """What the thresholds share that rank a score among the calibration scores."""

    false_alarm_rate: float | None = None

    def __post_init__(self) -> None:
        if self.false_alarm_rate is not None:
            _check_rate(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        raise NotImplementedError

    def fit(self, calibration_scores: FloatArray) -> Self:
        """Keep the ``(n,)`` scores of held-out normal samples, at least one."""
        self.calibration_scores_: FloatArray = _calibration(calibration_scores)
        return self

    def is_anomaly(self, scores: FloatArray) -> BoolArray:
        """``(n,)`` bool: above the threshold, which is where ``p_values(scores) <= false_alarm_rate_``."""
        return _scores(scores) > self.threshold_

    def at(self, rate: float | None) -> Self:
        """The same calibration with another false-alarm rate; this one is not changed."""
        other = replace(self, false_alarm_rate=rate)
        other.calibration_scores_ = self._ordered()
        return other

    def state(self) -> dict[str, Any]:
        return {"calibration_scores": self._ordered()}

    def restore(self, state: dict[str, Any]) -> None:
        self.calibration_scores_ = _calibration(state["calibration_scores"])

    def _ordered(self) -> FloatArray:
        if not hasattr(self, "calibration_scores_"):
            name = type(self).__name__
            raise NotCalibrated(f"`{name}` must be fitted on held-out normal scores; it is not. Call `fit` first.")
        return self.calibration_scores_


@dataclass
class Conformal(_Ranked):
    """Split conformal p-values: the false-alarm rate holds in any finite sample.

    ``p(s) = (1 + #{calibration >= s}) / (n + 1)``; anomalies have ``p <= false_alarm_rate``. When calibration and
    new normal samples are exchangeable, a new normal sample is flagged with probability
    ``floor(rate (n + 1)) / (n + 1)``, which is at most the rate (Vovk, Gammerman and Shafer, "Algorithmic learning
    in a random world", 2005; Laxhammar and Falkman, "Conformal prediction for distribution-independent anomaly
    detection in streaming vessel data", 2010; Bates et al., "Testing for outliers with conformal p-values", Annals
    of Statistics 2023).

    Parameters
    ----------
    false_alarm_rate : float, optional
        In ``(0, 1)``. None: ``max(0.01, 1 / (n + 1))``, with a `CalibrationWarning` by `fit` when ``n`` calibration
        samples cannot hold 0.01.

    Attributes
    ----------
    calibration_scores_ : ndarray
        ``(n,)`` float64, ascending.
    threshold_ : float
        The ``floor(rate (n + 1))``-th largest calibration score.
    false_alarm_rate_ : float
        The rate in force.

    Raises
    ------
    InvalidParameter
        A rate outside ``(0, 1)``. By `threshold_` and `is_anomaly` (never by `fit` or `p_values`): a stated rate
        finer than ``1 / (n + 1)``.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    def fit(self, calibration_scores: FloatArray) -> Self:
        """Keep the ``(n,)`` scores of held-out normal samples, at least one."""
        super().fit(calibration_scores)
        n = len(self.calibration_scores_)
        if self.false_alarm_rate is None and _count(_USUAL_RATE, n + 1) == 0:
            warnings.warn(
                f"A false-alarm rate of {_USUAL_RATE} needs at least {_needed(_USUAL_RATE)} calibration samples; got "
                f"{n}. The rate in force is 1/{n + 1} = {1 / (n + 1):.3g}. Calibrate on more normal samples.",
                CalibrationWarning,
                stacklevel=2,
            )
        return self

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force."""
        n = len(self._ordered())
        return max(_USUAL_RATE, 1.0 / (n + 1)) if self.false_alarm_rate is None else float(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        ordered = self._ordered()
        n = len(ordered)
        held = min(_count(self.false_alarm_rate_, n + 1), n)
        if held == 0:
            rate = self.false_alarm_rate_
            raise InvalidParameter(
                f"`false_alarm_rate` must be at least 1/(n + 1) = {1 / (n + 1):.3g} with n = {n} calibration samples; "
                f"got {rate:g}. It needs {_needed(rate)} of them: calibrate on more normal samples, or state a larger "
                "rate."
            )
        return float(ordered[n - held])

    def p_values(self, scores: FloatArray) -> FloatArray:
        """``(n,)`` in ``[1 / (n_calibration + 1), 1]``, small = anomalous."""
        ordered = self._ordered()
        return (1.0 + _at_least(ordered, scores)) / (len(ordered) + 1.0)


@dataclass
class Quantile(_Ranked):
    """The empirical quantile of the calibration scores: no promise in a finite sample, and no least ``n``.

    At most ``false_alarm_rate`` of the calibration samples themselves are above it. On new normal samples the
    realised rate is higher by up to ``1 / (n + 1)`` on average; `Conformal` pays for that.

    Parameters
    ----------
    false_alarm_rate : float
        In ``(0, 1)``.

    Attributes
    ----------
    calibration_scores_ : ndarray
        ``(n,)`` float64, ascending.
    threshold_ : float
        The ``(floor(rate n) + 1)``-th largest calibration score.
    false_alarm_rate_ : float
        The setting.

    Raises
    ------
    InvalidParameter
        A rate outside ``(0, 1)``.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    false_alarm_rate: float | None = _USUAL_RATE

    def __post_init__(self) -> None:
        _check_rate(self.false_alarm_rate)

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force."""
        return _check_rate(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        ordered = self._ordered()
        n = len(ordered)
        return float(ordered[max(n - 1 - _count(self.false_alarm_rate_, n), 0)])

    def p_values(self, scores: FloatArray) -> FloatArray:
        """``(n,)`` share of calibration scores at least as high, which may be 0; anomalies are at most the rate."""
        ordered = self._ordered()
        return _at_least(ordered, scores) / len(ordered)


@dataclass
class Fixed:
    """A threshold that is known beforehand, in the units of the scores. It promises no rate.

    Parameters
    ----------
    value : float
        The largest score that is still normal.

    Raises
    ------
    InvalidParameter
        When `value` is not a finite number.
    """

    value: float

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float, np.number)):
            raise InvalidParameter(f"`value` must be a number; got {self.value!r}.")
        if not math.isfinite(self.value):
            raise InvalidParameter(f"`value` must be finite; got {self.value!r}.")

    def fit(self, calibration_scores: FloatArray) -> Self:
        """Check the ``(n,)`` scores; nothing is learned from them."""
        _calibration(calibration_scores)
        return self

    @property
    def false_alarm_rate_(self) -> None:
        """No rate is promised."""
        return None

    @property
    def threshold_(self) -> float:
        """The setting."""
        return float(self.value)

    def p_values(self, scores: FloatArray) -> FloatArray:
        """``(n,)`` NaN: there is nothing to compare with."""
        return np.full(len(_scores(scores)), np.nan)

    def is_anomaly(self, scores: FloatArray) -> BoolArray:
        """``(n,)`` bool: above the threshold."""
        return _scores(scores) > self.threshold_

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def build_threshold(threshold: Any) -> ThresholdContract:
    """A threshold that may be fitted without changing what the user passed.

    Parameters
    ----------
    threshold : str or object
        A name in `THRESHOLDS` that needs no value, or an object with `fit`, `p_values` and `is_anomaly` (copied).

    Raises
    ------
    InvalidParameter
        An unknown name, ``"fixed"`` without its value, or an object of another shape.
    """
    if isinstance(threshold, str):
        if threshold == "fixed":
            raise InvalidParameter("`threshold` 'fixed' must have its value; got none. Give thresholds.Fixed(value).")
        built: ThresholdContract = lookup.named("threshold", THRESHOLDS, threshold)()
        return built
    verbs = ("fit", "p_values", "is_anomaly")
    if isinstance(threshold, type) or not all(callable(getattr(threshold, verb, None)) for verb in verbs):
        raise InvalidParameter(
            f"`threshold` must be one of {sorted(THRESHOLDS)} or an object with `fit`, `p_values` and `is_anomaly`, "
            f"such as thresholds.Conformal(false_alarm_rate=0.01); got {threshold!r}."
        )
    copied: ThresholdContract = copy.deepcopy(threshold)
    return copied


def _check_rate(rate: Any) -> float:
    number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
    if not number or not 0.0 < rate < 1.0:
        raise InvalidParameter(f"`false_alarm_rate` must be above 0 and below 1; got {rate!r}. Give 0.01 for 1%.")
    return float(rate)


def _count(rate: float, n: int) -> int:
    """``floor(rate * n)`` where a product a rounding error below a whole number counts as whole: .29 * 100."""
    return math.floor(rate * n * (1.0 + 1e-12))


def _needed(rate: float) -> int:
    """The least number of calibration samples that can hold `rate`."""
    guess = max(math.floor(1.0 / rate) - 2, 1)
    return next(n for n in range(guess, guess + 4) if _count(rate, n + 1) >= 1)


def _calibration(values: Any) -> FloatArray:
    scores = np.array(values, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise InvalidInput(
            f"`calibration_scores` must be one score per sample, at least one; got shape {scores.shape}. Calibrate on "
            "held-out normal samples."
        )
    if not np.isfinite(scores).all():
        raise InvalidInput(
            f"`calibration_scores` must be finite; got NaN or infinity for {int((~np.isfinite(scores)).sum())} of "
            f"{len(scores)} samples. Look at the scorer."
        )
    scores.sort()
    return scores


def _scores(values: Any) -> FloatArray:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise InvalidInput(f"`scores` must be one number per sample, not NaN; got shape {scores.shape}.")
    return scores


def _at_least(ordered: FloatArray, scores: FloatArray) -> FloatArray:
    """How many of the `ordered` scores are at least as high as each of `scores`."""
    return np.asarray(len(ordered) - np.searchsorted(ordered, _scores(scores), side="left"), dtype=np.float64)
