from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter
from unalike.thresholds import Conformal, benjamini_hochberg
from unalike.thresholds.multiple import discoveries


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([0.01, 0.1, 0.3, 0.7]))
def test_is_scipys(seed: int, m: int, rate: float) -> None:
    generator = np.random.default_rng(seed)
    p_values = generator.random(m) ** generator.choice([1, 4])
    expected = stats.false_discovery_control(p_values) <= rate
    np.testing.assert_array_equal(benjamini_hochberg(p_values, rate), expected)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 21), min_size=1, max_size=30), st.integers(1, 19))
def test_ties_and_whole_numbers_survive_floating_point(ranks: list[int], twentieths: int) -> None:
    """As with exact fractions: the p-values of 20 conformal calibration samples fall on the line itself."""
    exact = [Fraction(rank, 21) for rank in ranks]
    rate, m = Fraction(twentieths, 20), len(ranks)
    holds = [k for k, p in enumerate(sorted(exact), start=1) if p <= rate * k / m]
    cut = sorted(exact)[holds[-1] - 1] if holds else Fraction(-1)
    found = benjamini_hochberg(np.array([float(p) for p in exact]), twentieths / 20)
    assert found.tolist() == [p <= cut for p in exact]


def test_nothing_and_impossible_input() -> None:
    assert benjamini_hochberg(np.zeros(0), 0.1).shape == (0,)
    for bad in ([1.1], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(InvalidInput, match="`p_values` must be"):
            benjamini_hochberg(np.array(bad), 0.1)
    with pytest.raises(InvalidParameter, match="`false_discovery_rate` must be above 0"):
        benjamini_hochberg(np.array([0.1]), 1.0)


def test_the_share_of_false_alarms_is_held_with_conformal_p_values() -> None:
    """400 calibrations, 45 normal samples and 5 anomalies each: the mean is at most the rate times 45/50."""
    generator = np.random.default_rng(0)
    false, power = [], []
    for _ in range(400):
        calibration, normal = generator.exponential(size=999), generator.exponential(size=45)
        batch = np.concatenate([normal, 8 + generator.exponential(size=5)])
        found = benjamini_hochberg(Conformal(0.1).fit(calibration).p_values(batch), 0.2)
        false.append(found[:45].sum() / max(found.sum(), 1))
        power.append(found[45:].mean())
    assert abs(np.mean(false) - 0.18) < 3 * np.std(false) / math.sqrt(400)
    assert np.mean(power) > 0.95


def found(p_values: list[float], least: float, rate: float) -> list[bool]:
    given = np.array(p_values)
    return discoveries(given, np.full(len(given), least), rate).tolist()


def test_too_few_calibration_samples_for_so_many_tests_are_told() -> None:
    # 1/100 <= 0.1 k / 50 needs k = 5 samples at the least p-value.
    with pytest.warns(
        CalibrationWarning, match="5 of 50 samples must reach it together before any is one; 3 did"
    ) as told:
        assert not any(found([0.01] * 3 + [0.5] * 47, 0.01, 0.1))
    assert told[0].filename == __file__
    assert "Calibrate on more normal samples (499 make one alarm of 50 possible)" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(found([0.01] * 5 + [0.5] * 45, 0.01, 0.1)) == 5
        assert not any(found([0.02] * 3 + [0.5] * 47, 0.01, 0.1))  # nothing is at the least p-value
        assert not any(found([0.5] * 50, 0.0, 0.1))
        assert found([], 0.5, 0.1) == []


def test_a_rate_that_no_samples_could_reach_is_refused() -> None:
    with pytest.raises(
        InvalidParameter, match=r"smallest possible p-value, 0.05; got 0.01.*Calibrate on more .*\(299 "
    ):
        found([0.05, 0.5, 0.9], 0.05, 0.01)
    with pytest.raises(InvalidParameter, match="must go with a threshold that gives p-values"):
        found([math.nan], math.nan, 0.1)
