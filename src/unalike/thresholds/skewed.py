"""Laws for scores that have a lower end and a long upper tail, as distances have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gammaincc, gammainccinv, ndtr, ndtri

from unalike.errors import InvalidInput, InvalidParameter
from unalike.plain import is_number
from unalike.thresholds.law import Law, LawValues
from unalike.types import FloatArray

_TOUCHING = 1e-6
_LEAST_SKEW = 1e-12
_LARGEST_LOG = 700.0


@dataclass
class _Skewed(Law):
    """A share of scores at the location, and a law on ``(0, inf)`` for how far the others lie above it."""

    location: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.location is not None and not (is_number(self.location) and math.isfinite(self.location)):
            raise InvalidParameter(f"`location` must be a finite number or None; got {self.location!r}.")

    def _learn(self, ordered: FloatArray) -> LawValues:
        location = self._location(ordered)
        # What lies a rounding error above the location, as distances of copies do, would pull the fit to infinity.
        edge = location + _TOUCHING * float(ordered[-1] - location)
        excess = ordered[ordered > edge] - location
        law: LawValues = {"location": location, "edge": edge, "share": len(excess) / len(ordered)}
        if excess[0] == excess[-1]:
            return {**law, "step": float(excess[0])}
        return {**law, **self._learn_excess(excess)}

    def _location(self, ordered: FloatArray) -> float:
        low, high = float(ordered[0]), float(ordered[-1])
        if self.location is None:
            return 0.0 if low >= 0.0 else low - (high - low) / len(ordered)
        if low < self.location:
            raise InvalidInput(
                f"`calibration_scores` must be at least `location` = {self.location:g}; got {low:g}. Leave `location` "
                "out, or use thresholds.Conformal(), which takes any scores."
            )
        return float(self.location)

    def _tail(self, law: LawValues, scores: FloatArray) -> FloatArray:
        excess = np.maximum(scores - law["location"], np.finfo(np.float64).tiny)
        upper = np.where(excess <= law["step"], 1.0, 0.0) if "step" in law else self._tail_of_excess(law, excess)
        return np.where(scores > law["edge"], law["share"] * upper, 1.0)

    def _limit(self, law: LawValues, rate: float) -> float:
        if rate >= law["share"]:
            return float(law["edge"])
        reach = law["step"] if "step" in law else self._reach(law, rate / law["share"])
        return float(max(law["location"] + reach, law["edge"]))

    def _learn_excess(self, excess: FloatArray) -> LawValues:
        raise NotImplementedError

    def _tail_of_excess(self, law: LawValues, excess: FloatArray) -> FloatArray:
        raise NotImplementedError

    def _reach(self, law: LawValues, share: float) -> float:
        raise NotImplementedError


@dataclass
class Gamma(_Skewed):
    """A gamma law, fitted by maximum likelihood.

    Sums of squares and distances in many dimensions are near to it; its tail is exponential. Scores at the location
    (copies of training samples at distance 0) are a share of their own, so that
    ``p(s) = share_above * P(gamma >= s - location)`` (a hurdle law: Cragg, Econometrica 1971).

    Parameters
    ----------
    false_alarm_rate : float
        In ``(0, 1)``.
    location : float, optional
        Where scores begin. None: 0 when no calibration score is negative, else the lowest one less an ``n``-th of
        their range.

    Attributes
    ----------
    law_ : dict
        ``location``, ``edge`` (what is not above it counts as at the location: a millionth of the range),
        ``share`` of scores above it, ``shape`` and ``scale``. ``log(shape) - digamma(shape)`` equals the log of the
        mean less the mean of the logs (Choi and Wette, Technometrics 1969).
    threshold_ : float
        Where the fitted tail is the rate.
    false_alarm_rate_ : float
        The setting; it holds when the scores of normal samples follow the law.

    Raises
    ------
    InvalidParameter
        A rate outside ``(0, 1)``, a location that is not finite.
    InvalidInput
        By `fit`: a score below a stated `location`.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    def _learn_excess(self, excess: FloatArray) -> LawValues:
        mean = float(excess.mean())
        skew = max(math.log(mean) - float(np.log(excess).mean()), _LEAST_SKEW)
        # Bounds of the root: 1 / (2 k) < log(k) - digamma(k) < 1 / k.
        shape = float(brentq(lambda k: math.log(k) - float(digamma(k)) - skew, 0.4 / skew, 1.1 / skew, rtol=1e-12))
        return {"shape": shape, "scale": mean / shape}

    def _tail_of_excess(self, law: LawValues, excess: FloatArray) -> FloatArray:
        return np.asarray(gammaincc(law["shape"], excess / law["scale"]))

    def _reach(self, law: LawValues, share: float) -> float:
        return float(gammainccinv(law["shape"], share) * law["scale"])


@dataclass
class LogNormal(_Skewed):
    """A lognormal law, fitted by maximum likelihood: the logs of the scores are normally distributed.

    Its tail is longer than that of `Gamma`. Scores at the location are a share of their own, as there (Aitchison,
    "On the distribution of a positive random variable having a discrete probability mass at the origin", JASA 1955).

    Parameters
    ----------
    false_alarm_rate, location
        As in `Gamma`.

    Attributes
    ----------
    law_ : dict
        ``location``, ``edge`` and ``share`` as in `Gamma`; ``mu`` and ``sigma``, mean and standard deviation
        (``n``) of ``log(s - location)``.
    threshold_, false_alarm_rate_ : float
        As in `Gamma`.

    Raises
    ------
    InvalidParameter, InvalidInput, NotCalibrated
        As `Gamma`.
    """

    def _learn_excess(self, excess: FloatArray) -> LawValues:
        logs = np.log(excess)
        return {"mu": float(logs.mean()), "sigma": max(float(logs.std()), _LEAST_SKEW)}

    def _tail_of_excess(self, law: LawValues, excess: FloatArray) -> FloatArray:
        return np.asarray(ndtr(-(np.log(excess) - law["mu"]) / law["sigma"]))

    def _reach(self, law: LawValues, share: float) -> float:
        return math.exp(min(law["mu"] - float(ndtri(share)) * law["sigma"], _LARGEST_LOG))
