from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import StandardScaler

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.modalities import Table
from unalike.types import Schema

nan = float("nan")

COLUMNS: dict[str, list[Any]] = {
    "height": [1.5, None, 2.5, 4.0, 1.0, 3.0],
    "count": [3, 1, 4, 1, None, 9],
    "whole": [1, 2, 3, 4, 5, 6],
    "ok": [True, False, True, True, False, False],
    "maybe": [True, None, False, None, True, True],
    "color": ["red", "blue", None, "red", "green", "blue"],
}


def pandas_nullable() -> pd.DataFrame:
    kinds = {"height": "Float64", "count": "Int64", "whole": "Int64", "ok": "boolean", "maybe": "boolean"}
    return pd.DataFrame({name: pd.array(COLUMNS[name], dtype=kinds.get(name, "string")) for name in COLUMNS})


def categorical(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(color=frame["color"].astype("category"))


FRAMES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas nullable": pandas_nullable,
    "pandas category": lambda: categorical(pd.DataFrame(COLUMNS)),
    "pandas object": lambda: pd.DataFrame(COLUMNS).astype(object),
    "pandas arrow": lambda: pa.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars categorical": lambda: pl.DataFrame(COLUMNS).with_columns(pl.col("color").cast(pl.Categorical)),
    "polars enum": lambda: pl.DataFrame(COLUMNS).with_columns(
        pl.col("color").cast(pl.Enum(["red", "never", "green", "blue"]))
    ),
    "arrow": lambda: pa.table(COLUMNS),
    "arrow dictionary": lambda: pa.table({**COLUMNS, "color": pa.array(COLUMNS["color"]).dictionary_encode()}),
}


def fitted(X: Any, **arguments: Any) -> Table:
    table = Table(**arguments)
    return table.fit(table.check(X))


def tensors(table: Table, X: Any) -> torch.Tensor:
    return table.tensors(table.check(X))


def learned(X: Any, **arguments: Any) -> torch.Tensor:
    return tensors(fitted(X, **arguments), X)


# Arrays


@settings(deadline=None, max_examples=40)
@given(
    X=arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=st.floats(-1e6, 1e6, width=32)),
    T=st.data(),
)
def test_arrays_are_standardised_as_by_scikit_learn(X: np.ndarray[Any, Any], T: st.DataObject) -> None:
    X = X.round(2)
    new = T.draw(arrays(np.float64, (3, X.shape[1]), elements=st.floats(-1e6, 1e6, width=32)))
    scaler = StandardScaler().fit(X)
    table = fitted(X)
    for rows in (X, new):
        made = tensors(table, rows)
        expected = scaler.transform(rows)
        assert made.dtype == torch.float32
        np.testing.assert_allclose(made[:, :, 0].numpy(), expected, rtol=1e-5, atol=1e-5)
        assert (made[:, :, 1] == 0).all()


def test_missing_cells_do_not_count_and_are_flagged() -> None:
    X = np.array([[1.0, nan], [nan, 2.0], [3.0, 4.0], [8.0, nan]])
    made = learned(X)
    np.testing.assert_allclose(made[:, :, 0].numpy(), np.nan_to_num(StandardScaler().fit_transform(X)), atol=1e-6)
    assert made[:, :, 1].tolist() == [[0, 1], [1, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize("n", [1, 7, 200_000])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-12, 1.7e9, 123456.789])
def test_constant_columns_are_zero_and_keep_their_unit(value: float, n: int) -> None:
    table = fitted(np.full((n, 1), value))
    assert (table.tensors(np.array([[value]])) == 0).all()
    np.testing.assert_allclose(table.tensors(np.array([[value + 3.0]]))[0, 0, 0], 3.0, rtol=1e-6)


@pytest.mark.parametrize("huge", [1e39, 1e300, 1.7e308])
def test_huge_cells_stay_finite_and_keep_their_sign(huge: float) -> None:
    table = fitted(np.array([[0.0], [1e-5]]))
    made = table.tensors(np.array([[huge], [-huge], [1e-5]]))[:, 0, 0]
    assert made.isfinite().all()
    assert made[1] < -1e38 < 1e38 < made[0]
    trained = learned(np.array([[huge], [0.0], [0.0], [0.0]]))[:, 0, 0]
    np.testing.assert_allclose(trained.numpy(), np.array([3, -1, -1, -1]) / np.sqrt(3), rtol=1e-6)


