from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import genpareto
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from one_class import OneClass
from unalike import Branch, Detector, Training, load, save, scorers, thresholds
from unalike.errors import InvalidInput, InvalidParameter
from unalike.robust import (
    _censored_pareto,
    leave_one_out,
    most_suspect,
    robust_branches,
    unexplained,
    unexplained_by_any,
)

RNG = np.random.default_rng
QUICK = Training(steps=8, batch_size=64)

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")


def test_leave_one_out_equals_scikit_learn() -> None:
    rows = RNG(0).normal(size=(300, 4))
    k = 8  # 2.5% of 300, to even
    expected = NearestNeighbors(n_neighbors=k + 1).fit(rows).kneighbors(rows)[0][:, k]
    np.testing.assert_allclose(leave_one_out(rows), expected, rtol=1e-12)


def test_a_row_is_compared_with_other_groups_only() -> None:
    rows = np.repeat(RNG(0).normal(size=(60, 2)), 10, axis=0)
    groups = np.arange(600) // 10
    assert leave_one_out(rows[:90]).min() == 0.0
    assert leave_one_out(rows, groups).min() > 0.0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_have_finite_scores(n: int) -> None:
    assert np.isfinite(leave_one_out(RNG(0).normal(size=(n, 2)))).all()
    assert leave_one_out(np.zeros((5, 2)), np.zeros(5, dtype=np.int64)).tolist() == [0.0] * 5


def test_anomalies_that_lie_together_are_suspect() -> None:
    rows = np.concatenate([RNG(0).normal(size=(950, 3)), RNG(1).normal(6.0, 0.01, size=(10, 3))])
    suspect = most_suspect(leave_one_out(rows), 0.02)
    assert suspect.sum() == 19
    assert suspect[950:].all()


def test_the_most_suspect_are_a_share_rounded_down() -> None:
    scores = np.array([1.0, 5.0, 3.0, 5.0])
    assert most_suspect(scores, 0.5).tolist() == [False, True, False, True]
    assert not most_suspect(scores, 0.2).any()
    assert most_suspect(np.arange(100.0), 0.29).sum() == 29


def test_the_censored_tail_is_that_of_scipy_without_censoring() -> None:
    excesses = genpareto.rvs(0.1, scale=2.0, size=4000, random_state=0)
    scale, shape = _censored_pareto(excesses, float(excesses.max()))
    expected_shape, _, expected_scale = genpareto.fit(excesses, floc=0.0)
    assert scale == pytest.approx(expected_scale, rel=0.02)
    assert shape == pytest.approx(expected_shape, abs=0.02)
    scale, shape = _censored_pareto(excesses, float(np.quantile(excesses, 0.7)))
    assert scale == pytest.approx(2.0, rel=0.1)
    assert abs(shape - 0.1) < 0.15


def test_what_the_bulk_does_not_explain_is_found_and_clean_scores_are_kept() -> None:
    kept = [unexplained(RNG(seed).gamma(4.0, size=400), 0.1).mean() for seed in range(20)]
    assert np.mean(kept) < 0.002
    scores = np.concatenate([RNG(0).gamma(4.0, size=400), np.full(15, 60.0)])
    assert np.flatnonzero(unexplained(scores, 0.1)).tolist() == list(range(400, 415))
    assert unexplained(scores, 0.02).sum() == 8  # never more than the stated share
    np.testing.assert_array_equal(unexplained(3.0 * scores - 100.0, 0.1), unexplained(scores, 0.1))


@pytest.mark.parametrize("scores", [np.zeros(0), np.ones(500), np.r_[np.zeros(39), 100.0][:39]])
def test_scores_that_say_nothing_are_all_kept(scores: np.ndarray) -> None:
    assert not unexplained(scores, 0.1).any()


def test_ties_leave_nothing_to_fit_a_law_to() -> None:
    scores = np.zeros(40)
    scores[36:] = [5, 6, 7, 8]
    assert not unexplained(scores, 0.1).any()


