from __future__ import annotations

import io
import json
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn import ensemble
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import KNeighborsRegressor

from unalike.errors import CannotLoad, InvalidParameter
from unalike.scorers import IsolationForest


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(rows: np.ndarray) -> IsolationForest:
    return IsolationForest(n_trees=10, seed=3).fit(rows, reference=rows[:5])


def test_is_scikit_learns_forest_with_the_sign_turned(rows: np.ndarray, fitted: IsolationForest) -> None:
    theirs = ensemble.IsolationForest(n_estimators=10, max_samples=256, random_state=3).fit(rows)
    np.testing.assert_array_equal(fitted.score(rows), -theirs.score_samples(rows))


def test_the_seed_decides(rows: np.ndarray, fitted: IsolationForest) -> None:
    same, other = (IsolationForest(n_trees=10, seed=seed).fit(rows, reference=rows[:5]) for seed in (3, 4))
    np.testing.assert_array_equal(same.score(rows), fitted.score(rows))
    assert not np.array_equal(other.score(rows), fitted.score(rows))


def test_values_beyond_single_precision_are_the_most_extreme(rows: np.ndarray) -> None:
    scorer = IsolationForest(n_trees=10).fit(rows.astype(np.float64), reference=rows[:5])
    far = np.array([[1e30] * 5, [1e300] * 5])
    assert scorer.score(far)[0] == scorer.score(far)[1] > scorer.score(rows).max() - 1e-12


def test_a_single_row_can_be_fitted() -> None:
    assert np.isfinite(IsolationForest(n_trees=3).fit(np.ones((1, 2))).score(np.zeros((2, 2)))).all()


def restored(forest: Any) -> None:
    IsolationForest().restore({"forest": forest, "reference_scores": np.zeros(1)})


@pytest.mark.parametrize("stored", [b"", b"not a zip", pickle.dumps({"a": 1})], ids=["empty", "text", "pickle"])
def test_what_is_no_forest_is_refused(stored: bytes) -> None:
    with pytest.raises(CannotLoad, match="cannot be read"):
        restored(stored)


def test_a_truncated_forest_is_refused(fitted: IsolationForest) -> None:
    with pytest.raises(CannotLoad, match="cannot be read"):
        restored(fitted.state()["forest"][:-2000])


@pytest.mark.parametrize("other", [SGDOneClassSVM(), KNeighborsRegressor()])
def test_another_estimator_is_refused(other: Any) -> None:
    with pytest.raises(CannotLoad, match="must be one; got"):
        restored(skops.io.dumps(other))


def test_unknown_types_are_named_and_never_made(fitted: IsolationForest) -> None:
    stored = io.BytesIO(fitted.state()["forest"])
    with zipfile.ZipFile(stored) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    schema["__module__"], schema["__class__"] = "os", "system"
    parts["schema.json"] = json.dumps(schema).encode()
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(CannotLoad, match=r"os\.system"):
        restored(changed.getvalue())


@pytest.mark.parametrize(
    ("name", "value"),
    [("left_child", 10_000), ("right_child", 0), ("left_child", -7), ("feature", 99), ("feature", -2)],
)
def test_trees_that_point_outside_are_refused(rows: np.ndarray, name: str, value: int) -> None:
    """scikit-learn follows these numbers unchecked: out of bounds, or round in circles."""
    forest = ensemble.IsolationForest(n_estimators=2, random_state=0).fit(rows)
    tree = forest.estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][name][0] = value
    tree.__setstate__(state)
    with pytest.raises(CannotLoad, match="outside its trees"):
        restored(skops.io.dumps(forest))


def test_a_forest_without_some_parts_is_refused(rows: np.ndarray) -> None:
    forest = ensemble.IsolationForest(n_estimators=2, random_state=0).fit(rows)
    forest._decision_path_lengths = forest._decision_path_lengths[:1]
    with pytest.raises(CannotLoad, match="whole trees"):
        restored(skops.io.dumps(forest))


@pytest.mark.parametrize("settings", [{"n_trees": 0}, {"rows_per_tree": 0}, {"seed": -1}, {"seed": 2**32}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        IsolationForest(**settings)
