from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from unalike.errors import InvalidParameter
from unalike.scorers import KNN, Centroid
from unalike.scorers.reference import cross_fit_scores


@dataclass
class Spy:
    """Remembers, through one shared list, which rows each copy was fitted on."""

    seen: list[tuple[set[float], set[float]]]

    def fit(self, embeddings, reference=None, groups=None):  # type: ignore[no-untyped-def]
        self.seen.append((set(embeddings[:, 0]), set(reference[:, 0])))
        self.reference_scores_ = reference[:, 0]
        return self


def test_every_row_is_scored_once_by_a_copy_that_has_not_seen_it() -> None:
    rows = np.arange(23.0)[:, None]
    spy = Spy([])
    np.testing.assert_array_equal(cross_fit_scores(spy, rows), rows[:, 0])
    assert len(spy.seen) == 5
    assert not hasattr(spy, "reference_scores_")
    for fitted, held in spy.seen:
        assert fitted | held == set(rows[:, 0])
        assert not fitted & held
        assert len(held) in (4, 5)


def test_groups_stay_together_and_folds_stay_even() -> None:
    sizes = [7, 1, 1, 1, 3, 3, 2, 2, 5, 5]
    groups = np.repeat(np.arange(10), sizes)
    rows = np.arange(30.0)[:, None]
    spy = Spy([])
    cross_fit_scores(spy, rows, groups=groups, folds=3)
    for fitted, held in spy.seen:
        assert not {groups[int(i)] for i in fitted} & {groups[int(i)] for i in held}
        assert 5 <= len(held) <= 15


@pytest.mark.parametrize(("n", "folds"), [(2, 2), (3, 2), (5, 2), (6, 3), (9, 4), (10, 5)])
def test_few_rows_make_fewer_folds(n: int, folds: int) -> None:
    spy = Spy([])
    cross_fit_scores(spy, np.arange(float(n))[:, None])
    assert len(spy.seen) == folds
    assert min(len(fitted) for fitted, _ in spy.seen) >= 1


def test_one_row_scores_zero() -> None:
    np.testing.assert_array_equal(cross_fit_scores(Centroid(), np.ones((1, 3))), [0.0])


def test_a_single_group_is_divided_by_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_array_equal(cross_fit_scores(KNN(), rows, groups=np.zeros(20)), cross_fit_scores(KNN(), rows))


def test_equals_fitting_by_hand() -> None:
    rows = np.random.default_rng(0).normal(size=(8, 2))
    spy = Spy([])
    cross_fit_scores(spy, rows, folds=2)
    scores = cross_fit_scores(Centroid(), rows, folds=2)
    for fitted, held in spy.seen:
        train, test = np.isin(rows[:, 0], list(fitted)), np.isin(rows[:, 0], list(held))
        np.testing.assert_array_equal(scores[test], Centroid().fit(rows[train], reference=rows[test]).reference_scores_)


def test_fewer_than_two_folds_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="at least 2; got 1"):
        cross_fit_scores(Centroid(), np.ones((3, 1)), folds=1)
