"""What the thresholds share that fit a law to the calibration scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from unalike.errors import NotCalibrated, tell
from unalike.thresholds.checks import USUAL_RATE, calibration, check_rate, judged
from unalike.types import BoolArray, FloatArray

LawValues = dict[str, Any]
"""What describes a fitted law: numbers by name, and arrays."""


@dataclass
class Law:
    """A law with a tail ``P(score of a normal sample >= s)``: that is the p-value of ``s``.

    It may be extrapolated past the highest calibration score, so any rate can be stated; whether the law is right
    there, the calibration samples cannot say. Calibration scores that are all equal are a law of one point: every
    higher score is an anomaly.
    """

    false_alarm_rate: float | None = USUAL_RATE

    def __post_init__(self) -> None:
        check_rate(self.false_alarm_rate)

    def fit(self, calibration_scores: FloatArray) -> Self:
        """Fit the law to the ``(n,)`` scores of held-out normal samples."""
        ordered = calibration(calibration_scores)
        if ordered[0] == ordered[-1]:
            tell(
                f"The calibration scores must differ for a law to be fitted; all {len(ordered)} are {ordered[0]:.4g}, "
                "and every higher score is an anomaly. Calibrate on more normal samples, or look at the scorer."
            )
            self.law_: LawValues = {"point": float(ordered[0])}
        else:
            self.law_ = self._learn(ordered)
        return self

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force, which holds when the law does."""
        return check_rate(self.false_alarm_rate)

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal."""
        law = self._fitted()
        return float(law["point"] if "point" in law else self._limit(law, self.false_alarm_rate_))

    def p_values(self, scores: FloatArray) -> FloatArray:
        """``(n,)`` in ``[0, 1]`` by the fitted law, small = anomalous."""
        law, scores, rate = self._fitted(), judged(scores), self.false_alarm_rate_
        above = scores > self.threshold_
        tail = np.where(above, 0.0, 1.0) if "point" in law else np.clip(self._tail(law, scores), 0.0, 1.0)
        # The limit and the tail are rounded apart: at the limit itself the decision settles on which side p lies.
        return np.asarray(np.where(above, np.minimum(tail, rate), np.maximum(tail, np.nextafter(rate, 1.0))))

    def is_anomaly(self, scores: FloatArray) -> BoolArray:
        """``(n,)`` bool: above the threshold, which is where ``p_values(scores) <= false_alarm_rate_``."""
        return judged(scores) > self.threshold_

    def at(self, rate: float) -> Self:
        """The same law with another false-alarm rate; this one is not changed."""
        other = replace(self, false_alarm_rate=rate)
        other.law_ = self._fitted()
        return other

    def state(self) -> dict[str, Any]:
        return dict(self._fitted())

    def restore(self, state: dict[str, Any]) -> None:
        self.law_ = dict(state)

    def _fitted(self) -> LawValues:
        if not hasattr(self, "law_"):
            name = type(self).__name__
            raise NotCalibrated(f"`{name}` must be fitted on held-out normal scores; it is not. Call `fit` first.")
        return self.law_

    def _learn(self, ordered: FloatArray) -> LawValues:
        """The law of ascending scores that are not all equal."""
        raise NotImplementedError

    def _tail(self, law: LawValues, scores: FloatArray) -> FloatArray:
        """``P(score >= s)`` of each ``s``, non-increasing."""
        raise NotImplementedError

    def _limit(self, law: LawValues, rate: float) -> float:
        """The score whose tail is `rate`."""
        raise NotImplementedError