def test_columns_that_are_missing_everywhere() -> None:
    table = fitted(np.array([[nan, 1.0], [nan, 2.0]]))
    assert table.tensors(np.array([[7.0, 1.5], [nan, 1.5]])).tolist() == [[[7, 0], [0, 0]], [[0, 1], [0, 0]]]


@pytest.mark.parametrize(
    "X",
    [
        [[1, 2], [3, 5]],
        ((1, 2), (3, 5)),
        np.array([[1, 2], [3, 5]], dtype=np.uint8),
        np.array([[1, 2], [3, 5]], dtype=object),
        np.array([[1, 2], [3, 5]], dtype=np.float16),
        torch.tensor([[1, 2], [3, 5]]),
    ],
)
def test_what_numpy_reads_is_a_table(X: Any) -> None:
    assert learned(X)[:, :, 0].tolist() == [[-1, -1], [1, 1]]


def test_boolean_arrays() -> None:
    assert learned(np.array([[True], [False]]))[:, 0, 0].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), "Expected 2D array, got 1D array instead"),
        (np.ones((2, 2, 2)), r"must have two axes, rows and columns; got shape \(2, 2, 2\)\. Make each sample one row"),
        ([[[1.0]], [[2.0]]], r"must have two axes, rows and columns; got shape \(2, 1, 1\)"),
        (np.array([["a", 1], [None, 2.0]], dtype=object), r"'a'.*Arrays hold numbers: give texts, .* as a DataFrame"),
        (np.array([[{}, 1]], dtype=object), r"'dict'\. Arrays hold numbers: give texts"),
        (np.array([["2024-01-01"]], dtype="datetime64[D]"), r"got an array of dates\. Give them as columns"),
        (scipy.sparse.csr_array(np.eye(3)), r"must be dense; got a sparse matrix\. Convert it by X\.toarray\(\)"),
        (scipy.sparse.dok_array(np.eye(3)), r"must be dense; got a sparse matrix"),
        (np.ones((0, 2)), r"at least one row\. Found array with 0 sample\(s\) \(shape=\(0, 2\)\)"),
        (np.ones((2, 0)), r"0 feature\(s\)"),
        (np.array([[1.0, np.inf]]), r"Column 1 of `X` \(counted from 0\) must be finite or missing; got infinity"),
        (np.array([[-np.inf, 1.0]]), r"Column 0 of `X`"),
        (np.array([["a", "b"]]), "not compatible with arrays of bytes/strings"),
        (np.array([[1j]]), "Complex data not supported"),
        ([[1, 2], [3]], "inhomogeneous"),
    ],
)
def test_arrays_that_cannot_be_used(X: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Table().check(X)


def test_array_of_another_width() -> None:
    with pytest.raises(InvalidInput, match="X has 3 features, but Detector is expecting 2 features as input"):
        fitted(np.ones((4, 2))).check(np.ones((4, 3)))


@pytest.mark.parametrize("arguments", [{"ignore": ["a"]}, {"id": "a"}])
def test_arrays_have_no_names_to_ignore(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"`X` must have named columns for `ignore` and `id`; got an array\. Give a"):
        Table(**arguments).check(np.ones((4, 2)))


# Frames


@pytest.mark.parametrize("test", FRAMES)
@pytest.mark.parametrize("train", ["pandas", "polars enum", "arrow"])
def test_every_library_and_column_type_gives_the_same_tensors(train: str, test: str) -> None:
    table = fitted(FRAMES[train]())
    expected = learned(pa.table(COLUMNS))
    assert torch.equal(tensors(table, FRAMES[test]()), expected)
    assert torch.equal(learned(FRAMES[test]()), expected)


def test_values_of_a_frame() -> None:
    table = fitted(pd.DataFrame(COLUMNS))
    made = tensors(table, pd.DataFrame(COLUMNS))
    assert table.columns_ == list(COLUMNS)
    assert table.levels_ == [[], [], [], [], [], ["blue", "green", "red"]]
    assert table.schema == Schema((6, 2), (0, 0, 0, 0, 0, 4))
    assert made[:, 5, 0].tolist() == [3, 1, 0, 3, 2, 1]
    for position, name in enumerate(list(COLUMNS)[:5]):
        cells = np.array(COLUMNS[name], dtype=np.float64)[:, None]
        expected = np.nan_to_num(StandardScaler().fit_transform(cells))[:, 0]
        np.testing.assert_allclose(made[:, position, 0].numpy(), expected, atol=1e-6)
    missing = [[float(value is None) for value in row] for row in zip(*COLUMNS.values(), strict=True)]
    assert made[:, :, 1].tolist() == missing


def test_unseen_categories_have_code_zero_and_missing_ones_are_flagged() -> None:
    table = fitted(pl.DataFrame({"color": ["a", "b", "a"]}))
    assert tensors(table, pl.DataFrame({"color": ["z", "b", None]})).tolist() == [[[0, 0]], [[2, 0]], [[0, 1]]]


def test_order_of_columns_and_extra_columns_do_not_matter() -> None:
    frame = pd.DataFrame(COLUMNS)
    table = fitted(frame)
    other = frame[list(COLUMNS)[::-1]].assign(extra=pd.Timestamp("2024-01-01"))
    assert torch.equal(tensors(table, other), tensors(table, frame))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_lacking_columns_are_named(library: Any) -> None:
    table = fitted(library(COLUMNS))
    with pytest.raises(InvalidInput, match=r"the columns of `fit`; got none called \['count', 'ok'\]\. Add them"):
        table.check(library({name: cells for name, cells in COLUMNS.items() if name not in ("count", "ok")}))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize("cells", [["1", "2", "3", "4", "5", "6"], ["a"] * 6])
def test_texts_where_there_were_numbers(library: Any, cells: list[str]) -> None:
    table = fitted(library(COLUMNS))
    advice = "Its texts are numbers: convert them" if cells[0] == "1" else "Convert it"
    with pytest.raises(InvalidInput, match=rf"Column 'whole' must hold numbers, as in `fit`; got String\. {advice}"):
        table.check(library({**COLUMNS, "whole": cells}))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize(("cells", "kind"), [([1, 2, 3, 4, 5, 6], "Int64"), ([True] * 6, "Boolean")])
def test_numbers_where_there_were_categories(library: Any, cells: list[Any], kind: str) -> None:
    table = fitted(library(COLUMNS))
    with pytest.raises(InvalidInput, match=rf"Column 'color' must hold categories, as in `fit`; got {kind}\. Convert"):
        table.check(library({**COLUMNS, "color": cells}))


def test_numbers_may_change_their_precision() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True]})
    table = fitted(frame)
    for kinds in ({"a": "float32", "b": "int8"}, {"a": "UInt16", "b": "boolean"}, {"a": "int64[pyarrow]", "b": object}):
        assert torch.equal(tensors(table, frame.astype(kinds)), tensors(table, frame))


