from __future__ import annotations

import copy
import json
import warnings
from typing import Any

import numpy as np
import pytest

from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter
from unalike.thresholds import Conformal, Fixed, Gamma, Normal, PerEntity, Quantile

GENERATOR = np.random.default_rng(0)
CALM, LOUD, RARE = (GENERATOR.exponential(scale, size=n) for scale, n in ((1.0, 300), (5.0, 300), (1.0, 30)))
SCORES = np.concatenate([CALM, LOUD, RARE])
NAMES = ["calm"] * 300 + [7] * 300 + ["rare"] * 30


@pytest.fixture
def fitted() -> PerEntity:
    with pytest.warns(
        CalibrationWarning, match=r"1 of 3 entities use the pooled threshold.*fewer than 100.*'rare'"
    ) as told:
        threshold = PerEntity(Conformal(0.05), least=100).fit(SCORES, NAMES)
    assert len(told) == 1
    assert told[0].filename == __file__
    return threshold


def test_each_entity_has_the_threshold_that_it_would_have_alone(fitted: PerEntity) -> None:
    new = np.linspace(0, 20, 40)
    for name, alone in (("calm", CALM), (7, LOUD), ("rare", SCORES)):
        expected = Conformal(0.05).fit(alone)
        np.testing.assert_array_equal(fitted.p_values(new, [name] * 40), expected.p_values(new))
        np.testing.assert_array_equal(fitted.is_anomaly(new, [name] * 40), expected.is_anomaly(new))
    assert fitted.threshold_ == Conformal(0.05).fit(SCORES).threshold_
    assert fitted.counts_ == {"calm": 300, 7: 300, "rare": 30}
    assert fitted.using_pooled_ == ("rare",)


def test_mixed_calls_are_the_calls_by_entity(fitted: PerEntity) -> None:
    order = np.random.default_rng(1).permutation(len(NAMES))
    names = [NAMES[place] for place in order]
    mixed = fitted.p_values(SCORES[order], names)
    for name in ("calm", 7, "rare"):
        mine = np.array([other == name for other in names])
        np.testing.assert_array_equal(mixed[mine], fitted.p_values(SCORES[order][mine], [name] * int(mine.sum())))
    np.testing.assert_array_equal(fitted.is_anomaly(SCORES[order], names), mixed <= 0.05)


def test_every_entity_has_the_rate_that_the_pooled_one_has_only_in_the_mean() -> None:
    generator = np.random.default_rng(2)
    own, pooled = [], []
    for _ in range(60):
        draws = generator.exponential([1.0, 5.0], size=(400, 2))
        threshold = PerEntity(Conformal(0.05)).fit(draws[:199].ravel(), ["calm", "loud"] * 199)
        names = ["calm", "loud"] * 201
        own.append(threshold.is_anomaly(draws[199:].ravel(), names).reshape(-1, 2).mean(axis=0))
        pooled.append(threshold.is_anomaly(draws[199:].ravel()).reshape(-1, 2).mean(axis=0))
    error = np.std(own, axis=0) / np.sqrt(60)
    assert (np.abs(np.mean(own, axis=0) - 0.05) < 3 * error).all()
    calm, loud = np.mean(pooled, axis=0)
    assert calm < 0.001
    assert loud == pytest.approx(0.1, abs=0.02)


