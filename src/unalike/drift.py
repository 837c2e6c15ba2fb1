"""Is new data still like the data that set the threshold? Three tests, and what they found in plain words.

A false-alarm rate holds as long as new normal samples and the calibration samples are exchangeable. So both are
compared as two samples of equal right, with no law assumed:

* *alarms*: the number above the threshold. Of ``m`` exchangeable samples it is beta-binomial, as the threshold is the
  ``c + 1``-th largest of ``n`` calibration scores: ``BetaBinomial(m, c + 1, n - c)`` (the law of order statistics;
  Vovk, "Conditional validity of inductive conformal predictors", 2012).
* *scores*: the two-sample test of Kolmogorov and Smirnov; the conformal p-values are uniform exactly when it has
  nothing to find.
* *embeddings*: the energy distance, with p-values by permutation (Szekely and Rizzo, "Energy statistics: a class of
  statistics based on distances", 2013), of at most 500 samples each.

Anomalies are no drift. The first test allows a share of them, the others compare what lies below the 90% quantile of
the calibration scores alone, on both sides: samples below a fixed score are as exchangeable as all of them are. The
p-values are joined by Bonferroni's inequality, which holds however they depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unalike.errors import InvalidParameter
from unalike.framing import Backend, as_frame
from unalike.plain import is_number
from unalike.seeding import numpy_generator
from unalike.types import BoolArray, FloatArray

MOST_EMBEDDED = 500
"""Samples of either kind whose embeddings are compared."""

LEVEL = 0.05
_BULK = 0.9
_LEAST = 8
_PERMUTATIONS = 499
_LEAST_LAG = 0.1
_STEADY = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Whether new data still is like the calibration data.

    Parameters
    ----------
    n, n_calibration : int
        Samples compared; of records, stretches of time that may be taken for independent.
    alarms, expected_alarms : float
        Share of the new samples that raise an alarm, and the share of the calibration samples that do.
    higher : float
        Share of pairs in which a new sample scores above a calibration sample, of those below the 90% quantile; 0.5
        where nothing has changed. NaN where it was not tested.
    farther : float
        How much farther embeddings of new samples lie from those of calibration samples than of one kind from each
        other: 0.1 is a tenth. NaN where it was not tested.
    p_alarms, p_scores, p_embeddings : float
        p-values of the tests; NaN where there were too few samples, or no embeddings.
    p_value : float
        Of all together: the smallest times their number, at most 1. NaN when none could be done.
    allowed_anomalies : float
        The share of anomalies that counts as no drift.
    """

    n: int
    n_calibration: int
    alarms: float
    expected_alarms: float
    higher: float
    farther: float
    p_alarms: float
    p_scores: float
    p_embeddings: float
    p_value: float
    allowed_anomalies: float

    @property
    def drifted(self) -> bool:
        """Whether the p-value is at most 0.05: of data that have not changed, one batch in twenty at most."""
        return self.p_value <= LEVEL

    def causes(self) -> list[str]:
        """What has changed, in words, by the tests that found it; empty when nothing drifted."""
        if not self.drifted:
            return []
        tests = self._tests()
        found = []
        if self.p_alarms * tests <= LEVEL:
            found.append(
                f"{self.alarms:.3g} of the samples raise an alarm, {self.expected_alarms:.3g} would be usual, and "
                f"anomalies that are {self.allowed_anomalies:.3g} of all do not explain that"
            )
        if self.p_scores * tests <= LEVEL:
            way = "higher" if self.higher >= 0.5 else "lower"
            share = max(self.higher, 1.0 - self.higher)
            found.append(
                f"samples that look normal score {way} than those that set the threshold (in {share:.0%} of pairs; 50% "
                "is no change)"
                if share >= 0.52
                else "scores of samples that look normal are spread otherwise than those that set the threshold"
            )
        if self.p_embeddings * tests <= LEVEL:
            found.append(
                f"embeddings lie {max(self.farther, 0.0):.1%} farther from those of the calibration samples than these "
                "from each other"
            )
        return found

    def __str__(self) -> str:
        if np.isnan(self.p_value):
            return f"Too few samples to tell whether the data have changed ({self.n} beside {self.n_calibration})."
        if not self.drifted:
            return f"No sign that the data have changed since calibration (p = {self.p_value:.2g})."
        start = (
            "The data have changed since calibration" if self._safe() else "The alarm-rate promise may no longer hold"
        )
        return f"{start}: {'; '.join(self.causes())} (p = {self.p_value:.2g}). Calibrate on new normal samples."

    def _safe(self) -> bool:
        """Whether scores have gone down, and no test says that there are too many alarms."""
        level = LEVEL / self._tests()
        return self.p_scores <= level and self.higher < 0.5 and not self.p_alarms <= level

    def _tests(self) -> int:
        return sum(not np.isnan(p) for p in (self.p_alarms, self.p_scores, self.p_embeddings))

    def to_dict(self) -> dict[str, Any]:
        """The fields, ``drifted`` and ``told``, the sentence."""
        return {name: getattr(self, name) for name in self.__slots__} | {"drifted": self.drifted, "told": str(self)}

    def to_frame(self, backend: Backend | None = None) -> Any:
        """A DataFrame of `to_dict` with one row; `backend` and errors as in `Decisions.to_frame`."""
        return as_frame({name: [value] for name, value in self.to_dict().items()}, backend)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is compared of one kind of data.

    Parameters
    ----------
    scores : ndarray
        ``(n,)`` of samples that may be taken for independent.
    flagged : ndarray
        ``(n,)`` bool: those above the threshold.
    embeddings : ndarray or None
        ``(m, width)`` of some of them.
    embedded_scores : ndarray or None
        ``(m,)`` theirs.
    """

    scores: FloatArray
    flagged: BoolArray
    embeddings: FloatArray | None = None
    embedded_scores: FloatArray | None = None


def compared(new: Seen, calibration: Seen, *, allowed_anomalies: float = 0.05, scored: bool = True) -> Drift:
    """Compare new data with calibration data.

    Parameters
    ----------
    new, calibration : Seen
        Of either.
    allowed_anomalies : float
        Share of the new samples that may be anomalies, from 0 to below 1.
    scored : bool
        False leaves scores and embeddings out: with thresholds per entity, another mixture of entities is no drift.

    Returns
    -------
    Drift

    Raises
    ------
    InvalidParameter
        `allowed_anomalies` is out of range.
    """
    if not is_number(allowed_anomalies) or not 0.0 <= allowed_anomalies < 1.0:
        raise InvalidParameter(
            f"`allowed_anomalies` must be a share of at least 0 and below 1; got {allowed_anomalies!r}."
        )
    n, m = len(calibration.scores), len(new.scores)
    p_alarms = alarm_test(new.flagged, calibration.flagged, allowed_anomalies) if n and m else np.nan
    higher = farther = p_scores = p_embeddings = float("nan")
    if scored and n:
        limit = float(np.quantile(calibration.scores, _BULK))
        higher, p_scores = score_test(new.scores[new.scores <= limit], calibration.scores[calibration.scores <= limit])
        farther, p_embeddings = _embedding_test(new, calibration, limit)
    found = [p for p in (p_alarms, p_scores, p_embeddings) if not np.isnan(p)]
    return Drift(
        n=m,
        n_calibration=n,
        alarms=float(new.flagged.mean()) if m else float("nan"),
        expected_alarms=float(calibration.flagged.mean()) if n else float("nan"),
        higher=higher,
        farther=farther,
        p_alarms=p_alarms,
        p_scores=p_scores,
        p_embeddings=p_embeddings,
        p_value=min(1.0, len(found) * min(found)) if found else float("nan"),
        allowed_anomalies=float(allowed_anomalies),
    )


def alarm_test(new: BoolArray, calibration: BoolArray, allowed: float = 0.0) -> float:
    """The probability of at least so many alarms among exchangeable samples, `allowed` of which may be anomalies.

    Parameters
    ----------
    new, calibration : ndarray
        ``(m,)`` and ``(n,)`` bool: which are above the threshold.
    allowed : float
        So large a share of the new ones, rounded up, may be alarms for another reason.
    """
    from scipy.stats import betabinom

    n, c = len(calibration), int(calibration.sum())
    others = int(np.ceil(allowed * len(new)))
    m, alarms = len(new) - others, int(new.sum()) - others
    if alarms <= 0:
        return 1.0
    if c == n:
        return 1.0
    return float(betabinom.sf(min(alarms, m) - 1, m, c + 1, n - c))


def score_test(new: FloatArray, calibration: FloatArray) -> tuple[float, float]:
    """The share of pairs in which a new score is higher, ties half, and the p-value; NaN with fewer than 8."""
    from scipy.stats import ks_2samp, rankdata

    m, n = len(new), len(calibration)
    if min(m, n) < _LEAST:
        return float("nan"), float("nan")
    ranks = rankdata(np.concatenate([new, calibration]))[:m]
    higher = float((ranks.sum() - m * (m + 1) / 2.0) / (m * n))
    return higher, float(ks_2samp(new, calibration, method="exact" if m * n <= 40_000 else "asymp").pvalue)


def energy_test(new: FloatArray, calibration: FloatArray, permutations: int = _PERMUTATIONS) -> tuple[float, float]:
    """How much farther the kinds lie from each other than within, and the p-value by permutation.

    Parameters
    ----------
    new, calibration : ndarray
        ``(m, d)`` and ``(n, d)``, at least 2 of each.
    permutations : int
        The p-value is at least ``1 / (permutations + 1)``.

    Notes
    -----
    Cost: ``(m + n)^2`` distances and as many operations per permutation: about 0.3 s for 500 and 500.
    """
    from scipy.spatial.distance import cdist

    m, n = len(new), len(calibration)
    both = np.concatenate([new, calibration]).astype(np.float64)
    distances = cdist(both, both)
    draw = numpy_generator(0, "drift")
    members = np.zeros((permutations + 1, m + n))
    members[0, :m] = 1.0
    drawn = draw.random((permutations, m + n)).argpartition(m - 1, axis=1)[:, :m]
    np.put_along_axis(members[1:], drawn, 1.0, axis=1)
    reached = members @ distances
    inside = (reached * members).sum(axis=1)
    across = reached.sum(axis=1) - inside
    outside = distances.sum() - 2.0 * across - inside
    energy = 2.0 * across / (m * n) - inside / m**2 - outside / n**2
    # Rounding must not make equal arrangements differ.
    reached_by = energy[1:] >= energy[0] - 1e-9 * abs(energy[0])
    within = 0.5 * (inside[0] / max(m * (m - 1), 1) + outside[0] / max(n * (n - 1), 1))
    farther = float(across[0] / (m * n) / within - 1.0) if within > 0.0 else 0.0
    return farther, float((1 + int(reached_by.sum())) / (permutations + 1))


def _embedding_test(new: Seen, calibration: Seen, limit: float) -> tuple[float, float]:
    kinds = []
    for kind in (new, calibration):
        if kind.embeddings is None or kind.embedded_scores is None:
            return float("nan"), float("nan")
        kinds.append(kind.embeddings[kind.embedded_scores <= limit][:MOST_EMBEDDED])
    if min(map(len, kinds)) < _LEAST:
        return float("nan"), float("nan")
    return energy_test(kinds[0], kinds[1])


def lag(scores: FloatArray, window: int) -> int:
    """Steps after which scores of a record may be taken for independent: twice where they hardly depend, or a window.

    That is where their autocorrelation first falls below 0.1; at most an eighth of them.

    Parameters
    ----------
    scores : ndarray
        ``(t,)`` one after the other.
    window : int
        Steps that are judged together.
    """
    longest = max(len(scores) // _LEAST, window)
    centred = scores - scores.mean() if len(scores) else scores
    power = float((centred**2).sum())
    if power <= 0.0:
        return window
    size = 1 << (2 * len(scores) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    correlations = np.fft.irfft(np.abs(spectrum) ** 2, size)[: len(scores)] / power
    low = np.flatnonzero(correlations < _LEAST_LAG)
    reach = int(low[0]) if len(low) else len(scores)
    return int(min(max(window, _STEADY * reach), longest))


def stretched(scores: FloatArray, flagged: BoolArray, length: int) -> tuple[FloatArray, BoolArray]:
    """Means of scores over stretches of `length` steps, and whether any of a stretch is above the threshold.

    What is left over at the end makes no stretch.
    """
    n = len(scores) // length
    means = scores[: n * length].reshape(n, length).mean(axis=1)
    return means, np.asarray(flagged[: n * length].reshape(n, length).any(axis=1))
