from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import betabinom, ks_2samp
from sklearn.metrics import roc_auc_score

from unalike import Branch, Detector, load, save, thresholds
from unalike.drift import Drift, Seen, alarm_test, compared, energy_test, lag, score_test, stretched
from unalike.errors import InvalidInput, InvalidParameter, NotCalibrated
from unalike.modalities import Series

MOVED = np.array([1.5, 0.0, 0.0, 0.0])
RAW = [Branch(name="raw", encoder="raw", scorer="knn")]


def seen(scores, limit, embeddings=None):
    return Seen(scores, scores > limit, embeddings, None if embeddings is None else scores)


def one(rng, n=100, m=100, *, shift=0.0, anomalies=0.0, turned=0.0):
    """Chi-like scores of Gaussian embeddings; `turned` moves embeddings along a direction that no score sees."""
    calibration, new = rng.normal(size=(n, 6)), rng.normal(size=(m, 6))
    scores = [np.linalg.norm(rows, axis=1) for rows in (calibration, new)]
    scores[1] += shift
    new[:, 0] += turned
    k = int(anomalies * m)
    scores[1][:k] += 20.0
    new[:k] += 10.0
    limit = np.sort(scores[0])[n - max(int(0.01 * (n + 1)), 1)]
    return compared(seen(scores[1], limit, new), seen(scores[0], limit, calibration))


# ---- each test -------------------------------------------------------------------------------------------------------


def test_alarms_are_beta_binomial():
    calibration = np.arange(99) < 1
    new = np.arange(50) < 4
    # The threshold is the second largest of 99: the share above it is Beta(2, 98).
    assert alarm_test(new, calibration) == pytest.approx(1.0 - betabinom.cdf(3, 50, 2, 98))
    draw = np.random.default_rng(0)
    limits = np.sort(draw.random((5_000, 99)), axis=1)[:, -2:-1]
    above = (draw.random((5_000, 50)) > limits).sum(axis=1)
    assert np.mean(above >= 4) == pytest.approx(alarm_test(new, calibration), abs=0.02)


def test_allowed_anomalies_are_no_alarms():
    calibration = np.arange(99) < 1
    assert alarm_test(np.arange(100) < 5, calibration, 0.05) == 1.0
    assert alarm_test(np.arange(100) < 6, calibration, 0.05) == pytest.approx(1 - betabinom.cdf(0, 95, 2, 98))
    assert alarm_test(np.ones(60, dtype=bool), calibration, 0.05) < 1e-6
    assert alarm_test(np.ones(3, dtype=bool), np.ones(3, dtype=bool)) == 1.0


def test_scores_are_compared_as_scipy_and_sklearn_do():
    rng = np.random.default_rng(1)
    new, old = rng.normal(0.4, 1.0, 40).round(1), rng.normal(size=90).round(1)
    higher, p = score_test(new, old)
    assert p == ks_2samp(new, old).pvalue
    assert higher == pytest.approx(roc_auc_score(np.arange(130) < 40, np.concatenate([new, old])))
    assert all(np.isnan(score_test(new[:7], old)))


def test_energy_is_that_of_slow_sums():
    rng = np.random.default_rng(2)
    new, old = rng.normal(0.8, 1.0, (8, 3)), rng.normal(size=(9, 3))

    def mean(first, second, least):
        pairs = [np.linalg.norm(a - b) for i, a in enumerate(first) for j, b in enumerate(second) if least or i != j]
        return np.mean(pairs)

    farther, p = energy_test(new, old)
    across = mean(new, old, True)
    assert farther == pytest.approx(across / (0.5 * (mean(new, new, False) + mean(old, old, False))) - 1.0)

    def energy(rows):
        return 2 * mean(rows[:8], rows[8:], True) - mean(rows[:8], rows[:8], True) - mean(rows[8:], rows[8:], True)

    both = np.concatenate([new, old])
    draws = [energy(both[rng.permutation(17)]) for _ in range(149)]
    slow = (1 + sum(drawn >= energy(both) for drawn in draws)) / 150
    assert p == pytest.approx(slow, abs=0.06)
    assert energy_test(old, old)[1] == 1.0


# ---- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anomalies", [0.0, 0.03])
def test_of_batches_like_calibration_few_drift_with_or_without_anomalies(anomalies):
    rng = np.random.default_rng(3)
    sizes = [(30, 30), (100, 20), (60, 200)] * 25
    drifted = sum(one(rng, n, m, anomalies=anomalies).drifted for n, m in sizes)
    assert drifted <= 8  # 5% of 75 are 3.75; 9 or more have a chance of 1%


@pytest.mark.parametrize(
    ("change", "word"),
    [({"shift": 1.0}, "score higher"), ({"shift": -1.0}, "score lower"), ({"turned": 1.0}, "embeddings lie"),
     ({"anomalies": 0.3}, "raise an alarm")],
)  # fmt: skip
def test_what_has_changed_is_found_and_told(change, word):
    found = one(np.random.default_rng(4), 200, 200, **change)
    assert found.drifted
    assert word in str(found)
    assert ("promise may no longer hold" in str(found)) == (change != {"shift": -1.0})