@pytest.mark.parametrize(
    "nothing",
    [
        pl.Series("x", [None, None]),
        pl.Series("x", [None, None], dtype=pl.String),
        pl.Series("x", [nan, nan]),
        pl.Series("x", [None, None], dtype=pl.Datetime),
    ],
)
def test_columns_without_any_value_fit_every_column(nothing: pl.Series) -> None:
    train = pl.DataFrame({"number": [1.0, 2.0], "color": ["a", "b"]})
    table = fitted(train)
    empty = pl.DataFrame({"number": nothing, "color": nothing})
    for frame in (empty, empty.to_arrow(), empty.to_pandas()):
        assert tensors(table, frame).tolist() == [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_columns_without_any_value_can_train(library: Any) -> None:
    table = fitted(library({"a": [None, None], "b": [1, 3]}))
    assert tensors(table, library({"a": [None, None], "b": [1, 3]})).tolist() == [[[0, 1], [-1, 0]], [[0, 1], [1, 0]]]


def test_categories_of_a_column_that_was_empty_are_all_unseen() -> None:
    empty = pl.DataFrame({"a": pl.Series([None, None], dtype=pl.String)})
    table = fitted(empty)
    assert tensors(table, pl.DataFrame({"a": ["x", None]})).tolist() == [[[0, 0]], [[0, 1]]]


def test_integer_names_of_columns() -> None:
    frame = pd.DataFrame([[1.0, "a"], [3.0, "b"]], columns=[7, 3])
    table = fitted(frame, ignore=[3])
    assert table.columns_ == [7]
    assert torch.equal(tensors(fitted(frame), frame[[3, 7]]), learned(frame))
    with pytest.raises(InvalidInput, match=r"got none called \[7\]"):
        table.check(pd.DataFrame({"7": [1.0]}))


def test_integer_categories_and_mixed_objects_go_by_their_text() -> None:
    frame = pd.DataFrame({"code": pd.Series([10, 2, 10]).astype("category"), "mixed": [1, "1", "x"]})
    table = fitted(frame)
    assert table.levels_ == [["10", "2"], ["1", "x"]]
    assert tensors(table, frame)[:, :, 0].tolist() == [[1, 1], [2, 1], [1, 2]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1], [2], [3]], r"Column 'x' must hold numbers, .* or durations; got (List|Object).* Take numbers from each"),
        ([{"a": 1}] * 3, r"Column 'x' must hold numbers, .* or durations; got (Struct|Object).* Give each field a col"),
        ([b"a", b"b", None], r"Column 'x' must hold numbers, .*; got (Binary|Object)\. Leave the column out with ign"),
        ([1.0, float("inf"), None], r"Column 'x' must be finite or missing; got infinity\. Clip it, set it null, or "),
    ],
)
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_columns_that_cannot_be_used(library: Any, cells: list[Any], message: str) -> None:
    frame = library({"x": cells, "y": [1, 2, 3]})
    with pytest.raises(InvalidInput, match=message):
        Table().check(frame)
    left_out = fitted(frame, ignore=["x"])
    assert left_out.columns_ == ["y"]
    assert torch.equal(tensors(left_out, frame), learned(library({"y": [1, 2, 3]})))


