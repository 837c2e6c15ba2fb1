"""Entities and false discovery rates through the detector."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unalike import Detector, load, save, thresholds
from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter
from unalike.thresholds import Conformal, Fixed, PerEntity, benjamini_hochberg

GENERATOR = np.random.default_rng(0)
SCALES = np.tile([1.0, 4.0], 300)
X = GENERATOR.normal(size=(600, 3)) * SCALES[:, None]
NAMES = ["calm", "loud"] * 300
NEW = np.concatenate([GENERATOR.normal(size=(40, 3)) * np.tile([1.0, 4.0], 20)[:, None], np.full((10, 3), 60.0)])
NEW_NAMES = ["calm", "loud"] * 25


def made(**settings: Any) -> Detector:
    return Detector("table", encoder="raw-table", objective="frozen", **settings)


@pytest.fixture(scope="module")
def by_entity() -> Detector:
    return made(threshold=PerEntity(Conformal(0.1), least=20)).fit(X, entities=np.array(NAMES))


@pytest.fixture(scope="module")
def plain() -> Detector:
    return made(threshold=Conformal(0.1)).fit(X)


def test_entities_of_the_calibration_rows_reach_the_threshold(by_entity: Detector) -> None:
    rows = by_entity.split_.calibration
    assert by_entity.calibration_entities_ == [NAMES[row] for row in rows]
    names = np.array(by_entity.calibration_entities_)
    for name in ("calm", "loud"):
        alone = Conformal(0.1).fit(by_entity.calibration_scores_[names == name])
        assert by_entity.threshold_.own_[name].threshold_ == alone.threshold_
    decisions = by_entity.detect(NEW, entities=NEW_NAMES)
    own = by_entity.threshold_.is_anomaly(decisions.scores, NEW_NAMES)
    np.testing.assert_array_equal(decisions.is_anomaly, own)
    np.testing.assert_array_equal(decisions.is_anomaly, decisions.p_values <= 0.1)
    assert decisions.threshold == by_entity.threshold_.pooled_.threshold_
    assert (own != by_entity.threshold_.is_anomaly(decisions.scores)).any()


def test_a_rate_for_one_call_keeps_the_entities(by_entity: Detector) -> None:
    decisions = by_entity.detect(NEW, entities=NEW_NAMES, false_alarm_rate=0.3)
    np.testing.assert_array_equal(decisions.is_anomaly, decisions.p_values <= 0.3)
    np.testing.assert_array_equal(decisions.p_values, by_entity.detect(NEW, entities=NEW_NAMES).p_values)


def test_scikit_learns_side_uses_the_pooled_threshold(by_entity: Detector) -> None:
    pooled = by_entity.threshold_.pooled_
    assert by_entity.offset_ == -pooled.threshold_
    with pytest.warns(CalibrationWarning, match=r"Give detect\(X, entities"):
        predicted = by_entity.predict(NEW) == -1
    np.testing.assert_array_equal(predicted, pooled.is_anomaly(by_entity.anomaly_scores(NEW)))
    np.testing.assert_array_equal(predicted, by_entity.decision_function(NEW) < 0)
    with pytest.warns(CalibrationWarning, match=r"Give detect\(X, entities") as told:
        decisions = by_entity.detect(NEW)
    assert told[0].filename == __file__
    np.testing.assert_array_equal(decisions.is_anomaly, predicted)


def test_entities_are_saved(by_entity: Detector, tmp_path: Path) -> None:
    loaded = load(save(by_entity, tmp_path / "model.unalike"))
    assert loaded.threshold == by_entity.threshold
    assert loaded.calibration_entities_ == by_entity.calibration_entities_
    ours, theirs = (one.detect(NEW, entities=NEW_NAMES) for one in (by_entity, loaded))
    np.testing.assert_array_equal(ours.p_values, theirs.p_values)
    np.testing.assert_array_equal(ours.is_anomaly, theirs.is_anomaly)
    again = loaded.calibrate(threshold=PerEntity(Conformal(0.2), least=20))
    assert set(again.threshold_.own_) == {"calm", "loud"}


@pytest.mark.parametrize(
    "threshold",
    ["normal", "mad", "gamma", "lognormal", "adjusted-boxplot", "extreme-value", thresholds.Normal(sigmas=2.0)],
    ids=str,
)
def test_every_fitted_law_is_saved(plain: Detector, threshold: Any, tmp_path: Path) -> None:
    detector = made(threshold=threshold).fit(X)
    loaded = load(save(detector, tmp_path / "model.unalike"))
    ours, theirs = detector.detect(NEW), loaded.detect(NEW)
    np.testing.assert_array_equal(ours.p_values, theirs.p_values)
    assert (ours.threshold, ours.false_alarm_rate) == (theirs.threshold, theirs.false_alarm_rate)
    assert loaded.threshold == detector.threshold
    assert ours.is_anomaly[40:].all()


def test_entities_can_come_with_new_calibration_samples(plain: Detector) -> None:
    detector = made(calibration_fraction=0.0, threshold=PerEntity(Conformal(0.1), least=20)).fit(X[:200])
    detector.calibrate(X[200:], entities=NAMES[200:])
    assert detector.threshold_.counts_ == {"calm": 200, "loud": 200}
    detector.calibrate(entities=["one"] * 400)
    assert detector.threshold_.counts_ == {"one": 400}
    with pytest.warns(CalibrationWarning, match="got none, and one pooled threshold decides"):
        detector.calibrate(X[200:])
    assert detector.calibration_entities_ is None


def test_entities_that_do_not_fit_are_refused(plain: Detector) -> None:
    with pytest.raises(InvalidInput, match="`entities` must be one per sample; got 3 for 600"):
        made().fit(X, entities=["a", "b", "c"])
    with pytest.raises(InvalidParameter, match=r"a threshold that takes them.*got Conformal"):
        plain.detect(NEW, entities=NEW_NAMES)


def test_a_false_discovery_rate_decides_about_the_whole_call(plain: Detector) -> None:
    decisions = plain.detect(NEW, false_discovery_rate=0.2)
    single = plain.detect(NEW)
    np.testing.assert_array_equal(decisions.p_values, single.p_values)
    np.testing.assert_array_equal(decisions.is_anomaly, benjamini_hochberg(single.p_values, 0.2))
    assert decisions.is_anomaly[40:].all()
    assert (decisions.false_alarm_rate, decisions.false_discovery_rate) == (None, 0.2)
    np.testing.assert_array_equal(decisions.is_anomaly, decisions.scores > decisions.threshold)
    assert decisions.threshold == decisions.scores[~decisions.is_anomaly].max()
    assert "false discovery rate 0.2" in repr(decisions)
    assert single.false_discovery_rate is None
    every = plain.detect(NEW[40:], false_discovery_rate=0.2)
    assert every.is_anomaly.all()
    assert every.threshold < every.scores.min()


def test_discoveries_by_entity(by_entity: Detector) -> None:
    decisions = by_entity.detect(NEW, entities=NEW_NAMES, false_discovery_rate=0.2)
    expected = benjamini_hochberg(by_entity.threshold_.p_values(decisions.scores, NEW_NAMES), 0.2)
    np.testing.assert_array_equal(decisions.is_anomaly, expected)
    assert expected.any()


def test_discoveries_that_cannot_be_are_told_or_refused(plain: Detector) -> None:
    with pytest.raises(InvalidParameter, match="`false_discovery_rate` must be alone"):
        plain.detect(NEW, false_alarm_rate=0.1, false_discovery_rate=0.1)
    with pytest.raises(InvalidParameter, match="`false_discovery_rate` must be above 0 and below 1"):
        plain.detect(NEW, false_discovery_rate=2.0)
    with pytest.raises(InvalidParameter, match="at least the smallest possible p-value"):
        plain.detect(NEW[:2], false_discovery_rate=0.001)
    with pytest.warns(CalibrationWarning, match="No anomaly at a false discovery rate"):
        many = plain.detect(np.concatenate([X[:200], NEW[-1:]]), false_discovery_rate=0.02)
    assert not many.is_anomaly.any()
    fixed = made(threshold=Fixed(1.0)).fit(X)
    with pytest.raises(InvalidParameter, match="must go with a threshold that gives p-values"):
        fixed.detect(NEW, false_discovery_rate=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not plain.detect(X[:1] * 0, false_discovery_rate=0.2).is_anomaly.any()
