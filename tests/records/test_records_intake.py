from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import scipy.sparse
import torch

from unalike.errors import InputWarning, InvalidInput, InvalidParameter
from unalike.records import Clock, Learned, Records, collected, entities, names
from unalike.scanning import open_tables

nan = float("nan")

COLUMNS: dict[str, list[Any]] = {
    "when": [dt.datetime(2024, 5, 31, 12, minute) for minute in (0, 5, 10, 15)],
    "heat": [1.5, None, 2.5, 4.0],
    "count": [3, 1, None, 1],
    "on": [True, False, True, True],
}
VALUES = np.array([[1.5, 3, 1], [nan, 1, 0], [2.5, nan, 1], [4, 1, 1]])

FRAMES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas nullable": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas object": lambda: pd.DataFrame(COLUMNS).astype(object),
    "pandas arrow": lambda: pa.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars lazy": lambda: pl.DataFrame(COLUMNS).lazy(),
    "arrow": lambda: pa.table(COLUMNS),
    "arrow batch": lambda: pa.table(COLUMNS).to_batches()[0],
    "arrow stream": lambda: pa.table(COLUMNS).to_reader(),
    "dict": lambda: COLUMNS,
    "rows": lambda: [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
    "pandas index": lambda: pd.DataFrame(COLUMNS).set_index("when"),
}


def values(X: Records) -> list[Any]:
    return [segment.values.tolist() for segment in X.segments]


def equal(X: Records, *expected: Any) -> None:
    assert len(X.segments) == len(expected)
    for segment, wanted in zip(X.segments, expected, strict=True):
        assert segment.values.dtype == np.float64
        np.testing.assert_array_equal(segment.values, np.asarray(wanted, dtype=float))


# Frames


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_gives_the_same_records(kind: str) -> None:
    X = collected(FRAMES[kind](), time="when")
    equal(X, VALUES)
    assert X.channels == ("heat", "count", "on")
    assert X.named
    assert X.clock == Clock(300.0, True, None)
    assert names(X).tolist() == COLUMNS["when"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "csv.gz"])
