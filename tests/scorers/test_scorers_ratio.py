from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from unalike.errors import InvalidInput, InvalidParameter
from unalike.scorers import KNN, NeighborRatio
from unalike.scorers.build import build_scorer, takes_anomalies

RNG = np.random.default_rng(0)
NORMAL, HELD = RNG.normal(size=(2, 120, 4))
ANOMALIES = RNG.normal(size=(6, 4)) + 3.0


def slow(rows: np.ndarray, normal: np.ndarray, anomalies: np.ndarray, unit: float) -> np.ndarray:
    near, far = cdist(rows, normal).min(axis=1), cdist(rows, anomalies).min(axis=1)
    return np.log((near + unit) / (far + unit))


def test_is_the_log_ratio_of_the_nearest_distances():
    scorer = NeighborRatio().fit(NORMAL, anomalies=ANOMALIES)
    between = cdist(NORMAL, NORMAL) + np.diag(np.full(120, np.inf))
    unit = np.median(between.min(axis=1))
    assert scorer.unit_ == pytest.approx(unit, rel=1e-12)
    np.testing.assert_allclose(scorer.score(HELD), slow(HELD, NORMAL, ANOMALIES, unit), rtol=1e-9)
    left_out = [slow(NORMAL[[i]], np.delete(NORMAL, i, axis=0), ANOMALIES, unit)[0] for i in range(120)]
    np.testing.assert_allclose(scorer.reference_scores_, left_out, rtol=1e-9)


@pytest.mark.parametrize("anomalies", [None, ANOMALIES])
def test_without_log_it_is_the_ratio_itself_but_hardly_below_1(anomalies):
    log, ratio = (NeighborRatio(k=2, log=log).fit(NORMAL, anomalies=anomalies) for log in (True, False))

    def leveled(scores):
        return (1.0 + np.exp(scores) ** 8) ** (1 / 8)

    np.testing.assert_allclose(ratio.score(HELD), leveled(log.score(HELD)), rtol=1e-12)
    np.testing.assert_allclose(ratio.reference_scores_, leveled(log.reference_scores_), rtol=1e-12)
    np.testing.assert_allclose(ratio.score(1e6 * ANOMALIES), leveled(log.score(1e6 * ANOMALIES)), rtol=1e-9)
    assert (np.argsort(ratio.score(HELD)) == np.argsort(log.score(HELD))).all()
    if anomalies is not None:
        assert np.median(ratio.reference_scores_) < 1.01
        np.testing.assert_allclose(ratio.score(ANOMALIES), np.exp(log.score(ANOMALIES)), rtol=1e-3)
    np.testing.assert_allclose(ratio.absorb(HELD), leveled(log.absorb(HELD)), rtol=1e-12)
    assert NeighborRatio(k=1, log=False).robust() == NeighborRatio(k=NeighborRatio().robust().k, log=False)
    with pytest.raises(InvalidParameter, match="`log` must be True or False; got 1"):
        NeighborRatio(log=1)


def test_the_reference_is_scored_with_the_anomalies():
    scorer = NeighborRatio().fit(NORMAL, HELD, anomalies=ANOMALIES)
    np.testing.assert_array_equal(scorer.reference_scores_, scorer.score(HELD))
    assert scorer.fit(NORMAL).anomalies_ is None  # a new fit forgets them


def test_what_is_like_a_labelled_anomaly_rises_and_what_is_like_none_stays_above_the_normal_rows():
    plain, told = NeighborRatio().fit(NORMAL), NeighborRatio().fit(NORMAL, anomalies=ANOMALIES)
    alike = ANOMALIES + 0.05
    rise = told.score(alike) - told.score(HELD).mean() - (plain.score(alike) - plain.score(HELD).mean())
    assert rise.min() > 1.0
    elsewhere = told.score(np.full((1, 4), -9.0))[0]
    assert (told.reference_scores_ > elsewhere).mean() < 0.05


def test_without_anomalies_the_order_is_that_of_the_nearest_neighbour():
    ours, theirs = NeighborRatio(k=2).fit(NORMAL).score(HELD), KNN(k=2).fit(NORMAL).score(HELD)
    assert (np.argsort(ours) == np.argsort(theirs)).all()


def test_added_and_absorbed_rows_count_as_if_they_had_been_there():
    whole = NeighborRatio().fit(np.concatenate([NORMAL, HELD]), anomalies=ANOMALIES)
    grown = NeighborRatio().fit(NORMAL, anomalies=ANOMALIES).add(HELD)
    np.testing.assert_array_equal(grown.score(ANOMALIES), whole.score(ANOMALIES))
    np.testing.assert_array_equal(grown.reference_scores_, whole.reference_scores_)
    taken = NeighborRatio().fit(NORMAL, anomalies=ANOMALIES)
    unit, scores = taken.unit_, taken.absorb(HELD)
    others = [np.concatenate([NORMAL, np.delete(HELD, i, axis=0)]) for i in range(120)]
    expected = [slow(HELD[[i]], others[i], ANOMALIES, unit)[0] for i in range(120)]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_copies_give_finite_scores():
    scorer = NeighborRatio().fit(np.zeros((9, 2)), anomalies=np.zeros((2, 2)))
    assert scorer.unit_ == 1.0
    np.testing.assert_array_equal(scorer.score(np.zeros((1, 2))), [0.0])
    half = NeighborRatio().fit(np.repeat([[0.0], [4.0]], [9, 1], axis=0))
    assert half.unit_ == pytest.approx(0.4)  # the mean, where the median is 0


def test_state_keeps_the_anomalies_and_the_absorbed_rows():
    scorer = NeighborRatio(k=2).fit(NORMAL, anomalies=ANOMALIES)
    scorer.absorb(HELD)
    again = NeighborRatio(k=2)
    again.restore(scorer.state())
    np.testing.assert_array_equal(again.score(ANOMALIES), scorer.score(ANOMALIES))
    np.testing.assert_array_equal(again.add(HELD + 1.0).reference_scores_, scorer.add(HELD + 1.0).reference_scores_)


def test_settings():
    assert NeighborRatio().robust() == NeighborRatio(k=5)
    assert NeighborRatio(k=7).robust() == NeighborRatio(k=7)
    assert takes_anomalies(build_scorer("neighbor-ratio"))
    assert not takes_anomalies(KNN())
    with pytest.raises(InvalidParameter, match="`k` must be"):
        NeighborRatio(k=0)
    with pytest.raises(InvalidInput, match="`anomalies` must be finite"):
        NeighborRatio().fit(NORMAL, anomalies=np.full((1, 4), np.nan))
