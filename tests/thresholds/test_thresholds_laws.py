"""Fitted laws against scipy, slow twins and known truths."""

from __future__ import annotations

import copy
import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter
from unalike.thresholds import MAD, AdjustedBoxplot, ExtremeValue, Gamma, LogNormal, Normal
from unalike.thresholds.boxplot import medcouple
from unalike.thresholds.extreme import generalised_pareto

VALUES = np.random.default_rng(0).gamma(2.0, 3.0, size=400)
GRID = np.quantile(VALUES, np.linspace(0, 1, 50)) * 1.3
LAWS = [Normal(), MAD(), Gamma(), LogNormal(), AdjustedBoxplot(), ExtremeValue()]


def test_normal_is_scipys() -> None:
    oracle = stats.norm(VALUES.mean(), VALUES.std(ddof=1))
    fitted = Normal(0.02).fit(VALUES)
    assert fitted.threshold_ == pytest.approx(oracle.isf(0.02))
    np.testing.assert_allclose(fitted.p_values(GRID), oracle.sf(GRID))
    three = Normal(sigmas=3).fit(VALUES)
    assert three.threshold_ == pytest.approx(VALUES.mean() + 3 * VALUES.std(ddof=1))
    assert three.false_alarm_rate_ == pytest.approx(0.0013499, abs=1e-7)
    assert three.at(0.02).threshold_ == fitted.threshold_


def test_mad_is_scipys_and_survives_a_third_of_anomalies() -> None:
    scale = 1.4826 * stats.median_abs_deviation(VALUES)
    assert MAD(sigmas=2.5).fit(VALUES).threshold_ == pytest.approx(np.median(VALUES) + 2.5 * scale)
    clean = np.random.default_rng(1).normal(size=1000)
    dirty = np.concatenate([clean, np.full(300, 50.0)])
    assert MAD(0.01).fit(dirty).threshold_ < 5.0 < 40.0 < Normal(0.01).fit(dirty).threshold_


def test_mad_of_ties_has_another_width_and_says_so() -> None:
    scores = np.array([0.0] * 8 + [1.0, 3.0])
    with pytest.warns(CalibrationWarning, match="half or more of the 10 are 0") as told:
        fitted = MAD(sigmas=2).fit(scores)
    assert told[0].filename == __file__
    assert fitted.threshold_ == pytest.approx(2 * math.sqrt(math.pi / 2) * 0.4)


@pytest.mark.parametrize(
    "stated", [{"sigmas": 3.0, "false_alarm_rate": 0.1}, {"sigmas": 0}, {"sigmas": True}, {"false_alarm_rate": 1}]
)
@pytest.mark.parametrize("kind", [Normal, MAD])
def test_sigmas_or_a_rate(kind: type[Normal], stated: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match="must be"):
        kind(**stated)


@pytest.mark.parametrize(
    ("kind", "law", "names"), [(Gamma, stats.gamma, ("shape", "scale")), (LogNormal, stats.lognorm, ("sigma", "mu"))]
)
@pytest.mark.parametrize("location", [None, 0.0, -1.5])
def test_skewed_laws_are_scipys_maximum_likelihood(kind: Any, law: Any, names: Any, location: float | None) -> None:
    shape, place, scale = law.fit(VALUES, floc=location or 0.0)
    fitted = kind(0.02, location=location).fit(VALUES)
    assert fitted.law_[names[0]] == pytest.approx(shape, rel=1e-4)
    oracle = law(shape, place, scale)
    assert fitted.threshold_ == pytest.approx(oracle.isf(0.02), rel=1e-4)
    np.testing.assert_allclose(fitted.p_values(GRID), oracle.sf(GRID), rtol=1e-2, atol=1e-12)


@pytest.mark.parametrize("kind", [Gamma, LogNormal])
def test_scores_at_the_location_are_a_share_of_their_own(kind: Any) -> None:
    mixed = np.concatenate([VALUES, np.zeros(100)])
    fitted, plain = kind(0.02).fit(mixed), kind(0.02 / 0.8).fit(VALUES)
    assert fitted.law_["share"] == 0.8
    assert fitted.threshold_ == pytest.approx(plain.threshold_)
    np.testing.assert_allclose(fitted.p_values(GRID), 0.8 * plain.p_values(GRID))
    assert fitted.p_values(np.zeros(1))[0] == 1.0
    assert fitted.at(0.9).is_anomaly(np.array([0.0, 0.5])).tolist() == [False, True]
    dust = np.concatenate([VALUES, np.full(100, 1e-9)])
    assert kind(0.02).fit(dust).threshold_ == fitted.threshold_


