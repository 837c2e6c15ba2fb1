"""What every threshold asks of rates and scores, and how it counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter
from unalike.plain import is_number
from unalike.types import FloatArray

USUAL_RATE = 0.01
ROUNDING = 1.0 + 1e-12
"""A product a rounding error below a whole number counts as whole: .29 * 100."""


def check_rate(rate: Any, name: str = "false_alarm_rate") -> float:
    """`rate` as a float in ``(0, 1)``."""
    if not is_number(rate) or not 0.0 < rate < 1.0:
        raise InvalidParameter(f"`{name}` must be above 0 and below 1; got {rate!r}. Give 0.01 for 1%.")
    return float(rate)


def whole(rate: float, n: int) -> int:
    """``floor(rate * n)``; see `ROUNDING`."""
    return math.floor(rate * n * ROUNDING)


def needed(rate: float) -> int:
    """The least number of calibration samples that can hold `rate`."""
    guess = max(math.floor(1.0 / rate) - 2, 1)
    return next(n for n in range(guess, guess + 4) if whole(rate, n + 1) >= 1)


def calibration(values: Any) -> FloatArray:
    """``(n,)`` finite scores, at least one, as a new ascending array."""
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


def judged(values: Any) -> FloatArray:
    """``(n,)`` scores to decide on: infinite ones are allowed, NaN is not."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise InvalidInput(f"`scores` must be one number per sample, not NaN; got shape {scores.shape}.")
    return scores


def at_least(ordered: FloatArray, scores: FloatArray) -> FloatArray:
    """How many of the `ordered` scores are at least as high as each of `scores`."""
    return np.asarray(len(ordered) - np.searchsorted(ordered, scores, side="left"), dtype=np.float64)
