from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from unalike.scorers.kernel import in_fixed_order, log_kernel_sums, log_sum_exp, spread, squared_distances


def test_log_sum_exp_is_scipys_and_knows_nothing_left() -> None:
    exponents = np.random.default_rng(0).normal(size=(5, 7)) * 1000
    exponents[2] = -np.inf
    np.testing.assert_allclose(log_sum_exp(exponents), logsumexp(exponents, axis=1), rtol=1e-14)


@pytest.mark.parametrize("numbers", [1, 40, 2**22])
def test_sums_are_those_of_a_loop_however_they_are_cut(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unalike.scorers.kernel._NUMBERS_AT_ONCE", numbers)
    g = np.random.default_rng(0)
    rows, bank, weights = g.normal(size=(9, 3)), g.normal(size=(11, 3)), g.random(11)
    groups = np.arange(9) % 3, np.arange(11) % 3
    expected = [
        np.log(
            sum(
                w * np.exp(-((x - y) ** 2).sum() / 1.7)
                for y, w, h in zip(bank, weights, groups[1], strict=True)
                if h != own
            )
        )
        for x, own in zip(rows, groups[0], strict=True)
    ]
    np.testing.assert_allclose(log_kernel_sums(rows, bank, np.log(weights), 1.7, own=groups), expected, rtol=1e-12)


def test_spread_is_the_root_of_the_mean_variance() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3)) * [1, 2, 30] + 1e6
    assert spread(rows) == pytest.approx(np.sqrt(rows.var(axis=0).mean()), rel=1e-9)
    assert spread(rows * 1e200) == pytest.approx(spread(rows) * 1e200, rel=1e-9)
    assert spread(np.full((7, 2), 0.1)) == 0.0


def test_squares_stay_finite() -> None:
    assert np.isfinite(squared_distances(np.array([[1e300]]), np.array([[-1e300]]))).all()


def test_fixed_order_does_not_depend_on_the_given_one() -> None:
    rows = np.random.default_rng(0).integers(0, 3, size=(30, 4)).astype(np.float64)
    ordered = in_fixed_order(rows)
    np.testing.assert_array_equal(in_fixed_order(rows[::-1]), ordered)
    np.testing.assert_array_equal(np.unique(ordered, axis=0), np.unique(rows, axis=0))