def test_unseen_entities_are_pooled_and_told_of_once(fitted: PerEntity) -> None:
    pooled = Conformal(0.05).fit(SCORES)
    with pytest.warns(CalibrationWarning, match="2 entities were not among the calibration samples.*'new', 8") as told:
        found = fitted.p_values(SCORES[:2], ["new", 8])
    assert len(told) == 1
    np.testing.assert_array_equal(found, pooled.p_values(SCORES[:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.is_anomaly(SCORES[:3], ["new", 8, "rare"])


def test_without_entities_all_are_pooled() -> None:
    with pytest.warns(CalibrationWarning, match="`entities` must be given for thresholds per entity"):
        threshold = PerEntity("quantile").fit(SCORES)
    plain = Quantile().fit(SCORES)
    np.testing.assert_array_equal(threshold.p_values(SCORES), plain.p_values(SCORES))
    assert threshold.own_ == {}


def test_a_rate_that_an_entity_cannot_hold_is_pooled_for_it(fitted: PerEntity) -> None:
    with pytest.warns(CalibrationWarning, match="3 of 3 entities use the pooled threshold"):
        fine = fitted.at(0.002)
    assert fine.using_pooled_ == ("calm", 7, "rare")
    assert fine.false_alarm_rate_ == 0.002
    np.testing.assert_array_equal(fine.is_anomaly(SCORES, NAMES), Conformal(0.002).fit(SCORES).is_anomaly(SCORES))
    with pytest.raises(InvalidParameter, match="with n = 630 calibration samples"):
        fitted.at(0.0001).is_anomaly(SCORES)
    coarse = fitted.at(0.2)
    assert coarse.using_pooled_ == ("rare",)
    np.testing.assert_array_equal(coarse.is_anomaly(CALM, ["calm"] * 300), Conformal(0.2).fit(CALM).is_anomaly(CALM))
    assert fitted.false_alarm_rate_ == 0.05


def test_an_untouched_conformal_rate_is_one_for_all() -> None:
    """630 samples hold 1%; 30 of an entity would not, and would raise its rate to 1/31."""
    with pytest.warns(CalibrationWarning, match=r"1 of 3 .*than the 99 calibration .* rate of 0.01 needs: 'rare'"):
        threshold = PerEntity(least=20).fit(SCORES, NAMES)
    assert threshold.false_alarm_rate_ == 0.01
    assert set(threshold.own_) == {"calm", 7, "rare"}
    assert threshold.using_pooled_ == ("rare",)


def test_state_is_flat_and_restores_own_and_pooled(fitted: PerEntity) -> None:
    state = fitted.state()
    assert all(isinstance(value, np.ndarray) or json.dumps(value) for value in state.values())
    restored = PerEntity(Conformal(0.05), least=100)
    restored.restore(state)
    np.testing.assert_array_equal(restored.p_values(SCORES, NAMES), fitted.p_values(SCORES, NAMES))
    assert (restored.counts_, restored.using_pooled_) == (fitted.counts_, fitted.using_pooled_)


@pytest.mark.parametrize("each", ["gamma", Normal(sigmas=3), Gamma(0.1)], ids=repr)
def test_any_kind_per_entity(each: Any) -> None:
    with pytest.warns(CalibrationWarning, match="1 of 3"):
        threshold = PerEntity(each, least=100).fit(SCORES, NAMES)
    assert threshold.own_["calm"].threshold_ < threshold.threshold_ < threshold.own_[7].threshold_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = copy.deepcopy(threshold).at(0.3)
    assert moved.is_anomaly(LOUD, [7] * 300).mean() == pytest.approx(0.3, abs=0.1)


def test_a_kind_without_a_rate_cannot_change_it() -> None:
    threshold = PerEntity(Fixed(3.0), least=1).fit(SCORES, NAMES)
    assert threshold.false_alarm_rate_ is None
    np.testing.assert_array_equal(threshold.is_anomaly(SCORES, NAMES), SCORES > 3.0)
    with pytest.raises(InvalidParameter, match="`each` must be a threshold with a rate"):
        threshold.at(0.1)


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        (["a"], "one per sample; got 1 for 2"),
        ("ab", "a list or column of names; got str"),
        (5, "a list or column of names; got int"),
        (["a", None], "strings or whole numbers; got None"),
        ([1.5, 2.0], "strings or whole numbers; got 1.5"),
        ([True, False], "strings or whole numbers; got True"),
    ],
)
def test_impossible_entities_are_refused(entities: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"`entities` must be {message}"):
        PerEntity().fit(np.arange(2.0), entities)


@pytest.mark.parametrize("least", [0, 1.5, True, "3"])
def test_impossible_least_is_refused(least: Any) -> None:
    with pytest.raises(InvalidParameter, match="`least` must be a whole number"):
        PerEntity(least=least)


def test_numpy_names_are_plain_ones(fitted: PerEntity) -> None:
    np.testing.assert_array_equal(
        fitted.p_values(SCORES[:2], np.array(["calm", "calm"])), fitted.p_values(SCORES[:2], ["calm", "calm"])
    )
    np.testing.assert_array_equal(fitted.p_values(SCORES[:2], np.array([7, 7])), fitted.p_values(SCORES[:2], [7, 7]))
