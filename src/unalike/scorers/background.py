"""Unlike the normal rows, or only unlike everything? What is usual of a background is taken away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from unalike.scorers.arrays import background_rows, checked, require_fitted
from unalike.scorers.mahalanobis import Mahalanobis
from unalike.types import FloatArray, IntArray

_PARTS = ("normal", "background")


@dataclass
class RelativeMahalanobis:
    """Score = squared Mahalanobis distance to the normal embeddings minus that to a background.

    Directions in which everything varies, normal or not, count twice and cancel out; what is left tells normal from
    other. Ren et al., "A simple fix to Mahalanobis distance for improving near-OOD detection", 2021; there the
    background is the training data of all classes together, here it is what the encoder offers as ``background()``:
    `encoders.PretrainedText` makes texts of no topic from its vocabulary. Both covariances are shrunk as in
    `Mahalanobis`.

    Attributes
    ----------
    normal_, background_ : Mahalanobis
        Fitted on either.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows (0 for a single row).
    """

    def fit(
        self,
        embeddings: FloatArray,
        reference: FloatArray | None = None,
        groups: IntArray | None = None,
        background: FloatArray | None = None,
    ) -> Self:
        """Estimate both from the ``(m, d)`` normal `embeddings` and the ``(b, d)`` `background`.

        Parameters
        ----------
        embeddings, reference, groups
            See `unalike.types.Scorer`.
        background : ndarray
            ``(b, d)`` embeddings of what is neither normal nor an anomaly. `Detector` asks the encoder for it.

        Raises
        ------
        InvalidParameter
            There is no `background`.
        """
        rows = checked(embeddings)
        others = background_rows(background, rows.shape[1], "Mahalanobis")
        self.background_ = Mahalanobis().fit(others, reference=others[:1])
        return self._learn(rows, reference, groups)

    def refilled(self, embeddings: FloatArray) -> Self:
        """A scorer with the same background that knows these ``(m, d)`` normal rows alone."""
        require_fitted(self, "background_")
        fresh = replace(self)
        fresh.background_ = self.background_
        return fresh._learn(checked(embeddings), None, None)

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64; below 0 for what is nearer to the normal rows than to the background."""
        require_fitted(self, "normal_")
        return np.asarray(self.normal_.score(embeddings) ** 2 - self.background_.score(embeddings) ** 2)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "normal_")
        made: dict[str, Any] = {"reference_scores": self.reference_scores_}
        for name, part in zip(_PARTS, (self.normal_, self.background_), strict=True):
            made |= {f"{name}_mean": part.mean_, f"{name}_whitening": part.whitening_}
        return made

    def restore(self, state: dict[str, Any]) -> None:
        self.normal_, self.background_ = (_restored(state, name) for name in _PARTS)
        self.reference_scores_: FloatArray = np.asarray(state["reference_scores"], dtype=np.float64)

    def _learn(self, rows: FloatArray, reference: FloatArray | None, groups: IntArray | None) -> Self:
        self.normal_ = Mahalanobis().fit(rows, reference, groups)
        # Only the normal part was fitted on these rows, so it alone is cross-fit.
        compared = rows if reference is None else checked(reference, name="reference")
        scores = self.normal_.reference_scores_**2 - self.background_.score(compared) ** 2
        self.reference_scores_ = scores if len(compared) > 1 or reference is not None else np.zeros(1)
        return self


def _restored(state: dict[str, Any], name: str) -> Mahalanobis:
    part = Mahalanobis()
    part.restore(
        {
            "mean": state[f"{name}_mean"],
            "whitening": state[f"{name}_whitening"],
            "reference_scores": np.zeros(1),
        }
    )
    return part
