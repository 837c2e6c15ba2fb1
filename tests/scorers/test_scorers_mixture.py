from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn import mixture
from sklearn.covariance import LedoitWolf

from unalike.errors import InvalidParameter
from unalike.scorers import GaussianMixture, Mahalanobis
from unalike.scorers.reference import cross_fit_scores

CENTRES = np.array([[0, 0], [9, 0], [0, 9], [9, 9.0]])
ROWS = np.random.default_rng(0).normal(size=(200, 2)) + CENTRES[np.arange(200) % 4]
QUERIES = np.random.default_rng(1).uniform(-5, 15, size=(40, 2))


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_scores_are_minus_the_log_density_of_the_mixture(covariance: str) -> None:
    scorer = GaussianMixture(n_components=3, covariance=covariance).fit(ROWS, reference=ROWS[:2])  # type: ignore[arg-type]
    density = np.zeros(len(QUERIES))
    for number, (weight, mean) in enumerate(zip(scorer.weights_, scorer.means_, strict=True)):
        factor = scorer.precisions_cholesky_ if covariance == "tied" else scorer.precisions_cholesky_[number]
        factor = np.diag(factor) if covariance == "diag" else factor
        density += weight * multivariate_normal.pdf(QUERIES, mean, np.linalg.inv(factor @ factor.T))
    np.testing.assert_allclose(scorer.score(QUERIES), -np.log(density), rtol=1e-9)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_the_fit_is_scikit_learns(covariance: str) -> None:
    scorer = GaussianMixture(n_components=4, covariance=covariance, regularization=1e-6).fit(ROWS)  # type: ignore[arg-type]
    theirs = mixture.GaussianMixture(4, covariance_type=covariance, random_state=0, tol=1e-6).fit(ROWS)
    np.testing.assert_allclose(scorer.score(QUERIES), -theirs.score_samples(QUERIES), rtol=1e-2)


def test_one_component_orders_rows_as_mahalanobis_does() -> None:
    g = np.random.default_rng(0)
    rows, queries = g.normal(size=(40, 6)) @ g.normal(size=(6, 6)), g.normal(size=(90, 6)) * 3
    mine = GaussianMixture(n_components=1).fit(rows).score(queries)
    np.testing.assert_array_equal(np.argsort(mine), np.argsort(Mahalanobis().fit(rows).score(queries)))


def test_the_criterion_finds_the_clusters() -> None:
    assert len(GaussianMixture().fit(ROWS).weights_) == 4
    assert len(GaussianMixture().fit(ROWS[::4]).weights_) == 1


def test_a_covariance_each_is_taken_where_the_clusters_differ() -> None:
    g = np.random.default_rng(0)
    crossed = np.concatenate([g.normal(size=(200, 2)) * [4, 0.5], g.normal(size=(200, 2)) * [0.5, 4] + [30, 0]])
    scorer = GaussianMixture().fit(crossed)
    assert scorer.covariance_ == "full"
    assert len(scorer.weights_) == 2
    assert GaussianMixture().fit(ROWS).covariance_ == "tied"


@pytest.mark.parametrize("n", [2, 5, 20, 45])
def test_fewer_rows_than_columns_do(n: int) -> None:
    g = np.random.default_rng(0)
    basis = g.normal(size=(4, 40))
    rows, held = g.normal(size=(n, 4)) @ basis, g.normal(size=(30, 4)) @ basis
    scorer = GaussianMixture().fit(rows)
    assert np.isfinite(scorer.reference_scores_).all()
    across = held + 3 * g.normal(size=(30, 40))
    assert scorer.score(across).min() > np.median(scorer.score(held))


def test_few_rows_make_few_components() -> None:
    assert len(GaussianMixture().fit(ROWS[:19]).weights_) == 1
    assert len(GaussianMixture(n_components=9).fit(ROWS[:3]).weights_) == 3


@pytest.mark.parametrize("settings", [{}, {"n_components": 5}, {"n_components": 5, "covariance": "diag"}])
def test_copies_and_equal_rows_do(settings: dict[str, object]) -> None:
    """Also: no warning of scikit-learn's that fewer rows differ than there are components."""
    for rows in (np.repeat(ROWS[:3], 10, axis=0), np.ones((8, 2))):
        scorer = GaussianMixture(**settings).fit(rows)  # type: ignore[arg-type]
        assert np.isfinite(scorer.reference_scores_).all()
        assert scorer.score(rows[:1] + 50.0)[0] > scorer.score(rows).max()


def test_units_do_not_matter() -> None:
    one, other = GaussianMixture().fit(ROWS), GaussianMixture().fit(ROWS * 1e4 + 1e5)
    expected = one.score(QUERIES) + 2 * np.log(1e4)
    np.testing.assert_allclose(other.score(QUERIES * 1e4 + 1e5), expected, rtol=1e-6)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_far_rows_are_finite_and_keep_their_order(covariance: str) -> None:
    scorer = GaussianMixture(n_components=3, covariance=covariance).fit(ROWS)  # type: ignore[arg-type]
    scores = scorer.score(10.0 ** np.arange(2, 100)[:, None] * np.ones((1, 2)))
    assert (np.diff(scores) > 0).all()
    assert np.isfinite(scorer.score(np.full((1, 2), -1e300))).all()


def test_reference_scores_are_cross_fitted_with_the_chosen_number() -> None:
    scorer = GaussianMixture().fit(ROWS, groups=np.arange(200) // 4)
    fixed = replace(scorer, n_components=4, covariance="tied")
    np.testing.assert_array_equal(scorer.reference_scores_, cross_fit_scores(fixed, ROWS, np.arange(200) // 4))


def test_most_rows_bound_the_fit() -> None:
    one = GaussianMixture(most_rows=21).fit(ROWS[:101], groups=np.arange(101))
    other = GaussianMixture().fit(ROWS[:101:5])
    np.testing.assert_array_equal(one.score(QUERIES), other.score(QUERIES))
    assert one.reference_scores_.shape == (21,)


@pytest.mark.parametrize(
    "settings",
    [{"n_components": 0}, {"covariance": "spherical"}, {"regularization": 0.0}, {"most_rows": 0}, {"seed": -1}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        GaussianMixture(**settings)  # type: ignore[arg-type]


def test_one_component_has_the_shrunk_covariance() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 4)) * [1, 2, 3, 4]
    twin = LedoitWolf().fit(rows)
    expected = -multivariate_normal.logpdf(rows, twin.location_, twin.covariance_)
    np.testing.assert_allclose(GaussianMixture(n_components=1).fit(rows).score(rows), expected, rtol=1e-6)
