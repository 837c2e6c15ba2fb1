"""What every threshold promises."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from unalike import lookup, thresholds
from unalike.errors import InvalidInput, InvalidParameter, NotCalibrated
from unalike.thresholds import THRESHOLDS, Conformal, ExtremeValue, Fixed, Gamma, Normal, PerEntity, Quantile
from unalike.types import Stateful, Threshold

THRESHOLD_OBJECTS = [
    Conformal(),
    Conformal(0.05),
    Quantile(0.05),
    Fixed(1.5),
    Normal(),
    Normal(sigmas=1.5),
    thresholds.MAD(0.05),
    Gamma(0.05),
    Gamma(0.05, location=-99.0),
    thresholds.LogNormal(0.05),
    thresholds.AdjustedBoxplot(),
    thresholds.AdjustedBoxplot(0.3),
    ExtremeValue(0.02),
    ExtremeValue(0.2),
    PerEntity(),
    PerEntity("gamma", least=20),
    PerEntity(Conformal(0.2), least=5),
]
CALIBRATION = np.random.default_rng(0).normal(size=200)
SCORES = np.random.default_rng(1).normal(size=80) * 2
ENTITIES = ["a", "b", 3, "few"] * 49 + ["a"] * 4
OF_SCORES = ["a", "b", 3, "few"] * 20

every = pytest.mark.parametrize("threshold", THRESHOLD_OBJECTS, ids=repr)
moving = pytest.mark.parametrize("threshold", [t for t in THRESHOLD_OBJECTS if hasattr(t, "at")], ids=repr)
pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")


def fitted(threshold: Any, scores: Any = CALIBRATION) -> Any:
    new = copy.deepcopy(threshold)
    return new.fit(scores, ENTITIES[: len(scores)]) if isinstance(new, PerEntity) else new.fit(scores)


def p_values(threshold: Any, scores: Any = SCORES) -> Any:
    return threshold.p_values(scores, OF_SCORES) if isinstance(threshold, PerEntity) else threshold.p_values(scores)


def flags(threshold: Any, scores: Any = SCORES) -> Any:
    return threshold.is_anomaly(scores, OF_SCORES) if isinstance(threshold, PerEntity) else threshold.is_anomaly(scores)


def judged(threshold: Any) -> tuple[Any, ...]:
    return (
        p_values(threshold).tobytes(),
        flags(threshold).tobytes(),
        threshold.p_values(SCORES).tobytes(),
        threshold.threshold_,
        threshold.false_alarm_rate_,
    )


def test_every_name_is_under_contract() -> None:
    names = {type(threshold) for threshold in THRESHOLD_OBJECTS}
    assert {lookup.named("threshold", THRESHOLDS, name) for name in THRESHOLDS} == names


@every
def test_has_the_shape(threshold: Any) -> None:
    new = copy.deepcopy(threshold)
    assert new.fit(CALIBRATION) is new
    assert isinstance(new, Threshold)
    assert isinstance(new, Stateful)
    assert isinstance(new.threshold_, float)
    assert new.p_values(SCORES).shape == new.is_anomaly(SCORES).shape == (80,)
    assert new.p_values(SCORES).dtype == np.float64
    assert new.is_anomaly(SCORES).dtype == np.bool_


@every
def test_decides_by_the_threshold_and_monotonously(threshold: Any) -> None:
    new = fitted(threshold)
    np.testing.assert_array_equal(new.is_anomaly(SCORES), new.threshold_ < SCORES)
    found = new.p_values(np.sort(SCORES))
    assert np.isnan(found).all() or ((np.diff(found) <= 0).all() and found[-1] >= 0 and found[0] <= 1)
    assert 0 < new.is_anomaly(SCORES).sum() < 80


@every
def test_anomalies_are_where_p_is_at_most_the_rate(threshold: Any) -> None:
    new = fitted(threshold)
    if new.false_alarm_rate_ is None:
        assert np.isnan(new.p_values(SCORES)).all()
        return
    np.testing.assert_array_equal(flags(new), p_values(new) <= new.false_alarm_rate_)
    edge = new.threshold_
    near = np.array([np.nextafter(edge, -np.inf), edge, np.nextafter(edge, np.inf)])
    np.testing.assert_array_equal(new.is_anomaly(near), [False, False, True])
    np.testing.assert_array_equal(new.p_values(near) <= new.false_alarm_rate_, [False, False, True])


@every
def test_decides_by_as_many_samples_as_it_says_it_needs(threshold: Any) -> None:
    needs = getattr(threshold, "samples_needed", 1)
    assert np.isfinite(fitted(threshold, CALIBRATION[:needs]).threshold_)
    if needs > 1:
        with pytest.raises(InvalidParameter, match=f"It needs {needs}"):
            _ = fitted(threshold, CALIBRATION[: needs - 1]).threshold_


@moving
def test_another_rate_is_as_if_it_had_been_stated(threshold: Any) -> None:
    new = fitted(threshold)
    before = judged(new)
    moved = new.at(0.3)
    assert judged(new) == before
    assert moved.false_alarm_rate_ == 0.3
    np.testing.assert_array_equal(flags(moved), p_values(moved) <= 0.3)
    assert flags(moved).sum() > 10
    assert moved.at(0.05).threshold_ > moved.threshold_
    each = getattr(threshold, "each", None)
    kind = type(threshold)
    if each is None:
        same = dataclasses.replace(threshold, false_alarm_rate=0.3, **({"sigmas": None} if kind is Normal else {}))
        assert judged(moved) == judged(fitted(same))


@every
def test_settings_and_input_are_left_alone(threshold: Any) -> None:
    new = copy.deepcopy(threshold)
    scores = CALIBRATION.copy()
    new.fit(scores)
    judged(new)
    assert dataclasses.asdict(new) == dataclasses.asdict(threshold)
    np.testing.assert_array_equal(scores, CALIBRATION)
    before = judged(new)
    scores[:] = 1e9
    assert judged(new) == before


@every
def test_fitting_again_forgets_and_order_does_not_matter(threshold: Any) -> None:
    again = copy.deepcopy(threshold).fit(CALIBRATION * 9 + 4).fit(CALIBRATION[::-1])
    assert judged(again) == judged(copy.deepcopy(threshold).fit(CALIBRATION))


@every
def test_a_score_is_judged_alone_as_among_others(threshold: Any) -> None:
    new = fitted(threshold)
    alone = [(new.p_values(SCORES[i : i + 1])[0], new.is_anomaly(SCORES[i : i + 1])[0]) for i in range(80)]
    np.testing.assert_array_equal([p for p, _ in alone], new.p_values(SCORES))
    np.testing.assert_array_equal([flag for _, flag in alone], new.is_anomaly(SCORES))
    assert new.p_values(SCORES[:0]).shape == new.is_anomaly(SCORES[:0]).shape == (0,)


@every
def test_infinite_scores_are_judged_and_nan_is_refused(threshold: Any) -> None:
    new = fitted(threshold)
    np.testing.assert_array_equal(new.is_anomaly(np.array([np.inf, -np.inf])), [True, False])
    if new.false_alarm_rate_ is not None:
        high, low = new.p_values(np.array([np.inf, -np.inf]))
        assert high <= new.false_alarm_rate_ < low
    for verb in (new.p_values, new.is_anomaly):
        with pytest.raises(InvalidInput, match="not NaN"):
            verb(np.array([np.nan]))


@every
def test_state_restores_to_the_last_bit(threshold: Any) -> None:
    new = fitted(threshold)
    state = new.state()
    assert all(isinstance(value, np.ndarray) or json.dumps(value) for value in state.values())
    settings = {field.name: getattr(threshold, field.name) for field in dataclasses.fields(threshold)}
    restored = type(threshold)(**settings)
    restored.restore(state)
    assert judged(restored) == judged(new)


@every
@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf], [[1.0]]], ids=str)
def test_calibration_that_cannot_be_used_is_refused(threshold: Any, scores: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="`calibration_scores` must be"):
        copy.deepcopy(threshold).fit(np.array(scores))


@every
@pytest.mark.parametrize(
    "scores",
    [
        [2.0] * 30,
        [0.1] * 30,
        [2.0],
        [1.0, 2.0],
        [0.0] * 25 + [1.0] * 5,
        [0.0] * 3 + [1.0] * 27,
        [-1.0] * 20 + [0.0, 5.0],
    ],
    ids=["constant", "rounding", "one", "two", "zeros", "step", "ties"],
)
def test_degenerate_calibration_scores_are_decided(threshold: Any, scores: list[float]) -> None:
    """At a rate that every number of samples can hold."""
    if isinstance(threshold, Fixed) or getattr(threshold, "location", None) is not None:
        return
    new = copy.deepcopy(threshold).fit(np.array(scores))
    new = new.at(0.6)
    values = np.array([*sorted(set(scores)), max(scores) + 1e-3, 1e6])
    found = new.p_values(values)
    assert np.isfinite(new.threshold_)
    assert np.isfinite(found).all()
    assert (np.diff(found) <= 0).all()
    np.testing.assert_array_equal(new.is_anomaly(values), found <= 0.6)
    np.testing.assert_array_equal(new.is_anomaly(values), values > new.threshold_)
    assert new.is_anomaly(np.array([1e6]))[0]


@pytest.mark.parametrize("threshold", [t for t in THRESHOLD_OBJECTS if not isinstance(t, Fixed)], ids=repr)
def test_nothing_is_decided_before_calibration(threshold: Any) -> None:
    for verb in (lambda t: t.p_values(SCORES), lambda t: t.is_anomaly(SCORES), lambda t: t.state()):
        with pytest.raises(NotCalibrated, match="must be fitted on held-out normal scores"):
            verb(copy.deepcopy(threshold))
