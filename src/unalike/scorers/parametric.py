"""Distance to the centre of the normal rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from unalike.scorers.arrays import checked, require_choice, require_fitted, unit_rows
from unalike.scorers.reference import reference_scores
from unalike.types import FloatArray, IntArray


@dataclass
class Centroid:
    """Score = distance to the mean of the normal embeddings.

    The prototype rule of one-class learning, as in Deep SVDD (Ruff et al., "Deep one-class classification",
    ICML 2018). It suits embeddings that training pulled together; normal data in several clusters needs `KNN`.

    Parameters
    ----------
    metric : {"euclidean", "cosine"}
        Cosine is ``1 - cos``, in ``[0, 2]``, to the mean of the unit vectors. A zero vector is at distance 1
        from any direction.

    Attributes
    ----------
    centre_ : ndarray
        ``(d,)`` float64 mean; with cosine ``(d + 1,)``, the unit vector of `unalike.scorers.arrays.unit_rows`.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows (0 for a single row).

    Raises
    ------
    InvalidParameter
        An unknown metric.
    """

    metric: Literal["euclidean", "cosine"] = "euclidean"

    def __post_init__(self) -> None:
        require_choice("metric", self.metric, ("euclidean", "cosine"))

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Average the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        self._width = rows.shape[1]
        if self.metric == "cosine":
            mean = unit_rows(rows).mean(axis=0)
            self.centre_: FloatArray = unit_rows(mean)[:-1]
        else:
            self.centre_ = rows.mean(axis=0, dtype=np.float64)
        self.reference_scores_: FloatArray = reference_scores(self, rows, reference, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 distances of ``(n, d)`` embeddings; at least 0."""
        require_fitted(self, "centre_")
        rows = checked(embeddings, width=self._width, empty=True)
        if self.metric == "cosine":
            return np.asarray(((unit_rows(rows) - self.centre_) ** 2).sum(axis=1) / 2.0)
        return np.asarray(np.sqrt(((rows - self.centre_) ** 2).sum(axis=1)))

    def state(self) -> dict[str, Any]:
        require_fitted(self, "centre_")
        return {"centre": self.centre_, "reference_scores": self.reference_scores_}

    def restore(self, state: dict[str, Any]) -> None:
        self.centre_ = np.asarray(state["centre"], dtype=np.float64)
        self._width = len(self.centre_) - (self.metric == "cosine")
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)
