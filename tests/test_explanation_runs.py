from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unalike import Branch, Detector, load, modalities, save
from unalike.decisions import Explanations
from unalike.errors import InvalidInput
from unalike.events import Event, Events
from unalike.explanation.runs import stretch
from unalike.scorers import KNN
from unalike.thresholds import Conformal

PERIOD = 40
USUAL = Conformal(false_alarm_rate=0.05)


def record(n: int, seed: int, channels: int = 3) -> np.ndarray[Any, Any]:
    steps = np.arange(n)[:, None]
    waves = np.sin(2 * np.pi * steps / PERIOD + np.arange(channels))
    return 50.0 + 10.0 * waves + np.random.default_rng(seed).normal(size=(n, channels))


def spoilt() -> np.ndarray[Any, Any]:
    X = record(1200, 1)
    X[300:306, 1] += 30.0
    X[700:730, 2] = 50.0
    return X


@pytest.fixture(scope="module")
def detector() -> Detector:
    raw = Branch(name="windows", encoder="raw-window", scorer=KNN(k=3))
    return Detector(modalities.Series(window=PERIOD), branches=[raw], threshold=USUAL).fit(record(3000, 0))


def test_the_guilty_channel_and_the_stretch_are_found(detector: Detector) -> None:
    first, second = detector.explain(spoilt(), only=[*range(300, 306), *range(700, 730)])
    assert [part.place for part in first.parts][:1] == ["x1"]
    assert [part.place for part in second.parts][:1] == ["x2"]
    assert (first.id, second.id) == ("300 to 305", "700 to 729")
    assert first.parts[0].share > 0.8
    assert first.parts[0].at == (300, 305) or first.parts[0].at == (300, 304) or first.parts[0].at == (301, 305)
    X = spoilt()
    begin, end = first.parts[0].at
    assert first.parts[0].value == pytest.approx(X[begin : end + 1, 1].mean(), abs=1e-3)
    assert first.parts[0].usual == pytest.approx(first.parts[0].value - 30.0, abs=3.0)


def test_the_stretch_is_found_in_a_longer_run(detector: Detector) -> None:
    (found,) = detector.explain(spoilt(), only=np.arange(260, 350))
    begin, end = found.parts[0].at
    assert (found.parts[0].place, 299 <= begin <= 301, 303 <= end <= 306) == ("x1", True, True)
    assert found.picture is not None
    assert found.picture.shape == (90, 3)
    assert found.picture.sum() == pytest.approx(sum(part.share for part in found.parts))
    assert 260 + found.picture[:, 1].argmax() in range(300, 306)


def test_events_are_explained_and_those_of_other_records_refused(detector: Detector) -> None:
    decisions = detector.detect(spoilt(), false_alarm_rate=0.01)
    events = decisions.events()
    found = detector.explain(spoilt(), only=events)
    assert len(found) == len(events)
    runs = detector.explain(spoilt(), only=decisions.is_anomaly)
    assert [one.id for one in runs] == [one.id for one in found]
    stranger = Events((Event("other", 3, 5, 1.0, 0.5),))
    with pytest.raises(InvalidInput, match="`only` must hold events of these records"):
        detector.explain(spoilt(), only=stranger)


def test_all_steps_are_one_run_per_record(detector: Detector) -> None:
    found = detector.explain({"a": record(100, 2), "b": record(60, 3)})
    assert [one.id for one in found] == ["a: 0 to 99", "b: 0 to 59"]
    assert len(detector.explain(record(60, 2), only=np.zeros(60, dtype=bool))) == 0


def test_a_run_of_which_nothing_was_measured_has_no_cause(detector: Detector) -> None:
    X = record(400, 2)
    X[100:250] = np.nan
    (found,) = detector.explain(X, only=np.arange(150, 200))
    assert found.parts == ()
    assert found.score == 0.0


def test_missing_values_are_no_cause(detector: Detector) -> None:
    X = spoilt()
    X[295:310, 0] = np.nan
    (found,) = detector.explain(X, only=np.arange(300, 306))
    assert found.parts[0].place == "x1"
    assert all(part.usual is not None for part in found.parts)


def test_times_name_runs_and_stretches_and_the_frame_has_them() -> None:
    raw = Branch(name="windows", encoder="raw-window", scorer=KNN(k=3))
    columns = {
        "t": pd.date_range("2026-01-01", periods=3000, freq="min"),
        **dict(zip("abc", record(3000, 0).T, strict=True)),
    }
    series = modalities.Series(time="t", window=PERIOD)
    detector = Detector(series, branches=[raw], threshold=USUAL).fit(pd.DataFrame(columns))
    live = pd.DataFrame({"t": columns["t"][:1200], **dict(zip("abc", spoilt().T, strict=True))})
    found = detector.explain(live, only=np.arange(300, 306))
    frame = found.to_frame()
    assert frame["id"][0] == "2026-01-01T05:00:00 to 2026-01-01T05:05:00"
    assert frame["first"][0].startswith("2026-01-01T05:0")
    assert list(frame.columns)[-2:] == ["first", "last"]
    assert all(":" in name for name in found[0].nearest)


def test_a_loaded_model_explains_alike(detector: Detector, tmp_path: Path) -> None:
    save(detector, tmp_path / "m.unalike")
    again = load(tmp_path / "m.unalike")
    rows = np.arange(295, 310)
    assert told(again.explain(spoilt(), only=rows)) == told(detector.explain(spoilt(), only=rows))


def told(found: Explanations) -> list[Any]:
    return [(one.id, one.score, one.parts, one.nearest) for one in found]


@pytest.mark.parametrize("seed", range(20))
def test_a_stretch_is_the_shortest_that_holds_four_fifths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    difference = rng.random(rng.integers(1, 25)) ** 4
    first, last = stretch(difference)
    needed = 0.8 * difference.sum() * (1 - 1e-9)
    assert difference[first : last + 1].sum() >= needed
    for begin in range(len(difference)):
        for end in range(begin, begin + last - first):
            assert difference[begin : end + 1].sum() < needed or end >= len(difference)


def test_a_stretch_of_no_difference_is_all() -> None:
    assert stretch(np.zeros(4)) == (0, 3)
