from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from unalike.errors import InvalidParameter
from unalike.scorers import KNN, LocalKNN

RNG = np.random.default_rng(0)
DENSE, SPARSE = RNG.normal(size=(80, 3)) * 0.1, RNG.normal(size=(80, 3)) + 8
BANK = np.concatenate([DENSE, SPARSE])
NEW = np.concatenate([RNG.normal(size=(20, 3)) * 0.3, RNG.normal(size=(20, 3)) * 1.5 + 8])


def slow(bank, rows, k, power, groups=None):
    def mean(row, left, count):
        distances = np.sort(np.linalg.norm(bank[left] - row, axis=1))[:count]
        return distances.mean()

    groups = np.arange(len(bank)) if groups is None else groups
    local = np.array([mean(row, groups != groups[i], k) for i, row in enumerate(bank)])
    scores = []
    for row in rows:
        distances = np.linalg.norm(bank - row, axis=1)
        nearest = np.argsort(distances)[:k]
        usual = max(local[nearest].mean(), 0.1 * np.median(local))
        scores.append(distances[nearest].mean() * (np.median(local) / usual) ** power)
    return np.array(scores), local


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", [1, 4])
def test_scores_are_those_of_the_formula(power, k):
    scorer = LocalKNN(k=k, power=power).fit(BANK)
    scores, local = slow(BANK, NEW, k, power)
    np.testing.assert_allclose(scorer.local_, local, rtol=1e-9)
    np.testing.assert_allclose(scorer.score(NEW), scores, rtol=1e-9)


def test_without_power_it_is_the_mean_distance():
    np.testing.assert_array_equal(
        LocalKNN(k=5, power=0.0, metric="cosine").fit(BANK).score(NEW),
        KNN(k=5, metric="cosine", distance="mean").fit(BANK).score(NEW),
    )


def test_with_full_power_it_is_the_simplified_local_outlier_factor():
    k = 5
    trees = NearestNeighbors(n_neighbors=k).fit(BANK)
    local = trees.kneighbors()[0].mean(axis=1)
    distances, positions = trees.kneighbors(NEW)
    factor = distances.mean(axis=1) / local[positions].mean(axis=1)
    scorer = LocalKNN(k=k, power=1.0).fit(BANK)
    np.testing.assert_allclose(scorer.score(NEW) / scorer.unit_, factor, rtol=1e-9)


def test_the_same_distance_counts_more_where_rows_lie_dense():
    beside = np.array([[0.8, 0.0, 0.0], [8.8, 8.0, 8.0]])
    near, far = LocalKNN(k=3, power=0.0).fit(BANK).score(beside)
    assert near == pytest.approx(far, rel=0.5)
    near, far = LocalKNN(k=3, power=0.5).fit(BANK).score(beside)
    assert near > 2 * far


def test_reference_scores_leave_out_the_row_and_its_group():
    groups = np.repeat(np.arange(40), 4)
    scorer = LocalKNN(k=3).fit(BANK, groups=groups)
    np.testing.assert_allclose(scorer.local_, slow(BANK, NEW, 3, 0.5, groups)[1], rtol=1e-9)
    others = BANK[groups != 7]
    distances = np.sort(np.linalg.norm(others - BANK[28], axis=1))[:3]
    usual = scorer.local_[groups != 7][np.argsort(np.linalg.norm(others - BANK[28], axis=1))[:3]].mean()
    assert scorer.reference_scores_[28] == pytest.approx(distances.mean() * (scorer.unit_ / usual) ** 0.5)


def test_copies_give_finite_scores():
    rows = np.concatenate([np.repeat(BANK[:1], 30, axis=0), BANK])
    scorer = LocalKNN(k=3).fit(rows)
    assert scorer.score(BANK[:1])[0] == 0.0
    assert np.isfinite(scorer.score(NEW)).all()
    assert np.isfinite(LocalKNN(k=3).fit(rows[:1]).score(NEW)).all()


def test_added_rows_equal_a_new_fit():
    whole, grown = LocalKNN(k=3).fit(BANK, NEW), LocalKNN(k=3).fit(BANK[:100], NEW).add(BANK[100:], NEW)
    np.testing.assert_allclose(grown.score(NEW), whole.score(NEW), rtol=1e-12)
    np.testing.assert_allclose(grown.reference_scores_, whole.reference_scores_, rtol=1e-12)


def test_absorbed_rows_are_scored_without_themselves_and_leave_again():
    scorer = LocalKNN(k=3).fit(BANK[:100])
    unit, reference = scorer.unit_, scorer.reference_scores_
    absorbed = scorer.absorb(BANK[100:])
    assert (scorer.unit_, scorer.absorbed_) == (unit, 60)
    np.testing.assert_array_equal(scorer.reference_scores_, reference)
    whole = LocalKNN(k=3).fit(BANK)
    np.testing.assert_allclose(absorbed, whole.reference_scores_[100:] * (unit / whole.unit_) ** 0.5, rtol=1e-9)
    np.testing.assert_allclose(scorer.score(NEW), whole.score(NEW) * (unit / whole.unit_) ** 0.5, rtol=1e-9)
    again = LocalKNN(k=3)
    again.restore(scorer.state())
    np.testing.assert_array_equal(again.score(NEW), scorer.score(NEW))
    full = LocalKNN(k=3, most_rows=100).fit(BANK[:100])
    before = full.score(BANK[100:])
    np.testing.assert_array_equal(full.absorb(BANK[100:]), before)
    grown = scorer.add(BANK[100:])
    np.testing.assert_allclose(grown.score(NEW), whole.score(NEW), rtol=1e-12)


@pytest.mark.parametrize("settings", [{"power": 1.5}, {"power": -0.1}, {"k": 0}, {"k": 0.1}, {"metric": "l1"}])
def test_settings_out_of_range(settings):
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        LocalKNN(**settings)
