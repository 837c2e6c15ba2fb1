"""Dates, times, durations, ordinal columns, decimals and infinity; what libraries are read, and odd cells."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import torch

from unalike import Detector, load, save, thresholds
from unalike.configuration import read_settings, settings_as_toml
from unalike.errors import InvalidInput, InvalidParameter
from unalike.modalities import Table

LIBRARIES = [pd.DataFrame, pl.DataFrame, pa.table]
nan = float("nan")


def fitted(X: Any, **arguments: Any) -> Table:
    table = Table(**arguments)
    return table.fit(table.check(X))


def tensors(table: Table, X: Any) -> torch.Tensor:
    return table.tensors(table.check(X))


def raw(table: Table, X: Any) -> np.ndarray[Any, Any]:
    """``(n, columns)`` in the units before scaling."""
    return tensors(table, X)[..., 0].double().numpy() * table.scale_ + table.center_


def hours(n: int, start: dt.datetime = dt.datetime(2023, 1, 1), step: int = 1) -> list[dt.datetime]:
    return [start + dt.timedelta(hours=step * number) for number in range(n)]


# Dates


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_date_becomes_the_cycles_that_training_goes_through(library: Any) -> None:
    when = hours(500, step=25)
    table = fitted(library({"when": when}))
    cycles = ["time of day", "weekday", "season"]
    assert table.columns_ == [f"when ({cycle}, {part})" for cycle in cycles for part in ("sine", "cosine")]
    assert table.places() == ("when",)
    found = raw(table, library({"when": when}))
    turns = np.array(
        [[(d.hour + d.minute / 60) / 24, d.weekday() / 7, (d.timetuple().tm_yday - 1) / year(d)] for d in when]
    )
    expected = np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=2).reshape(len(when), 6)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def year(day: dt.datetime) -> int:
    return (dt.date(day.year + 1, 1, 1) - dt.date(day.year, 1, 1)).days


def test_a_cycle_counts_as_one_column_and_is_round() -> None:
    when = hours(24 * 30)
    table = fitted(pl.DataFrame({"when": when}))
    made = tensors(table, pl.DataFrame({"when": when}))[..., 0]
    np.testing.assert_allclose(made[:, :2].var(dim=0, correction=0).sum(), 1.0, rtol=1e-5)
    steps = (made[1:24, :2] - made[:23, :2]).norm(dim=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
    np.testing.assert_allclose((made[23, :2] - made[0, :2]).norm(), steps[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("when", "parts"),
    [
        (hours(20), ["present"]),  # not one whole day
        (hours(30), ["time of day"]),
        (hours(24 * 8), ["time of day", "weekday"]),
        (hours(10, step=24), ["weekday"]),
        (hours(10, step=24 * 7), ["present"]),  # always the same weekday
        (hours(60, step=24 * 7), ["season"]),
        ([dt.datetime(2024, 1, 1)] * 4, ["present"]),
        ([None, None], ["present"]),
    ],
)
def test_only_cycles_that_training_spans_count(when: list[Any], parts: list[str]) -> None:
    assert fitted(pa.table({"when": pa.array(when, pa.timestamp("ms"))})).inputs_[0].parts == parts


def test_the_age_of_a_date_counts_on_request_only() -> None:
    frame = pl.DataFrame({"born": [dt.date(1990, 1, 1), dt.date(1990, 1, 3)], "a": [1, 2]})
    assert fitted(frame).columns_ == ["born (present)", "a"]
    table = fitted(frame, elapsed=["born"])
    assert table.columns_ == ["born (elapsed)", "a"]
    later = frame.with_columns(born=pl.date(1990, 1, 12))
    assert tensors(table, later)[0, 0].tolist() == [10.0, 0.0]
    assert (tensors(fitted(frame), later)[0, 0] == 0).all()
    with pytest.raises(InvalidInput, match=r"none called \['bron'\].*Did you mean \['born'\]"):
        Table(elapsed=["bron"]).check(frame)


@pytest.mark.parametrize("library", LIBRARIES)
def test_missing_dates_are_flagged(library: Any) -> None:
    when = [*hours(24 * 8), None]
    made = tensors(fitted(library({"when": when})), library({"when": when}))
    assert made[-1].tolist() == [[0.0, 1.0]] * 4
    assert (made[:-1, :, 1] == 0).all()


def test_hours_are_those_of_the_zone_of_training() -> None:
    here, there = ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Tokyo")
    summer_time_begins = pl.Series(hours(24 * 8, dt.datetime(2024, 3, 28))).dt.replace_time_zone("UTC")
    frame = pl.DataFrame({"when": summer_time_begins.dt.convert_time_zone("Europe/Paris")})
    table = fitted(frame)
    moved = frame.with_columns(pl.col("when").dt.convert_time_zone("Asia/Tokyo"))
    assert moved["when"][0].tzinfo == there
    for other in (frame.to_pandas(), frame.to_arrow(), moved, moved.to_pandas()):
        assert torch.equal(tensors(table, other), tensors(table, frame))
    noon = pl.DataFrame({"when": [dt.datetime(2024, 7, 1, 12, tzinfo=here)]})
    np.testing.assert_allclose(raw(table, noon)[0, :2], [0.0, -1.0], atol=1e-6)


def test_dates_with_and_without_a_zone_are_not_mixed() -> None:
    naive = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=50, freq="7h")})
    aware = naive.assign(when=naive["when"].dt.tz_localize("UTC"))
    with pytest.raises(InvalidInput, match=r"Column 'when' must have no time zone, as in `fit`; got one\. Convert it"):
        fitted(naive).check(aware)
    with pytest.raises(InvalidInput, match=r"Column 'when' must have a time zone, as in `fit`; got none\. Convert it"):
        fitted(aware).check(naive)


def test_dates_before_1970_and_of_any_unit() -> None:
    when = [dt.datetime(1960, 1, 1) + dt.timedelta(days=step, hours=step) for step in range(500)]
    expected = tensors(fitted(pl.DataFrame({"when": when})), pl.DataFrame({"when": when}))
    for unit in ("s", "ms", "us", "ns"):
        frame = pa.table({"when": pa.array(when, pa.timestamp(unit))})
        assert torch.equal(tensors(fitted(frame), frame), expected)
    days = pa.table({"when": pa.array([moment.date() for moment in when])})
    assert fitted(days).inputs_[0].parts == ["weekday", "season"]
    assert torch.equal(tensors(fitted(pd.DataFrame({"when": days["when"].to_pylist()})), days), learned(days))


def learned(X: Any) -> torch.Tensor:
    return tensors(fitted(X), X)


@pytest.mark.parametrize("library", LIBRARIES)
def test_times_of_day_and_durations(library: Any) -> None:
    frame = library(
        {
            "at": [dt.time(0), dt.time(6), None, dt.time(18)],
            "took": [dt.timedelta(seconds=1), dt.timedelta(seconds=3), None, dt.timedelta(seconds=5)],
        }
    )
    table = fitted(frame)
    assert table.columns_ == ["at (time of day, sine)", "at (time of day, cosine)", "took"]
    made, found = tensors(table, frame), raw(table, frame)
    np.testing.assert_allclose(found[[0, 1, 3], :2], [[0, 1], [1, 0], [-1, 0]], atol=1e-6)
    np.testing.assert_allclose(found[[0, 1, 3], 2], [1, 3, 5], atol=1e-6)
    assert made[2].tolist() == [[0, 1], [0, 1], [0, 1]]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("other", [["a", "b"], [1, 2]])
def test_other_values_where_there_were_dates(library: Any, other: list[Any]) -> None:
    table = fitted(library({"when": hours(2)}))
    with pytest.raises(InvalidInput, match=r"Column 'when' must hold dates, as in `fit`; got (String|Int64)"):
        table.check(library({"when": other}))
    with pytest.raises(InvalidInput, match=r"Column 'when' must hold (numbers|categories), as in `fit`; got Datetime"):
        fitted(library({"when": other})).check(library({"when": hours(2)}))


# Ordinal columns


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_order_makes_ranks(library: Any) -> None:
    frame = library({"size": ["S", "L", None, "M"], "a": [1, 2, 3, 4]})
    table = fitted(frame, ordinal={"size": ["S", "M", "L"]})
    assert table.schema.levels == (0, 0)
    assert raw(table, frame)[[0, 1, 3], 0].round(5).tolist() == [1, 3, 2]
    made = tensors(table, library({"size": ["S", "XXL", None], "a": [1, 1, 1]}))
    assert made[:, 0, 1].tolist() == [0, 1, 1]  # an unknown level has no rank


def test_ordered_categoricals_are_ordinal_by_themselves(tmp_path: Any) -> None:
    kind = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    frame = pd.DataFrame({"risk": pd.Series(["high", "low", None, "low"], dtype=kind)})
    table = fitted(frame)
    assert table.inputs_[0].levels == ["low", "mid", "high"]
    frame.to_parquet(tmp_path / "t.parquet")
    for same in (pa.Table.from_pandas(frame), tmp_path / "t.parquet", tmp_path):
        assert torch.equal(learned(same), learned(frame))
    assert torch.equal(tensors(table, frame.astype(object)), tensors(table, frame))
    assert fitted(pl.DataFrame({"risk": pl.Series(["b"], dtype=pl.Enum(["b", "a"]))})).levels_ == [["b"]]


def test_orders_that_cannot_be_used() -> None:
    frame = pl.DataFrame({"size": ["S", "M"], "a": [1, 2]})
    with pytest.raises(InvalidInput, match=r"`ordinal` must list every level of 'size'; got none for \['M'\]"):
        fitted(frame, ordinal={"size": ["S", "L"]})
    with pytest.raises(InvalidInput, match=r"`ordinal` must name columns of categories; 'a' holds numbers"):
        fitted(frame, ordinal={"a": ["1", "2"]})
    with pytest.raises(InvalidInput, match=r"none called \['sise'\].*Did you mean \['size'\]"):
        Table(ordinal={"sise": ["S"]}).check(frame)
    for levels in ("SML", ["S", "S"], []):
        with pytest.raises(InvalidParameter, match="`ordinal` must have different levels for 'size', from the lowest"):
            Table(ordinal={"size": levels})


# Numbers


@pytest.mark.parametrize("library", LIBRARIES)
def test_decimals_are_numbers(library: Any) -> None:
    frame = library({"price": [Decimal("1.50"), Decimal("2.50"), None]})
    assert tensors(fitted(frame), frame).tolist() == [[[-1, 0], [1, 0], [0, 1]][row : row + 1][0:1] for row in range(3)]


def test_infinity_can_be_missing() -> None:
    cells = [1.0, 3.0, float("inf"), float("-inf"), None]
    expected = [[[-1, 0]], [[1, 0]], [[0, 1]], [[0, 1]], [[0, 1]]]
    for library in LIBRARIES:
        frame = library({"a": cells})
        assert tensors(fitted(frame, infinite="missing"), frame).tolist() == expected
    array = np.array([[nan if cell is None else cell] for cell in cells])
    assert tensors(fitted(array, infinite="missing"), array).tolist() == expected
    assert np.isinf(array[2:4]).all()
    table = fitted(pd.DataFrame({"a": [1.0, 3.0]}))
    with pytest.raises(InvalidInput, match=r"Column 'a' must be finite or missing; got infinity.*infinite='missing'"):
        table.check(pd.DataFrame({"a": cells}))


def test_numbers_as_text_are_told() -> None:
    texts = [str(number / 7) for number in range(300)]
    with pytest.raises(
        InvalidInput, match=r"Column 'x' must hold its numbers as numbers; got 300 different texts in 300"
    ):
        fitted(pl.DataFrame({"x": texts}))
    assert fitted(pl.DataFrame({"zip": ["01099", "80331", "01099"]})).levels_ == [["01099", "80331"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"infinite": "zero"}, "`infinite` must be 'error' or 'missing'; got 'zero'"),
        ({"most_rows": 1}, "`most_rows` must be a number of at least 2, or None; got 1"),
        ({"most_rows": True}, "`most_rows` must be a number of at least 2, or None; got True"),
        ({"elapsed": "born"}, r"`elapsed` must be a sequence of names; got 'born'\. Use \['born'\]"),
    ],
)
def test_settings_that_cannot_be_used(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Table(**arguments)


# What is read

COLUMNS = {"a": [1.5, None, 3.0], "n": [1, 2, 3], "c": ["x", "y", None], "when": hours(3, step=200)}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
STRUCTURED = np.array([(1, "x"), (2, "y")], dtype=[("n", int), ("c", "U1")])


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS),
        pl.LazyFrame(COLUMNS),
        pa.table(COLUMNS).to_batches()[0],
        pa.RecordBatchReader.from_batches(pa.table(COLUMNS).schema, pa.table(COLUMNS).to_batches()),
        ds.dataset(pa.table(COLUMNS)),
        ROWS,
        [{"a": row["a"], "n": row["n"], **{k: v for k, v in row.items() if v is not None}} for row in ROWS],
        COLUMNS,
    ],
    ids=lambda X: type(X).__name__,
)
def test_every_library_gives_the_tensors_of_the_arrow_table(X: Any) -> None:
    table = Table()
    checked = table.check(X)
    assert torch.equal(table.fit(checked).tensors(checked), learned(pa.table(COLUMNS)))


def test_structured_arrays_have_names() -> None:
    assert learned(STRUCTURED).tolist() == [[[-1, 0], [1, 0]], [[1, 0], [2, 0]]]


@pytest.mark.parametrize("X", [[[1, None], [3, 4.0]], np.array([[1, None], [3, 4.0]], dtype=object)])
def test_none_among_numbers_is_missing(X: Any) -> None:
    assert learned(X).tolist() == [[[-1, 0], [0, 1]], [[1, 0], [0, 0]]]


def test_mixed_cells_of_dicts_go_by_their_text() -> None:
    assert fitted([{"m": 1}, {"m": "x"}, {"m": None}]).levels_ == [["1", "x"]]
    assert learned([{"m": True}, {"m": 3.0}]).tolist() == [[[-1, 0]], [[1, 0]]]


# What is kept


SETTINGS = {"ordinal": {"the size": ["S", "M"]}, "elapsed": ["born"], "infinite": "missing", "most_rows": 50}


def everything(n: int = 60) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=n, freq="31h", tz="Europe/Paris"),
            "born": pd.date_range("1980-01-01", periods=n, freq="40D"),
            "took": pd.to_timedelta(generator.random(n), unit="s"),
            "the size": generator.choice(["S", "M"], n),
            "colour": generator.choice(["red", "blue"], n),
            "a": generator.normal(size=n),
        }
    )


def test_state_goes_through_json() -> None:
    frame = everything()
    table = fitted(frame, **SETTINGS)
    state = table.state()
    plain = {
        name: value if isinstance(value, np.ndarray) else json.loads(json.dumps(value)) for name, value in state.items()
    }
    loaded = Table(**SETTINGS)
    loaded.restore(plain)
    assert torch.equal(tensors(loaded, frame), tensors(table, frame))
    assert loaded.columns_ == table.columns_


def test_state_of_before_there_were_dates_is_read() -> None:
    frame = pd.DataFrame({"a": [1.0, 3.0], "c": ["x", "y"]})
    table = fitted(frame)
    old = {name: table.state()[name] for name in ("columns", "named", "levels", "center", "scale")}
    loaded = Table()
    loaded.restore(old)
    assert torch.equal(tensors(loaded, frame), tensors(table, frame))


def test_a_saved_model_and_a_toml_file_keep_the_settings(tmp_path: Any) -> None:
    frame = everything()
    rate = thresholds.Conformal(false_alarm_rate=0.1)
    detector = Detector(Table(**SETTINGS), encoder="raw-table", scorer="centroid", objective="frozen", threshold=rate)
    with pytest.warns(UserWarning, match="Training takes 50 of 60 samples"):
        detector.fit(frame)
    assert detector.n_features_in_ == 6
    assert len(np.concatenate([detector.split_.train, detector.split_.calibration])) == 50
    save(detector, tmp_path / "m.unalike")
    loaded = load(tmp_path / "m.unalike")
    np.testing.assert_array_equal(loaded.anomaly_scores(frame), detector.anomaly_scores(frame))
    (tmp_path / "s.toml").write_text(settings_as_toml(detector.get_params(deep=False)))
    again = read_settings(tmp_path / "s.toml")["modality"]
    assert again.ordinal == {"the size": ("S", "M")}
    assert (again.elapsed, again.infinite, again.most_rows) == (("born",), "missing", 50)
    (tmp_path / "s.toml").write_text('[modality]\ntype = "table"\nordinal = { size = "SML" }\n')
    with pytest.raises(InvalidParameter, match=r"`modality.ordinal` must be a table, each a list, each text"):
        read_settings(tmp_path / "s.toml")


def test_explained_values_are_what_the_user_gave() -> None:
    frame = everything()
    table = fitted(frame, **SETTINGS)
    X = table.check(frame)
    assert len(table.values(X)[3]) == len(table.places()) == 6
    usual = table.told(table.tensors(X)[5])
    # The year of 365 days that stands for all has no 29 February.
    assert usual[0].startswith(f"{frame['when'][5]:%H:%M}, {frame['when'][5]:%A}")
    assert usual[1].endswith(f"{frame['born'][5]:%Y-%m-%d}")
    assert usual[3:5] == [frame["the size"][5], frame["colour"][5]]
    sample = table.tensors(X)
    assert table.contrasts(sample[0], sample).shape == (60, 6)
    assert (table.contrasts(sample[0], sample)[0] == 0).all()
    chosen = torch.eye(6, dtype=torch.bool)
    assert table.spread(chosen).shape == (6, len(table.columns_), 1)
    assert table.spread(chosen).sum(dim=0).unique().tolist() == [1]
