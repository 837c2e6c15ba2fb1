from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter, NotCalibrated
from unalike.thresholds import Conformal, Fixed, Quantile, build_threshold
from unalike.thresholds.checks import needed


def test_p_values_by_hand() -> None:
    threshold = Conformal(0.25).fit(np.array([3.0, 1.0, 2.0, 2.0]))
    np.testing.assert_array_equal(
        threshold.p_values(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 3.1])), np.array([5, 5, 4, 4, 2, 1]) / 5
    )


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.integers(1, 99),
    st.lists(st.integers(-1, 13), min_size=1, max_size=20),
)
def test_decisions_agree_with_p_values_and_threshold(calibration: list[int], percent: int, scores: list[int]) -> None:
    """Also with ties, and where rate * (n + 1) is a whole number that floating point just misses."""
    rate = percent / 100
    values = np.array(scores, dtype=float)
    threshold = Conformal(rate).fit(np.array(calibration))
    if Fraction(percent, 100) * (len(calibration) + 1) >= 1:
        flagged = threshold.is_anomaly(values)
        np.testing.assert_array_equal(flagged, threshold.p_values(values) <= rate)
        np.testing.assert_array_equal(flagged, values > threshold.threshold_)
        held = math.floor(Fraction(percent, 100) * (len(calibration) + 1))
        assert threshold.threshold_ == sorted(calibration)[-held]
    quantile = Quantile(rate).fit(np.array(calibration))
    np.testing.assert_array_equal(quantile.is_anomaly(values), quantile.p_values(values) <= rate)
    assert quantile.is_anomaly(np.array(calibration, dtype=float)).mean() <= rate


@pytest.mark.parametrize(
    ("rate", "n", "held"), [(0.05, 19, 1), (0.29, 99, 29), (0.1, 29, 3), (0.07, 99, 7), (0.01, 99, 1)]
)
def test_whole_numbers_survive_floating_point(rate: float, n: int, held: int) -> None:
    assert Conformal(rate).fit(np.arange(n)).threshold_ == n - held


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.33])
@pytest.mark.parametrize("n", [19, 50, 200])
def test_realised_false_alarm_rate_is_the_promised_one(rate: float, n: int) -> None:
    """Exchangeable draws: the mean realised rate is floor(rate (n + 1)) / (n + 1), within 3 standard errors."""
    generator = np.random.default_rng(0)
    realised = []
    for _ in range(400):
        draws = generator.exponential(size=n + 500)
        realised.append(Conformal(rate).fit(draws[:n]).is_anomaly(draws[n:]).mean())
    expected = math.floor(rate * (n + 1) + 1e-9) / (n + 1)
    assert abs(np.mean(realised) - expected) < 3 * np.std(realised, ddof=1) / math.sqrt(len(realised))


def test_quantile_realises_more_than_it_says_by_as_much_as_its_docstring_says() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(size=(4000, 20 + 50))
    realised = [Quantile(0.1).fit(row[:20]).is_anomaly(row[20:]).mean() for row in draws]
    assert abs(np.mean(realised) - 3 / 21) < 3 * np.std(realised) / math.sqrt(4000)


def test_a_stated_rate_that_n_cannot_hold_fails_only_where_a_decision_is_asked_for() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threshold = Conformal(0.01).fit(np.arange(50.0))
    np.testing.assert_array_equal(threshold.p_values(np.array([99.0])), [1 / 51])
    assert threshold.false_alarm_rate_ == 0.01
    for ask in (lambda: threshold.threshold_, lambda: threshold.is_anomaly(np.array([99.0]))):
        with pytest.raises(InvalidParameter, match=r"with n = 50 calibration samples; got 0.01. It needs 99 of them"):
            ask()


