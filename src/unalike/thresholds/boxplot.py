"""The boxplot's fence, moved for skewed scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from unalike.thresholds.checks import check_rate
from unalike.thresholds.gaussian import tied_sigma
from unalike.thresholds.law import Law, LawValues
from unalike.types import FloatArray

_CLASSIC_WHISKER = 1.5
_QUARTILE = float(ndtri(0.75))
_MOST_SCORES = 2_001


@dataclass
class AdjustedBoxplot(Law):
    """The upper fence of the boxplot for skewed data: ``Q3 + w exp(3 MC) IQR``, MC the medcouple.

    ``exp(4 MC)`` where the medcouple, a robust skewness in ``[-1, 1]``, is negative (Hubert and Vandervieren, "An
    adjusted boxplot for skewed distributions", Computational Statistics and Data Analysis 2008; Brys, Hubert and
    Struyf, "A robust measure of skewness", JCGS 2004). A quarter of the calibration samples may be anomalies before
    it breaks. The authors set ``w = 1.5``, which leaves 0.35% above the fence on normally distributed scores, and
    chose the exponents for that; for a stated rate ``w`` is the one that leaves this rate there. So its law is
    normal below Q3, and above Q3 normal with a stretched upper tail. At other rates than 0.35% the stretch is our
    extension, not theirs.

    Parameters
    ----------
    false_alarm_rate : float, optional
        In ``(0, 1)``. None: the classic fence, ``w = 1.5``.

    Attributes
    ----------
    law_ : dict
        ``median``, ``upper`` (Q3), ``iqr`` and ``medcouple``. When half of the scores or more are equal the IQR is
        0 and the mean absolute deviation stands in, with a `CalibrationWarning`. The medcouple of more than 2,001
        scores is that of 2,001 evenly spaced quantiles.
    threshold_ : float
        The fence.
    false_alarm_rate_ : float
        The setting, or 0.00349 for the classic fence; it holds when the law does.

    Raises
    ------
    InvalidParameter
        A rate outside ``(0, 1)``.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    false_alarm_rate: float | None = None

    def __post_init__(self) -> None:
        if self.false_alarm_rate is not None:
            check_rate(self.false_alarm_rate)

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force, which holds when the law does."""
        if self.false_alarm_rate is None:
            return float(ndtr(-_QUARTILE * (1.0 + 2.0 * _CLASSIC_WHISKER)))
        return float(self.false_alarm_rate)

    def _learn(self, ordered: FloatArray) -> LawValues:
        lower, median, upper = (float(value) for value in np.quantile(ordered, [0.25, 0.5, 0.75]))
        iqr = (upper - lower) or 2.0 * _QUARTILE * tied_sigma(ordered, median)
        return {"median": median, "upper": upper, "iqr": iqr, "medcouple": medcouple(ordered)}

    def _tail(self, law: LawValues, scores: FloatArray) -> FloatArray:
        whisker = (scores - law["upper"]) / (law["iqr"] * _stretch(law["medcouple"]))
        return np.asarray(ndtr(-np.where(whisker >= 0.0, _QUARTILE * (1.0 + 2.0 * whisker), _inside(law, scores))))

    def _limit(self, law: LawValues, rate: float) -> float:
        z = -float(ndtri(rate))
        if z < _QUARTILE:
            return float(law["median"] + z / _QUARTILE * (law["upper"] - law["median"]))
        whisker = (z / _QUARTILE - 1.0) / 2.0
        return float(law["upper"] + whisker * _stretch(law["medcouple"]) * law["iqr"])


def _inside(law: LawValues, scores: FloatArray) -> FloatArray:
    """Standard deviations from the median of scores below Q3."""
    width = law["upper"] - law["median"]
    if width == 0.0:
        return np.full(len(scores), -np.inf)
    return np.asarray(_QUARTILE * (scores - law["median"]) / width)


def _stretch(medcouple: float) -> float:
    return math.exp((3.0 if medcouple >= 0.0 else 4.0) * medcouple)


def medcouple(ordered: FloatArray) -> float:
    """Robust skewness in ``[-1, 1]`` of ascending scores: the median of how far pairs across the median lean.

    A pair ``a <= median <= b`` leans by ``((b - median) - (median - a)) / (b - a)``; pairs that both equal the median
    lean by -1, 0 or 1 by their order, and cancel.
    """
    if len(ordered) > _MOST_SCORES:
        ordered = np.quantile(ordered, np.linspace(0.0, 1.0, _MOST_SCORES))
    centred = ordered - np.median(ordered)
    high, low = centred[centred >= 0.0][:, None], centred[centred <= 0.0][None, :]
    ties = int((centred == 0.0).sum())
    with np.errstate(invalid="ignore"):
        leaning = (high + low) / (high - low)
    if ties:
        # Ties are the first of `high` and the last of `low`.
        order = np.arange(ties)
        leaning[:ties, low.shape[1] - ties :] = np.sign(order[:, None] - order[None, :])
    return float(np.median(leaning))
