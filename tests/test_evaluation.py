from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from unalike.errors import InvalidInput, InvalidParameter
from unalike.evaluation import Estimate, Evaluation, _Ranked, _resamples, evaluate, table


def sample(n: int, *, ties: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    labels = (np.arange(n) % 5 == 0).astype(int)
    scores = g.normal(size=n) + labels
    return (scores.round() if ties else scores), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [5, 37, 400])
def test_equals_scikit_learn(n: int, ties: bool) -> None:
    scores, labels = sample(n, ties=ties)
    found = evaluate(scores, labels, n_bootstrap=0, false_alarm_rate=0.1)
    assert found.auroc.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found.auprc.value == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.recall_at_rate.value == pytest.approx(true[false <= 0.1 + 1e-12].max(), abs=1e-12)
    if not ties:
        flagged = scores >= np.sort(scores)[-labels.sum()]
        assert found.f1.value == pytest.approx(f1_score(labels, flagged), abs=1e-12)


def ranked(scores: np.ndarray, labels: np.ndarray, flagged: np.ndarray | None = None) -> tuple[_Ranked, np.ndarray]:
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(scores[order][1:] != scores[order][:-1], True))
    return _Ranked(normal=labels[order] == 0, ends=ends, flagged=flagged, rate=0.2), order


@pytest.mark.parametrize("ties", [False, True])
def test_counts_equal_scikit_learns_weights_and_repeated_rows(ties: bool) -> None:
    scores, labels = sample(60, ties=ties)
    ranking, order = ranked(scores, labels)
    counts = np.concatenate(list(_resamples(ranking.normal, 25, seed=1)))
    found = ranking.metrics(counts)
    for row, weights in enumerate(counts):
        truth, values = labels[order], scores[order]
        assert found["auroc"][row] == pytest.approx(roc_auc_score(truth, values, sample_weight=weights), abs=1e-12)
        kept = weights > 0
        precision = average_precision_score(truth[kept], values[kept], sample_weight=weights[kept])
        assert found["auprc"][row] == pytest.approx(precision, abs=1e-12)
        again = evaluate(values.repeat(weights), truth.repeat(weights), n_bootstrap=0, false_alarm_rate=0.2)
        for name in found:
            assert found[name][row] == pytest.approx(getattr(again, name).value, abs=1e-12)


def test_resamples_are_stratified_and_bounded_and_reach_every_row() -> None:
    normal = np.arange(3000) % 3 > 0
    blocks = list(_resamples(normal, 1000, seed=0))
    assert max(block.size for block in blocks) <= 1_000_000
    counts = np.concatenate(blocks)
    assert counts.shape == (1000, 3000)
    assert (counts[:, normal].sum(axis=1) == 2000).all()
    assert (counts[:, ~normal].sum(axis=1) == 1000).all()
    assert counts.mean(axis=0) == pytest.approx(1.0, abs=0.2)
    # A multinomial count of many equal cells has variance 1 - 1 / cells.
    assert counts[:, normal].var() == pytest.approx(1 - 1 / 2000, rel=0.01)


def test_ties_at_the_edge_count_by_their_expectation() -> None:
    """Two places are left for four tied samples, one of which is an anomaly."""
    scores = np.array([9.0, 5.0, 5.0, 5.0, 5.0, 1.0])
    labels = np.array([1, 1, 0, 0, 0, 1])
    g = np.random.default_rng(0)
    drawn = [labels[np.lexsort((g.random(6), -scores))[:3]].mean() for _ in range(4000)]
    found = evaluate(scores, labels, n_bootstrap=0).f1.value
    assert found == pytest.approx((1 + 2 / 4) / 3)
    assert found == pytest.approx(np.mean(drawn), abs=3 * np.std(drawn) / np.sqrt(4000))


def test_recall_at_a_rate_allows_no_more_false_alarms() -> None:
    normals, anomalies = np.arange(20.0), np.array([19.5, 19.0, 18.5, 17.5, 3.0])
    scores, labels = np.concatenate([normals, anomalies]), np.repeat([0, 1], [20, 5])
    for rate, recall in ((0.04, 1 / 5), (0.05, 3 / 5), (0.0999, 3 / 5), (0.1, 4 / 5)):
        assert evaluate(scores, labels, n_bootstrap=0, false_alarm_rate=rate).recall_at_rate.value == recall


def test_a_rate_of_whole_false_alarms_survives_floating_point() -> None:
    """0.29 * 100 is 28.999... in floating point, yet 29 false alarms are allowed."""
    normals, anomalies = np.arange(100.0), np.array([70.5, 71.5])
    scores, labels = np.concatenate([normals, anomalies]), np.repeat([0, 1], [100, 2])
    assert evaluate(scores, labels, n_bootstrap=0, false_alarm_rate=0.29).recall_at_rate.value == 1.0


