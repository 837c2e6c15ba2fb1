"""Labelled anomalies on their way to training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unalike import Branch, Detector, load, modalities, save, scorers
from unalike.errors import InvalidInput, InvalidParameter

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")


def test_anomalies_need_no_column_that_names_them() -> None:
    generator = np.random.default_rng(0)
    X = pd.DataFrame(generator.normal(size=(60, 3)), columns=["a", "b", "c"]).assign(
        name=[f"row {n}" for n in range(60)]
    )
    anomalies = pd.DataFrame(generator.normal(5.0, 1.0, (6, 3)), columns=["a", "b", "c"])
    scores = []
    for given in (anomalies, anomalies.assign(name="the same")):
        detector = Detector(modalities.Table(id="name"), objective="supcon", training={"steps": 3})
        scores.append(detector.fit(X, anomalies=given).anomaly_scores(X))
        assert detector.modality_.id == "name"
        with pytest.raises(InvalidInput, match="name"):
            detector.detect(anomalies)
    np.testing.assert_array_equal(*scores)
    with pytest.raises(InvalidInput, match=r"`anomalies` must be of the same kind.*\['c'\]"):
        detector.fit(X, anomalies=anomalies.drop(columns="c"))


def rows(n: int, center: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(center, 1.0, (n, 3))


def test_what_is_near_a_labelled_anomaly_scores_higher_than_without(tmp_path) -> None:
    X, few, alike = rows(150, 0.0, 0), rows(5, 1.5, 1), rows(100, 1.5, 2)
    normal = rows(200, 0.0, 3)
    quick = Detector("table", training={"steps": 2}, switch_off=["contrast-again", "labelled-quantile"])
    plain = quick.fit(X)
    assert [branch.settings.name for branch in plain.branches_] == [
        "contrast",
        "nearest-log",
        "nearest-quantile",
    ]
    before = (plain.anomaly_scores(alike)[:, None] > plain.anomaly_scores(normal)).mean()
    told = quick.fit(X, anomalies=few)
    assert [branch.settings.name for branch in told.branches_][-1:] == ["labelled"]
    after = (told.anomaly_scores(alike)[:, None] > told.anomaly_scores(normal)).mean()
    assert after > before + 0.02
    again = load(save(told, tmp_path / "m.unalike"))
    np.testing.assert_array_equal(again.anomaly_scores(alike), told.anomaly_scores(alike))
    told.update(rows(10, 0.0, 4), into="scorer")
    assert len(told.branches_[-1].judge.scorer.anomalies_.bank_) == 5


def test_branches_of_the_user_decide_what_learns_from_anomalies() -> None:
    X, few = rows(80, 0.0, 0), rows(4, 3.0, 1)
    frozen = [Branch(name="a", encoder="raw"), Branch(name="b", encoder="raw", scorer=scorers.NeighborRatio())]
    detector = Detector("table", branches=frozen)
    assert detector.fit(X).branches_[1].judge.scorer.anomalies_ is None
    assert len(detector.fit(X, anomalies=few).branches_[1].judge.scorer.anomalies_.bank_) == 4
    with pytest.raises(InvalidParameter, match=r"must have a branch that trains .* or a scorer that takes them"):
        Detector("table", branches=frozen[:1]).fit(X, anomalies=few)
    one = Detector("table", objective="supcon", training={"steps": 2}).fit(X, anomalies=few)
    assert [branch.settings.name for branch in one.branches_] == ["main"]
