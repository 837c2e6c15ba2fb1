"""Joins the scores of branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter
from unalike.scorers.arrays import require_choice, require_fitted
from unalike.tails import tail_scores
from unalike.types import FloatArray

_LEAST_UNIT = 0.05
"""Of the 95% quantile: where most reference scores are 0, their median is no unit."""


@dataclass(kw_only=True)
class Fusion:
    """One score from the scores of several branches, through their tails (`unalike.tails`).

    The sum of ``-log`` tail shares is Fisher's way to join p-values ("Statistical methods for research
    workers", 1932); branches are not independent, so the sum is calibrated afterwards and never read as one.
    It never retrains and never sees labels.

    Parameters
    ----------
    how : {"sum", "max", "ratio"}
        The weighted sum of the branches' tail scores, or the largest: then one alarmed branch is enough. ``"ratio"``:
        the weighted sum of scores divided by the median reference score, which does not level off; for scores that are
        distances, and where a sample's score is a mean over parts (docs/decisions/0010).
    weights : mapping of str to float, optional
        Branch name to weight, at least 0; a branch that is not named weighs 1.

    Attributes
    ----------
    references_ : dict of str to ndarray
        Branch name to its reference scores ``(m,)``.

    Raises
    ------
    InvalidParameter
        A setting out of range; by `fit`, weights for branches that do not exist or that are all 0.

    Notes
    -----
    A single branch keeps its raw scores, in the units of its scorer.
    """

    how: Literal["sum", "max", "ratio"] = "sum"
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        require_choice("how", self.how, ("sum", "max", "ratio"))
        for name, weight in (self.weights or {}).items():
            if not (np.isfinite(weight) and weight >= 0.0):
                raise InvalidParameter(f"`weights` must be finite and at least 0; got {weight!r} for {name!r}.")

    def fit(self, references: Mapping[str, FloatArray]) -> Self:
        """Keep the reference scores of each branch.

        Raises
        ------
        InvalidInput
            No branch, or a branch without finite reference scores.
        """
        if not references:
            raise InvalidInput("`references` must name at least one branch; got none.")
        unknown = sorted(set(self.weights or {}) - set(references))
        if unknown:
            raise InvalidParameter(f"`weights` must name branches, {sorted(references)}; got {unknown}.")
        if not any(self.weight(name) > 0.0 for name in references):
            raise InvalidParameter("`weights` must leave at least one branch above 0; got 0 for all.")
        self.references_: dict[str, FloatArray] = {}
        for name, scores in references.items():
            kept = np.array(scores, dtype=np.float64)
            if kept.ndim != 1 or len(kept) == 0 or not np.isfinite(kept).all():
                raise InvalidInput(f"`references` must hold finite scores for each branch; {name!r} does not.")
            self.references_[name] = kept
        self._units = {name: _unit(kept) for name, kept in self.references_.items()}
        return self

    def score(self, scores: Mapping[str, FloatArray]) -> FloatArray:
        """One score per sample.

        Parameters
        ----------
        scores : mapping of str to ndarray
            Branch name to ``(n,)`` scores, of all fitted branches and no others.

        Returns
        -------
        ndarray
            ``(n,)`` float64.

        Raises
        ------
        InvalidInput
            Other branches than were fitted, or of differing lengths.
        """
        require_fitted(self, "references_")
        if set(scores) != set(self.references_):
            raise InvalidInput(f"`scores` must be of the branches {sorted(self.references_)}; got {sorted(scores)}.")
        lengths = {name: np.shape(values) for name, values in scores.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidInput(f"`scores` must have one value per sample in each branch; got shapes {lengths}.")
        if len(scores) == 1:
            return np.asarray(next(iter(scores.values())), dtype=np.float64)
        # In fitted order, so that the order of the mapping cannot move the last bit of the sum.
        tails = [self.weight(name) * self._measured(name, scores[name]) for name in self.references_]
        return np.asarray(np.max(tails, axis=0) if self.how == "max" else np.sum(tails, axis=0))

    @property
    def least(self) -> float:
        """A score as normal as can be, of what was not judged: 0, or what the least reference scores give below it."""
        lowest = self.score({name: scores.min(keepdims=True) for name, scores in self.references_.items()})
        return min(float(lowest[0]), 0.0)

    def _measured(self, name: str, scores: FloatArray) -> FloatArray:
        if self.how == "ratio":
            return np.asarray(scores, dtype=np.float64) / self._units[name]
        return tail_scores(scores, self.references_[name])

    def state(self) -> dict[str, Any]:
        require_fitted(self, "references_")
        arrays = {f"reference_{number}": scores for number, scores in enumerate(self.references_.values())}
        return {"branches": list(self.references_), **arrays}

    def restore(self, state: dict[str, Any]) -> None:
        self.fit({name: state[f"reference_{number}"] for number, name in enumerate(state["branches"])})

    def weight(self, name: str) -> float:
        """Of the branch `name`."""
        return float((self.weights or {}).get(name, 1.0))

    def unit(self, name: str) -> float:
        """By what ``"ratio"`` divides the scores of the branch `name`."""
        require_fitted(self, "references_")
        return self._units[name]


def _unit(reference: FloatArray) -> float:
    """The median size of a reference score, or a part of what is above it where that is next to nothing."""
    sizes = np.abs(reference)
    median, high = np.quantile(sizes, [0.5, 0.95])
    unit = max(float(median), _LEAST_UNIT * float(high))
    return unit if unit > 0.0 else float(sizes.max()) or 1.0