@given(st.integers(1, 5000))
def test_the_number_that_is_asked_for_is_the_least_that_does(thousandths: int) -> None:
    rate = thousandths / 5001
    least = needed(rate)
    assert Conformal(rate).fit(np.arange(least)).threshold_ == least - max(math.floor(rate * (least + 1) + 1e-9), 1)
    if least > 1:
        with pytest.raises(InvalidParameter, match=f"needs {least} of them"):
            _ = Conformal(rate).fit(np.arange(least - 1)).threshold_


def test_the_untouched_default_is_what_n_can_hold_with_one_warning() -> None:
    with pytest.warns(
        CalibrationWarning, match=r"at least 99 calibration samples; got 19. The rate in force is 1/20"
    ) as told:
        threshold = Conformal().fit(np.arange(19.0))
    assert len(told) == 1
    assert told[0].filename == __file__
    assert threshold.false_alarm_rate_ == 1 / 20
    assert threshold.threshold_ == 18.0
    np.testing.assert_array_equal(threshold.is_anomaly(np.array([18.0, 18.5])), [False, True])
    enough = Conformal().fit(np.arange(99.0))
    assert (enough.false_alarm_rate_, enough.threshold_) == (0.01, 98.0)
    assert Conformal().fit(np.arange(999.0)).threshold_ == 999.0 - 10


@pytest.mark.parametrize("kind", [Conformal, Quantile])
def test_changing_the_rate_needs_no_fit(kind: type[Conformal] | type[Quantile]) -> None:
    scores = np.random.default_rng(0).normal(size=300)
    threshold = kind(0.01).fit(scores)
    other = threshold.at(0.2)
    assert other.threshold_ == kind(0.2).fit(scores).threshold_
    assert threshold.false_alarm_rate_ == 0.01
    assert other.false_alarm_rate_ == 0.2
    with pytest.raises(InvalidParameter, match="above 0 and below 1; got 1"):
        threshold.at(1.5)
    with pytest.raises(NotCalibrated):
        kind(0.1).at(0.2)


def test_fixed_promises_nothing() -> None:
    threshold = Fixed(2.0).fit(np.arange(5.0))
    np.testing.assert_array_equal(threshold.is_anomaly(np.array([1.0, 2.0, 2.1])), [False, False, True])
    assert np.isnan(threshold.p_values(np.array([1.0, 9.0]))).all()
    assert threshold.false_alarm_rate_ is None


@pytest.mark.parametrize("kind", [Conformal, Quantile])
@pytest.mark.parametrize("rate", [0, 1, -0.1, 2.0, float("nan"), "0.1", True])
def test_impossible_rates_are_refused(kind: type[Conformal], rate: float) -> None:
    with pytest.raises(InvalidParameter, match="`false_alarm_rate` must be above 0 and below 1"):
        kind(rate)


def test_a_quantile_has_a_rate() -> None:
    with pytest.raises(InvalidParameter, match="got None"):
        Quantile(None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3", None, True])
def test_impossible_values_are_refused(value: float) -> None:
    with pytest.raises(InvalidParameter, match="`value` must be"):
        Fixed(value)


def test_infinite_scores_are_anomalies_and_nan_is_refused() -> None:
    threshold = Conformal(0.1).fit(np.arange(20.0))
    np.testing.assert_array_equal(threshold.is_anomaly(np.array([np.inf, -np.inf])), [True, False])
    for verb in (threshold.p_values, threshold.is_anomaly):
        with pytest.raises(InvalidInput, match="not NaN"):
            verb(np.array([np.nan]))


def test_build() -> None:
    assert build_threshold("conformal") == Conformal()
    assert build_threshold("quantile") == Quantile(0.01)
    own = Conformal(0.2)
    built = build_threshold(own)
    assert built == own
    assert built is not own
    with pytest.raises(InvalidParameter, match=r"Give thresholds.Fixed\(value\)"):
        build_threshold("fixed")
    with pytest.raises(InvalidParameter, match=r"\['adjusted-boxplot', 'conformal', 'extreme-value'"):
        build_threshold("sigma")
    for other in (0.01, Conformal):
        with pytest.raises(InvalidParameter, match="`threshold` must be one of"):
            build_threshold(other)
