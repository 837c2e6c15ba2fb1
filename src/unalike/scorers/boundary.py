"""Forests that isolate rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import skops.io
from sklearn import ensemble
from sklearn.tree import ExtraTreeRegressor

from unalike.errors import CannotLoad, InvalidParameter
from unalike.scorers.arrays import checked, require_count, require_fitted
from unalike.scorers.reference import reference_scores
from unalike.types import FloatArray, IntArray

# skops asks for this one because scikit-learn follows a tree's node numbers without looking; `_check` looks.
_TRUSTED = ["sklearn.tree._tree.Tree"]
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(kw_only=True)
class IsolationForest:
    """Score = how few random cuts set a row apart from the normal ones.

    Liu, Ting and Zhou, "Isolation forest" (ICDM 2008): ``2 ** (-mean depth / usual depth)`` in ``(0, 1]``, by
    scikit-learn. The forest's cuts are drawn from `seed` and depend on the order of the training rows.

    Parameters
    ----------
    n_trees : int
        Number of trees.
    rows_per_tree : int
        Rows that each tree is grown on, at most all.
    seed : int
        Of the cuts, in ``[0, 2**32)``.

    Attributes
    ----------
    forest_ : sklearn.ensemble.IsolationForest
        The fitted forest.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows (0 for a single row).

    Raises
    ------
    InvalidParameter
        A setting out of range.
    CannotLoad
        By `restore`, when the stored forest is broken, or is not one.
    """

    n_trees: int = 100
    rows_per_tree: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("n_trees", self.n_trees)
        require_count("rows_per_tree", self.rows_per_tree)
        if not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed < 2**32:
            raise InvalidParameter(f"`seed` must be an integer from 0 to 2**32 - 1; got {self.seed!r}.")

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Grow the trees on the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        self.forest_ = ensemble.IsolationForest(
            n_estimators=self.n_trees, max_samples=min(self.rows_per_tree, len(rows)), random_state=self.seed
        ).fit(_single(rows))
        self.reference_scores_: FloatArray = reference_scores(self, rows, reference, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 scores of ``(n, d)`` embeddings, in ``(0, 1]``."""
        require_fitted(self, "forest_")
        rows = checked(embeddings, width=self.forest_.n_features_in_, empty=True)
        if len(rows) == 0:
            return np.zeros(0)
        return np.asarray(-self.forest_.score_samples(_single(rows)), dtype=np.float64)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "forest_")
        return {"forest": skops.io.dumps(self.forest_), "reference_scores": self.reference_scores_}

    def restore(self, state: dict[str, Any]) -> None:
        self.forest_ = _loaded(state["forest"])
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)


def _single(rows: FloatArray) -> FloatArray:
    """Float32, as the trees want it; what is out of its range is as extreme at its end."""
    return np.clip(rows, -_LARGEST, _LARGEST).astype(np.float32)


def _loaded(stored: bytes) -> Any:
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=stored)) - set(_TRUSTED))
        if unknown:
            raise CannotLoad(f"A stored isolation forest must hold trees only; got {unknown}. Do not use this file.")
        forest = skops.io.loads(stored, trusted=_TRUSTED)
        _check(forest)
    except CannotLoad:
        raise
    except Exception as error:  # a broken file can fail anywhere in zip, JSON, numpy or scikit-learn
        raise CannotLoad(f"The stored isolation forest cannot be read ({error}). Save the model again.") from error
    return forest


def _check(forest: Any) -> None:
    """Refuse node numbers and columns that point outside a tree, or backwards: scoring would not end, or crash."""
    if type(forest) is not ensemble.IsolationForest:
        raise CannotLoad(f"A stored isolation forest must be one; got {type(forest).__name__}.")
    width = forest.n_features_in_
    whole = len(forest.estimators_) == len(forest.estimators_features_) == len(forest._decision_path_lengths)
    if not whole or any(type(tree) is not ExtraTreeRegressor for tree in forest.estimators_):
        raise CannotLoad("A stored isolation forest must hold whole trees; this one does not. Do not use this file.")
    for estimator, columns in zip(forest.estimators_, forest.estimators_features_, strict=True):
        tree = estimator.tree_
        nodes = np.arange(tree.node_count)
        left, right, column = tree.children_left, tree.children_right, tree.feature
        inner = left != -1
        sound = (
            np.array_equal(columns, np.arange(width))
            and bool(((left > nodes) & (right > nodes) & (column >= 0) & (column < width))[inner].all())
            and bool(((left < tree.node_count) & (right < tree.node_count))[inner].all())
        )
        if not sound:
            raise CannotLoad("A stored isolation forest points outside its trees. Do not use this file.")
