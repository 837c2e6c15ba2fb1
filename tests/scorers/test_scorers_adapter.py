from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pyod.models import knn as pyod_knn
from pyod.models.pca import PCA
from sklearn import ensemble
from sklearn.base import clone
from sklearn.covariance import EllipticEnvelope
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from unalike.errors import CannotLoad, InvalidInput, InvalidParameter
from unalike.scorers import Outlier
from unalike.scorers.adapter import described

SKLEARN = [
    ensemble.IsolationForest(n_estimators=5, random_state=0),
    EllipticEnvelope(random_state=0),
    GaussianMixture(2, random_state=0),
    KernelDensity(),
    LocalOutlierFactor(novelty=True),
    OneClassSVM(),
    make_pipeline(StandardScaler(), OneClassSVM()),
]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(120, 3))


@pytest.mark.parametrize("detector", SKLEARN, ids=lambda d: type(d).__name__)
def test_scikit_learns_signs_are_turned_round(detector: object, rows: np.ndarray) -> None:
    scorer = Outlier(detector).fit(rows, reference=rows[:5])
    np.testing.assert_array_equal(scorer.score(rows), -scorer.detector_.score_samples(rows))
    assert scorer.score(np.full((1, 3), 6.0))[0] > scorer.score(np.zeros((1, 3)))[0]


@pytest.mark.parametrize("detector", [pyod_knn.KNN(n_neighbors=3), PCA()], ids=lambda d: type(d).__name__)
def test_pyods_scores_are_used_as_they_are(detector: object, rows: np.ndarray) -> None:
    scorer = Outlier(detector).fit(rows, reference=rows[:5])
    np.testing.assert_array_equal(scorer.score(rows), scorer.detector_.decision_function(rows))
    assert scorer.score(np.full((1, 3), 6.0))[0] > scorer.score(np.zeros((1, 3)))[0]


class OnlyDecisions:
    """The least of scikit-learn's shape, from a third library."""

    def fit(self, X: np.ndarray) -> OnlyDecisions:
        self.mean = X.mean(axis=0)
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return -np.abs(X - self.mean).sum(axis=1)


def test_decisions_alone_have_scikit_learns_sign(rows: np.ndarray) -> None:
    scorer = Outlier(OnlyDecisions()).fit(rows)
    np.testing.assert_array_equal(scorer.score(rows), np.abs(rows - rows.mean(axis=0)).sum(axis=1))


def test_the_users_detector_is_never_fitted(rows: np.ndarray) -> None:
    for detector in (pyod_knn.KNN(), OneClassSVM(), OnlyDecisions()):
        before = dict(vars(detector))
        Outlier(detector).fit(rows)
        assert vars(detector) == before


def test_global_random_numbers_decide_nothing_and_are_left_alone(rows: np.ndarray) -> None:
    scores = []
    for seed in (1, 2):
        np.random.seed(seed)
        before = np.random.get_state()[1].copy()
        scores.append(Outlier(ensemble.IsolationForest(n_estimators=5)).fit(rows).score(rows))
        np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(*scores)


def test_what_has_not_the_shape_is_refused() -> None:
    for detector in (StandardScaler(), OneClassSVM, "iforest", None):
        with pytest.raises(InvalidParameter, match="`detector` must be an object with `fit`"):
            Outlier(detector)
    with pytest.raises(InvalidParameter, match="novelty=True"):
        Outlier(LocalOutlierFactor())


class Broken(OnlyDecisions):
    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return np.where(X > 1, np.nan, 0.0)[:, 0]


def test_scores_that_are_not_finite_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="one finite score per row; Broken gave"):
        Outlier(Broken()).fit(rows)


def test_a_classifier_fails_in_its_own_words(rows: np.ndarray) -> None:
    with pytest.raises(TypeError, match="y"):
        Outlier(LogisticRegression()).fit(rows)


@pytest.mark.parametrize("detector", [pyod_knn.KNN(), ensemble.IsolationForest(n_estimators=5), OnlyDecisions()])
def test_is_restored_by_fitting_a_detector_like_it_on_the_same_rows(detector: Any, rows: np.ndarray) -> None:
    """The forest draws from the global numbers, so that only the seed can bring the same one back."""
    scorer = Outlier(detector, seed=3).fit(rows)
    state = scorer.state()
    assert state.keys() == {"rows", "detector", "reference_scores"}
    np.random.seed(7)
    again = Outlier(clone(detector, safe=False), seed=3)
    again.restore(
        json.loads(json.dumps({**state, "rows": 0, "reference_scores": 0}))
        | {"rows": state["rows"].copy(), "reference_scores": state["reference_scores"].copy()}
    )
    np.testing.assert_array_equal(again.score(rows[::-1]), scorer.score(rows[::-1]))
    np.testing.assert_array_equal(again.reference_scores_, scorer.reference_scores_)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (pyod_knn.KNN(n_neighbors=3), r"with, pyod.KNN\(n_neighbors=5\); got pyod.KNN\(n_neighbors=3\)"),
        (PCA(), r"with, pyod.KNN\(\); got pyod.PCA\(\)"),
    ],
)
def test_another_detector_is_refused(other: Any, told: str, rows: np.ndarray) -> None:
    state = Outlier(pyod_knn.KNN()).fit(rows, reference=rows[:5]).state()
    with pytest.raises(CannotLoad, match=told):
        Outlier(other).restore(state)


def test_what_only_another_version_of_a_library_has_is_no_difference(rows: np.ndarray) -> None:
    scorer = Outlier(pyod_knn.KNN()).fit(rows, reference=rows[:5])
    state = scorer.state()
    del state["detector"]["parameters"]["p"]
    state["detector"]["parameters"]["gone"] = "1"
    again = Outlier(pyod_knn.KNN())
    again.restore(state)
    np.testing.assert_array_equal(again.score(rows), scorer.score(rows))


def test_addresses_in_memory_do_not_describe_a_detector() -> None:
    first, second = (described(LocalOutlierFactor(novelty=True, metric=lambda a, b: 0.0)) for _ in range(2))
    assert first == second
    assert "0x" not in first["parameters"]["metric"]
