"""Rows of a table as the numbers and codes that the graph takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike_runtime import dates
from unalike_runtime.decisions import FloatArray
from unalike_runtime.errors import InvalidInput


def rows(X: Any, told: Mapping[str, Any]) -> tuple[FloatArray, npt.NDArray[Any]]:
    """``(n, numbers)`` float64, NaN where missing, and ``(n,)`` ids.

    Parameters
    ----------
    X
        An array, a frame of any library, a mapping of columns, or a list of mappings.
    told : mapping
        What the file says of its input.

    Raises
    ------
    InvalidInput
        Columns lack, or hold another kind of values than in training.
    """
    columns = told["columns"]
    if _is_array(X):
        made = _of_array(np.asarray(X), columns, told)
        return made, np.arange(len(made))
    table = as_columns(X)
    missing = [column["name"] for column in columns if column["name"] not in table]
    if missing and told["named"]:
        raise InvalidInput(f"`X` must have the columns {missing}, as in training; got {list(table)[:10]}.")
    if not told["named"]:  # by position
        table = {column["name"]: cells for column, cells in zip(columns, table.values(), strict=False)}
        if len(table) < len(columns):
            raise InvalidInput(f"`X` must have {len(columns)} columns, as in training; got {len(table)}.")
    made = np.stack([part for column in columns for part in _numbers(table[column["name"]], column, told)], axis=1)
    if len(made) == 0:
        raise InvalidInput("`X` must have at least one row; got none.")
    return made.astype(np.float64), _ids(X, table, told, len(made))


def as_columns(X: Any) -> dict[Any, Any]:
    """The columns by name of a frame, a mapping of columns, or a list of mappings.

    Raises
    ------
    InvalidInput
        It has no columns.
    """
    if isinstance(X, Mapping):
        return dict(X)
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
        of_rows = dict.fromkeys(name for row in X for name in row)
        return {name: [row.get(name) for row in X] for name in of_rows}
    for attribute in ("column_names", "columns"):  # Arrow; pandas and polars
        names = getattr(X, attribute, None)
        if names is not None and all(isinstance(name, (str, int, np.integer)) for name in names):
            frame: dict[Any, Any] = {name: X[name] for name in names}
            return frame
    raise InvalidInput(f"`X` must be a table with named columns; got {type(X).__name__}.")


def values_of(cells: Any) -> list[Any]:
    """The cells of a column as Python values, None where missing."""
    lists = [getattr(cells, method) for method in ("to_pylist", "to_list", "tolist") if hasattr(cells, method)]
    return [None if is_missing(value) else value for value in (lists[0]() if lists else cells)]


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT or what pandas calls NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return bool(isinstance(value, (float, np.floating)) and math.isnan(value)) or (
        isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))
    )


def floats(cells: Any, what: str) -> FloatArray:
    """``(n,)`` float64 of a column, NaN where missing.

    Raises
    ------
    InvalidInput
        A cell is no number.
    """
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        return cells.astype(np.float64)
    values = values_of(cells)
    wrong = next((value for value in values if isinstance(value, str) or not _is_number(value)), None)
    if wrong is not None:
        raise InvalidInput(f"Column {what} must hold numbers, as in training; got {wrong!r}. Convert it.")
    return np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)


def _is_number(value: Any) -> bool:
    return value is None or hasattr(value, "__float__")


def _is_array(X: Any) -> bool:
    if isinstance(X, np.ndarray):
        return X.dtype.names is None
    return isinstance(X, (list, tuple)) and bool(X) and isinstance(X[0], (list, tuple, np.ndarray))


def _of_array(X: npt.NDArray[Any], columns: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> FloatArray:
    if X.ndim != 2 or X.shape[1] != len(columns) or X.dtype.kind not in "biuf":
        raise InvalidInput(f"`X` must be numbers of shape (n, {len(columns)}), as in training; got {X.shape}.")
    if any(column["kind"] != "number" for column in columns):
        raise InvalidInput("`X` must have named columns, as in training: some hold categories or dates. Give a frame.")
    if len(X) == 0:
        raise InvalidInput("`X` must have at least one row; got none.")
    return np.stack([_finite(X[:, at].astype(np.float64), repr(at), told) for at in range(X.shape[1])], axis=1)


def _numbers(cells: Any, column: Mapping[str, Any], told: Mapping[str, Any]) -> list[FloatArray]:
    """What the cells of one column become, ``(n,)`` each."""
    kind, what = column["kind"], repr(column["name"])
    if kind == "number":
        return [_finite(floats(cells, what), what, told)]
    if kind in ("category", "ordinal"):
        return [_codes(cells, column, what)]
    if kind == "duration":
        return [dates.seconds(cells, what)]
    micros, missing = dates.micros(cells, column["zone"], what, timed=kind == "time")
    return dates.numbers(micros, missing, column["parts"])


def _finite(values: FloatArray, what: str, told: Mapping[str, Any]) -> FloatArray:
    endless = np.isinf(values)
    if not endless.any():
        return values
    if told["infinite"] == "error":
        raise InvalidInput(f"Column {what} must be finite or missing; got infinity. Clip it, or set it missing.")
    return np.where(endless, np.nan, values)


def _codes(cells: Any, column: Mapping[str, Any], what: str) -> FloatArray:
    """Places among the levels from 1; of a category that training did not see 0, of an unknown rank NaN."""
    unseen = 0.0 if column["kind"] == "category" else math.nan
    place = {level: float(number) for number, level in enumerate(column["levels"], start=1)}
    categorical = getattr(getattr(cells, "dtype", None), "name", "") == "category"
    values = values_of(cells)
    wrong = next((value for value in values if value is not None and not isinstance(value, str)), None)
    if wrong is not None and not categorical:
        raise InvalidInput(f"Column {what} must hold texts, as in training; got {wrong!r}. Convert it.")
    return np.array([math.nan if value is None else place.get(str(value), unseen) for value in values])


def _ids(X: Any, table: Mapping[Any, Any], told: Mapping[str, Any], n: int) -> npt.NDArray[Any]:
    if told["id"] is not None and told["id"] in table:
        return np.asarray(values_of(table[told["id"]]))
    index = getattr(X, "index", None)
    return np.arange(n) if index is None or callable(index) else np.asarray(index)