def test_too_few_samples_say_so_and_figures_are_kept():
    none = compared(seen(np.zeros(0), 1.0), seen(np.arange(9.0), 7.0))
    assert np.isnan(none.p_value)
    assert not none.drifted
    assert "Too few" in str(none)
    found = one(np.random.default_rng(5))
    assert set(found.to_dict()) == {field.name for field in fields(Drift)} | {"drifted", "told"}
    assert found.to_frame("pyarrow").num_rows == 1
    assert found.p_value == min(1.0, 3 * min(found.p_alarms, found.p_scores, found.p_embeddings))
    assert replace(found, p_value=0.05).drifted > replace(found, p_value=0.051).drifted


@pytest.mark.parametrize("share", [-0.1, 1.0, "much", None])
def test_the_share_is_checked(share):
    with pytest.raises(InvalidParameter, match="allowed_anomalies"):
        compared(seen(np.arange(9.0), 7.0), seen(np.arange(9.0), 7.0), allowed_anomalies=share)


# ---- time ------------------------------------------------------------------------------------------------------------


def test_stretches_are_as_long_as_scores_depend_on_each_other():
    rng = np.random.default_rng(6)
    noise = rng.normal(size=4_000)
    assert lag(noise, 16) == 16
    slow = np.convolve(noise, np.ones(100), "same")
    assert 150 <= lag(slow, 16) <= 220
    assert lag(np.ones(50), 16) == 16
    means, flagged = stretched(np.arange(10.0), np.arange(10) == 5, 4)
    assert means.tolist() == [1.5, 5.5]
    assert flagged.tolist() == [False, True]


# ---- detectors -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    rows = np.random.default_rng(7).normal(size=(400, 4))
    return Detector("table", branches=RAW, threshold=thresholds.Conformal(false_alarm_rate=0.05)).fit(rows)


def test_a_detector_tells_drift_and_so_does_its_copy(fitted, tmp_path):
    rng = np.random.default_rng(8)
    same, moved = rng.normal(size=(150, 4)), rng.normal(size=(150, 4)) + MOVED
    decisions = fitted.detect(moved)
    found = fitted.drift(moved, decisions=decisions)
    assert found.drifted
    assert not fitted.drift(same).drifted
    again = load(save(fitted, tmp_path / "a.unalike"))
    assert again.drift(moved) == found
    assert found.alarms == decisions.is_anomaly.mean()
    with pytest.raises(InvalidInput, match="decisions"):
        fitted.drift(same[:9], decisions=decisions)
    del again.watched_
    assert np.isnan(again.drift(moved).p_embeddings)


def test_new_calibration_is_what_new_data_are_compared_with(fitted):
    rng = np.random.default_rng(9)
    moved = rng.normal(size=(300, 4)) + MOVED
    threshold = thresholds.Conformal(false_alarm_rate=0.05)
    detector = Detector("table", branches=RAW, threshold=threshold).fit(rng.normal(size=(400, 4))).calibrate(moved)
    assert not detector.drift(rng.normal(size=(150, 4)) + MOVED).drifted
    assert detector.drift(rng.normal(size=(150, 4))).p_embeddings == 1 / 500
    detector.update(rng.normal(size=(40, 4)), into="scorer")
    assert detector.watched_.scores.max() == detector.calibration_scores_.max()
    with pytest.raises(NotCalibrated):
        Detector("table", branches=RAW, calibration_fraction=0.0).fit(moved).drift(moved)


def test_another_mixture_of_entities_is_no_drift():
    rng = np.random.default_rng(10)

    def rows(n, share):
        entity = (rng.random(n) < share).astype(int)
        return rng.normal(size=(n, 3)) * (1.0 + 2.0 * entity[:, None]), entity.tolist()

    X, entities = rows(1_500, 0.5)
    threshold = thresholds.PerEntity(thresholds.Conformal(false_alarm_rate=0.05))
    detector = Detector("table", branches=RAW, threshold=threshold, calibration_fraction=0.4).fit(X, entities=entities)
    new, own = rows(300, 0.95)
    found = detector.drift(new, entities=own)
    assert not found.drifted
    assert np.isnan(found.p_scores)


def test_records_are_compared_by_stretches():
    rng = np.random.default_rng(11)

    def record(n, level=0.0):
        return np.sin(np.arange(n)[:, None] * np.pi / 8) + rng.normal(0.0, 0.2, (n, 2)) + level

    detector = Detector(Series(window=16), branches=RAW, random_state=0).fit(record(2_000))
    same, moved = detector.drift(record(1_000)), detector.drift(record(1_000, 0.5))
    assert same.n <= 1_000 // 16
    assert not same.drifted
    assert moved.drifted
    short = detector.drift(record(40))
    assert np.isnan(short.p_scores)
    assert short.n <= 2
