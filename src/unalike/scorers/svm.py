"""A boundary around the normal embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import checked, require_count, require_fitted
from unalike.scorers.kernel import in_fixed_order, log_kernel_sums, spread
from unalike.scorers.reference import at_most, reference_scores
from unalike.types import FloatArray, IntArray


@dataclass(kw_only=True)
class OneClassSVM:
    """Score = how far outside the boundary that a support vector machine draws around the normal rows.

    Schölkopf et al., "Estimating the support of a high-dimensional distribution" (Neural Computation 13, 2001),
    under a Gaussian kernel, fitted by scikit-learn. With the support vectors' sum ``s(x) = sum_j a_j exp(-gamma
    |x - y_j|^2)`` and the value ``r`` that it has on the boundary, the score is ``log r - log s(x)``: 0 on the
    boundary, above 0 outside. It orders rows as scikit-learn's ``r - s(x)`` does, and goes on doing so far away, where
    that is ``r`` for all.

    Parameters
    ----------
    nu : float
        In ``(0, 1)``: at most this share of the normal rows is left outside, and at least this share are support
        vectors. Small values follow the edge of the normal rows; near 1 every row counts alike, as in `KernelDensity`.
    gamma : "scale" or float
        ``"scale"``: 1 over the sum of the columns' variances; scikit-learn's, but the origin of the embedding does not
        count. A number: in the units of the embedding.
    most_rows : int
        Of more rows, so many evenly spaced ones are fitted on: time grows with the square of the rows.

    Attributes
    ----------
    support_ : ndarray
        ``(s, d)`` the support vectors, float32 unless they came as float64.
    log_weights_ : ndarray
        ``(s,)`` log of their weights.
    log_boundary_ : float
        ``log r``.
    gamma_ : float
        In force. Equal rows, which have no spread, get 1.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows that were fitted on (0 for a single row).

    Raises
    ------
    InvalidParameter
        A setting out of range.

    Notes
    -----
    Columns are not rescaled: distances in an embedding mean what the encoder made of them, and the encoders of raw
    values rescale theirs already. The order of the rows does not matter up to `most_rows`.
    """

    nu: float = 0.5
    gamma: Literal["scale"] | float = "scale"
    most_rows: int = 5000

    def __post_init__(self) -> None:
        require_count("most_rows", self.most_rows)
        if not is_number(self.nu) or not 0.0 < self.nu < 1.0:
            raise InvalidParameter(f"`nu` must be a number above 0 and below 1; got {self.nu!r}.")
        named = isinstance(self.gamma, str) and self.gamma == "scale"
        if not named and not (is_number(self.gamma) and 0.0 < float(self.gamma) < math.inf):
            raise InvalidParameter(f"`gamma` must be 'scale' or a finite number above 0; got {self.gamma!r}.")

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Draw the boundary around the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        from sklearn import svm

        rows, groups = at_most(checked(embeddings), groups, self.most_rows)
        ordered = in_fixed_order(rows)
        self.gamma_: float = self._chosen(rows)
        # Towards a finer tolerance than scikit-learn's 1e-3, which moves the third digit of a score.
        machine = svm.OneClassSVM(nu=self.nu, gamma=1.0, tol=1e-6)
        centred = (ordered.astype(np.float64) - ordered.mean(axis=0, dtype=np.float64)) * math.sqrt(self.gamma_)
        machine.fit(centred)
        weights = machine.dual_coef_[0]
        self.support_: FloatArray = ordered[machine.support_[weights > 0.0]]
        self.log_weights_: FloatArray = np.log(weights[weights > 0.0])
        self.log_boundary_: float = math.log(float(machine.offset_[0]))
        self.reference_scores_: FloatArray = reference_scores(self, rows, reference, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 scores of ``(n, d)`` embeddings; above 0 outside the boundary."""
        require_fitted(self, "support_")
        rows = checked(embeddings, width=self.support_.shape[1], empty=True)
        return self.log_boundary_ - log_kernel_sums(rows, self.support_, self.log_weights_, 1.0 / self.gamma_)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "support_")
        return {
            "support": self.support_,
            "log_weights": self.log_weights_,
            "log_boundary": self.log_boundary_,
            "gamma": self.gamma_,
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.support_ = checked(state["support"], name="support")
        self.log_weights_ = np.asarray(state["log_weights"], dtype=np.float64)
        self.log_boundary_ = float(state["log_boundary"])
        self.gamma_ = float(state["gamma"])
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)

    def _chosen(self, rows: FloatArray) -> float:
        if self.gamma != "scale":
            return float(self.gamma)
        return float(1.0 / (rows.shape[1] * (spread(rows) or 1.0) ** 2))
