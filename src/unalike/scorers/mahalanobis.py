"""Distance to the centre in units of the normal rows' own spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unalike.scorers.arrays import checked, require_fitted, whitened
from unalike.scorers.covariance import shrunk_covariance
from unalike.scorers.reference import reference_scores
from unalike.types import FloatArray, IntArray


@dataclass
class Mahalanobis:
    """Score = Mahalanobis distance to the normal embeddings, under a shrunk covariance.

    ``sqrt((z - mean)' inverse(covariance) (z - mean))``, with the covariance shrunk towards a multiple of the
    identity by the amount of Ledoit and Wolf ("A well-conditioned estimator for large-dimensional covariance
    matrices", J. Multivariate Analysis 88, 2004), so that it can be inverted with fewer rows than columns. On
    features of a contrastive network: Sehwag et al., "SSD", ICLR 2021.

    Attributes
    ----------
    mean_ : ndarray
        ``(d,)`` float64.
    whitening_ : ndarray
        ``(d, d)`` float64: ``(z - mean_) @ whitening_`` has the identity as its (shrunk) covariance.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows (0 for a single row).
    """

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Estimate mean and covariance of the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows = checked(embeddings).astype(np.float64)
        self.mean_: FloatArray = rows.mean(axis=0)
        # One row, or equal rows, have no spread: then any direction counts the same.
        spread = shrunk_covariance(rows - self.mean_) if len(rows) > 1 else np.zeros((1, 1))
        values, vectors = np.linalg.eigh(spread if spread.any() else np.eye(rows.shape[1]))
        smallest = np.finfo(np.float64).eps * len(values) * values[-1]
        self.whitening_: FloatArray = vectors / np.sqrt(np.maximum(values, smallest))
        self.reference_scores_: FloatArray = reference_scores(self, rows, reference, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 distances of ``(n, d)`` embeddings; at least 0."""
        require_fitted(self, "whitening_")
        rows = checked(embeddings, width=len(self.mean_), empty=True)
        white = whitened(rows.astype(np.float64) - self.mean_, self.whitening_)  # (n, d)
        return np.asarray(np.sqrt((white**2).sum(axis=1)))

    def state(self) -> dict[str, Any]:
        require_fitted(self, "whitening_")
        return {"mean": self.mean_, "whitening": self.whitening_, "reference_scores": self.reference_scores_}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean_ = np.asarray(state["mean"], dtype=np.float64)
        self.whitening_ = np.asarray(state["whitening"], dtype=np.float64)
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)
