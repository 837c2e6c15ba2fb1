"""New samples into the scorers and the calibration."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from one_class import OneClass
from unalike import Branch, Detector, load, modalities, save, scorers, thresholds
from unalike.data import shared_out
from unalike.encoders import RawTable
from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter, NotFitted, UnalikeWarning
from unalike.memory import again

Array = npt.NDArray[np.float64]
pytestmark = pytest.mark.filterwarnings("ignore:A false-alarm rate of::")

RAW = (
    Branch(name="near", encoder=RawTable(), scorer=scorers.KNN(k=1)),
    Branch(name="many", encoder=RawTable(), scorer=scorers.KNN(k=0.025, most_rows=200), weight=0.5),
    Branch(name="law", encoder=RawTable(), scorer=scorers.Mahalanobis()),
    Branch(name="center", encoder=RawTable(), scorer=scorers.Centroid(), weight=2.0, agreement=0.5),
)


def normal(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, 4))


def detector(n: int = 200, **settings: Any) -> Detector:
    settings = {"branches": RAW, "threshold": thresholds.Conformal(false_alarm_rate=0.1), **settings}
    return Detector("table", **settings).fit(normal(n))


def embeddings(fitted: Detector, X: Array, branch: str) -> Array:
    return np.asarray(fitted.embed(X, branch=branch))


def test_scorers_equal_a_fit_to_all_rows_by_the_same_encoder() -> None:
    fitted, new = detector(calibration_fraction=0.0), normal(80, seed=1)
    trained = normal(200)[fitted.split_.train]
    before = {branch.settings.name: embeddings(fitted, trained, branch.settings.name) for branch in fitted.branches_}
    fitted.update(new, into="scorer")
    queries = normal(50, seed=2)
    for branch in fitted.branches_:
        name = branch.settings.name
        if name == "many":  # its bank is full: see tests/scorers
            continue
        joined = np.concatenate([before[name], embeddings(fitted, new, name)])
        alone = copy.deepcopy(branch.settings.scorer).fit(joined)
        np.testing.assert_allclose(branch.judge.scorer.reference_scores_, alone.reference_scores_, rtol=1e-12)
        np.testing.assert_allclose(
            fitted.branch_scores(queries)[name], alone.score(embeddings(fitted, queries, name)), rtol=1e-12
        )
        np.testing.assert_array_equal(fitted.fusion_.references_[name], branch.judge.scorer.reference_scores_)


def test_what_is_new_becomes_normal_and_calibration_follows() -> None:
    fitted, far = detector(), normal(60, seed=1) + 8.0
    held_out = normal(200)[fitted.split_.calibration]
    assert fitted.detect(far[:30]).is_anomaly.all()
    fitted.update(far[30:], into="scorer")
    assert fitted.detect(far[:30]).is_anomaly.mean() < 0.7
    assert len(fitted.calibration_scores_) == len(held_out)
    assert (fitted.calibration_scores_ > 0).all()  # none of them counts itself
    assert set(fitted.explain(far[:1])[0].nearest) <= {str(row) for row in range(200)}


@pytest.mark.parametrize("into", ["scorer", "calibration"])
def test_the_false_alarm_rate_holds_after_updates(into: str) -> None:
    rates = []
    for seed in range(8):
        X = normal(1300, seed=100 + seed)
        threshold = thresholds.Conformal(false_alarm_rate=0.1)
        fitted = Detector("table", branches=[RAW[0], RAW[2]], threshold=threshold).fit(X[:295])
        fitted.update(X[295:500], into=into)
        fitted.update(X[500:700], into=into)
        rates.append(fitted.detect(X[700:]).is_anomaly.mean())
    # One detector's rate varies with its calibration samples; the mean must be at most 10%, and is not far below.
    assert 0.06 < np.mean(rates) < 0.1 + 3.0 * np.std(rates) / 8**0.5


def test_calibration_grows_by_the_scores_of_the_new() -> None:
    fitted, new = detector(), normal(50, seed=1)
    before = fitted.calibration_scores_
    fitted.update(new, into="calibration")
    np.testing.assert_array_equal(fitted.calibration_scores_[: len(before)], before)
    np.testing.assert_array_equal(fitted.calibration_scores_[len(before) :], fitted.anomaly_scores(new))
    assert fitted.threshold_.false_alarm_rate_ == 0.1


def test_a_detector_that_was_never_calibrated_is_by_an_update() -> None:
    fitted = detector(calibration_fraction=0.0).update(normal(40, seed=1), into="calibration")
    assert len(fitted.calibration_scores_) == 40
    assert fitted.detect(normal(5, seed=3)).false_alarm_rate == 0.1


def test_the_threshold_in_force_is_kept() -> None:
    fitted = detector().calibrate(threshold=thresholds.Quantile(false_alarm_rate=0.2))
    for into, seed in (("scorer", 1), ("calibration", 2)):
        fitted.update(normal(30, seed=seed), into=into)
        assert isinstance(fitted.threshold_, thresholds.Quantile)
        assert fitted.threshold_.false_alarm_rate_ == 0.2


def test_the_same_rows_are_never_in_both() -> None:
    fitted, X = detector(), normal(200)
    for into in ("scorer", "calibration"):
        for rows in (fitted.split_.train, fitted.split_.calibration):
            with pytest.raises(InvalidInput, match=f"has not seen; .* of {len(rows)} are in"):
                fitted.update(X[rows], into=into)
    new, more = normal(20, seed=1), normal(20, seed=2)
    fitted.update(new, into="scorer")
    with pytest.warns(UnalikeWarning, match="left out: 20 of 40 are in the scorers and 0 in the calibration"):
        fitted.update(np.concatenate([new, more]), into="calibration")
    assert len(fitted.calibration_scores_) == 60
    with pytest.raises(InvalidInput, match="0 of 20 are in the scorers and 20 in the calibration"):
        fitted.update(more, into="scorer")
    with pytest.raises(InvalidInput, match="`calibration` must hold other samples than `X`; 10 are in both"):
        fitted.update(normal(20, seed=4), into="scorer", calibration=normal(20, seed=4)[10:])


def test_calibrating_on_rows_that_trained_is_warned_of() -> None:
    fitted, X = detector(), normal(200)
    mixed = np.concatenate([X[fitted.split_.train[:15]], normal(25, seed=1)])
    with pytest.warns(CalibrationWarning, match=r"not in the scorers; 15 of 40 are, .*more false alarms"):
        fitted.calibrate(mixed)
    fitted.calibrate(normal(40, seed=3))  # no warning, which would be an error here
    # The first calibration rows are still in the nearest neighbours, where `fit` put them.
    with pytest.warns(CalibrationWarning, match="40 of 40 are"):
        fitted.calibrate(X[fitted.split_.calibration])
    lawful = detector(branches=RAW[2:3])  # whose scorer takes nothing in
    lawful.calibrate(X[lawful.split_.calibration])


def test_equal_rows_are_not_the_same_rows_where_rows_repeat() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"sex": rng.choice(["m", "f"], 400), "stars": rng.integers(0, 60, 400)})
    fitted = Detector("table", branches=RAW[:1], threshold=thresholds.Conformal(false_alarm_rate=0.2)).fit(X[:200])
    fitted.update(X[200:300], into="calibration")
    fitted.update(X[300:], into="scorer")
    assert len(fitted.calibration_scores_) == 140


def test_chance_is_told_from_repetition() -> None:
    known = np.arange(1000, dtype=np.uint64)
    assert again(np.array([5, 2000], dtype=np.uint64), known).tolist() == [True, False]
    half = np.concatenate([np.arange(500), np.repeat(np.arange(500, 750), 2)]).astype(np.uint64)
    fresh = np.concatenate([np.arange(500, 550), np.arange(5000, 5050)]).astype(np.uint64)
    assert not again(fresh, half).any()
    assert again(np.arange(100).astype(np.uint64), half).all()
    assert not again(fresh, half[:0]).any()


def test_updates_survive_saving(tmp_path: Path) -> None:
    fitted, X, queries = detector(), normal(200), normal(20, seed=5)
    fitted.update(normal(30, seed=1), into="calibration")
    save(fitted, tmp_path / "m.unalike")
    loaded = load(tmp_path / "m.unalike")
    for one in (fitted, loaded):
        one.update(normal(30, seed=2), into="scorer")
        one.update(normal(30, seed=3), into="calibration")
        with pytest.raises(InvalidInput, match="has not seen"):
            one.update(X[fitted.split_.train[:9]], into="calibration")
    np.testing.assert_array_equal(loaded.anomaly_scores(queries), fitted.anomaly_scores(queries))
    np.testing.assert_array_equal(loaded.calibration_scores_, fitted.calibration_scores_)
    np.testing.assert_array_equal(loaded.memory_.rows, fitted.memory_.rows)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"into": "bank"}, "`into` must be 'scorer' or 'calibration'; got 'bank'"),
        ({"into": "calibration", "calibration": normal(9)}, "`calibration` must go with into='scorer'"),
        ({"into": "scorer", "entities": [1] * 30}, "`entities` must go with `calibration`"),
        ({"into": "calibration", "entities": [1] * 30}, "`entities` must be given for all"),
        ({"into": "scorer", "groups": [1]}, "`groups` must have one value per sample"),
    ],
)
def test_a_refused_update_changes_nothing(settings: dict[str, Any], match: str) -> None:
    fitted = detector()
    before = dict(vars(fitted))
    with pytest.raises((InvalidParameter, InvalidInput), match=match):
        fitted.update(normal(30, seed=1), **settings)
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


def test_a_failure_half_way_leaves_the_banks_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, queries = detector(), normal(20, seed=5)
    scores, calibrated = fitted.anomaly_scores(queries), fitted.calibration_scores_

    def fail(*arguments: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(scorers.Centroid, "fit", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        fitted.update(normal(30, seed=1), into="scorer")
    np.testing.assert_array_equal(fitted.anomaly_scores(queries), scores)
    assert fitted.calibration_scores_ is calibrated


def test_entities_follow_their_samples() -> None:
    X = normal(300)
    fitted = Detector("table", branches=RAW[:1], threshold=thresholds.PerEntity(thresholds.Conformal(0.2), least=10))
    fitted.fit(X, entities=["a", "b"] * 150)
    before = list(fitted.calibration_entities_ or [])
    fitted.update(normal(20, seed=1), into="calibration", entities=["c"] * 20)
    assert fitted.threshold_.counts_["c"] == 20  # type: ignore[attr-defined]
    fitted.update(normal(20, seed=2), into="scorer")
    assert fitted.calibration_entities_ == [*before, *["c"] * 20]


def test_images_take_new_ones_when_calibration_is_given(zeros: OneClass) -> None:
    branches = [Branch(name="raw", encoder="raw", scorer="knn")]
    fitted = Detector("image", branches=branches, threshold=thresholds.Conformal(0.2)).fit(zeros.train[:60])
    with pytest.raises(InvalidParameter, match="`calibration` must hold the calibration samples"):
        fitted.update(zeros.train[60:70], into="scorer")
    assert fitted.memory_.rows is None
    fitted.update(zeros.train[60:70], into="scorer", calibration=zeros.train[70:])
    assert len(fitted.calibration_scores_) == len(zeros.train) - 70
    fitted.update(zeros.test[:10], into="calibration")
    assert len(fitted.calibration_scores_) == len(zeros.train) - 60
    centred = Detector("image", branches=[Branch(name="c", encoder="raw", scorer="centroid")])
    centred.set_params(calibration_fraction=0.0).fit(zeros.train[:60])
    with pytest.raises(InvalidParameter, match="scorer Centroid of branch 'c' must be fitted again"):
        centred.update(zeros.train[60:70], into="scorer")


def test_before_fit() -> None:
    with pytest.raises(NotFitted):
        Detector("table").update(normal(5), into="scorer")


@pytest.mark.parametrize(
    ("kept", "seen", "new", "most"), [(100, 100, 50, 500), (100, 1000, 50, 100), (80, 80, 80, 100)]
)
def test_samples_are_shared_out_in_proportion(kept: int, seen: int, new: int, most: int) -> None:
    old, added = shared_out(kept, seen, new, most)
    assert len(old) + len(added) <= most
    assert len(added) / new == pytest.approx(len(old) / seen, abs=0.02)


def test_fit_encodes_each_training_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).random((60, 8, 8))
    encoded = []
    tensors = modalities.Image.tensors

    def counted(self: modalities.Image, parts: Any) -> Any:
        encoded.append(len(parts))
        return tensors(self, parts)

    monkeypatch.setattr(modalities.Image, "tensors", counted)
    fitted = Detector("image", encoder="raw", objective="frozen", calibration_fraction=0.0).fit(images)
    assert sum(encoded) <= 60 + 3  # one more here and there tells the shape
    monkeypatch.undo()
    with pytest.warns(CalibrationWarning, match="60 of 60"):
        fitted.calibrate(images, threshold=thresholds.Conformal(false_alarm_rate=0.1))
