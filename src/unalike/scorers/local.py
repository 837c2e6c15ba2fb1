"""Distance to the nearest normal rows, in part relative to how far apart normal rows are there.

Where the normal rows lie dense, a smaller distance is unusual. The distance alone (`KNN`) does not know that; the local
outlier factor (Breunig, Kriegel, Ng and Sander, "LOF: identifying density-based local outliers", SIGMOD 2000) divides
by the neighbours' own distances and forgets how sparse a place is. A power between the two keeps some of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from unalike.data import evenly
from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import checked, require_fitted
from unalike.scorers.neighbors import KNN
from unalike.types import FloatArray, IntArray

_BANK = "bank_"
_LARGEST_REFERENCE = 5000
_LEAST_LOCAL = 0.1


@dataclass(kw_only=True)
class LocalKNN:
    """Score = mean distance to the k nearest rows of a bank, by a power of what is usual there.

    With ``d`` the mean distance of a row to its `k` nearest in the bank, and ``l`` the mean over these of their own
    ``d`` among the other rows of the bank, the score is ``d * (unit_ / l) ** power``: in units of distance.

    Parameters
    ----------
    k : int
        How many neighbours, 1 or more.
    power : float
        In ``[0, 1]``. 0: `KNN` with the mean distance. 1: the simplified local outlier factor (Schubert, Zimek and
        Kriegel, "Local outlier detection reconsidered", 2014), times `unit_`.
    metric : {"euclidean", "cosine"}
        As in `KNN`.
    most_rows : int, optional
        `fit` keeps at most so many evenly spaced rows; None: all.

    Attributes
    ----------
    knn_ : KNN
        The bank.
    local_ : ndarray
        ``(m,)``: the mean distance of each bank row to its nearest others; of one group none counts.
    unit_ : float
        The median of these when the bank was fitted.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, leave-one-out over at most 5,000 evenly spaced bank rows, leaving
        out whole `groups` when given.

    Raises
    ------
    InvalidParameter
        A setting out of range.

    Notes
    -----
    ``l`` counts as a tenth of `unit_` at least: among copies it would be 0. Two different bank rows at exactly the same
    distance, as the k-th, come in any order.
    """

    k: int = 10
    power: float = 0.5
    metric: Literal["euclidean", "cosine"] = "euclidean"
    most_rows: int | None = None

    def __post_init__(self) -> None:
        if not is_number(self.power) or not 0.0 <= self.power <= 1.0:
            raise InvalidParameter(f"`power` must be between 0 and 1; got {self.power!r}. Try 0.5, or 0 for none.")
        if not isinstance(self.k, int):
            raise InvalidParameter(f"`k` must be a whole number of 1 or more; got {self.k!r}. Try 10.")
        self._bank()

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Keep the ``(m, d)`` normal `embeddings` and score the reference (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        # With a row to score, the bank leaves none of its own out: that is done here.
        self.knn_ = self._bank().fit(rows, rows[:1], groups)
        self._refer(reference)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 scores of ``(n, d)`` embeddings; at least 0."""
        require_fitted(self, "knn_")
        return self._compared(*self.knn_.neighbors(embeddings, self.k))

    def neighbors(self, embeddings: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        """The nearest normal rows, for explanations, as `KNN.neighbors`."""
        require_fitted(self, "knn_")
        return self.knn_.neighbors(embeddings, k)

    def add(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Append ``(n, d)`` normal rows to the bank, as `KNN.add`; what is usual is measured anew."""
        require_fitted(self, "knn_")
        rows = checked(embeddings, width=self.knn_.bank_.shape[1])
        self.knn_.add(rows, rows[:1], groups)
        self._refer(reference)
        return self

    def absorb(self, embeddings: FloatArray, groups: IntArray | None = None) -> FloatArray:
        """Append held-out rows to the bank and give their leave-one-out scores, as `KNN.absorb`; `unit_` stays.

        What is usual is measured anew, each row's neighbours with the row among theirs, which makes ``l`` rather
        smaller than beside a new row. Other than with `KNN`, it is not certain that no score rises as the bank grows:
        ``l`` falls, too.
        """
        require_fitted(self, "knn_")
        before = len(self.knn_.bank_)
        self.knn_.absorb(embeddings, groups)
        if len(self.knn_.bank_) == before:
            return self.score(embeddings)
        distances, positions = self.knn_.nearest_others(np.arange(len(self.knn_.bank_)), self.k)
        self.local_ = _mean(distances)
        return self._compared(distances[before:], positions[before:])

    @property
    def absorbed_(self) -> int:
        """How many of the bank's last rows were absorbed."""
        return self.knn_.absorbed_

    def robust(self) -> Self:
        """As `KNN.robust`."""
        return replace(self, k=int(self._bank().robust().k))

    def state(self) -> dict[str, Any]:
        require_fitted(self, "knn_")
        return {
            **{f"{_BANK}{name}": value for name, value in self.knn_.state().items()},
            "local": self.local_,
            "unit": self.unit_,
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.knn_ = self._bank()
        self.knn_.restore({name.removeprefix(_BANK): v for name, v in state.items() if name.startswith(_BANK)})
        self.local_ = np.asarray(state["local"], dtype=np.float64)
        self.unit_ = float(state["unit"])
        self.reference_scores_: FloatArray = np.asarray(state["reference_scores"], dtype=np.float64)

    def _bank(self) -> KNN:
        return KNN(k=self.k, metric=self.metric, distance="mean", most_rows=self.most_rows)

    def _refer(self, reference: FloatArray | None) -> None:
        bank = self.knn_.bank_
        distances, positions = self.knn_.nearest_others(np.arange(len(bank)), self.k)
        self.local_ = _mean(distances)
        self.unit_ = float(np.median(self.local_)) or float(np.mean(self.local_)) or 1.0
        if reference is not None:
            self.reference_scores_ = self.score(checked(reference, name="reference", width=bank.shape[1]))
            return
        chosen = evenly(len(bank), _LARGEST_REFERENCE)
        self.reference_scores_ = self._compared(distances[chosen], positions[chosen])

    def _compared(self, distances: FloatArray, positions: IntArray) -> FloatArray:
        """``(n,)`` scores from ``(n, k)`` distances to bank rows and their positions; NaN marks no neighbour."""
        usual = np.where(np.isnan(distances), np.nan, self.local_[positions])
        usual = np.maximum(_mean(usual), _LEAST_LOCAL * self.unit_)
        return np.asarray(_mean(distances) * (self.unit_ / usual) ** self.power)


def _mean(values: FloatArray) -> FloatArray:
    """``(n, k)`` to ``(n,)``, without NaN; 0 where there is nothing."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
