"""Kernel density of the normal embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from unalike.data import evenly, group_codes
from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import checked, require_count, require_fitted
from unalike.scorers.kernel import log_kernel_sums, log_sum_exp, spread, squared_distances
from unalike.types import FloatArray, IntArray

Rule = Literal["likelihood", "scott", "silverman"]

_RULES = ("likelihood", "scott", "silverman")
_LARGEST_REFERENCE = 5000
_LARGEST_SEARCH = 1000
_MULTIPLES = tuple(2.0 ** (step / 2) for step in range(-6, 7))
_TRIMMED = 0.05


@dataclass(kw_only=True)
class KernelDensity:
    """Score = minus the log of the density at a row, under a Gaussian kernel on every normal row.

    ``-log mean_j N(x; y_j, h^2 I)`` (Parzen, "On estimation of a probability density function and mode", Annals of
    Mathematical Statistics 33, 1962). Small bandwidths ``h`` come near the distance to the nearest row, large ones
    near the distance to the centre.

    Parameters
    ----------
    bandwidth : {"likelihood", "scott", "silverman"} or float
        - ``"likelihood"``: the one under which the other rows make each row most likely (leave-one-out; Habbema,
          Hermans and van den Broek, COMPSTAT 1974), among 13 from 1/8 to 8 times the median distance to the nearest
          other row. The least likely 5% of the rows have no say, so that a few anomalies among the normal rows do
          not widen it. Up to 1,000 evenly spaced rows vote.
        - ``"scott"``, ``"silverman"``: ``n ** (-1 / (d + 4))`` or ``(n (d + 2) / 4) ** (-1 / (d + 4))`` times the
          root of the mean variance of the columns. In many columns this smooths until one centre is left.
        - a number: as it is, in the units of the embedding.
    most_rows : int
        Of more rows, so many evenly spaced ones make the density: each score takes time in proportion.

    Attributes
    ----------
    bank_ : ndarray
        ``(m, d)`` the rows under the kernels, float32 unless they came as float64.
    bandwidth_ : float
        In force. Equal rows, which have no distance to offer, get 1.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, leave-one-out over at most 5,000 evenly spaced rows, leaving out
        whole `groups` when given (unless there is only one); of a single row, 0.

    Raises
    ------
    InvalidParameter
        A setting out of range.

    Notes
    -----
    Exact: distances are direct differences in float64 and the largest kernel is taken out of the sum, so that far
    rows keep their order, and a row scores in a batch as it does alone.
    """

    bandwidth: Rule | float = "likelihood"
    most_rows: int = 10_000

    def __post_init__(self) -> None:
        require_count("most_rows", self.most_rows)
        usable = 0.0 < float(self.bandwidth) < math.inf if is_number(self.bandwidth) else self.bandwidth in _RULES
        if not usable:
            raise InvalidParameter(
                f"`bandwidth` must be one of {list(_RULES)} or a finite number above 0; got {self.bandwidth!r}."
            )

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Keep the ``(m, d)`` normal `embeddings` and choose the bandwidth (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        kept = evenly(len(rows), self.most_rows)
        codes = _codes(groups, len(rows), kept)
        self.bank_: FloatArray = rows[kept].copy()
        self.bandwidth_: float = self._chosen(codes)
        if reference is not None:
            self.reference_scores_: FloatArray = self.score(checked(reference, name="reference"))
        else:
            self.reference_scores_ = self._leave_one_out(codes)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 minus log densities of ``(n, d)`` embeddings."""
        require_fitted(self, "bank_")
        rows = checked(embeddings, width=self.bank_.shape[1], empty=True)
        weights = np.full(len(self.bank_), -math.log(len(self.bank_)))
        return self._constant(self.bandwidth_) - log_kernel_sums(rows, self.bank_, weights, 2.0 * self.bandwidth_**2)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "bank_")
        return {"bank": self.bank_, "bandwidth": self.bandwidth_, "reference_scores": self.reference_scores_}

    def restore(self, state: dict[str, Any]) -> None:
        self.bank_ = checked(state["bank"], name="bank")
        self.bandwidth_ = float(state["bandwidth"])
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)

    def _constant(self, bandwidth: float) -> float:
        """Minus the log of the kernel's height at its centre."""
        return float(self.bank_.shape[1] * (math.log(2.0 * math.pi) / 2.0 + math.log(bandwidth)))

    def _chosen(self, codes: IntArray) -> float:
        if not isinstance(self.bandwidth, str):
            return float(self.bandwidth)
        m, d = self.bank_.shape
        if self.bandwidth == "likelihood":
            return self._most_likely(codes)
        rows = m if self.bandwidth == "scott" else m * (d + 2) / 4.0
        return math.exp(-math.log(rows) / (d + 4)) * spread(self.bank_) or 1.0

    def _most_likely(self, codes: IntArray) -> float:
        chosen = evenly(len(self.bank_), _LARGEST_SEARCH)
        squared = squared_distances(self.bank_[chosen], self.bank_)
        squared[codes[chosen, None] == codes] = np.inf
        nearest = np.sqrt(squared.min(axis=1))
        # Copies of a row say nothing of how far apart different ones are.
        apart = nearest[(nearest > 0.0) & np.isfinite(nearest)]
        if len(apart) == 0:
            return spread(self.bank_) or 1.0
        candidates = [float(np.median(apart)) * multiple for multiple in _MULTIPLES]
        scores = [self._constant(h) - log_sum_exp(-squared / (2.0 * h**2)) for h in candidates]
        return float(candidates[int(np.argmin([_trimmed(each) for each in scores]))])

    def _leave_one_out(self, codes: IntArray) -> FloatArray:
        if len(self.bank_) == 1:
            return np.zeros(1)
        chosen = evenly(len(self.bank_), _LARGEST_REFERENCE)
        # A mean over the others: those of a large group are few.
        others = len(codes) - np.bincount(codes)[codes[chosen]]
        scale, own = 2.0 * self.bandwidth_**2, (codes[chosen], codes)
        sums = log_kernel_sums(self.bank_[chosen], self.bank_, np.zeros(len(codes)), scale, own=own)
        return np.asarray(self._constant(self.bandwidth_) + np.log(others) - sums)


def _codes(groups: IntArray | None, n: int, kept: IntArray) -> IntArray:
    """Groups of the `kept` rows, such that something is left when one is left out."""
    codes = np.arange(n) if groups is None else group_codes(groups.tolist(), n)
    codes = codes[kept]
    return codes if np.ptp(codes) > 0 else np.arange(len(kept))


def _trimmed(scores: FloatArray) -> float:
    """Mean without the highest 5%."""
    return float(np.sort(scores)[: len(scores) - int(_TRIMMED * len(scores))].mean())
