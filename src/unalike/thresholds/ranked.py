"""Thresholds that rank a score among the calibration scores: no law is assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from unalike.errors import InvalidParameter, NotCalibrated, tell
from unalike.thresholds.checks import USUAL_RATE, at_least, calibration, check_rate, judged, needed, whole
from unalike.types import BoolArray, FloatArray


@dataclass
class _Ranked:
    """What the thresholds share that rank a score among the calibration scores."""

    false_alarm_rate: float | None = None

    def __post_init__(self) -> None:
        if self.false_alarm_rate is not None:
            check_rate(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        raise NotImplementedError

    def fit(self, calibration_scores: FloatArray) -> Self:
        """Keep the ``(n,)`` scores of held-out normal samples, at least one."""
        self.calibration_scores_: FloatArray = calibration(calibration_scores)
        return self

    def is_anomaly(self, scores: FloatArray) -> BoolArray:
        """``(n,)`` bool: above the threshold, which is where ``p_values(scores) <= false_alarm_rate_``."""
        return judged(scores) > self.threshold_

    def at(self, rate: float | None) -> Self:
        """The same calibration with another false-alarm rate; this one is not changed."""
        other = replace(self, false_alarm_rate=rate)
        other.calibration_scores_ = self._ordered()
        return other

    def state(self) -> dict[str, Any]:
        return {"calibration_scores": self._ordered()}

    def restore(self, state: dict[str, Any]) -> None:
        self.calibration_scores_ = calibration(state["calibration_scores"])

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
    samples_needed : int
        The least ``n`` that can hold the stated rate; 1 when none is stated.

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
        if self.false_alarm_rate is None and whole(USUAL_RATE, n + 1) == 0:
            tell(
                f"A false-alarm rate of {USUAL_RATE} needs at least {needed(USUAL_RATE)} calibration samples; got "
                f"{n}. The rate in force is 1/{n + 1} = {1 / (n + 1):.3g}. Calibrate on more normal samples."
            )
        return self

    @property
    def samples_needed(self) -> int:
        """Calibration samples without which the stated rate cannot be held; 1 when none is stated."""
        return 1 if self.false_alarm_rate is None else needed(float(self.false_alarm_rate))

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force."""
        n = len(self._ordered())
        return max(USUAL_RATE, 1.0 / (n + 1)) if self.false_alarm_rate is None else float(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        ordered = self._ordered()
        n = len(ordered)
        held = min(whole(self.false_alarm_rate_, n + 1), n)
        if held == 0:
            rate = self.false_alarm_rate_
            raise InvalidParameter(
                f"`false_alarm_rate` must be at least 1/(n + 1) = {1 / (n + 1):.3g} with n = {n} calibration samples; "
                f"got {rate:g}. It needs {needed(rate)} of them: calibrate on more normal samples, or state a larger "
                "rate."
            )
        return float(ordered[n - held])

    def p_values(self, scores: FloatArray) -> FloatArray:
        """``(n,)`` in ``[1 / (n_calibration + 1), 1]``, small = anomalous."""
        ordered = self._ordered()
        return (1.0 + at_least(ordered, judged(scores))) / (len(ordered) + 1.0)


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

    false_alarm_rate: float | None = USUAL_RATE

    def __post_init__(self) -> None:
        check_rate(self.false_alarm_rate)

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force."""
        return check_rate(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        ordered = self._ordered()
        n = len(ordered)
        return float(ordered[max(n - 1 - whole(self.false_alarm_rate_, n), 0)])

    def p_values(self, scores: FloatArray) -> FloatArray:
        """``(n,)`` share of calibration scores at least as high, which may be 0; anomalies are at most the rate."""
        ordered = self._ordered()
        return at_least(ordered, judged(scores)) / len(ordered)
