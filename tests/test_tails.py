from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unalike.errors import InvalidInput
from unalike.tails import tail_scores

REFERENCE = np.random.default_rng(0).gamma(2.0, size=99)


def test_at_reference_scores_it_is_the_log_of_the_tail_share() -> None:
    shares = (1 + np.arange(99, 0, -1)) / 100
    np.testing.assert_allclose(tail_scores(np.sort(REFERENCE), REFERENCE), -np.log(shares), rtol=1e-12)


def test_ties_count_all() -> None:
    reference = np.array([1.0, 1.0, 2.0, 2.0, 2.0, 5.0, 5.0])
    np.testing.assert_allclose(tail_scores(np.array([1.0, 2.0, 5.0]), reference), -np.log(np.array([8, 6, 3]) / 8))


def test_between_reference_scores_the_count_is_interpolated() -> None:
    np.testing.assert_allclose(tail_scores(np.array([1.5]), np.array([1.0, 2.0, 3.0])), -np.log([(1 + 2.5) / 4]))


def test_past_the_largest_it_grows_with_the_excess() -> None:
    median, high = np.quantile(REFERENCE, [0.5, 0.95])
    scores = REFERENCE.max() + np.array([1e-9, 1.0, 10.0])
    expected = np.log(100) + np.log1p((scores - REFERENCE.max()) / (high - median))
    np.testing.assert_allclose(tail_scores(scores, REFERENCE), expected, rtol=1e-12)


def test_the_usual_end_is_zero() -> None:
    assert tail_scores(np.array([-np.inf, -1e300, REFERENCE.min()]), REFERENCE).max() == 0.0


numbers = st.integers(-1000, 1000).map(lambda value: value / 8)


@given(st.lists(numbers, min_size=1, max_size=40), st.lists(numbers, min_size=2, max_size=40))
def test_never_falls_and_is_never_negative(reference: list[float], scores: list[float]) -> None:
    tails = tail_scores(np.sort(scores), np.array(reference))
    assert (np.diff(tails) >= -1e-12).all()
    assert (tails >= 0).all()
    assert np.isfinite(tails).all()


@given(st.lists(numbers, min_size=2, max_size=40), st.lists(numbers, min_size=1, max_size=20))
def test_units_do_not_matter(reference: list[float], scores: list[float]) -> None:
    """Where the reference scores differ; if all are equal they tell no scale."""
    if len(set(reference)) > 1:
        plain = tail_scores(np.array(scores), np.array(reference))
        stretched = tail_scores(np.array(scores) * 64 + 1024, np.array(reference) * 64 + 1024)
        np.testing.assert_allclose(stretched, plain, rtol=1e-9, atol=1e-9)


@given(st.lists(numbers, min_size=1, max_size=20), st.lists(numbers, min_size=1, max_size=10))
def test_the_order_of_the_reference_does_not_matter(reference: list[float], scores: list[float]) -> None:
    backwards = tail_scores(np.array(scores), np.array(reference[::-1]))
    np.testing.assert_array_equal(tail_scores(np.array(scores), np.array(reference)), backwards)


@pytest.mark.parametrize("reference", [[0.0], [0.0, 0.0, 0.0], [7.0] * 30])
def test_constant_reference_scores_keep_strong_anomalies_in_order(reference: list[float]) -> None:
    tails = tail_scores(np.array([0.0, 7.0, 8.0, 9.0, 100.0]), np.array(reference))
    assert np.isfinite(tails).all()
    assert (np.diff(tails[1:]) > 0).all()


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one score"):
        tail_scores(np.zeros(3), np.zeros(0))