def test_realised_rates_of_decisions() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = evaluate(np.arange(6), labels, is_anomaly=np.array([0, 1, 0, 0, 0, 1], dtype=bool))
    assert found.realised_rate is not None
    assert found.realised_recall is not None
    assert (found.realised_rate.value, found.realised_recall.value) == (0.25, 0.5)
    assert found.realised_rate.low == 0.0
    assert found.realised_rate.high >= 0.5
    assert evaluate(np.arange(6), labels).realised_rate is None


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Normals N(0, 1), anomalies N(1, 1): the true AUROC is the normal cdf of 1 / sqrt(2)."""
    covered = []
    for seed in range(200):
        g = np.random.default_rng(seed)
        scores, labels = np.concatenate([g.normal(size=100), g.normal(size=60) + 1]), np.repeat([0, 1], [100, 60])
        auroc = evaluate(scores, labels, n_bootstrap=200, seed=seed).auroc
        covered.append(auroc.low <= 0.7602499389 <= auroc.high)
    # 3 standard errors of a share of .95 over 200 draws, and 2 points for the percentile method.
    assert 0.95 - 0.046 - 0.02 <= np.mean(covered) <= 0.99


def test_interval_of_the_auroc_is_as_wide_as_delongs() -> None:
    scores, labels = sample(500, ties=False)
    a, b = scores[labels == 1], scores[labels == 0]
    wins = (a[:, None] > b).astype(float)
    deviation = np.sqrt(wins.mean(axis=1).var(ddof=1) / len(a) + wins.mean(axis=0).var(ddof=1) / len(b))
    auroc = evaluate(scores, labels, n_bootstrap=2000).auroc
    assert auroc.high - auroc.low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_order_and_units_do_not_matter(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    if labels.all() or not labels.any():
        return
    plain = evaluate(scores, labels, n_bootstrap=0)
    for name, estimate in evaluate(2 * scores[::-1] - 7, labels[::-1], n_bootstrap=0).estimates().items():
        assert estimate.value == pytest.approx(plain.estimates()[name].value, abs=1e-12)
        assert 0.0 <= estimate.value <= 1.0


def test_infinite_scores_tie_with_each_other() -> None:
    found = evaluate(np.array([np.inf, np.inf, 0.0, -np.inf]), np.array([1, 0, 1, 0]), n_bootstrap=0)
    assert found.auroc.value == (0.5 + 1 + 0 + 1) / 4


def test_the_seed_decides() -> None:
    scores, labels = sample(100, ties=False)
    assert evaluate(scores, labels, seed=1) == evaluate(scores, labels, seed=1)
    assert evaluate(scores, labels, seed=1).auroc != evaluate(scores, labels, seed=2).auroc


def test_ten_thousand_rows_and_a_thousand_resamples_are_quick() -> None:
    scores, labels = sample(10_000, ties=False)
    start = time.process_time()
    evaluate(scores, labels)
    assert time.process_time() - start < 15.0


def test_to_dict_is_flat_and_ready_for_json() -> None:
    scores, labels = sample(50, ties=False)
    row = evaluate(scores, labels, is_anomaly=scores > 1, n_bootstrap=20).to_dict()
    assert json.loads(json.dumps(row)) == row
    assert (row["n_normal"], row["n_anomalies"], row["rate"]) == (40, 10, 0.05)
    for name in ("auroc", "auprc", "f1", "recall_at_rate", "realised_rate", "realised_recall"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_tables() -> None:
    def made(value: float, realised: Estimate | None) -> Evaluation:
        same = Estimate(value=value, low=value - 0.05, high=value + 0.05)
        return Evaluation(
            n_normal=90, n_anomalies=10, rate=0.05, auroc=same, auprc=same, f1=same, recall_at_rate=same,
            realised_rate=realised,
        )  # fmt: skip

    trained, floor = made(0.9, Estimate(value=0.04, low=0.01, high=0.08)), made(0.8, None)
    assert table({"trained": trained, "untrained": floor}).splitlines() == [
        "90 normal, 10 anomalous      trained               untrained",
        "AUROC                        0.900 [0.850, 0.950]  0.800 [0.750, 0.850]",
        "AUPRC                        0.900 [0.850, 0.950]  0.800 [0.750, 0.850]",
        "F1 at the true rate          0.900 [0.850, 0.950]  0.800 [0.750, 0.850]",
        "recall at 0.05 false alarms  0.900 [0.850, 0.950]  0.800 [0.750, 0.850]",
        "realised false-alarm rate    0.040 [0.010, 0.080]  -",
    ]
    assert floor.table().splitlines()[1].split() == ["AUROC", "0.800", "[0.750,", "0.850]"]


@pytest.mark.parametrize(
    ("scores", "labels", "told"),
    [
        ([1.0, 2.0], [0, 0], "got 2 normal samples only"),
        ([1.0, 2.0], [1, 1], "got 2 anomalies only"),
        ([], [], "got 0 normal samples only"),
        ([1.0, 2.0], [0], r"`labels` must have one value per score, 2; got shape \(1,\)"),
        ([1.0, np.nan], [0, 1], "`scores` must be one number per sample, not NaN"),
        ([1.0, 2.0], [-1, 1], "`labels` must be 1 or True"),
        ([1.0, 2.0], ["a", "b"], "`labels` must be 1 or True"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores: list[float], labels: list[object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        evaluate(np.array(scores), np.array(labels))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="`false_alarm_rate` must be above 0 and below 1; got 5"):
        evaluate(np.arange(2), np.arange(2), false_alarm_rate=5)
    with pytest.raises(InvalidParameter, match="`n_bootstrap` must be at least 0; got -1"):
        evaluate(np.arange(2), np.arange(2), n_bootstrap=-1)
    with pytest.raises(InvalidInput, match="`is_anomaly` must have one value per score"):
        evaluate(np.arange(2), np.arange(2), is_anomaly=np.array([True]))
