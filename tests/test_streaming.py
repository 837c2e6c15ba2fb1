"""A stream gives what the batch gives, a window later; until then, honest provisional decisions."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unalike import Branch, Detector, Events, load, save, thresholds
from unalike.encoders import RawWindow, WindowStatistics
from unalike.errors import CannotLoad, InputWarning, InvalidInput, InvalidParameter, NotCalibrated
from unalike.modalities.series import Series
from unalike.scorers.neighbors import KNN
from unalike.streaming import Pushed, Stream
from unalike.types import FloatArray

BRANCHES = (
    Branch(name="windows", encoder=RawWindow(), scorer=KNN(k=3)),
    Branch(name="statistics", encoder=WindowStatistics(), scorer=KNN(k=3)),
)
WINDOW = 16
USUAL = thresholds.Conformal(false_alarm_rate=0.05)


def quiet(n: int, channels: int = 2, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    steps = np.arange(n)[:, None]
    values: FloatArray = np.sin(steps / 3.0 + np.arange(channels)) + 0.1 * generator.normal(size=(n, channels))
    return values


def fitted(X: Any = None, *, stride: int | None = 3, threshold: Any = USUAL, **settings: Any) -> Detector:
    modality = Series(window=WINDOW, stride=stride, **settings)
    detector = Detector(modality, branches=BRANCHES, threshold=threshold)
    return detector.fit(quiet(2000) if X is None else X)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted(threshold=thresholds.Conformal(false_alarm_rate=0.02))


@cache
def of_stride(stride: int) -> Detector:
    return fitted(stride=stride, threshold=thresholds.Conformal(false_alarm_rate=0.1))


def broken(n: int = 150, seed: int = 1) -> FloatArray:
    """A record with an anomaly, missing steps and a stretch of which too little was measured."""
    values = quiet(n, seed=seed)
    values[60:70] += 2.0
    values[20, 1] = np.nan
    values[90:101] = np.nan
    return values


def pushed(stream: Stream, chunks: Any) -> list[Pushed]:
    return [stream.push(chunk) for chunk in chunks]


def joined(told: list[Pushed], kind: str, name: str) -> Any:
    return np.concatenate([getattr(getattr(one, kind), name) for one in told])


def cuts(n: int, pieces: int, seed: int) -> Any:
    return np.sort(np.random.default_rng(seed).choice(n - 1, pieces - 1, replace=False) + 1)


@pytest.mark.parametrize("stride", [1, 3, 5, 40])
@pytest.mark.parametrize("n", [150, 151, 152, WINDOW, WINDOW - 1, 1])
def test_final_decisions_are_those_of_the_batch(stride: int, n: int) -> None:
    detector = of_stride(stride)
    record = broken()[:n]
    stream, batch = detector.stream(), detector.detect(record)
    told = pushed(stream, record)
    for number, one in enumerate(told):
        assert len(joined(told[: number + 1], "final", "scores")) >= number + 1 - stream.delay
        assert len(one.provisional) == 1
    told.append(stream.close())
    np.testing.assert_array_equal(joined(told, "final", "steps"), batch.steps)
    np.testing.assert_allclose(joined(told, "final", "scores"), batch.scores, rtol=1e-12)
    np.testing.assert_allclose(joined(told, "final", "p_values"), batch.p_values)
    np.testing.assert_array_equal(joined(told, "final", "is_anomaly"), batch.is_anomaly)


def test_final_scores_do_not_wait_for_the_end(detector: Detector) -> None:
    record = broken()
    for n in (40, 77, 101):
        stream = detector.stream()
        early = stream.push(record[:n]).final.scores
        # Wherever the record ends after that, these steps keep their scores.
        for end in range(n, n + 5):
            np.testing.assert_array_equal(early, detector.anomaly_scores(record[:end])[: len(early)])
        assert len(early) >= n - stream.delay


def test_a_provisional_score_is_that_of_the_window_that_ends_there(detector: Detector) -> None:
    record = broken()
    told = [detector.stream().push(record)]
    scores = joined(told, "provisional", "scores")
    assert np.isnan(scores[: WINDOW - 1]).all()
    for end in (WINDOW, 33, 64, 97):
        alone = detector.anomaly_scores(record[end - WINDOW : end])
        np.testing.assert_allclose(scores[end - 1], alone[0], rtol=1e-12)
    assert np.isnan(scores[99])  # 9 of 16 steps are missing
    unjudged = np.isnan(scores)
    np.testing.assert_array_equal(joined(told, "provisional", "p_values")[unjudged], 1.0)
    assert not joined(told, "provisional", "is_anomaly")[unjudged].any()
    assert joined(told, "provisional", "is_anomaly")[60:70].any()


def test_how_it_is_cut_does_not_matter(detector: Detector) -> None:
    record = broken()
    whole = [detector.stream().push(record)]
    for seed in range(3):
        told = pushed(detector.stream(), np.split(record, cuts(len(record), 20, seed)))
        for kind in ("provisional", "final"):
            for name in ("scores", "p_values", "steps"):
                np.testing.assert_array_equal(joined(told, kind, name), joined(whole, kind, name))


@pytest.mark.parametrize("settings", [{}, {"merge": 4}, {"shortest": 3, "merge": 1}, {"hold": 0.3, "merge": 2}])
def test_events_are_those_of_the_provisional_decisions(settings: dict[str, Any]) -> None:
    detector = fitted(threshold=thresholds.Conformal(false_alarm_rate=0.1))
    record = broken(400, seed=3)
    expected = detector.stream().push(record).provisional.events(**settings)
    assert len(expected) > 2
    stream = detector.stream(**settings)
    told = [*pushed(stream, np.split(record, cuts(len(record), 90, 0))), stream.close()]
    ended = [event for one in told for event in one.ended]
    assert ended == list(expected)
    begun = [event.start for one in told for event in one.begun]
    assert begun == [event.start for event in expected]


def test_an_alarm_is_told_while_it_goes_on(detector: Detector) -> None:
    record = broken()
    stream = detector.stream(shortest=2)
    begun: list[int] = []
    for step in record[:66]:
        told = stream.push(step)
        begun += [len(stream)] * len(told.begun)
    assert stream.event is not None
    assert 60 < stream.event.start + 2 == begun[-1] <= 66
    assert stream.event.end == 66
    assert [event.start for event in stream.close().ended] == [stream.event.start]


@pytest.mark.parametrize("through", ["state", "file"])
def test_a_stream_goes_on_bit_equal_from_its_state(detector: Detector, tmp_path: Path, through: str) -> None:
    record = broken()
    once = detector.stream("pump", merge=3, hold=0.2, false_alarm_rate=0.05)
    told = [*pushed(once, np.split(record, cuts(150, 30, 5))), once.close()]
    again = detector.stream("pump", merge=3, hold=0.2, false_alarm_rate=0.05)
    other = []
    for number, chunk in enumerate(np.split(record, cuts(150, 30, 5))):
        if number % 3 == 0:
            again = detector.stream(state=again.save(tmp_path / "pump") if through == "file" else again.state())
        other.append(again.push(chunk))
    other.append(again.close())
    assert again.entity == "pump"
    for kind in ("provisional", "final"):
        for name in ("scores", "p_values", "is_anomaly", "steps", "ids", "entities"):
            np.testing.assert_array_equal(joined(other, kind, name), joined(told, kind, name))
    assert [list(one.begun) for one in other] == [list(one.begun) for one in told]
    assert [list(one.ended) for one in other] == [list(one.ended) for one in told]


def test_a_loaded_model_goes_on_too(detector: Detector, tmp_path: Path) -> None:
    record = broken()
    stream = detector.stream()
    stream.push(record[:70])
    loaded = load(save(detector, tmp_path / "model.unalike"))
    state = stream.state()
    other = loaded.stream(state=state).push(record[70:])
    one = stream.push(record[70:])
    np.testing.assert_array_equal(one.provisional.scores, other.provisional.scores)
    np.testing.assert_array_equal(one.provisional.p_values, other.provisional.p_values)
    np.testing.assert_array_equal(one.final.scores, other.final.scores)


def test_state_does_not_grow_with_the_record(detector: Detector) -> None:
    stream = detector.stream()
    stream.push(quiet(50))
    sizes = [stream.state()[name].nbytes for name in ("values",)]
    stream.push(quiet(500))
    state = stream.state()
    assert [state[name].nbytes for name in ("values",)] == sizes
    assert len(state["running"]["total"]) <= WINDOW


def test_the_state_of_another_model_is_refused(detector: Detector, tmp_path: Path) -> None:
    stream = detector.stream()
    stream.push(quiet(30))
    other = fitted(quiet(2000, seed=9))
    with pytest.raises(CannotLoad, match="of this model"):
        other.stream(state=stream.state())
    with pytest.raises(InvalidParameter, match="alone"):
        detector.stream("pump", state=stream.state())
    for damaged in ({}, {"format": "unalike stream", "version": 2}):
        with pytest.raises(CannotLoad, match="`state`"):
            detector.stream(state=damaged)
    short = {**stream.state(), "values": np.zeros((3, 7))}
    with pytest.raises(CannotLoad, match="damaged"):
        detector.stream(state=short)
    path = stream.save(tmp_path / "pump.npz")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CannotLoad, match="damaged"):
        detector.stream(state=path)
    with pytest.raises(CannotLoad, match="none"):
        detector.stream(state=tmp_path / "nothing.npz")


def test_a_state_file_holds_no_pickle(detector: Detector, tmp_path: Path) -> None:
    stream = detector.stream()
    stream.push(broken()[:66])
    with np.load(stream.save(tmp_path / "pump.npz"), allow_pickle=False) as entries:
        assert all(entries[name].dtype.kind in "iufbM" for name in entries.files)


def test_a_calibration_later_leaves_the_state_good(detector: Detector) -> None:
    calibrated = fitted(threshold=thresholds.Conformal(false_alarm_rate=0.02))
    stream = calibrated.stream()
    stream.push(quiet(30))
    calibrated.calibrate(quiet(800, seed=4), threshold=thresholds.Conformal(false_alarm_rate=0.1))
    went_on = calibrated.stream(state=stream.state())
    assert went_on.threshold < stream.threshold
    assert len(went_on) == 30


def test_provisional_false_alarms_keep_their_rate() -> None:
    rates = []
    for seed in range(4):
        detector = fitted(quiet(6000, seed=seed), threshold=thresholds.Conformal(false_alarm_rate=0.05))
        new = detector.stream().push(quiet(3000, seed=100 + seed)).provisional
        rates.append(new.is_anomaly[WINDOW:].mean())
    assert 0.02 < np.mean(rates) < 0.08


def test_a_single_window_needs_another_threshold_than_the_mean_of_many(detector: Detector) -> None:
    assert detector.stream().threshold > detector.threshold_.threshold_


def test_rates_and_kinds_are_those_of_detect(detector: Detector) -> None:
    record = broken()
    stream = detector.stream(false_alarm_rate=0.2)
    told = [stream.push(record), stream.close()]
    batch = detector.detect(record, false_alarm_rate=0.2)
    np.testing.assert_array_equal(joined(told, "final", "is_anomaly"), batch.is_anomaly)
    assert told[0].provisional.false_alarm_rate == batch.false_alarm_rate == 0.2
    assert stream.threshold < detector.stream().threshold
    with pytest.raises(InvalidParameter, match=r"one window per stride"):
        detector.stream(false_alarm_rate=0.0001)
    fixed = fitted(threshold=thresholds.Fixed(3.0))
    assert fixed.stream().threshold == 3.0
    assert np.isnan(fixed.stream().push(record).provisional.p_values).all()
    with pytest.raises(InvalidParameter, match="`hold`"):
        fixed.stream(hold=0.1)
    with pytest.raises(InvalidParameter, match="`merge`"):
        detector.stream(merge=-1)


def test_each_entity_has_its_threshold() -> None:
    records = {"calm": quiet(3000), "wild": quiet(3000, seed=1) * 3.0}
    detector = fitted(records, threshold=thresholds.PerEntity(thresholds.Conformal(false_alarm_rate=0.1)))
    record = quiet(300, seed=5)
    for name in records:
        stream = detector.stream(name)
        told = [stream.push(record), stream.close()]
        batch = detector.detect({name: record})
        np.testing.assert_array_equal(joined(told, "final", "p_values"), batch.p_values)
        np.testing.assert_array_equal(joined(told, "final", "entities"), batch.entities)
    p_values = [detector.stream(name).push(record).provisional.p_values.mean() for name in records]
    assert p_values[0] < p_values[1]


def test_without_calibration_windows_there_is_no_stream() -> None:
    modality = Series(window=WINDOW)
    detector = Detector(modality, branches=BRANCHES, threshold=USUAL, calibration_fraction=0.0).fit(quiet(500))
    with pytest.raises(NotCalibrated):
        detector.stream()
    detector.calibrate(quiet(1000, seed=2))
    assert detector.stream().threshold > 0.0
    detector.calibrate([quiet(10, seed=seed) for seed in range(50, 90)])
    with pytest.raises(NotCalibrated, match="windows"):
        detector.stream()
    table = Detector("table", encoder="raw-table", objective="frozen", scorer="knn", threshold=USUAL).fit(
        np.random.default_rng(0).normal(size=(200, 3))
    )
    with pytest.raises(InvalidParameter, match="steps of records"):
        table.stream()


def test_more_calibration_is_more_for_streams_too(detector: Detector) -> None:
    grown = fitted()
    before = np.count_nonzero(~np.isnan(grown.calibration_ends_))
    grown.update(quiet(300, seed=7), into="calibration")
    ends = grown.calibration_ends_
    assert len(ends) == len(grown.calibration_scores_)
    assert np.count_nonzero(~np.isnan(ends)) == before + len(range(0, 300 - WINDOW, 3)) + 1


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros(3), "2 channels"),
        (np.zeros((4, 1)), "2 channels"),
        (np.zeros((0, 2)), "at least one step"),
        (np.zeros((2, 3, 2)), "axes"),
        ([np.inf, 0.0], "finite"),
        (["a", "b"], "numbers"),
        ([[1.0, 2.0], [1.0]], "different lengths"),
    ],
)
def test_unusable_steps_are_refused_and_leave_no_trace(detector: Detector, chunk: Any, message: str) -> None:
    record = broken()
    stream, other = detector.stream(), detector.stream()
    stream.push(record[:40])
    other.push(record[:40])
    with pytest.raises(InvalidInput, match=message):
        stream.push(chunk)
    np.testing.assert_array_equal(stream.push(record[40:]).final.scores, other.push(record[40:]).final.scores)


def test_a_closed_stream_takes_nothing(detector: Detector) -> None:
    stream = detector.stream()
    assert len(stream.close().final) == 0
    for act in (lambda: stream.push(np.zeros(2)), stream.close, stream.state):
        with pytest.raises(InvalidParameter, match="closed"):
            act()


def test_one_channel_may_be_numbers() -> None:
    detector = fitted(quiet(1000, 1))
    record = quiet(60, 1, seed=3)
    told = [pushed(detector.stream(), chunks) for chunks in (record, record[:, 0].tolist(), np.split(record[:, 0], 6))]
    for other in told[1:]:
        np.testing.assert_array_equal(joined(other, "final", "scores"), joined(told[0], "final", "scores"))


def frame(values: FloatArray, start: str = "2024-01-01", freq: str = "1min", names: str = "ab") -> pd.DataFrame:
    index = pd.date_range(start, periods=len(values), freq=freq)
    return pd.DataFrame(values, columns=list(names), index=index)


def test_named_steps_in_any_form() -> None:
    detector = fitted(pd.DataFrame(quiet(1000), columns=["a", "b"]))
    record = pd.DataFrame(broken(60), columns=["a", "b"])
    expected = detector.anomaly_scores(record)
    forms = {
        "frames": [record[["b", "a"]].iloc[at : at + 10] for at in range(0, 60, 10)],
        "dicts": [{"b": row.b, "a": row.a, "more": "x"} for row in record.itertuples()],
        "columns": [{"b": record.b.tolist(), "a": record.a.tolist()}],
        "rows": [record.to_dict("records")],
        "arrays": list(record.to_numpy()),
    }
    for name, chunks in forms.items():
        stream = detector.stream()
        told = [*pushed(stream, chunks), stream.close()]
        np.testing.assert_array_equal(joined(told, "final", "scores"), expected, err_msg=name)
    with pytest.warns(InputWarning, match="none called"):
        detector.stream().push({"a": 1.0})
    with pytest.raises(InvalidInput, match="channels of `fit`"):
        detector.stream().push({"c": 1.0})
    with pytest.raises(InvalidInput, match="numbers"):
        detector.stream().push({"a": "high", "b": 1.0})


@pytest.mark.parametrize("by_index", [True, False])
def test_gaps_in_time_are_missing_steps(by_index: bool) -> None:
    detector = fitted(frame(quiet(2000)), longest_gap=12)
    record = frame(quiet(220, seed=4), "2024-02-01")
    record = record.drop(record.index[[30, 31, 32, 80, *range(120, 131), *range(160, 173)]])
    batch = detector.detect(record)
    stream = detector.stream()
    told = []
    for rows in np.split(np.arange(len(record)), cuts(len(record), 60, 1)):
        part = record.iloc[rows]
        told.append(stream.push(part) if by_index else stream.push(part.to_numpy(), time=part.index))
    told.append(stream.close())
    np.testing.assert_array_equal(joined(told, "final", "steps"), batch.steps)
    np.testing.assert_array_equal(joined(told, "final", "ids"), batch.ids)
    np.testing.assert_allclose(joined(told, "final", "scores"), batch.scores, rtol=1e-12)
    first = np.flatnonzero(joined(told, "provisional", "steps") == 173)[0]
    assert first == 160  # a new segment after the longest gap, and the shorter ones filled
    assert np.isnan(joined(told, "provisional", "scores")[first : first + WINDOW - 1]).all()


def test_times_name_events_and_survive_the_state(tmp_path: Path) -> None:
    train = frame(quiet(2000)).tz_localize("Europe/Vienna")
    detector = fitted(train, threshold=thresholds.Conformal(false_alarm_rate=0.05))
    record = frame(broken(), "2024-02-01").tz_localize("Europe/Vienna")
    mixed = detector.stream()
    mixed.push(record[:5])
    with pytest.raises(InvalidInput, match="all have a time zone or none"):
        mixed.push(record[5:6].tz_localize(None))
    expected = detector.stream().push(record).provisional.events(merge=5)
    stream = detector.stream(merge=5)
    found: list[Any] = []
    for at in range(0, len(record), 7):
        stream = detector.stream(state=stream.save(tmp_path / "state.npz"))
        found += stream.push(record.iloc[at : at + 7]).ended
    found += stream.close().ended
    assert found == list(expected)
    assert any("2024-02-01T01:00:00+01:00" <= event.first <= "2024-02-01T01:10:00+01:00" for event in found)
    assert isinstance(expected, Events)


def test_times_must_go_on(detector: Detector) -> None:
    timed = fitted(frame(quiet(1000)))
    stream = timed.stream()
    stream.push(np.zeros(2), time="2024-01-01 00:00:00")
    for time, message in (
        ("2024-01-01 00:00:00", "rise"),
        ("2023-12-31 00:00:00", "rise"),
        ("2024-01-01 00:00:10", "two at one step"),
        (3, "dates"),
        (None, "for all steps"),
    ):
        with pytest.raises(InvalidInput, match=message):
            stream.push(np.zeros(2), time=time)
    with pytest.raises(InvalidInput, match="one per step"):
        stream.push(np.zeros((3, 2)), time=["2024-01-01 00:01:00"])
    assert len(stream.push(np.zeros(2), time="2024-01-01 00:03:00").provisional) == 3
    # Where training knew no times, they only name the steps.
    named = detector.stream().push(np.zeros((2, 2)), time=[5.0, 9.0]).provisional
    assert named.ids.tolist() == [5.0, 9.0]


def test_a_column_of_entities_must_be_of_the_stream() -> None:
    table = pd.DataFrame(quiet(1000), columns=["a", "b"]).assign(host="h1", t=np.arange(1000))
    detector = fitted(table, time="t", entity="host")
    record = pd.DataFrame(broken(60), columns=["a", "b"]).assign(host="h1", t=np.arange(60))
    stream = detector.stream("h1")
    told = [stream.push(record[:20]), stream.push(record[20:].drop(columns="host")), stream.close()]
    np.testing.assert_allclose(joined(told, "final", "scores"), detector.anomaly_scores(record), rtol=1e-12)
    with pytest.raises(InvalidInput, match="stream's entity"):
        detector.stream("h2").push(record)
    row = {"a": 0.0, "b": 0.0, "t": 100}
    assert detector.stream("h1").push(row).provisional.ids.tolist() == [100]


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_times_that_waver_are_numbered_as_in_the_batch(jitter: float) -> None:
    train = pd.DataFrame(quiet(1000), columns=["a", "b"]).assign(t=np.arange(1000) * 60)
    detector = fitted(train, time="t")
    generator = np.random.default_rng(0)
    times = (np.arange(200) + jitter * generator.uniform(-1.0, 1.0, 200)) * 60.0
    times[100:] += 120.0
    record = pd.DataFrame(broken(200), columns=["a", "b"]).assign(t=times)
    batch = detector.detect(record)
    for pieces in (200, 9):
        stream = detector.stream()
        told = [stream.push(record.iloc[rows]) for rows in np.split(np.arange(200), cuts(200, pieces, 2))]
        told.append(stream.close())
        np.testing.assert_array_equal(joined(told, "final", "steps"), batch.steps)
        np.testing.assert_allclose(joined(told, "final", "ids"), batch.ids)
        np.testing.assert_allclose(joined(told, "final", "scores"), batch.scores, rtol=1e-12)


def test_a_clock_that_is_a_little_off_leaves_no_gaps() -> None:
    train = pd.DataFrame(quiet(1000), columns=["a", "b"]).assign(t=np.arange(1000) * 60)
    detector = fitted(train, time="t")
    record = pd.DataFrame(quiet(300, seed=2), columns=["a", "b"]).assign(t=np.arange(300) * 60.5)
    stream = detector.stream()
    told = [stream.push(record.iloc[at : at + 1]) for at in range(300)]
    told.append(stream.close())
    np.testing.assert_array_equal(joined(told, "final", "scores"), detector.anomaly_scores(record))
    np.testing.assert_array_equal(joined(told, "final", "ids"), record["t"])