@pytest.mark.parametrize(
    "cells", [[1.0, np.inf, None], pd.array([1.0, np.inf, None], dtype="Float64"), np.array([1, np.inf, None], object)]
)
def test_infinity_in_every_kind_of_pandas_column(cells: Any) -> None:
    with pytest.raises(InvalidInput, match="Column 'x' must be finite or missing; got infinity"):
        Table().check(pd.DataFrame({"x": cells}))


def test_free_text_is_no_category() -> None:
    texts = [f"message number {number}" for number in range(300)]
    with pytest.raises(
        InvalidInput, match=r"Column 'x' must be a category; got 300 different texts in 300 rows\. Leave"
    ):
        fitted(pl.DataFrame({"x": texts}))
    assert len(fitted(pl.DataFrame({"x": texts[:100]})).levels_[0]) == 100
    assert len(fitted(pl.DataFrame({"x": texts * 2})).levels_[0]) == 300


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": []}, dtype=float), r"at least one row\. Found array with 0 sample"),
        (pl.DataFrame({"a": []}), r"at least one row\. Found array with 0 sample"),
        (pd.DataFrame(index=range(3)), r"`X` must have at least one column to learn from; got none"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"must have different names; got \['a'\] more than once"),
        (pa.Table.from_arrays([[1], [2]], names=["a", "a"]), r"must have different names; got \['a'\] more than once"),
        (pl.LazyFrame({"a": ["x"]}).select(pl.col("b")), r"must be an array or a DataFrame .*; got LazyFrame: .*Conv"),
        ({"a": [1, 2], "b": [1]}, r"must be of one length; got \[1, 2\]"),
        ([{1: 2}], r"must have texts as names; got \[1\]"),
        ([{"a": 1}, {"a": b"x"}], r"Column 'a' must hold values of one type, or numbers and texts; got \['bytes', 'i"),
        (pd.DataFrame({"a": [1, b"x"]}), r"Column 'a' must hold values of one type, .*; got Object with \['bytes', 'i"),
        (pd.DataFrame({("a", "b"): [1]}), r"must have texts or integers as names; got \[\('a', 'b'\)\]"),
    ],
)
@pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
def test_frames_that_cannot_be_used(X: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Table().check(X)


def test_frames_and_arrays_may_be_exchanged_only_without_names_to_lose() -> None:
    X = np.array([[1.0, 2.0], [3.0, 5.0]])
    frame = pd.DataFrame(X, columns=["a", "b"])
    assert torch.equal(tensors(fitted(X), frame), tensors(fitted(frame), X))
    with pytest.raises(InvalidInput, match="X has 1 features, but Detector is expecting 2 features"):
        fitted(X).check(frame[["a"]])
    with pytest.raises(InvalidInput, match="Column 'b' must hold numbers, as in `fit`; got String"):
        fitted(X).check(frame.assign(b="x"))
    with pytest.raises(InvalidInput, match="`X` must be a DataFrame, as in `fit`, to name its categories"):
        fitted(frame.assign(b="x")).check(X)


# Names of rows


def test_ids() -> None:
    frame = pd.DataFrame({"serial": ["s1", "s2"], "a": [1.0, 2.0]}, index=[40, 50])
    assert fitted(frame[["a"]]).ids(frame).tolist() == [40, 50]
    for other in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame, preserve_index=False)):
        table = fitted(other, id="serial")
        assert table.columns_ == ["a"]
        assert table.ids(table.check(other)).tolist() == ["s1", "s2"]
        assert fitted(other, ignore=["serial"]).columns_ == ["a"]
    assert Table().ids(np.ones((3, 2))).tolist() == [0, 1, 2]
    assert Table().ids(pl.DataFrame({"a": [1, 2]})).tolist() == [0, 1]


