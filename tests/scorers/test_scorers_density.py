from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde, multivariate_normal
from sklearn import neighbors

from unalike.errors import InvalidParameter
from unalike.scorers import KernelDensity

ROWS = np.random.default_rng(0).normal(size=(120, 3)) * [1.0, 2.0, 0.5]
QUERIES = np.random.default_rng(1).normal(size=(30, 3)) * 2


@pytest.mark.parametrize("bandwidth", [0.3, 1, 25.0])
def test_is_scikit_learns_density_with_the_sign_turned(bandwidth: float) -> None:
    theirs = neighbors.KernelDensity(bandwidth=bandwidth).fit(ROWS)
    np.testing.assert_allclose(
        KernelDensity(bandwidth=bandwidth).fit(ROWS).score(QUERIES), -theirs.score_samples(QUERIES), rtol=1e-8
    )


def test_rules_of_thumb_are_scipys_factors_in_units_of_the_spread() -> None:
    theirs, unit = gaussian_kde(ROWS.T), np.sqrt(ROWS.var(axis=0).mean())
    assert KernelDensity(bandwidth="scott").fit(ROWS).bandwidth_ == pytest.approx(theirs.scotts_factor() * unit)
    assert KernelDensity(bandwidth="silverman").fit(ROWS).bandwidth_ == pytest.approx(theirs.silverman_factor() * unit)


def left_out(bandwidth: float, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Slow twin: the density of each row by those of other groups."""
    scores = []
    for row, own in zip(rows, groups, strict=True):
        scores.append(-np.log(multivariate_normal.pdf(rows[groups != own], row, bandwidth**2).mean()))
    return np.array(scores)


@pytest.mark.parametrize("per_group", [1, 3])
def test_reference_scores_leave_out_the_row_or_its_group(per_group: int) -> None:
    groups = np.arange(60) // per_group
    scorer = KernelDensity(bandwidth=0.7).fit(ROWS[:60], groups=groups)
    np.testing.assert_allclose(scorer.reference_scores_, left_out(0.7, ROWS[:60], groups), rtol=1e-9)


def test_the_bandwidth_makes_left_out_rows_most_likely() -> None:
    scorer = KernelDensity().fit(ROWS[:60])
    groups = np.arange(60)

    def trimmed(bandwidth: float) -> float:
        return np.sort(left_out(bandwidth, ROWS[:60], groups))[:57].mean()

    chosen = scorer.bandwidth_
    assert trimmed(chosen) <= min(trimmed(chosen * 2**0.5), trimmed(chosen / 2**0.5))
    assert trimmed(chosen) < min(trimmed(chosen * 4), trimmed(chosen / 4))


def test_a_few_anomalies_do_not_widen_it() -> None:
    g = np.random.default_rng(0)
    rows = g.normal(size=(300, 4))
    mixed = np.concatenate([rows, g.normal(size=(9, 4)) * 3 + 40])
    assert KernelDensity().fit(mixed).bandwidth_ <= 1.5 * KernelDensity().fit(rows).bandwidth_


def test_far_rows_are_finite_and_keep_their_order() -> None:
    """exp(-d^2) is 0 in float64 from 27 bandwidths on."""
    far = np.concatenate([np.arange(5, 3000, 5.0), 10.0 ** np.arange(4, 140)])[:, None] * np.ones((1, 3))
    scores = KernelDensity(bandwidth=0.1).fit(ROWS).score(far)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) > 0).all()
    assert np.isfinite(KernelDensity().fit(ROWS).score(np.full((1, 3), 1e300))).all()


@pytest.mark.parametrize("bandwidth", ["likelihood", "scott", "silverman"])
def test_units_do_not_matter(bandwidth: str) -> None:
    one = KernelDensity(bandwidth=bandwidth).fit(ROWS)  # type: ignore[arg-type]
    other = KernelDensity(bandwidth=bandwidth).fit(ROWS * 1000)  # type: ignore[arg-type]
    np.testing.assert_allclose(other.score(QUERIES * 1000), one.score(QUERIES) + 3 * np.log(1000), rtol=1e-9)


@pytest.mark.parametrize("bandwidth", ["likelihood", "scott"])
def test_copies_and_equal_rows_leave_a_bandwidth(bandwidth: str) -> None:
    copies = np.repeat(ROWS[:10], 5, axis=0)
    equal = np.ones((6, 3))
    for rows in (copies, equal):
        scorer = KernelDensity(bandwidth=bandwidth).fit(rows)  # type: ignore[arg-type]
        assert scorer.bandwidth_ > 0.0
        assert np.isfinite(scorer.reference_scores_).all()
        assert scorer.score(rows[:1] + 9.0)[0] > scorer.score(rows).max()
    assert KernelDensity(bandwidth=bandwidth).fit(equal).bandwidth_ == 1.0  # type: ignore[arg-type]


def test_most_rows_are_evenly_spaced() -> None:
    scorer = KernelDensity(most_rows=5).fit(ROWS[:101], groups=np.arange(101) // 2)
    np.testing.assert_array_equal(scorer.bank_, ROWS[:101:25])
    assert scorer.reference_scores_.shape == (5,)


@pytest.mark.parametrize("bandwidth", [0, -1.0, float("nan"), float("inf"), "knn", None, True])
def test_bandwidths_out_of_range_are_refused(bandwidth: object) -> None:
    with pytest.raises(InvalidParameter, match="`bandwidth` must be"):
        KernelDensity(bandwidth=bandwidth)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="`most_rows` must be"):
        KernelDensity(most_rows=0)
