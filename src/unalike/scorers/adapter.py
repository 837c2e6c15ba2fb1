"""Any outlier detector of PyOD's or scikit-learn's as a scorer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

import numpy as np
from sklearn.base import clone

from unalike.errors import CannotLoad, InvalidInput, InvalidParameter
from unalike.scorers.arrays import checked, require_fitted
from unalike.scorers.reference import reference_scores
from unalike.seeding import derive, isolated
from unalike.types import FloatArray, IntArray


@dataclass
class Outlier:
    """Wraps an outlier detector by its shape.

    Parameters
    ----------
    detector : object
        With ``fit(X)`` and either PyOD's ``decision_function`` and ``decision_scores_`` (higher = more
        anomalous, used as they are) or scikit-learn's ``score_samples``, else ``decision_function`` (lower =
        more anomalous, turned round); so scikit-learn's density models do as well. It is cloned, never fitted.
    seed : int
        For detectors that draw from the global random numbers, which are left as they were.

    Attributes
    ----------
    detector_ : object
        The fitted clone.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows (0 for a single row).

    Raises
    ------
    InvalidParameter
        When `detector` has not this shape, and by `state`: a detector of the user's has no safe file format.
    InvalidInput
        When it gives anything but one finite score per row.
    """

    detector: Any
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if not is_outlier_detector(self.detector):
            raise InvalidParameter(
                "`detector` must be an object with `fit` and `score_samples` or `decision_function`, as PyOD's and "
                f"scikit-learn's outlier detectors are; got {self.detector!r}. LocalOutlierFactor needs novelty=True."
            )

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Fit a clone of the detector on the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        self.detector_ = clone(self.detector, safe=False)
        with isolated(derive(self.seed, "outlier")):
            self.detector_.fit(_double(rows))
        self._width = rows.shape[1]
        self.reference_scores_: FloatArray = reference_scores(self, rows, reference, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 scores of ``(n, d)`` embeddings, in the detector's units, higher = more anomalous."""
        require_fitted(self, "detector_")
        rows = checked(embeddings, width=self._width, empty=True)
        if len(rows) == 0:
            return np.zeros(0)
        scores = np.asarray(self._raw(_double(rows)), dtype=np.float64)
        if scores.shape != (len(rows),) or not np.isfinite(scores).all():
            raise InvalidInput(
                f"`detector` must give one finite score per row; {type(self.detector).__name__} gave shape "
                f"{scores.shape} for {len(rows)} rows, {int((~np.isfinite(scores)).sum())} of them not finite."
            )
        return scores

    def _raw(self, rows: FloatArray) -> Any:
        if hasattr(self.detector_, "decision_scores_"):
            return self.detector_.decision_function(rows)
        if hasattr(self.detector_, "score_samples"):
            return -self.detector_.score_samples(rows)
        return -self.detector_.decision_function(rows)

    def state(self) -> NoReturn:
        raise InvalidParameter(
            f"The scorer Outlier({type(self.detector).__name__}) cannot be saved: a detector of another library has "
            "no file format that is safe to load. Use a scorer of unalike's for a model that is to be saved."
        )

    def restore(self, state: dict[str, Any]) -> NoReturn:
        raise CannotLoad(
            f"Outlier({type(self.detector).__name__}) is not stored in model files. Use a scorer of unalike's."
        )


def _double(rows: FloatArray) -> FloatArray:
    """Some libraries compute in the precision of their input, and in single a row scores otherwise in a batch."""
    return rows.astype(np.float64, copy=False)


def is_outlier_detector(value: Any) -> bool:
    """Whether `value` has the shape of PyOD's or scikit-learn's outlier detectors."""
    if isinstance(value, type) or not callable(getattr(value, "fit", None)):
        return False
    return hasattr(value, "score_samples") or hasattr(value, "decision_function")
