"""What every threshold promises."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from unalike import lookup
from unalike.errors import InvalidInput, NotCalibrated
from unalike.thresholds import THRESHOLDS, Conformal, Fixed, Quantile
from unalike.types import Stateful, Threshold

THRESHOLD_OBJECTS = [Conformal(), Conformal(0.05), Quantile(0.05), Fixed(1.5)]
CALIBRATION = np.random.default_rng(0).normal(size=200)
SCORES = np.random.default_rng(1).normal(size=80) * 2

every = pytest.mark.parametrize("threshold", THRESHOLD_OBJECTS, ids=repr)


def judged(threshold: Threshold) -> tuple[Any, ...]:
    return (
        threshold.p_values(SCORES).tobytes(),
        threshold.is_anomaly(SCORES).tobytes(),
        threshold.threshold_,
        threshold.false_alarm_rate_,
    )


def test_every_name_is_under_contract() -> None:
    names = {type(threshold) for threshold in THRESHOLD_OBJECTS}
    assert {lookup.named("threshold", THRESHOLDS, name) for name in THRESHOLDS} == names


@every
def test_has_the_shape(threshold: Any) -> None:
    fitted = copy.deepcopy(threshold)
    assert fitted.fit(CALIBRATION) is fitted
    assert isinstance(fitted, Threshold)
    assert isinstance(fitted, Stateful)
    assert isinstance(fitted.threshold_, float)
    assert fitted.p_values(SCORES).shape == fitted.is_anomaly(SCORES).shape == (80,)
    assert fitted.p_values(SCORES).dtype == np.float64
    assert fitted.is_anomaly(SCORES).dtype == np.bool_


@every
def test_decides_by_the_threshold_and_monotonously(threshold: Any) -> None:
    fitted = copy.deepcopy(threshold).fit(CALIBRATION)
    np.testing.assert_array_equal(fitted.is_anomaly(SCORES), fitted.threshold_ < SCORES)
    p_values = fitted.p_values(np.sort(SCORES))
    assert np.isnan(p_values).all() or (np.diff(p_values) <= 0).all()
    assert 0 < fitted.is_anomaly(SCORES).sum() < 80


@every
def test_settings_and_input_are_left_alone(threshold: Any) -> None:
    fitted = copy.deepcopy(threshold)
    scores = CALIBRATION.copy()
    fitted.fit(scores)
    judged(fitted)
    assert dataclasses.asdict(fitted) == dataclasses.asdict(threshold)
    np.testing.assert_array_equal(scores, CALIBRATION)
    before = judged(fitted)
    scores[:] = 1e9
    assert judged(fitted) == before


@every
def test_fitting_again_forgets_and_order_does_not_matter(threshold: Any) -> None:
    again = copy.deepcopy(threshold).fit(CALIBRATION * 9 + 4).fit(CALIBRATION[::-1])
    assert judged(again) == judged(copy.deepcopy(threshold).fit(CALIBRATION))


@every
def test_a_score_is_judged_alone_as_among_others(threshold: Any) -> None:
    fitted = copy.deepcopy(threshold).fit(CALIBRATION)
    alone = [(fitted.p_values(SCORES[i : i + 1])[0], fitted.is_anomaly(SCORES[i : i + 1])[0]) for i in range(80)]
    np.testing.assert_array_equal([p for p, _ in alone], fitted.p_values(SCORES))
    np.testing.assert_array_equal([flag for _, flag in alone], fitted.is_anomaly(SCORES))
    assert fitted.p_values(SCORES[:0]).shape == fitted.is_anomaly(SCORES[:0]).shape == (0,)


@every
def test_state_restores_to_the_last_bit(threshold: Any) -> None:
    fitted = copy.deepcopy(threshold).fit(CALIBRATION)
    state = fitted.state()
    assert all(isinstance(value, np.ndarray) or json.dumps(value) for value in state.values())
    restored = type(threshold)(**dataclasses.asdict(threshold))
    restored.restore(state)
    assert judged(restored) == judged(fitted)


@every
@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf], [[1.0]]], ids=str)
def test_calibration_that_cannot_be_used_is_refused(threshold: Any, scores: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="`calibration_scores` must be"):
        copy.deepcopy(threshold).fit(np.array(scores))


@pytest.mark.parametrize("threshold", [Conformal(), Quantile()], ids=repr)
def test_nothing_is_decided_before_calibration(threshold: Any) -> None:
    for verb in (lambda t: t.p_values(SCORES), lambda t: t.is_anomaly(SCORES), lambda t: t.state()):
        with pytest.raises(NotCalibrated, match="must be fitted on held-out normal scores"):
            verb(copy.deepcopy(threshold))
