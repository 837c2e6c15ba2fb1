from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from unalike.scorers import Mahalanobis


def test_it_equals_scikit_learns_distance_under_the_same_shrinkage() -> None:
    rng = np.random.default_rng(0)
    rows, other = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(20, 5))
    twin = LedoitWolf().fit(rows)
    np.testing.assert_allclose(Mahalanobis().fit(rows).score(other) ** 2, twin.mahalanobis(other), rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_rows_than_columns_still_give_finite_distances(n: int) -> None:
    rows = np.random.default_rng(0).normal(size=(n, 9))
    scorer = Mahalanobis().fit(rows)
    assert scorer.score(rows + 3.0).min() > scorer.score(rows).max()
    assert np.isfinite(scorer.reference_scores_).all()


def test_a_constant_column_does_not_break_it() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    rows[:, 1] = 4.0
    scores = Mahalanobis().fit(rows).score(rows)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


def test_rows_far_beyond_have_finite_distances_in_order() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    scores = Mahalanobis().fit(rows).score(10.0 ** np.array([[2], [10], [100], [300]]) * np.ones((1, 3)))
    assert np.isfinite(scores).all()
    assert (np.diff(scores) > 0).all()
