"""A threshold that the user knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.thresholds.checks import calibration, judged
from unalike.types import BoolArray, FloatArray


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
        if not is_number(self.value):
            raise InvalidParameter(f"`value` must be a number; got {self.value!r}.")
        if not math.isfinite(self.value):
            raise InvalidParameter(f"`value` must be finite; got {self.value!r}.")

    def fit(self, calibration_scores: FloatArray) -> Self:
        """Check the ``(n,)`` scores; nothing is learned from them."""
        calibration(calibration_scores)
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
        return np.full(len(judged(scores)), np.nan)

    def is_anomaly(self, scores: FloatArray) -> BoolArray:
        """``(n,)`` bool: above the threshold."""
        return judged(scores) > self.threshold_

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass
