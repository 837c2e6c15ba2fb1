"""Centre plus so many standard deviations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import ndtr, ndtri

from unalike.errors import InvalidParameter, tell
from unalike.plain import is_number
from unalike.thresholds.checks import USUAL_RATE, check_rate
from unalike.thresholds.law import Law, LawValues
from unalike.types import FloatArray

_MAD_TO_SIGMA = 1.4826
_MEAN_DEVIATION_TO_SIGMA = math.sqrt(math.pi / 2.0)


@dataclass
class _Gaussian(Law):
    """A normal law with `centre` and `sigma`."""

    false_alarm_rate: float | None = None
    sigmas: float | None = None

    def __post_init__(self) -> None:
        if self.false_alarm_rate is not None and self.sigmas is not None:
            raise InvalidParameter(
                "`false_alarm_rate` or `sigmas` must be given, not both; got "
                f"{self.false_alarm_rate!r} and {self.sigmas!r}. Leave one out."
            )
        if self.false_alarm_rate is not None:
            check_rate(self.false_alarm_rate)
        if self.sigmas is not None and not (is_number(self.sigmas) and 0.0 < self.sigmas < 38.0):
            raise InvalidParameter(f"`sigmas` must be above 0 and below 38; got {self.sigmas!r}. Give 3 for 3 sigma.")

    @property
    def false_alarm_rate_(self) -> float:
        """The rate in force, which holds when normal scores are normally distributed."""
        if self.sigmas is not None:
            return float(ndtr(-float(self.sigmas)))
        return USUAL_RATE if self.false_alarm_rate is None else float(self.false_alarm_rate)

    def at(self, rate: float | None) -> Self:
        """The same law with another false-alarm rate; this one is not changed."""
        other = replace(self, false_alarm_rate=rate, sigmas=None)
        other.law_ = self._fitted()
        return other

    def _tail(self, law: LawValues, scores: FloatArray) -> FloatArray:
        return np.asarray(ndtr(-(scores - law["centre"]) / law["sigma"]))

    def _limit(self, law: LawValues, rate: float) -> float:
        reach = -float(ndtri(rate)) if self.sigmas is None else float(self.sigmas)
        return float(law["centre"] + reach * law["sigma"])


@dataclass
class Normal(_Gaussian):
    """Mean plus ``z`` standard deviations: "3 sigma" (Shewhart, "Economic control of quality", 1931).

    Assumes that the scores of normal samples are normally distributed. Distances and tail scores are skewed to the
    right: there it flags more than it states at small rates. Its p-values are the tail of the fitted law.

    Parameters
    ----------
    false_alarm_rate : float, optional
        In ``(0, 1)``: ``z`` is the normal quantile. None, without `sigmas`: 0.01.
    sigmas : float, optional
        ``z`` itself, instead of a rate.

    Attributes
    ----------
    law_ : dict
        ``centre``, the mean, and ``sigma``, the standard deviation (``n - 1``).
    threshold_ : float
        ``centre + z sigma``.
    false_alarm_rate_ : float
        The rate in force, when the assumption holds; that of 3 sigmas is 0.00135.

    Raises
    ------
    InvalidParameter
        A rate outside ``(0, 1)``, `sigmas` outside ``(0, 38)``, or both given.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    def _learn(self, ordered: FloatArray) -> LawValues:
        return {"centre": float(ordered.mean()), "sigma": float(ordered.std(ddof=1)) or float(np.ptp(ordered))}


@dataclass
class MAD(_Gaussian):
    """Median plus ``z`` robust standard deviations, ``1.4826 median |s - median|``.

    Assumes that the scores of normal samples are normally distributed, but up to half of the calibration samples
    may be anomalies before it breaks (Hampel, "The influence curve and its role in robust estimation", JASA 1974;
    Leys et al., "Detecting outliers", Journal of Experimental Social Psychology 2013). On skewed scores it flags
    more than it states, mostly more than `Normal`. Its p-values are the tail of the fitted law.

    Parameters
    ----------
    false_alarm_rate, sigmas : float, optional
        As in `Normal`.

    Attributes
    ----------
    law_ : dict
        ``centre``, the median, and ``sigma``. When more than half of the scores are equal, sigma is the mean
        absolute deviation times ``sqrt(pi / 2)`` (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993),
        with a `CalibrationWarning`.
    threshold_, false_alarm_rate_ : float
        As in `Normal`.

    Raises
    ------
    InvalidParameter, NotCalibrated
        As `Normal`.
    """

    def _learn(self, ordered: FloatArray) -> LawValues:
        centre = float(np.median(ordered))
        sigma = _MAD_TO_SIGMA * float(np.median(np.abs(ordered - centre)))
        return {"centre": centre, "sigma": sigma or tied_sigma(ordered, centre)}


def tied_sigma(ordered: FloatArray, centre: float) -> float:
    """A standard deviation for scores of which so many are equal that quartiles say nothing; tells so."""
    tell(
        "The calibration scores must spread around their median for a robust width; half or more of the "
        f"{len(ordered)} are {centre:.4g}. Their mean absolute deviation stands in. Use thresholds.Conformal() where "
        "scores tie."
    )
    return _MEAN_DEVIATION_TO_SIGMA * float(np.abs(ordered - centre).mean())