@pytest.mark.parametrize("kind", [Gamma, LogNormal])
def test_negative_scores_begin_just_below_the_lowest(kind: Any) -> None:
    fitted = kind(0.05).fit(VALUES - 4.0)
    low, high = VALUES.min() - 4.0, VALUES.max() - 4.0
    assert fitted.law_["location"] == pytest.approx(low - (high - low) / 400)
    with pytest.raises(InvalidInput, match=r"at least `location` = 0; got -3.*thresholds.Conformal\(\)"):
        kind(location=0.0).fit(VALUES - 4.0)
    with pytest.raises(InvalidParameter, match="`location` must be a finite number"):
        kind(location=float("nan"))


@pytest.mark.parametrize(
    ("threshold", "law"),
    [
        (Normal(), stats.norm()),
        (MAD(), stats.norm()),
        (Gamma(), stats.gamma(3.0)),
        (LogNormal(), stats.lognorm(0.5)),
        (ExtremeValue(), stats.expon()),
        (ExtremeValue(), stats.beta(2, 5)),
        (ExtremeValue(), stats.genpareto(0.3)),
    ],
)
def test_each_realises_its_rate_under_its_own_law(threshold: Any, law: Any) -> None:
    """At 1% and, by extrapolation, at 0.05%, with 2,000 samples: within a third, in the median of 40 draws."""
    fits = [copy.copy(threshold).fit(law.rvs(size=2000, random_state=seed)) for seed in range(40)]
    for rate in (0.01, 0.0005):
        realised = statistics.median(float(law.sf(fit.at(rate).threshold_)) for fit in fits)
        assert 0.67 * rate < realised < 1.5 * rate


def slow_medcouple(values: list[float]) -> float:
    """Brys, Hubert and Struyf (2004), pair by pair."""
    median = statistics.median(values)
    high = sorted((value for value in values if value >= median), reverse=True)
    low = sorted((value for value in values if value <= median), reverse=True)
    ties = sum(value == median for value in values)
    kernel = []
    for i, b in enumerate(high):
        for j, a in enumerate(low):
            if a == b == median:
                # i counts from the end of the ties in `high`, j from their start in `low`.
                kernel.append(float(np.sign(ties - 1 - (i - (len(high) - ties)) - j)))
            else:
                kernel.append(((b - median) - (median - a)) / (b - a))
    return statistics.median(kernel)


@settings(max_examples=40)
@given(st.lists(st.integers(-6, 6), min_size=2, max_size=40).filter(lambda values: len(set(values)) > 1))
def test_medcouple_is_that_of_a_slow_twin(values: list[int]) -> None:
    ordered = np.sort(np.array(values, dtype=float))
    assert medcouple(ordered) == pytest.approx(slow_medcouple([float(v) for v in values]), abs=1e-12)
    assert medcouple(np.sort(-ordered)) == pytest.approx(-medcouple(ordered), abs=1e-12)
    assert medcouple(ordered * 3 + 5) == pytest.approx(medcouple(ordered), abs=1e-9)


def test_medcouple_of_many_scores_is_near_that_of_all() -> None:
    many = np.sort(np.random.default_rng(0).exponential(size=40_000))
    assert medcouple(many) == pytest.approx(medcouple(many[::20]), abs=0.01)
    # Of the exponential law it is near 1/3 (Brys, Hubert and Struyf, 2004).
    assert medcouple(many) == pytest.approx(1 / 3, abs=0.02)


def test_the_classic_fence_and_its_rate() -> None:
    fitted = AdjustedBoxplot().fit(VALUES)
    lower, upper = np.quantile(VALUES, [0.25, 0.75])
    fence = upper + 1.5 * math.exp(3 * medcouple(np.sort(VALUES))) * (upper - lower)
    assert fitted.threshold_ == pytest.approx(fence)
    assert fitted.false_alarm_rate_ == pytest.approx(stats.norm.sf(2.698), rel=1e-3)
    left = AdjustedBoxplot().fit(-VALUES)
    fence = -lower + 1.5 * math.exp(-4 * medcouple(np.sort(VALUES))) * (upper - lower)
    assert left.threshold_ == pytest.approx(fence)
    assert AdjustedBoxplot(0.25).fit(VALUES).threshold_ == pytest.approx(upper)
    assert AdjustedBoxplot(0.5).fit(VALUES).threshold_ == pytest.approx(np.median(VALUES))


