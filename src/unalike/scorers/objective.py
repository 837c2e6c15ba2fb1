"""The score of the objective itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import checked, require_fitted
from unalike.types import FloatArray, IntArray

_MOST_HELD_OUT = 0.5


@dataclass
class ObjectiveScore:
    """Score = what the branch's objective gives as its own, such as the loss of `objectives.ICL`.

    A branch with this scorer judges by ``objective.score`` and makes no use of the embedding; `Detector.embed` gives
    that one score. The objective is then part of the saved model.

    Parameters
    ----------
    held_out : float
        Share of the training rows, in ``[0, 0.5]``, that the branch does not train on where the detector holds out no
        reference rows (`Detector(reference_fraction=...)`): their scores are the reference. 0: none; for a network
        that learns its training rows by heart their scores are too low to compare with.

    Attributes
    ----------
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one those of the training rows, which the network has learned from
        (as it has for every scorer on a trained embedding). Thresholds do not use them.
    """

    held_out: float = 0.0

    def __post_init__(self) -> None:
        if not is_number(self.held_out) or not 0.0 <= self.held_out <= _MOST_HELD_OUT:
            raise InvalidParameter(
                f"`held_out` must be a share from 0 to {_MOST_HELD_OUT}; got {self.held_out!r}. Try 0.15."
            )

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Take the ``(m, 1)`` scores of the training rows; nothing is learned."""
        self.reference_scores_: FloatArray = _column(embeddings if reference is None else reference)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64: the ``(n, 1)`` scores as they are."""
        require_fitted(self, "reference_scores_")
        return _column(embeddings, empty=True)

    def add(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Nothing is learned: the objective stays as it was trained.

        Reference scores are those of `reference`, or the earlier ones and the ``(n, 1)`` of the new rows.
        """
        require_fitted(self, "reference_scores_")
        new = _column(embeddings)
        self.reference_scores_ = (
            np.concatenate([self.reference_scores_, new]) if reference is None else _column(reference)
        )
        return self

    def state(self) -> dict[str, Any]:
        require_fitted(self, "reference_scores_")
        return {"reference_scores": self.reference_scores_}

    def restore(self, state: dict[str, Any]) -> None:
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)


def _column(scores: FloatArray, *, empty: bool = False) -> FloatArray:
    rows = checked(scores, empty=empty)
    if rows.shape[1] != 1:
        raise InvalidInput(
            f"`embeddings` must be the objective's own scores (n, 1); got shape {rows.shape}. Give scorer='objective' "
            "to a branch with such an objective, or score embeddings by 'knn'."
        )
    return rows[:, 0].astype(np.float64)