def test_one_kind_of_score_is_enough_to_stand_out() -> None:
    plain, telling = RNG(0).gamma(4.0, size=400), RNG(1).gamma(4.0, size=400)
    telling[:15] = 60.0
    assert np.flatnonzero(unexplained_by_any([plain, telling], plain, 0.1)).tolist() == list(range(15))
    fused = np.arange(400.0)
    assert np.flatnonzero(unexplained_by_any([plain, telling], fused, 0.02)).tolist() == list(range(7, 15))
    assert not unexplained_by_any([plain, telling], plain, 0.0).any()


@pytest.mark.parametrize("reference_fraction", [0.0, 0.2])
def test_fused_scores_do_not_hide_anomalies_among_the_held_out(reference_fraction: float) -> None:
    X = RNG(0).normal(size=(600, 6))
    X[:30] += 4.0
    is_anomaly = np.arange(600) < 30
    detector = Detector(
        "table", expected_anomalies=0.1, reference_fraction=reference_fraction, training=QUICK, random_state=1
    ).fit(X)
    assert is_anomaly[detector.set_aside_].sum() >= 28
    assert not is_anomaly[detector.split_.calibration].any()
    assert is_anomaly[detector.split_.reference].sum() <= 1
    new = np.concatenate([RNG(1).normal(size=(500, 6)), RNG(2).normal(4.0, 1.0, size=(100, 6))])
    found = detector.detect(new, false_alarm_rate=0.05).is_anomaly
    assert found[500:].mean() > 0.9
    assert found[:500].mean() < 0.15


def test_robust_scorers_replace_those_that_have_one() -> None:
    branches = (Branch(name="a", encoder="raw", scorer="knn"), Branch(name="b", encoder="raw", scorer="centroid"))
    robust = robust_branches(branches)
    assert robust[0].scorer == scorers.KNN(k=5)
    assert robust[1] == branches[1]


@pytest.mark.parametrize("share", [-0.1, 0.31, 1, "5%", True, float("nan"), None])
def test_a_share_out_of_range_is_refused(share: object) -> None:
    with pytest.raises(InvalidParameter, match="expected_anomalies"):
        Detector("table", expected_anomalies=share).fit(RNG(0).normal(size=(50, 2)))  # type: ignore[arg-type]


def mixed(data: OneClass, share: float) -> tuple[np.ndarray, np.ndarray, OneClass]:
    """Training rows with anomalies among them, which of them are, and what is left to test."""
    anomalies = np.flatnonzero(data.labels == 1)
    moved = anomalies[: round(share * len(data.train) / (1 - share))]
    order = RNG(0).permutation(len(data.train) + len(moved))
    train = np.concatenate([data.train, data.test[moved]])[order]
    left = np.setdiff1d(np.arange(len(data.labels)), moved)
    return train, order >= len(data.train), OneClass(data.train, data.test[left], data.labels[left])


def test_anomalies_among_the_training_rows_are_set_aside(breast_cancer: OneClass) -> None:
    train, is_anomaly, left = mixed(breast_cancer, 0.05)
    settings = {"training": QUICK, "threshold": thresholds.Conformal(false_alarm_rate=0.05)}
    plain = Detector("table", **settings).fit(train)
    robust = Detector("table", expected_anomalies=0.05, **settings).fit(train)
    assert len(plain.set_aside_) == 0
    aside = robust.set_aside_
    assert set(aside).isdisjoint(robust.split_.train)
    assert set(aside).isdisjoint(robust.split_.calibration)
    everything = np.concatenate([aside, robust.split_.train, robust.split_.calibration])
    assert sorted(everything) == list(range(len(train)))
    np.testing.assert_array_equal(aside, np.sort(aside))
    assert is_anomaly[aside].mean() > 0.3  # of 5% in all

    auroc = {name: roc_auc_score(left.labels, d.anomaly_scores(left.test)) for name, d in (("p", plain), ("r", robust))}
    assert auroc["r"] > auroc["p"]
    decisions = robust.detect(left.test)
    assert decisions.is_anomaly[left.labels == 0].mean() < 0.15
    assert decisions.is_anomaly[left.labels == 1].mean() > plain.detect(left.test).is_anomaly[left.labels == 1].mean()