def test_the_boxplot_of_symmetric_scores_is_the_normal_law() -> None:
    scores = stats.norm.isf((np.arange(2001) + 0.5) / 2001)
    fitted = AdjustedBoxplot(0.01).fit(scores)
    assert fitted.threshold_ == pytest.approx(stats.norm.isf(0.01), rel=2e-3)
    np.testing.assert_allclose(
        fitted.p_values(np.linspace(-2, 3, 20)), stats.norm.sf(np.linspace(-2, 3, 20)), atol=2e-3
    )


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3, 0.8])
def test_pareto_parameters_are_found_again(shape: float) -> None:
    law = stats.genpareto(shape, scale=2.0)
    found = [generalised_pareto(np.sort(law.rvs(size=1000, random_state=seed))) for seed in range(20)]
    assert np.mean([one for one, _ in found]) == pytest.approx(shape, abs=0.05)
    assert np.mean([scale for _, scale in found]) == pytest.approx(2.0, rel=0.05)


def test_pareto_is_near_maximum_likelihood_and_follows_the_scale() -> None:
    excess = np.sort(stats.genpareto(0.25).rvs(size=800, random_state=0))
    shape, scale = generalised_pareto(excess)
    theirs, _, of_scale = stats.genpareto.fit(excess, floc=0.0)
    assert shape == pytest.approx(theirs, abs=0.02)
    assert scale == pytest.approx(of_scale, rel=0.02)
    assert generalised_pareto(excess * 1e6) == pytest.approx((shape, scale * 1e6))


def test_few_exceedances_give_a_steady_shape() -> None:
    """Maximum likelihood with 15 exceedances has a root mean square error of about 0.6 here, where it converges."""
    draws = [np.sort(stats.genpareto(0.2).rvs(size=15, random_state=seed)) for seed in range(200)]
    found = np.array([generalised_pareto(draw)[0] for draw in draws])
    assert np.sqrt(np.mean((found - 0.2) ** 2)) < 0.4


def test_the_extreme_value_tail_begins_at_its_level_and_is_ranked_below() -> None:
    fitted = ExtremeValue(0.01).fit(np.arange(1.0, 200.0))
    # 19 of 199 exceed 180.
    assert fitted.law_["level"] == 180.0
    assert fitted.law_["share"] == 20 / 200
    np.testing.assert_allclose(fitted.p_values(np.array([0.5, 100.0, 180.0])), [1.0, 101 / 200, 21 / 200])
    assert fitted.p_values(np.array([180.0 + 1e-9]))[0] == pytest.approx(20 / 200)
    assert fitted.at(0.5).threshold_ == 100.0
    assert fitted.at(0.1).threshold_ == 180.0


def test_too_few_exceedances_have_an_exponential_tail_and_a_warning() -> None:
    scores = np.arange(50.0)
    with pytest.warns(CalibrationWarning, match="got 5 of 50 calibration samples.*at least 100 normal") as told:
        fitted = ExtremeValue(0.01).fit(scores)
    assert told[0].filename == __file__
    assert (fitted.law_["shape"], fitted.law_["scale"]) == (0.0, 3.0)
    assert fitted.threshold_ == pytest.approx(44.0 + 3.0 * math.log(6 / 51 / 0.01))


@pytest.mark.parametrize("share", [0.0, 0.6, "0.1", True])
def test_an_impossible_share_of_exceedances_is_refused(share: Any) -> None:
    with pytest.raises(InvalidParameter, match="`exceedances` must be above 0 and at most"):
        ExtremeValue(exceedances=share)


@pytest.mark.parametrize("threshold", LAWS, ids=repr)
def test_equal_scores_are_one_point_and_say_so(threshold: Any) -> None:
    with pytest.warns(CalibrationWarning, match="all 7 are 0.1, and every higher score is an anomaly") as told:
        threshold.fit(np.full(7, 0.1))
    assert len(told) == 1
    assert told[0].filename == __file__
    assert threshold.threshold_ == 0.1
    np.testing.assert_array_equal(threshold.p_values(np.array([0.0, 0.1, 0.2])), [1.0, 1.0, 0.0])


@pytest.mark.parametrize("threshold", LAWS, ids=repr)
def test_laws_follow_the_unit_of_the_scores(threshold: Any) -> None:
    here, there = threshold.fit(VALUES).p_values(GRID), threshold.fit(VALUES * 1e-3).p_values(GRID * 1e-3)
    np.testing.assert_allclose(here, there, rtol=1e-7, atol=1e-12)
