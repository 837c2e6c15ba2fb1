"""Nearer to normal rows or to a labelled anomaly?

The ratio of the two nearest distances is the nearest-neighbour estimate of a ratio of densities (Fix and Hodges,
"Discriminatory analysis: nonparametric discrimination, consistency properties", 1951), up to a power. It needs no more
than one labelled anomaly, and what is far from both scores near 0, above what is near normal rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from unalike.data import evenly
from unalike.errors import InvalidParameter
from unalike.scorers.arrays import checked, require_count, require_fitted
from unalike.scorers.neighbors import KNN
from unalike.types import FloatArray, IntArray

_NORMAL = "normal_"
_SHARP = 8.0
"""How sharply scores without logarithm level off at 1."""


@dataclass(kw_only=True)
class NeighborRatio:
    """Score = log of the distance to the nearest normal row over that to the nearest labelled anomaly.

    Both distances are in units of `unit_` and have 1 added, so that neither a copy of a normal row nor one of an
    anomaly scores without bound: ``log1p(normal / unit_) - log1p(anomalous / unit_)``. Without labelled anomalies the
    second term is 0: the order is that of `KNN`.

    Parameters
    ----------
    k : int
        The distance to the normal rows is that to the k-th nearest.
    log : bool
        False: the ratio ``r = (1 + normal / unit_) / (1 + anomalous / unit_)`` itself, and nearly 1 where it is below:
        ``(1 + r**8) ** (1/8)``, in the same order. For ``Fusion(how="ratio")``, in which what is nearer to the normal
        rows must say nothing.

    Attributes
    ----------
    normal_ : KNN
        The bank of normal rows.
    anomalies_ : KNN or None
        The bank of labelled anomalies.
    unit_ : float
        The median distance of a normal row to the other normal rows.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one of the bank's rows, each beside the others, as those of `KNN`.

    Raises
    ------
    InvalidParameter
        A setting out of range.
    """

    k: int = 1
    log: bool = True

    def __post_init__(self) -> None:
        require_count("k", self.k)
        if not isinstance(self.log, bool):
            raise InvalidParameter(f"`log` must be True or False; got {self.log!r}.")

    def fit(
        self,
        embeddings: FloatArray,
        reference: FloatArray | None = None,
        groups: IntArray | None = None,
        anomalies: FloatArray | None = None,
    ) -> Self:
        """Keep the ``(m, d)`` normal `embeddings` and the ``(a, d)`` `anomalies`, and score the reference."""
        self.normal_ = KNN(k=self.k).fit(embeddings, reference, groups)
        self.anomalies_ = None if anomalies is None else KNN().fit(checked(anomalies, name="anomalies"))
        self._refer(reference)
        return self

    def refilled(self, embeddings: FloatArray) -> Self:
        """The same unit and labelled anomalies with ``(m, d)`` other normal rows; no reference scores."""
        require_fitted(self, "normal_")
        fresh = replace(self)
        fresh.normal_, fresh.anomalies_, fresh.unit_ = self.normal_.refilled(embeddings), self.anomalies_, self.unit_
        return fresh

    def robust(self) -> Self:
        """As `KNN.robust`."""
        return replace(self, k=int(KNN(k=self.k).robust().k))

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64; above 0 (1 without `log`) for what is nearer to an anomaly than to the normal rows."""
        require_fitted(self, "normal_")
        return self._compared(self.normal_.score(embeddings), embeddings)

    def add(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Append ``(n, d)`` normal rows to the bank, as `KNN.add`; the labelled anomalies stay."""
        require_fitted(self, "normal_")
        self.normal_.add(embeddings, reference, groups)
        self._refer(reference)
        return self

    def absorb(self, embeddings: FloatArray, groups: IntArray | None = None) -> FloatArray:
        """Append held-out normal rows to the bank and give their leave-one-out scores, as `KNN.absorb`."""
        require_fitted(self, "normal_")
        return self._compared(self.normal_.absorb(embeddings, groups), embeddings)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "normal_")
        return {
            **{f"{_NORMAL}{name}": value for name, value in self.normal_.state().items()},
            "anomalies": None if self.anomalies_ is None else self.anomalies_.bank_,
            "unit": self.unit_,
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        kept = {name.removeprefix(_NORMAL): value for name, value in state.items() if name.startswith(_NORMAL)}
        self.normal_ = KNN(k=self.k)
        self.normal_.restore(kept)
        self.anomalies_ = None if state["anomalies"] is None else KNN().fit(state["anomalies"])
        self.unit_ = float(state["unit"])
        self.reference_scores_: FloatArray = np.asarray(state["reference_scores"], dtype=np.float64)

    def _refer(self, reference: FloatArray | None) -> None:
        distances = self.normal_.reference_scores_
        # Where most rows are copies the median is 0, and a mean of 0 says that all are.
        self.unit_ = float(np.median(distances)) or float(np.mean(distances)) or 1.0
        bank = self.normal_.bank_
        rows = bank[evenly(len(bank), len(distances))] if reference is None else reference
        self.reference_scores_ = self._compared(distances, rows)

    def _compared(self, distances: FloatArray, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` scores of rows at these distances from the normal rows."""
        compared: FloatArray = np.log1p(distances / self.unit_)
        if self.anomalies_ is not None:
            compared = np.asarray(compared - np.log1p(self.anomalies_.score(embeddings) / self.unit_))
        return compared if self.log else np.exp(np.logaddexp(0.0, _SHARP * compared) / _SHARP)