def test_clean_data_loses_little(breast_cancer: OneClass) -> None:
    robust = Detector("table", expected_anomalies=0.05, training=QUICK).fit(breast_cancer.train)
    train = len(robust.split_.train) + np.isin(robust.set_aside_, robust.split_.calibration, invert=True).sum()
    assert len(robust.set_aside_) <= 0.05 * train + 0.05 * len(breast_cancer.train)
    assert roc_auc_score(breast_cancer.labels, robust.anomaly_scores(breast_cancer.test)) > 0.9


def test_groups_references_and_images_work_too(tmp_path) -> None:  # type: ignore[no-untyped-def]
    digits = load_digits()
    X = digits.images[digits.target == 0].astype(np.float32) / 16
    X = np.concatenate([X[:120], digits.images[digits.target == 5][:6].astype(np.float32) / 16])
    detector = Detector(
        "image", expected_anomalies=0.05, reference_fraction=0.1, training=QUICK, calibration_fraction=0.3
    ).fit(X, groups=np.arange(len(X)) // 2)
    assert len(detector.set_aside_) > 0
    path = save(detector, tmp_path / "robust.unalike")
    again = load(path)
    np.testing.assert_array_equal(again.set_aside_, detector.set_aside_)
    np.testing.assert_array_equal(again.anomaly_scores(X), detector.anomaly_scores(X))


def test_the_same_seed_sets_the_same_rows_aside(breast_cancer: OneClass) -> None:
    made = [Detector("table", expected_anomalies=0.05, training=QUICK).fit(breast_cancer.train) for _ in range(2)]
    np.testing.assert_array_equal(made[0].set_aside_, made[1].set_aside_)
    np.testing.assert_array_equal(made[0].calibration_scores_, made[1].calibration_scores_)


# Labelled anomalies


def test_labelled_anomalies_help_the_trained_network(breast_cancer: OneClass) -> None:
    known = breast_cancer.test[breast_cancer.labels == 1][:40]
    left = np.setdiff1d(np.arange(len(breast_cancer.labels)), np.flatnonzero(breast_cancer.labels == 1)[:40])
    training = Training(steps=150, batch_size=128)
    auroc = []
    for anomalies in (None, known):
        detector = Detector("table", objective="synthetic-contrast", training=training)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector.fit(breast_cancer.train, anomalies=anomalies)
        auroc.append(roc_auc_score(breast_cancer.labels[left], detector.anomaly_scores(breast_cancer.test[left])))
    assert auroc[1] > auroc[0]


def test_labelled_anomalies_train_but_are_in_no_bank(breast_cancer: OneClass) -> None:
    known = breast_cancer.test[breast_cancer.labels == 1][:10]
    plain = Detector("table", training=QUICK).fit(breast_cancer.train)
    detector = Detector("table", training=QUICK).fit(breast_cancer.train, anomalies=known)
    assert [branch.settings.name for branch in detector.branches_[len(plain.branches_) :]] == [
        "labelled",
        "labelled-quantile",
    ]
    for before, after in zip(plain.branches_, detector.branches_, strict=False):
        scorer = after.judge.scorer
        if isinstance(scorer, scorers.KNN):
            assert len(scorer.bank_) == len(before.judge.scorer.bank_)  # type: ignore[attr-defined]
        if before.history:
            assert before.history[-1]["loss"] != after.history[-1]["loss"]
    np.testing.assert_array_equal(plain.split_.train, detector.split_.train)


def test_unusable_anomalies_are_refused(breast_cancer: OneClass) -> None:
    with pytest.raises(InvalidParameter, match="`anomalies` must have a branch that trains"):
        Detector("table", objective="frozen").fit(breast_cancer.train, anomalies=breast_cancer.test[:3])
    with pytest.raises(InvalidInput, match="`anomalies` must be of the same kind"):
        Detector("table", training=QUICK).fit(breast_cancer.train, anomalies=np.zeros((3, 2)))
