"""The tail beyond a high quantile, by extreme-value theory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unalike.errors import InvalidParameter, tell
from unalike.plain import is_number
from unalike.thresholds.checks import at_least, whole
from unalike.thresholds.law import Law, LawValues
from unalike.types import FloatArray

_LEAST_EXCEEDANCES = 10
_EXPONENTIAL = 1e-9


@dataclass
class ExtremeValue(Law):
    """Peaks over threshold: a generalised Pareto law for what exceeds a high quantile.

    Whatever law the scores follow, what exceeds a high level follows nearly a generalised Pareto law
    (Pickands-Balkema-de Haan; Coles, "An introduction to statistical modeling of extreme values", 2001, chapter 4;
    for anomalies: Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017):
    ``p(s) = share (1 + shape (s - level) / scale) ** (-1 / shape)`` above the level. Below it p-values are conformal.
    Shape and scale are the quasi-Bayesian estimates of Zhang and Stephens ("A new and efficient estimation method
    for the generalized Pareto distribution", Technometrics 2009), which exist for any sample and are steadier
    than maximum likelihood where exceedances are few.

    It is for rates finer than the calibration samples hold, 1e-3 and below; it needs at least 100 of them.

    Parameters
    ----------
    false_alarm_rate : float
        In ``(0, 1)``. One that is not below `exceedances` is decided as by `Conformal`.
    exceedances : float
        Share of the calibration scores that the law is fitted to, in ``(0, 0.5]``.

    Attributes
    ----------
    law_ : dict
        ``level``, ``share`` (``(k + 1) / (n + 1)`` of the ``k`` exceedances), ``shape``, ``scale``, the calibration
        scores up to the level (``body``) and their number ``n``. With fewer than 10 distinct exceedances the shape
        is 0, an exponential tail, with a `CalibrationWarning`.
    threshold_ : float
        Where the tail is the rate.
    false_alarm_rate_ : float
        The setting; below `exceedances` it holds when the tail follows the law.

    Raises
    ------
    InvalidParameter
        A rate or a share out of range.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    exceedances: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.exceedances) or not 0.0 < self.exceedances <= 0.5:
            raise InvalidParameter(
                f"`exceedances` must be above 0 and at most 0.5; got {self.exceedances!r}. Give 0.1 for 10%."
            )

    def _learn(self, ordered: FloatArray) -> LawValues:
        n = len(ordered)
        highest = max(whole(self.exceedances, n), 1)
        # Ties: only what is above the level exceeds it, and something must.
        level = float(min(ordered[n - highest - 1], ordered[ordered < ordered[-1]][-1]))
        excess = ordered[ordered > level] - level
        if len(np.unique(excess)) < _LEAST_EXCEEDANCES:
            tell(
                f"An extreme-value tail needs at least {_LEAST_EXCEEDANCES} different exceedances; got "
                f"{len(np.unique(excess))} of {n} calibration samples. An exponential tail stands in. Calibrate on at "
                f"least {math.ceil(_LEAST_EXCEEDANCES / self.exceedances)} normal samples."
            )
            shape, scale = 0.0, float(excess.mean())
        else:
            shape, scale = generalised_pareto(excess)
        body = ordered[: n - len(excess)]
        share = (len(excess) + 1.0) / (n + 1.0)
        return {"level": level, "share": share, "shape": shape, "scale": scale, "body": body, "n": n}

    def _tail(self, law: LawValues, scores: FloatArray) -> FloatArray:
        body, n = law["body"], law["n"]
        ranked = (1.0 + n - len(body) + at_least(body, scores)) / (n + 1.0)
        excess = np.maximum(scores - law["level"], 0.0) / law["scale"]
        beyond = law["share"] * _pareto_tail(excess, law["shape"])
        return np.asarray(np.where(scores > law["level"], beyond, ranked))

    def _limit(self, law: LawValues, rate: float) -> float:
        body, n = law["body"], law["n"]
        if rate >= law["share"]:
            return float(body[max(n - whole(rate, n + 1), 0)])
        log = math.log(rate / law["share"])
        shape = law["shape"]
        reach = -log if abs(shape) < _EXPONENTIAL else math.expm1(-shape * log) / shape
        return float(law["level"] + law["scale"] * reach)


def generalised_pareto(excess: FloatArray) -> tuple[float, float]:
    """Shape and scale of ascending positive `excess` ``(k,)``, by Zhang and Stephens (2009).

    The ratio ``-shape / scale`` is the mean of its posterior under a weak prior, on a grid; shape and scale follow.
    """
    k = len(excess)
    points = 20 + math.isqrt(k)
    grid = 1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    ratio = 1.0 / excess[-1] + grid / (3.0 * excess[math.floor(k / 4 + 0.5) - 1])
    # At a ratio of 0 the formulas are 0 / 0; it is a point of no weight.
    ratio = ratio[np.abs(ratio) * excess[-1] > _EXPONENTIAL]
    shape = np.log1p(-ratio[:, None] * excess).mean(axis=1)
    likelihood = k * (np.log(-ratio / shape) - shape - 1.0)
    weight = np.exp(likelihood - likelihood.max())
    best = float((ratio * weight).sum() / weight.sum())
    if abs(best) * excess[-1] <= _EXPONENTIAL:
        return 0.0, float(excess.mean())
    fitted = float(np.log1p(-best * excess).mean())
    return fitted, -fitted / best


def _pareto_tail(excess: FloatArray, shape: float) -> FloatArray:
    """``P(>= excess)`` of a generalised Pareto law of scale 1; 0 beyond its end, which it has when `shape` < 0."""
    if abs(shape) < _EXPONENTIAL:
        return np.asarray(np.exp(-excess))
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(-np.log1p(np.maximum(shape * excess, -1.0)) / shape))