def test_files_give_what_frames_give(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"pump.{ending}"
    if ending == "parquet":
        pyarrow.parquet.write_table(pa.table(COLUMNS), path)
    else:
        pd.DataFrame(COLUMNS).to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    for given in (path, str(path)):
        X = collected(given, time="when")
        equal(X, VALUES)
        assert X.segments[0].entity == ""
        assert names(X).tolist() == COLUMNS["when"]


def test_datasets_and_rows_that_are_read_when_needed_are_one_record(tmp_path: Path) -> None:
    for number, rows in enumerate(([1, 2], [3, 4])):
        pyarrow.parquet.write_table(pa.table({"x": rows}), tmp_path / f"{number}.parquet")
    for X in (pyarrow.dataset.dataset(tmp_path), open_tables(tmp_path)):
        equal(collected(X), [[1], [2], [3], [4]])


def test_a_folder_is_one_record_per_file(tmp_path: Path) -> None:
    (tmp_path / "hall" / "north").mkdir(parents=True)
    pd.DataFrame({"x": [1, 2, 3]}).to_csv(tmp_path / "b.csv", index=False)
    pd.DataFrame({"x": [4.5]}).to_csv(tmp_path / "hall" / "north" / "a.v2.csv.gz", index=False)
    pyarrow.parquet.write_table(pa.table({"x": [7, 8]}), tmp_path / "hall" / "a.parquet")
    (tmp_path / "notes.txt").write_text("no table")
    X = collected(tmp_path)
    equal(X, [[1], [2], [3]], [[7], [8]], [[4.5]])
    assert [segment.entity for segment in X.segments] == ["b", "hall/a", "hall/north/a.v2"]
    one = collected([tmp_path / "b.csv", tmp_path / "hall" / "a.parquet"])
    equal(one, [[1], [2], [3]], [[7], [8]])
    assert [segment.entity for segment in one.segments] == ["b", "a"]
    (tmp_path / "c").mkdir()
    pd.DataFrame({"x": [5]}).to_csv(tmp_path / "c" / "b.csv", index=False)
    alike = collected([str(tmp_path / "b.csv"), str(tmp_path / "c" / "b.csv")])
    assert [segment.entity for segment in alike.segments] == [str(tmp_path / "b"), str(tmp_path / "c" / "b")]


def test_an_entity_may_be_in_several_files(tmp_path: Path) -> None:
    for month, rows in (("june", [3, 4]), ("may", [1, 2])):
        pd.DataFrame({"t": rows, "pump": ["p", "q"], "x": rows}).to_csv(tmp_path / f"{month}.csv", index=False)
    X = collected(tmp_path, time="t", entity="pump", step=2)
    assert [segment.entity for segment in X.segments] == ["p", "q"]
    equal(X, [[1], [3]], [[2], [4]])


def test_rows_of_entities_may_be_mixed_and_out_of_order() -> None:
    rng = np.random.default_rng(0)
    whole = pd.DataFrame({"t": np.tile(np.arange(40), 3), "who": np.repeat(["b", "a", "c"], 40)})
    whole["x"] = rng.normal(size=120)
    mixed = whole.sample(frac=1.0, random_state=1)
    X = collected(mixed, time="t", entity="who")
    assert [segment.entity for segment in X.segments] == list(dict.fromkeys(mixed["who"]))
    for segment in X.segments:
        np.testing.assert_array_equal(segment.values[:, 0], whole.loc[whole["who"] == segment.entity, "x"])
        np.testing.assert_array_equal(np.asarray(segment.times), np.arange(40))
    assert entities(X).tolist() == [segment.entity for segment in X.segments for _ in range(40)]


def test_entities_may_be_numbers_or_categories_and_need_no_time() -> None:
    frame = pd.DataFrame({"who": [7, 8, 7, 8, 8], "x": [1, 2, 3, 4, 5]})
    for one in (frame, frame.astype({"who": "category"}), pl.from_pandas(frame)):
        X = collected(one, entity="who")
        equal(X, [[1], [3]], [[2], [4], [5]])
        assert [segment.entity for segment in X.segments] == ["7", "8"]
        assert X.clock is None
    by_date = frame.set_index(pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-01", "2024-01-03", "2024-01-02"]))
    equal(collected(by_date, entity="who"), [[3], [1]], [[2], [5], [4]])


def test_an_index_tells_the_time_where_it_is_one() -> None:
    x = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert collected(x).clock is None
    assert names(collected(x)).tolist() == [0, 1, 2]
    assert collected(x.iloc[1:]).clock == Clock(1.0, False)
    assert names(collected(x.iloc[1:])).tolist() == [1, 2]
    assert collected(x.set_index(pd.Index([3, 1, 2]))).clock is None  # of rows that were drawn or sorted
    assert collected(x.set_index(pd.Index(["a", "b", "c"]))).clock is None
    assert collected(x.set_index(pd.Index([0.0, 0.5, 1.0]))).clock == Clock(0.5, False)
    days = x.set_index(pd.DatetimeIndex(["2024-01-03", "2024-01-01", "2024-01-02"], name="day"))
    equal(collected(days), [[2], [3], [1]])
    equal(collected(days, time="day"), [[2], [3], [1]])
    texts = x.set_index(pd.Index(["2024-01-03", "2024-01-01", "2024-01-02"]))
    equal(collected(texts), [[2], [3], [1]])
    months = x.set_index(pd.period_range("2024-01-01", periods=3, freq="D"))
    assert collected(months).clock == Clock(86_400.0, True)
    spans = x.set_index(pd.timedelta_range("0s", periods=3, freq="250ms"))
    assert collected(spans).clock == Clock(0.25, False)


def test_series_of_frames_are_one_channel() -> None:
    dates = pd.date_range("2024-01-01", periods=3, freq="min")
    X = collected(pd.Series([1.0, 2.0, nan], index=dates, name="heat"))
    equal(X, [[1], [2], [nan]])
    assert X.channels == ("heat",)
    assert X.clock == Clock(60.0, True)
    equal(collected(pl.Series("heat", [1, 2])), [[1], [2]])


def test_numbers_of_every_kind_are_channels() -> None:
    frame = pa.table(
        {
            "decimal": pa.array([Decimal("1.5"), None]),
            "small": pa.array([1, 2], pa.uint8()),
            "half": pa.array(np.array([1.5, nan], np.float16)),
            "nothing": pa.nulls(2),
        }
    )
    equal(collected(frame), [[1.5, 1, 1.5, nan], [nan, 2, nan, nan]])
    equal(collected(pd.DataFrame({"x": [Decimal("1.5"), None]}, dtype=object)), [[1.5], [nan]])


def test_large_offsets_keep_their_small_changes() -> None:
    X = np.array([1e9, 1e9 + 0.001, 1e9 + 0.002])
    np.testing.assert_allclose(np.diff(collected(X).segments[0].values[:, 0]), 0.001, rtol=1e-3)


# Arrays


@pytest.mark.parametrize(
    "X",
    [
        [1, 2, 3],
        np.array([1, 2, 3], np.int8),
        torch.tensor([1.0, 2.0, 3.0], requires_grad=True),
        np.array([1, 2, 3], object),
        [[1], [2], [3]],
        (1.0, 2.0, 3.0),
    ],
)
def test_arrays_of_one_record(X: Any) -> None:
    made = collected(X)
    equal(made, [[1], [2], [3]])
    assert (made.channels, made.named, made.clock) == (("x0",), False, None)


def test_missing_numbers_in_arrays() -> None:
    equal(collected([1, None, 3]), [[1], [nan], [3]])
    equal(collected([[1, pd.NA], [3, nan]]), [[1, nan], [3, nan]])
    equal(collected(np.ma.masked_array([1, 2], [True, False])), [[nan], [2]])
    equal(collected(np.array([True, False])), [[1], [0]])


def test_many_records() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    for X in (np.stack([a, b]), [a, b], (a, torch.tensor(b)), np.stack([a, b]).tolist()):
        made = collected(X)
        equal(made, a, b)
        assert [segment.entity for segment in made.segments] == ["0", "1"]
        assert made.channels == ("x0", "x1")
    made = collected({"left": a, 7: b[:3]})
    equal(made, a, b[:3])
    assert [segment.entity for segment in made.segments] == ["left", "7"]
    equal(collected([a[:, 0], b[:3, 0]]), a[:, :1], b[:3, :1])


def test_the_input_is_left_alone() -> None:
    X = np.arange(6.0).reshape(3, 2)
    collected(X).segments[0].values[:] = -1
    np.testing.assert_array_equal(X, np.arange(6.0).reshape(3, 2))
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    collected(frame).segments[0].values[:] = -1
    assert frame["x"].tolist() == [1.0, 2.0]


def test_frames_of_many_records_may_have_their_columns_in_any_order() -> None:
    a = pd.DataFrame({"x": [1, 2], "y": [3, 4]})
    X = collected({"a": a, "b": pl.DataFrame({"y": [5], "x": [6]})})
    equal(X, [[1, 3], [2, 4]], [[6, 5]])


def test_records_stay_as_they_are() -> None:
    X = collected(np.arange(4.0))
    assert collected(X) is X


# After fit


def fitted(X: Any, **arguments: Any) -> Learned:
    learned = Learned.of(collected(X, **arguments))
    assert Learned.restored(learned.state()) == learned
    return learned


def test_later_frames_go_by_the_names_of_fit() -> None:
    learned = fitted(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    X = collected(pd.DataFrame({"note": ["x", "y"], "b": [5, 6], "a": [7, 8]}), learned=learned)
    equal(X, [[7, 5], [8, 6]])
    assert X.channels == ("a", "b")
    assert Learned.of(X) == learned


def test_a_channel_that_later_frames_lack_is_missing_and_told() -> None:
    learned = fitted(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    with pytest.warns(InputWarning, match=r"none called \['a'\]"):
        X = collected(pd.DataFrame({"b": [5, 6]}), learned=learned)
    equal(X, [[nan, 5], [nan, 6]])
    with pytest.warns(InputWarning, match=r"\['a'\] in some of the records"):
        X = collected([pd.DataFrame({"b": [5]}), pd.DataFrame({"a": [1], "b": [5]})], learned=learned)
    equal(X, [[nan, 5]], [[1, 5]])
    with pytest.raises(InvalidInput, match="none of them"):
        collected(pd.DataFrame({"c": [5, 6]}), learned=learned)
    with pytest.warns(InputWarning, match=r"\['a'\]"):
        equal(collected(collected(pd.DataFrame({"b": [5]})), learned=learned), [[nan, 5]])


def test_arrays_go_by_position() -> None:
    learned = fitted(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    X = collected(np.array([[5.0, 6.0]]), learned=learned)
    equal(X, [[5, 6]])
    assert X.channels == ("a", "b")
    for wrong in (np.zeros((3, 1)), np.zeros((3, 3)), np.zeros(2), collected(np.zeros(2))):
        with pytest.raises(InvalidInput, match="2 channels, as in `fit`"):
            collected(wrong, learned=learned)
    by_position = fitted(np.zeros((3, 2)))
    equal(collected(pd.DataFrame({"b": [5], "a": [6]}), learned=by_position), [[5, 6]])
    with pytest.raises(InvalidInput, match="2 channels, as in `fit`"):
        collected(pd.DataFrame({"b": [5]}), learned=by_position)


def test_ignored_columns_need_not_come_back_but_time_and_entity_must() -> None:
    frame = pd.DataFrame({"t": [1, 2], "who": ["a", "a"], "x": [1, 2], "note": ["n", "m"]})
    roles: dict[str, Any] = {"time": "t", "entity": "who", "ignore": ["note"]}
    learned = fitted(frame, **roles)
    equal(collected(frame.drop(columns="note"), **roles, learned=learned), [[1], [2]])
    for column in ("t", "who"):
        with pytest.raises(InvalidInput, match=f"none called \\['{column}'\\]"):
            collected(frame.drop(columns=column), **roles, learned=learned)


def test_times_must_be_of_the_kind_of_fit() -> None:
    learned = fitted(pd.DataFrame({"t": [1, 2], "x": [1, 2]}), time="t")
    with pytest.raises(InvalidInput, match="must be numbers, as in `fit`; got dates"):
        collected(pd.DataFrame({"t": ["2024-01-01", "2024-01-02"], "x": [1, 2]}), time="t", learned=learned)
    assert collected(np.zeros(3), learned=learned).clock is None  # no times: steps as in training


# What is refused

FULL = pd.DataFrame({"t": ["2024-01-01", "2024-01-02"], "who": ["a", "b"], "x": [1, 2]})
REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "empty list": ([], {}, "at least one step"),
    "empty array": (np.zeros((0, 3)), {}, "at least one step"),
    "no channels": (np.zeros((3, 0)), {}, "at least one step of one channel"),
    "empty dict": ({}, {}, "at least one record"),
    "empty frame": (FULL.iloc[:0][["x"]], {}, "at least one step"),
    "no columns": (pd.DataFrame(index=[0, 1]), {}, "at least one channel"),
    "all ignored": (FULL[["x"]], {"ignore": ["x"]}, "at least one channel"),
    "one empty record": ({"a": [1.0], "b": []}, {}, r"none in \['b'\]"),
    "four axes": (np.zeros((2, 2, 2, 2)), {}, r"shape \(2, 2, 2, 2\)"),
    "no axes": (3.5, {}, r"shape \(\)"),
    "none": (None, {}, "must"),
    "records of three axes": ([np.zeros((2, 2, 2))], {}, "record '0' must have the axes"),
    "mixed widths": ([np.zeros((3, 2)), np.zeros((3, 1))], {}, "the same channels"),
    "mixed names": ([FULL[["x"]], FULL[["x"]].rename(columns={"x": "y"})], {}, r"differ in \['x', 'y'\]"),
    "ragged": ([[1, 2], [3]], {}, "a list of arrays"),
    "texts": (np.array(["a", "b"]), {}, "must hold numbers"),
    "objects": (np.array([1, "b"], object), {}, "must hold numbers"),
    "complex": (np.array([1j]), {}, "must hold numbers"),
    "dates": (np.array(["2024-01-01"], "M8[D]"), {}, "must hold numbers"),
    "sparse": (scipy.sparse.eye(3).tocsr(), {}, "must be dense"),
    "infinite": (np.array([[1.0, 2.0], [3.0, np.inf]]), {}, "Channel 'x1' of `X` must be finite.*row 1"),
    "infinite in a frame": ({"pump": pd.DataFrame({"x": [-np.inf]})}, {}, "Channel 'x' of record 'pump'"),
    "a text column": (FULL[["who", "x"]], {}, r"Column 'who'.*texts.*entity='who'.*ignore=\['who'\]"),
    "a second text column": (FULL, {"time": "t", "entity": "x"}, r"leave it out with ignore=\['who'\]"),
    "a date column": (FULL.astype({"t": "datetime64[ns]"})[["t", "x"]], {}, r"Column 't'.*time='t'"),
    "an index that was written": (pa.table({"": [0, 1], "x": [1, 2]}), {}, r"ignore=\[''\]"),
    "no such column": (FULL, {"time": "wo"}, r"none called \['wo'\].*Did you mean \['who'\]"),
    "no such entity": (FULL, {"time": "t", "entity": "whom"}, r"none called \['whom'\].*'who'"),
    "no such ignored": (FULL, {"ignore": ["y"]}, r"none called \['y'\]"),
    "columns of an array": (np.zeros(3), {"time": "t"}, "named columns for `time`"),
    "missing time": (FULL.assign(t=pd.to_datetime(["2024-01-01", None])), {"time": "t", "ignore": ["who"]}, "got 1 w"),
    "missing number": (FULL.assign(t=[1, nan]), {"time": "t", "ignore": ["who"]}, "Column 't' must have a time"),
    "infinite time": (FULL.assign(t=[1, np.inf]), {"time": "t", "ignore": ["who"]}, "finite times"),
    "no time": (FULL.assign(t=["noon", "late"]), {"time": "t", "ignore": ["who"]}, "got 'noon' first"),
    "time of day": (
        FULL.assign(t=[dt.time(1), dt.time(2)]),
        {"time": "t", "ignore": ["who"]},
        "Join them with the date",
    ),
    "bool time": (FULL.assign(t=[True, False]), {"time": "t", "ignore": ["who"]}, "must hold dates or numbers"),
    "missing in index": (FULL[["x"]].set_index(pd.DatetimeIndex(["2024-01-01", None])), {}, "The index of `X`"),
    "missing entity": (FULL.assign(who=["a", None]), {"time": "t", "entity": "who"}, "got 1 without"),
    "many levels": (FULL.set_index(["who", "t"]), {}, "reset_index"),
    "doubled columns": (pd.DataFrame([[1, 2]], columns=["x", "x"]), {}, "different names"),
    "doubled records": ({"1": [1.0], 1: [2.0]}, {}, r"different names; got \['1'\]"),
    "times in some": ([pd.Series([1.0], index=pd.to_datetime(["2024-01-01"])), np.ones(1)], {}, "tell time in one way"),
    "zones in some": (
        [pd.Series([1.0], index=pd.to_datetime(["2024-01-01"], utc=zoned)) for zoned in (True, False)],
        {},
        "without a time zone.*with a time zone|with a time zone.*without a time zone",
    ),
    "no file": ("missing.csv", {}, "must exist"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_with_advice(case: str) -> None:
    X, arguments, message = REFUSED[case]
    with pytest.raises(InvalidInput, match=message):
        collected(X, **arguments)


def test_times_without_a_zone_are_told_where_those_of_training_had_one() -> None:
    zoned = pd.DataFrame({"t": pd.date_range("2024-05-01", periods=20, freq="1h", tz="Europe/Vienna"), "x": 1.0})
    bare = zoned.assign(t=zoned.t.dt.tz_localize(None))
    learned = Learned.of(collected(zoned, time="t"))
    with pytest.warns(InputWarning, match=r"zone, as in `fit` \(Europe/Vienna\); got none in `X`.*tz_localize"):
        X = collected(bare, time="t", learned=learned)
    np.testing.assert_array_equal(X.segments[0].times, bare.t.to_numpy())
    # Neither another zone nor one that training lacked loses an hour; warnings are errors here.
    collected(zoned.assign(t=zoned.t.dt.tz_convert("UTC")), time="t", learned=learned)
    collected(zoned, time="t", learned=Learned.of(collected(bare, time="t")))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for name, content in (("a.parquet", b"PAR1 broken"), ("b.csv", b""), ("c.npz", b"no zip")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=name):
            collected(tmp_path / name)
    (tmp_path / "d.xlsx").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"\.csv"):
        collected(tmp_path / "d.xlsx")
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidInput, match="must hold tables"):
        collected(tmp_path / "none")


def test_npz_files_hold_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.arange(6.0).reshape(3, 2))
    equal(collected(tmp_path / "a.npz"), np.arange(6).reshape(3, 2))


@pytest.mark.parametrize("step", ["5 parsecs", "M", "1M", 0, -1.0, "0s", nan, True, np.timedelta64(1, "M"), [1]])
def test_steps_that_are_none_are_refused(step: Any) -> None:
    with pytest.raises(InvalidParameter, match="`step` must be"):
        collected(np.zeros(3), step=step)


def test_gaps_and_units_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="longest_gap"):
        collected(np.zeros(3), longest_gap=0)
    with pytest.raises(InvalidParameter, match="in the unit of the times"):
        collected(pd.DataFrame({"t": [1, 2], "x": [1, 2]}), time="t", step="5min")
