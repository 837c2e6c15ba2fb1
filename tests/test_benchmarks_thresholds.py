"""The benchmark of thresholds on scores whose law is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks import alarm_rates, thresholds
from benchmarks.alarm_rates import Pool
from benchmarks.summary import Row

from unalike.thresholds import Conformal


def exponential(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=n)


def test_splits_do_not_overlap_and_differ() -> None:
    made = alarm_rates.splits(50, 20, 5)
    for calibration, rest in made:
        assert len(calibration) == 20
        assert np.array_equal(np.sort(np.concatenate([calibration, rest])), np.arange(50))
    assert len({tuple(calibration) for calibration, _ in made}) == 5


def test_sizes_and_rates_leave_enough_to_count() -> None:
    assert alarm_rates.sizes(59) == []
    assert alarm_rates.sizes(260) == [30, 100, 219]
    assert 0.001 not in alarm_rates.rates(1_999)
    assert 0.001 in alarm_rates.rates(2_000)


def test_alarms_are_counted_as_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_rates, "SPLITS", 30)
    monkeypatch.setattr(alarm_rates, "SIZES", (99,))
    pool = Pool(exponential(400), exponential(50, seed=1) + 2.0)
    found = alarm_rates.alarms(pool)
    assert list(found) == alarm_rates.alarm_methods(400)
    realised, recall = [], []
    for calibration, rest in alarm_rates.splits(400, 99, 30):
        threshold = Conformal(0.05).fit(pool.normal[calibration])
        realised.append(threshold.is_anomaly(pool.normal[rest]).mean())
        recall.append(threshold.is_anomaly(pool.anomalies).mean())
    values = found["conformal/99/0.05"]
    assert values["realised"] == pytest.approx(np.mean(realised))
    assert values["recall"] == pytest.approx(np.mean(recall))
    assert values["low"] <= 0.05 <= values["high"]
    assert values["high"] - values["realised"] == pytest.approx(2.045 * np.std(realised, ddof=1) / 30**0.5, rel=1e-3)
    # A normal law on an exponential tail, and the law itself.
    assert found["normal/99/0.01"]["low"] > 0.01
    assert found["gamma/99/0.01"]["realised"] == pytest.approx(0.01, abs=0.006)


def test_a_rate_that_cannot_be_held_leaves_no_number() -> None:
    threshold = alarm_rates.fitted("conformal", exponential(30))
    assert all(math.isnan(value) for value in alarm_rates.shares(threshold, 0.01, exponential(9), exponential(9)))


def test_false_discoveries_are_held_by_conformal_p_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_rates, "SPLITS", 40)
    pool = Pool(exponential(1_300), exponential(40, seed=1) + 12.0)
    found = alarm_rates.discoveries(pool)
    assert list(found) == alarm_rates.discovery_methods(1_300, 40)
    assert found["conformal+bh/1000/0.1"]["realised"] < 0.12
    assert found["conformal+bh/1000/0.1"]["recall"] > 0.9
    assert alarm_rates.discovery_methods(1_300, 19) == []


def test_entities_of_other_scales_get_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_rates, "ENTITY_SIZE", 500)
    scale = np.tile([1.0, 5.0], 600)
    pool = Pool(exponential(1_200) * scale, np.full(4, 99.0), np.tile(["a", "b"], 600), np.array(["a", "b"] * 2))
    found = alarm_rates.by_entity(pool)
    assert list(found) == alarm_rates.entity_methods()
    own, pooled = found["per-entity/500/0.1"], found["pooled/500/0.1"]
    assert own["lowest"] == pytest.approx(0.1, abs=0.02)
    assert own["highest"] == pytest.approx(0.1, abs=0.02)
    assert pooled["lowest"] < 0.02 < 0.17 < pooled["highest"]
    assert own["recall"] == pooled["recall"] == 1.0


def row(data: str, method: str, protocol: str = "knn", **values: float) -> Row:
    known = {"realised": 0.05, "low": 0.04, "high": 0.06, "recall": 0.5, "lowest": 0.01, "highest": 0.2}
    return Row(data=data, protocol=protocol, seed=0, method=method, values={**known, **values})


def test_tables_count_sets_above_and_below() -> None:
    rows = [
        row("a", "mad/100/0.05", realised=0.08, low=0.07, high=0.09),
        row("b", "mad/100/0.05", realised=0.04, low=0.03, high=0.045),
        row("c", "mad/100/0.05", realised=math.nan),
        row("a", "mad/219/0.05", realised=0.5, low=0.4, high=0.6),
    ]
    _, line = thresholds.rate_table(rows, "knn", 100)
    # t(0.975, 1) = 12.706; standard error 0.02
    assert line == ["5.0%", "mad", "2", "6.00%", "[-19.41%, 31.41%]", "4.00%", "8.00%", "1", "1", "50.0%"]
    held = {line[0]: line[1:] for line in thresholds.held_table(rows)}
    assert held["mad"] == ["3", "2", "0", "1", "1"]
    line = thresholds.short_table(rows, "knn", 100)[-1]
    assert line == ["mad", "cannot hold", "6.00% [0.00%, 31.41%] 1/0/1", "cannot hold"]
    _, line = thresholds.discovery_table([row("a", "gamma+bh/219/0.1"), row("b", "gamma+bh/219/0.1")])
    assert line == ["knn", "gamma", "219", "2", "5.0%", "[5.0%, 5.0%]", "5.0%", "50.0%"]
    _, line = thresholds.entity_table([row("a", "pooled/2000/0.1")])
    assert line == ["a", "knn", "10%", "pooled", "5.00%", "1.00%", "20.00%", "50.0%"]


def test_half_of_the_normal_rows_train() -> None:
    y = np.array([0] * 100 + [1] * 7)
    samples = thresholds._halved(np.arange(107.0)[:, None], y, y.astype(str))
    assert len(samples.train) == 50
    assert len(samples.test) == 57
    assert (samples.train < 100).all()
    assert not set(samples.train.ravel()) & set(samples.test.ravel())
    assert samples.labels.sum() == 7
