from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unalike.errors import InputWarning, InvalidInput
from unalike.records import Clock, Learned, Records, collected, names
from unalike.records.grid import bin_means

nan = float("nan")


def at(times: Any, x: Any = None, **arguments: Any) -> Records:
    x = np.arange(len(times), dtype=float) if x is None else x
    return collected(pd.DataFrame({"t": times, "x": x}), time="t", **arguments)


def column(X: Records) -> list[list[float]]:
    return [segment.values[:, 0].tolist() for segment in X.segments]


def slowly(times: npt.NDArray[Any], x: npt.NDArray[Any], step: float) -> dict[int, float]:
    """What each point of the grid holds, row by row."""
    order = np.argsort(times, kind="stable")
    points: dict[int, list[float]] = {}
    for time, value in zip(times[order], x[order], strict=True):
        points.setdefault(round((time - times.min()) / step), []).append(value)
    return {point: float(np.mean(found)) for point, found in points.items()}


def test_regular_records_stay_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=50)
    times = 3.0 + 0.1 * np.arange(50)
    X = at(times, x)
    np.testing.assert_array_equal(X.segments[0].values[:, 0], x)
    np.testing.assert_array_equal(names(X), times)
    assert X.clock is not None
    assert X.clock.step == pytest.approx(0.1)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_a_grid_is_as_a_slow_twin_makes_it(data: st.DataObject) -> None:
    times = np.array(data.draw(st.lists(st.integers(0, 400), min_size=2, max_size=30, unique=True)))
    x = np.array(data.draw(st.lists(st.floats(-1e6, 1e6), min_size=len(times), max_size=len(times))))
    step = data.draw(st.sampled_from([1.0, 2.5, 7.0, 30.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        X = at(times, x, step=step, longest_gap=20)
    expected = slowly(times.astype(float), x, step)
    found: dict[int, float] = {}
    for segment in X.segments:
        points = segment.start + np.arange(len(segment))
        np.testing.assert_allclose(np.asarray(segment.times), times.min() + points * step)
        found.update(zip(points.tolist(), segment.values[:, 0].tolist(), strict=True))
    assert {point for point, value in found.items() if not np.isnan(value)} == set(expected)
    for point, value in expected.items():
        assert found[point] == pytest.approx(value, rel=1e-9, abs=1e-9)
    between = [set(range(s.start, s.start + len(s))) for s in X.segments]
    assert not any(one & other for number, one in enumerate(between) for other in between[:number])


def test_what_was_not_measured_is_missing_and_never_filled() -> None:
    X = at([0, 1, 2, 5, 6], [1.0, 2, 3, 6, 7])
    np.testing.assert_array_equal(column(X), [[1, 2, 3, nan, nan, 6, 7]])
    assert names(X).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert X.clock == Clock(1.0, False)


def test_a_step_that_is_given_takes_means() -> None:
    times = pd.date_range("2024-01-01", periods=6, freq="20s")
    X = at(times, [1.0, 2, nan, 4, nan, nan], step="1min")
    np.testing.assert_array_equal(column(X), [[1.5, 4.0, nan]])
    assert names(X).tolist() == [t.to_pydatetime() for t in pd.date_range("2024-01-01", periods=3, freq="1min")]


@pytest.mark.parametrize(
    "step", ["5min", "5 minutes", "300s", "300", 300, np.timedelta64(5, "m"), pd.Timedelta("5min")]
)
def test_a_step_may_be_told_in_many_ways(step: Any) -> None:
    if step == "300":
        with pytest.raises(ValueError, match="`step` must be"):
            at(pd.date_range("2024-01-01", periods=3, freq="5min"), step=step)
        return
    X = at(pd.date_range("2024-01-01", periods=3, freq="5min"), step=step)
    assert X.clock == Clock(300.0, True)


def test_rounded_times_do_not_run_away_from_their_grid() -> None:
    times = np.round(np.arange(3000) * 1000 / 30).astype(int)  # 30 a second, in ms: 33, 33, 34
    X = at(times)
    assert column(X) == [list(range(3000))]
    assert X.clock is not None
    assert X.clock.step == pytest.approx(1000 / 30, rel=1e-4)


def test_a_clock_that_jumps_once_keeps_its_step() -> None:
    times = np.concatenate([np.arange(0, 6000, 60), np.arange(6015, 12015, 60)])
    X = at(times)
    assert X.clock == Clock(60.0, False)
    assert len(X) == 200


def test_jitter_leaves_every_row_a_point() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(2000) * 10.0 + rng.uniform(-2, 2, 2000)
    X = at(times)
    assert np.isnan(X.segments[0].values).sum() <= 4
    assert len(X) == pytest.approx(2000, abs=2)


def test_long_gaps_start_a_segment_on_the_same_grid() -> None:
    times = pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 00:01", "2024-01-01 00:02"])
    times = times.append([times + pd.Timedelta("50min"), times + pd.Timedelta("40D") + pd.Timedelta("2s")])
    X = at(times)
    assert [segment.start for segment in X.segments] == [0, 40 * 1440]
    assert [len(segment) for segment in X.segments] == [53, 3]
    assert len(at(times, longest_gap=10).segments) == 3
    assert names(X)[-1] == np.datetime64("2024-02-10T00:02:00")


def test_one_wrong_time_costs_no_memory() -> None:
    times = np.arange(1000, dtype=np.int64) * 10
    times[500] = 1_700_000_000_000
    X = at(times)
    assert len(X) == 1000 + 1  # the point that the wrong row left
    assert len(X.segments) == 2
    with pytest.raises(InvalidInput, match="correct the times"):
        at([0.0, 1e-3, 2e-3, 1e300])


def test_a_grid_much_larger_than_the_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"got 100 rows over 9801 steps. Give a larger `step`"), pytest.warns():
        at(np.arange(100) * 99, step=1.0 - 1e-5)


def test_rows_of_one_time_are_averaged_and_told() -> None:
    with pytest.warns(InputWarning, match="got 2 rows at a time that another row.*such as 1 in `X`"):
        X = at([0, 1, 1, 1, 2], [1.0, 3, nan, 4, 5])
    assert column(X) == [[1.0, 3.5, 5.0]]


def test_means_of_equal_values_are_exact() -> None:
    for value in (0.1, 1e9 + 0.1, -1.7e308):
        made = bin_means(np.full((9, 1), value), np.array([0, 3, 6]))
        assert (made == value).all()
    rng = np.random.default_rng(0)
    small = rng.normal(size=(60, 2))
    made = bin_means(1e9 + small, np.arange(0, 60, 6))
    np.testing.assert_allclose(made - 1e9, small.reshape(10, 6, 2).mean(axis=1), atol=3e-7)
    assert np.isfinite(bin_means(np.array([[-1.7e308], [1.7e308]]), np.array([0]))).all()


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(300, 200, replace=False))
    x, order = rng.normal(size=200), rng.permutation(200)
    sorted_, mixed = at(times, x), at(times[order], x[order])
    np.testing.assert_array_equal(column(sorted_), column(mixed))


def test_the_step_of_fit_counts_later() -> None:
    learned = Learned.of(at(np.arange(100) * 10))
    with pytest.warns(InputWarning, match="about 10 apart, as in training; got 30 in `X`"):
        X = at(np.arange(4) * 30, learned=learned)
    np.testing.assert_array_equal(column(X), [[0, nan, nan, 1, nan, nan, 2, nan, nan, 3]])
    with pytest.warns(InputWarning, match="got 2.5 in `X`"):
        X = at(np.arange(8) * 2.5, learned=learned)
    assert len(X) == 3
    assert X.clock == Clock(10.0, False)
    near = at(np.arange(2000) * 10.05, learned=learned)  # a clock that is a little slow leaves no gaps
    assert column(near) == [list(range(2000))]
    assert len(at([5], learned=learned)) == 1


@pytest.mark.parametrize(("apart", "told"), [(1.05, False), (1.15, True), (1.5, True), (2.0, True), (0.6, False)])
def test_rows_further_apart_than_in_training_are_told(apart: float, told: bool) -> None:
    learned = Learned.of(at(np.arange(100.0)))
    times = apart * np.arange(60.0)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        X = at(times, learned=learned)
    assert [str(one.message).startswith("Rows must be about 1 apart, as in training") for one in warned] == [
        True
    ] * told
    assert told <= bool(np.isnan(X.segments[0].values).any())


def test_single_rows_that_lack_are_no_other_step() -> None:
    learned = Learned.of(at(np.arange(100.0)))
    times = np.delete(np.arange(60.0), np.random.default_rng(0).choice(np.arange(1, 59), 20, replace=False))
    assert np.isnan(at(times, learned=learned).segments[0].values).sum() == 20


def test_one_row_and_one_time_need_no_step() -> None:
    assert at([5]).clock is None
    assert names(at([5])).tolist() == [5]


def test_the_step_is_that_of_all_records_together() -> None:
    a, b = (pd.DataFrame({"t": np.arange(n) * step, "x": 1.0}) for n, step in ((50, 1.0), (10, 1.5)))
    X = collected({"a": a, "b": b}, time="t")
    assert X.clock == Clock(1.0, False)
    assert [len(segment) for segment in X.segments] == [50, 15]


# Dates


def test_summer_time_leaves_no_gap_and_no_hour_twice() -> None:
    for day in ("2024-03-31", "2024-10-27"):
        times = pd.date_range(f"{day} 00:00", periods=8, freq="30min", tz="Europe/Berlin")
        X = at(times)
        assert len(X) == 8
        assert names(X).tolist() == [time.isoformat() for time in times]
        assert X.clock == Clock(1800.0, True, "Europe/Berlin")


def test_texts_with_an_offset_are_one_time() -> None:
    X = at(["2024-01-01T10:00:00+01:00", "2024-01-01T10:00:00Z", "2024-01-01T12:00:00+01:00"])
    assert X.clock == Clock(3600.0, True, "UTC")
    assert names(X).tolist() == [f"2024-01-01T{hour:02d}:00:00+00:00" for hour in (9, 10, 11)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_of_every_unit_are_one(unit: str) -> None:
    times = np.array(["2024-01-01", "2024-01-02", "2024-01-04"], dtype=f"M8[{unit}]")
    X = at(times)
    assert names(X).tolist() == list(np.arange("2024-01-01", "2024-01-05", dtype="M8[D]").astype("M8[s]").tolist())
    assert X.clock == Clock(86_400.0, True)


def test_times_of_integers_far_from_zero_keep_their_differences() -> None:
    start = 1_717_171_717_171_717_171  # nanoseconds, more than floats hold
    X = at([start, start + 3, start + 6, start + 12])
    assert names(X).tolist() == [start + 3 * step for step in range(5)]


def test_dates_before_1678_are_dates_too() -> None:
    X = at(np.array(["1500-01-01", "1500-01-02", "1500-01-03"], dtype="M8[s]"))
    assert names(X)[-1] == np.datetime64("1500-01-03")
    assert X.clock == Clock(86_400.0, True)


def test_fractions_of_a_second_do_not_add_up_to_errors() -> None:
    times = pd.date_range("2024-01-01", periods=100_000, freq="1ms").delete(50_000)
    X = at(times)
    assert len(X) == 100_000
    assert names(X)[-1] == np.datetime64("2024-01-01T00:01:39.999")
    assert np.flatnonzero(np.isnan(X.segments[0].values)).tolist() == [50_000]
