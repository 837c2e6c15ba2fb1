from __future__ import annotations

import numpy as np
import pytest
from sklearn import svm

from unalike.errors import InvalidParameter
from unalike.scorers import KernelDensity, OneClassSVM

ROWS = np.random.default_rng(0).normal(size=(200, 3))
QUERIES = np.random.default_rng(1).normal(size=(50, 3)) * 2


@pytest.mark.parametrize(("nu", "gamma"), [(0.1, 0.5), (0.5, "scale"), (0.9, 0.3)])
def test_is_scikit_learns_machine_on_a_log_scale(nu: float, gamma: float | str) -> None:
    rows = ROWS - ROWS.mean(axis=0)  # where scikit-learn's "scale" is the same
    theirs = svm.OneClassSVM(nu=nu, gamma=gamma, tol=1e-8).fit(rows)
    mine = OneClassSVM(nu=nu, gamma=gamma).fit(rows)  # type: ignore[arg-type]
    expected = np.log(theirs.offset_) - np.log(theirs.score_samples(QUERIES))
    np.testing.assert_allclose(mine.score(QUERIES), expected, atol=1e-4)
    np.testing.assert_array_equal(mine.score(QUERIES) > 0, theirs.predict(QUERIES) == -1)


@pytest.mark.parametrize("nu", [0.05, 0.3, 0.8])
def test_nu_bounds_the_rows_outside_and_the_support(nu: float) -> None:
    scorer = OneClassSVM(nu=nu).fit(ROWS)
    assert (scorer.score(ROWS) > 1e-4).mean() <= nu
    assert len(scorer.support_) >= nu * len(ROWS)


def test_near_nu_1_every_row_counts_alike() -> None:
    scorer = OneClassSVM(nu=1.0 - 1e-9, gamma=0.5).fit(ROWS)
    density = KernelDensity(bandwidth=1.0).fit(ROWS)
    np.testing.assert_array_equal(np.argsort(scorer.score(QUERIES)), np.argsort(density.score(QUERIES)))


def test_far_rows_keep_their_order_where_the_plain_sum_is_0() -> None:
    far = np.concatenate([np.arange(4, 3000, 4.0), 10.0 ** np.arange(4, 140)])[:, None] * np.ones((1, 3))
    scorer = OneClassSVM(gamma=1.0).fit(ROWS)
    scores = scorer.score(far)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) > 0).all()
    assert np.isfinite(scorer.score(np.full((1, 3), 1e300))).all()


def test_origin_and_unit_do_not_matter() -> None:
    one, other = OneClassSVM().fit(ROWS), OneClassSVM().fit(ROWS * 100 + 1000)
    np.testing.assert_allclose(other.score(QUERIES * 100 + 1000), one.score(QUERIES), atol=1e-4)


def test_equal_rows_do() -> None:
    scorer = OneClassSVM().fit(np.ones((6, 3)))
    assert np.isfinite(scorer.reference_scores_).all()
    assert scorer.score(np.full((1, 3), 5.0))[0] > scorer.score(np.ones((1, 3)))[0]


def test_most_rows_are_evenly_spaced() -> None:
    one = OneClassSVM(most_rows=21).fit(ROWS[:101], groups=np.arange(101) // 2)
    other = OneClassSVM().fit(ROWS[:101:5])
    np.testing.assert_array_equal(one.score(QUERIES), other.score(QUERIES))
    assert one.reference_scores_.shape == (21,)


@pytest.mark.parametrize(
    "settings",
    [
        {"nu": 0.0},
        {"nu": 1.0},
        {"nu": True},
        {"gamma": 0.0},
        {"gamma": "auto"},
        {"gamma": float("inf")},
        {"most_rows": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        OneClassSVM(**settings)  # type: ignore[arg-type]
