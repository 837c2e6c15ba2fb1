"""Series whose entities have scales of their own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from unalike import Branch, Detector, load, save, scorers, thresholds
from unalike.encoders import RawWindow
from unalike.errors import InputWarning, InvalidInput, InvalidParameter
from unalike.modalities import Series

Array = npt.NDArray[np.float64]
pytestmark = pytest.mark.filterwarnings("ignore:A false-alarm rate of::")

WINDOW = 12
RAW = (Branch(name="windows", encoder=RawWindow(), scorer=scorers.KNN(k=3)),)
SIZES = {"small": 0.01, "large": 1.0, "huge": 100.0}


def waves(n: int, seed: int = 0) -> Array:
    """``(n, 2)`` sines of one period, a window long, with noise."""
    t = np.arange(n)[:, None]
    noise = np.random.default_rng(seed).normal(size=(n, 2))
    return np.asarray(np.sin(2 * np.pi * t / WINDOW + np.arange(2)) + 0.1 * noise)


def fleet(n: int = 600, seed: int = 0, sizes: dict[str, float] = SIZES) -> dict[str, Array]:
    """A record for each size, each around another level."""
    return {name: 50.0 * size + size * waves(n, seed + number) for number, (name, size) in enumerate(sizes.items())}


def model(scale: Any = "entity", **settings: Any) -> Detector:
    kept = {"branches": RAW, "threshold": thresholds.Conformal(false_alarm_rate=0.05), **settings}
    return Detector(Series(window=WINDOW, scale=scale), **kept)


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return model().fit(fleet())


def odd(entity: str) -> dict[str, Array]:
    """A record of one entity with steps that are unlike by three of its own units."""
    X = fleet(200, seed=40)[entity]
    X[100:104, 0] += 3.0 * SIZES[entity]
    return {entity: X}


def test_an_anomaly_of_a_small_entity_is_found_by_its_own_scale_alone(fitted: Detector) -> None:
    inside = slice(100 - WINDOW, 104 + WINDOW)
    for entity in SIZES:
        decisions = fitted.detect(odd(entity))
        assert decisions.is_anomaly[100:104].all()
        assert inside.start <= np.argmax(decisions.scores) < inside.stop
    assert not model("together").fit(fleet()).detect(odd("small")).is_anomaly.any()


def test_scores_do_not_depend_on_the_size_of_entities(fitted: Detector) -> None:
    # Powers of two lose no bit.
    factors = {"small": 0.25, "large": 1024.0, "huge": 2.0}
    other = model().fit({name: factors[name] * values for name, values in fleet().items()})
    for entity in SIZES:
        again = {entity: factors[entity] * odd(entity)[entity]}
        np.testing.assert_array_equal(other.anomaly_scores(again), fitted.anomaly_scores(odd(entity)))


def test_tensors_are_standardised_by_each_entitys_training_steps(fitted: Detector) -> None:
    series, X = fitted.modality_, fitted.modality_.check(fleet(WINDOW, seed=7))
    segments = fitted.modality_.check(fleet())[fitted.split_.train].segments
    for window, (name, values) in zip(series.tensors(series.cut(X)[0]).numpy(), fleet(WINDOW, 7).items(), strict=True):
        trained = np.concatenate([segment.values for segment in segments if segment.entity == name])
        expected = (values - trained.mean(axis=0)) / trained.std(axis=0)
        np.testing.assert_allclose(window.T, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["", "only"])
def test_one_entity_alone_is_scored_as_with_the_scale_of_all(name: str) -> None:
    train, test = waves(400), waves(100, seed=3)
    given, asked = (train, test) if not name else ({name: train}, {name: test})
    own, together = (model(scale).fit(given) for scale in ("entity", "together"))
    np.testing.assert_array_equal(own.anomaly_scores(asked), together.anomaly_scores(asked))
    assert own.detect(asked).threshold == together.detect(asked).threshold


def test_a_saved_model_scores_bit_equal_and_its_stream_too(fitted: Detector, tmp_path: Path) -> None:
    save(fitted, tmp_path / "m.unalike")
    loaded = load(tmp_path / "m.unalike")
    for entity in SIZES:
        expected = fitted.anomaly_scores(odd(entity))
        np.testing.assert_array_equal(loaded.anomaly_scores(odd(entity)), expected)
        stream = loaded.stream(entity=entity)
        told = [stream.push(odd(entity)[entity][at : at + 30]).final.scores for at in range(0, 200, 30)]
        np.testing.assert_allclose(np.concatenate([*told, stream.close().final.scores]), expected, rtol=1e-9)


def test_a_state_that_was_saved_before_there_were_own_scales_is_taken() -> None:
    series = model("together").fit(waves(300)).modality_
    state = series.state()
    assert "own" not in state
    old = Series(window=WINDOW)
    old.restore(state)
    windows = series.cut(series.check(waves(50, seed=2)))[0]
    np.testing.assert_array_equal(old.tensors(windows), series.tensors(windows))


def test_causes_are_told_in_the_units_of_the_entity(fitted: Detector) -> None:
    for entity, size in SIZES.items():
        (run,) = fitted.explain(odd(entity), only=np.arange(100, 104))
        cause = run.parts[0]
        assert cause.place == "x0"
        level = odd(entity)[entity][100:104, 0]
        assert level.min() <= cause.value <= level.max()
        assert 50.0 * size - 1.5 * size < cause.usual < 50.0 * size + 1.5 * size


def test_entities_that_training_did_not_see_have_the_scale_of_all_and_are_named_once(fitted: Detector) -> None:
    X = {**fleet(60, seed=9), "new": waves(60), "newer": waves(60)}
    with pytest.warns(InputWarning, match=r"steps enough in training .*\['new', 'newer'\] had not") as told:
        fitted.detect(X)
    assert len(told) == 1
    with pytest.warns(InputWarning, match=r"\['new'\] had not"):
        stream = fitted.stream(entity="new")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        series, records = fitted.modality_, fitted.modality_.check({"new": X["new"]})
        expected = fitted.anomaly_scores({"new": X["new"]})
    window = series.tensors(series.cut(records)[0])[0].numpy()
    np.testing.assert_allclose(window.T, (X["new"][:WINDOW] - series.center_) / series.scale_, rtol=1e-4, atol=1e-6)
    scores = [*stream.push(X["new"]).final.scores, *stream.close().final.scores]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_entities_with_too_few_steps_have_the_scale_of_all() -> None:
    with pytest.warns(InputWarning, match=r"must have 24 steps that train .*\['brief'\] had not"):
        made = model().fit({**fleet(), "brief": 0.01 * waves(20)})
    assert made.modality_.own_.names == tuple(SIZES)
    # Held out whole, to calibrate: it has no step that trains.
    with pytest.warns(InputWarning, match=r"\['f'\] had not"):
        model().fit({"a": waves(400)} | {name: waves(26, seed) for seed, name in enumerate("bcdef")})


def test_a_channel_that_an_entity_hardly_measured_has_the_scale_of_all() -> None:
    X = fleet()
    X["small"][:, 1] = np.nan
    series = model().fit(X).modality_
    row = 1 + series.own_.names.index("small")
    assert series.own_.scale[row, 1] == series.scale_[1]
    assert series.own_.scale[row, 0] < 0.05


def test_equal_steps_of_two_entities_are_two_samples_unless_their_units_are_one(fitted: Detector) -> None:
    X = fitted.modality_.check({"small": waves(40), "large": waves(40)})
    first, second = np.split(fitted.modality_.fingerprints(X), 2)
    assert not np.isin(first, second).any()
    together = model("together").fit(fleet()).modality_
    first, second = np.split(together.fingerprints(together.check({"small": waves(40), "large": waves(40)})), 2)
    np.testing.assert_array_equal(first, second)


def test_an_update_keeps_the_scales_and_takes_new_steps_in(fitted: Detector) -> None:
    new = {"small": fleet(200, seed=70)["small"] + 3.0 * SIZES["small"]}
    with pytest.raises(InvalidInput, match="that the detector has not seen"):
        fitted.update({"huge": fleet()["huge"][:200]}, into="scorer", calibration=fleet(100, seed=90))
    before = fitted.anomaly_scores(new).mean()
    scale = fitted.modality_.own_.scale.copy()
    grown = model().fit(fleet())
    grown.update(new, into="scorer", calibration=fleet(100, seed=90))
    assert grown.anomaly_scores(new).mean() < 0.5 * before
    np.testing.assert_array_equal(grown.modality_.own_.scale, scale)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="`scale` must be 'together' or 'entity'; got 'host'"):
        Series(scale="host")  # type: ignore[arg-type]