def test_id_may_be_of_any_type_and_is_needed() -> None:
    frame = pl.DataFrame({"day": [dt.date(2024, 1, 1), dt.date(2024, 1, 2)], "a": [1, 2]})
    table = fitted(frame, id="day")
    assert table.ids(frame).tolist() == [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    with pytest.raises(InvalidInput, match=r"and `elapsed` name; got none called \['day'\] among \['a'\]\. Correct"):
        table.check(frame[["a"]])


def test_ignored_columns_must_exist_in_training_only() -> None:
    frame = pd.DataFrame({"label": [0, 1], "a": [1.0, 2.0]})
    with pytest.raises(InvalidInput, match=r"called \['lable'\] among \['label', 'a'\]\. Did you mean \['label'\]\?"):
        Table(ignore=["lable"]).check(frame)
    table = fitted(frame, ignore=["label"])
    assert torch.equal(tensors(table, frame[["a"]]), tensors(table, frame))


def test_ignore_must_be_a_sequence() -> None:
    with pytest.raises(InvalidParameter, match=r"`ignore` must be a sequence of names; got 'label'\. Use \['label'\]"):
        Table(ignore="label")


# Files


def test_files_give_the_tensors_of_the_frame(tmp_path: Path) -> None:
    arrow = pa.table({**COLUMNS, "nothing": [None] * 6})
    expected = learned(arrow)
    pa.parquet.write_table(arrow, tmp_path / "t.parquet")
    pa.csv.write_csv(arrow, tmp_path / "t.csv")
    np.savez(tmp_path / "t.npz", X=np.array([[1.0, nan], [2.0, 3.0]]))
    assert torch.equal(learned(str(tmp_path / "t.parquet")), expected)
    assert torch.equal(learned(tmp_path / "t.csv"), expected)
    assert torch.equal(learned(tmp_path / "t.npz"), learned(np.array([[1.0, nan], [2.0, 3.0]])))


# State and pieces


@pytest.mark.parametrize(
    "X", [pd.DataFrame(COLUMNS), np.array([[0.1, 1e9], [nan, -1.0]]), pd.DataFrame({3: ["a", "b"]})]
)
def test_state_goes_through_json_and_arrays(X: Any, tmp_path: Path) -> None:
    table = fitted(X)
    state = table.state()
    np.savez(tmp_path / "a.npz", **{name: value for name, value in state.items() if isinstance(value, np.ndarray)})
    rest = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    loaded = Table()
    with np.load(tmp_path / "a.npz") as stored:
        loaded.restore({**json.loads(json.dumps(rest)), **stored})
    assert torch.equal(tensors(loaded, X), tensors(table, X))
    assert loaded.schema == table.schema


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_pieces_give_the_rows_of_the_whole(kind: str) -> None:
    from unalike.data import take

    frame = FRAMES[kind]()
    table = fitted(frame)
    X, owner = table.cut(table.check(frame))
    assert owner.tolist() == list(range(6))
    whole = table.tensors(X)
    pieces = [table.tensors(take(X, np.array(rows))) for rows in ([0], [2, 1], [3, 4, 5])]
    assert torch.equal(torch.cat(pieces), whole[[0, 2, 1, 3, 4, 5]])


def test_one_row_trains() -> None:
    made = learned(pd.DataFrame({"a": [5.0], "b": ["x"], "c": [None]}))
    assert made.tolist() == [[[0, 0], [1, 0], [0, 1]]]


def test_nothing_given_is_changed() -> None:
    frame = pd.DataFrame(COLUMNS)
    before = frame.copy()
    table = fitted(frame)
    made = tensors(table, frame)
    pd.testing.assert_frame_equal(frame, before)
    made.add_(1.0)
    X = np.ones((2, 2))
    learned(X).add_(1.0)
    assert (X == 1).all()


def test_not_fitted() -> None:
    for use in (lambda: Table().schema, lambda: Table().state(), lambda: Table().tensors(np.ones((1, 1)))):
        with pytest.raises(NotFitted, match=r"`Table` must be fitted first\. Call `fit`"):
            use()
