"""Outlier detectors of PyOD's and scikit-learn's, saved as the rows they were fitted on and fitted again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from pyod.models.iforest import IForest
from pyod.models.lof import LOF
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from unalike import Branch, Detector, Training, encoders, load, save, scorers
from unalike.errors import CannotLoad, InvalidParameter
from unalike.persistence import Unavailable, archive

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.UnalikeWarning")

NUMBERS = np.random.default_rng(1).normal(size=(60, 3))


def fitted(scorer: Any, **settings: Any) -> Detector:
    return Detector("table", encoder="raw-table", objective="frozen", scorer=scorer, **settings).fit(NUMBERS)


def saved(detector: Detector, folder: Path) -> Path:
    return save(detector, folder / "model.unalike")


# The forests draw from the global random numbers: only the stored seed can bring the same one back.
@pytest.mark.parametrize(
    "make",
    [
        LOF,
        lambda: LocalOutlierFactor(novelty=True),
        lambda: IForest(n_estimators=5),
        lambda: IsolationForest(n_estimators=5),
        lambda: scorers.Outlier(IsolationForest(n_estimators=5), seed=7),
    ],
)
def test_a_loaded_detector_scores_bit_equal(make: Any, tmp_path: Path) -> None:
    detector = fitted(make())
    path = saved(detector, tmp_path)
    np.random.seed(5)
    loaded = load(path, scorer=make())
    ours, theirs = loaded.detect(NUMBERS), detector.detect(NUMBERS)
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    np.testing.assert_array_equal(ours.p_values, theirs.p_values)
    assert ours.threshold == theirs.threshold
    assert type(loaded.scorer) is type(detector.scorer)
    again = save(loaded, tmp_path / "again.unalike")
    assert again.read_bytes() == path.read_bytes()


def test_trained_networks_and_their_floors_get_it_back(tmp_path: Path) -> None:
    detector = Detector("table", scorer=LOF(), training=Training(steps=2, batch_size=32)).fit(NUMBERS)
    loaded = load(saved(detector, tmp_path), scorer={"main": LOF()})
    expected = detector.branch_scores(NUMBERS)
    assert list(expected) == ["main", "main (untrained)"]
    for name, scores in loaded.branch_scores(NUMBERS).items():
        np.testing.assert_array_equal(scores, expected[name])


def test_the_stored_seed_counts_whatever_wrapper_is_given(tmp_path: Path) -> None:
    detector = fitted(scorers.Outlier(IsolationForest(n_estimators=5), seed=7))
    path = saved(detector, tmp_path)
    for given in (IsolationForest(n_estimators=5), scorers.Outlier(IsolationForest(n_estimators=5), seed=8)):
        loaded = load(path, scorer=given)
        np.testing.assert_array_equal(loaded.anomaly_scores(NUMBERS), detector.anomaly_scores(NUMBERS))
        assert loaded.scorer.seed == loaded.branches_[0].judge.scorer.seed == 7


def test_each_branch_gets_its_own(tmp_path: Path) -> None:
    raw = encoders.RawTable()
    branches = [
        Branch(name="near", encoder=raw, scorer=LOF()),
        Branch(name="far", encoder=raw, scorer=IForest(n_estimators=5)),
    ]
    detector = Detector("table", branches=branches).fit(NUMBERS)
    path = saved(detector, tmp_path)
    loaded = load(path, scorer={"near": LOF(), "far": IForest(n_estimators=5)})
    np.testing.assert_array_equal(loaded.anomaly_scores(NUMBERS), detector.anomaly_scores(NUMBERS))
    with pytest.raises(CannotLoad, match=r"needs your scorer pyod.*:IForest of branch 'far'.*\{'far': \.\.\.\}"):
        load(path, scorer={"near": LOF()})


def test_without_the_detector_it_is_asked_for(tmp_path: Path) -> None:
    path = saved(fitted(LOF()), tmp_path)
    with pytest.raises(CannotLoad, match=r"needs your scorer pyod\.models\.lof:LOF of branch 'main'.*scorer="):
        load(path)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (LOF(n_neighbors=7), r"with, pyod\.LOF\(n_neighbors=20\); got pyod\.LOF\(n_neighbors=7\)"),
        (LocalOutlierFactor(novelty=True), r"with, pyod\.LOF\(\); got sklearn\.LocalOutlierFactor\(\)"),
        (scorers.KNN(), "`detector` must be an object with `fit` and `score_samples`"),
        (3, "`detector` must be an object with `fit` and `score_samples`"),
    ],
)
def test_another_one_is_refused(other: Any, told: str, tmp_path: Path) -> None:
    path = saved(fitted(LOF()), tmp_path)
    with pytest.raises(CannotLoad, match=told):
        load(path, scorer=other)


class Shifting:
    """Draws from the operating system: no seed can bring it back."""

    def fit(self, X: np.ndarray) -> Shifting:
        self.centre = np.random.default_rng().normal(size=X.shape[1])
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return -np.abs(X - self.centre).sum(axis=1)


def test_one_that_does_not_come_back_the_same_is_noticed(tmp_path: Path) -> None:
    path = saved(fitted(Shifting()), tmp_path)
    with pytest.raises(CannotLoad, match="must give the scores that it gave when it was saved"):
        load(path, scorer=Shifting())


def test_a_file_holds_rows_and_words_only(tmp_path: Path) -> None:
    manifest, entries = archive.read(saved(fitted(LOF()), tmp_path))
    assert set(entries) == {"weights.safetensors", "arrays.safetensors"}
    packed = manifest["branches"][0]["trained"]["scorer"]
    assert packed["settings"] == {
        "$type": "scorers.Outlier",
        "fields": {"detector": {"$user": "pyod.models.lof:LOF"}, "seed": 0},
    }
    rows = safetensors.numpy.load(entries["arrays.safetensors"])[packed["state"]["rows"]["$array"]]
    assert rows.shape == (48, 6)  # a fifth calibrates; each column has a flag for missing cells
    assert packed["state"]["detector"]["class"] == "pyod.LOF"


def test_its_stand_in_refuses_to_score() -> None:
    with pytest.raises(InvalidParameter, match=r"pyod\.models\.lof:LOF of yours must be there"):
        scorers.Outlier(Unavailable("pyod.models.lof:LOF")).detector.score_samples(NUMBERS)


@pytest.mark.parametrize("scorer", ["gaussian-mixture", "kernel-density", "one-class-svm", "mahalanobis"])
def test_scorers_of_ours_need_nothing(scorer: str, tmp_path: Path) -> None:
    detector = fitted(scorer)
    loaded = load(saved(detector, tmp_path))
    np.testing.assert_array_equal(loaded.anomaly_scores(NUMBERS), detector.anomaly_scores(NUMBERS))
    assert loaded.threshold_.threshold_ == detector.threshold_.threshold_
