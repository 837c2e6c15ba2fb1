"""Tables of any library: frames in memory, dicts and Python values, and their columns in Arrow's types."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import narwhals as nw
import numpy as np

from unalike.errors import InvalidInput

_MIXED = (str, bool, numbers.Number, np.bool_)


def has_names(X: Any) -> bool:
    """Whether `X` is a frame of some library."""
    return any(hasattr(type(X), name) for name in ("collect_schema", "columns", "column_names"))


def collected(X: Any) -> Any:
    """A frame that is in memory, in its own library; a lazy one is collected.

    Raises
    ------
    InvalidInput
        When narwhals does not know it, or columns have one name.
    """
    import pyarrow as pa

    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
    _check_different(X)
    try:
        frame = nw.from_native(X)
        return frame.collect().to_native() if isinstance(frame, nw.LazyFrame) else X
    except Exception as error:
        raise InvalidInput(
            "`X` must be an array or a DataFrame (pandas, polars, Arrow table…); "
            f"got {type(X).__name__}: {str(error).partition(chr(10))[0]}. Convert it."
        ) from error


def _check_different(X: Any) -> None:
    names = getattr(X, "column_names", None)
    if names is None and not hasattr(type(X), "collect_schema"):
        names = X.columns
    names = [] if names is None else list(names)
    doubled = [name for number, name in enumerate(names) if name in names[:number]]
    if doubled:
        raise InvalidInput(f"The columns of `X` must have different names; got {doubled} more than once. Rename them.")


def of_rows(rows: Sequence[Mapping[Any, Any]]) -> Any:
    """Dicts, one per row, as an Arrow table; what a row does not name is missing."""
    names = dict.fromkeys(name for row in rows for name in row)
    return of_columns({name: [row.get(name) for row in rows] for name in names})


def of_columns(columns: Mapping[Any, Any]) -> Any:
    """Columns of Python values as an Arrow table; values of mixed types become texts."""
    import pyarrow as pa

    if not all(isinstance(name, str) for name in columns):
        raise InvalidInput(f"The columns of `X` must have texts as names; got {list(columns)}. Rename them.")
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise InvalidInput(f"The columns of `X` must be of one length; got {sorted(lengths)}. Give one cell per row.")
    return pa.table({name: _of_values(name, cells) for name, cells in columns.items()})


def _of_values(name: str, cells: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.array(cells, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        held = [cell for cell in cells if cell is not None and cell == cell]
        if all(isinstance(cell, (str, bool, int, float, np.generic)) for cell in held):
            texts = any(isinstance(cell, str) for cell in held)
            made = [None if cell is None else str(cell) if texts else float(cell) for cell in cells]
            return pa.array(made, pa.string() if texts else pa.float64())
        kinds = sorted({type(cell).__name__ for cell in held})
        raise InvalidInput(
            f"Column {name!r} must hold values of one type, or numbers and texts; got {kinds}. Convert it."
        ) from error


def arrow_column(column: Any) -> Any:
    """A column of narwhals as Arrow's; one of Python objects that Arrow cannot type, by what the objects are."""
    import pyarrow as pa

    try:
        if column.dtype == nw.Object and column.implementation is not nw.Implementation.PANDAS:
            raise TypeError("objects")
        return column.to_arrow()
    except Exception as error:
        values = [None if gone else v for v, gone in zip(column.to_list(), column.is_null().to_list(), strict=True)]
        held = [value for value in values if value is not None]
        if all(isinstance(value, (bool, numbers.Number, np.bool_, Decimal)) for value in held):
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        if all(isinstance(value, _MIXED) for value in held):
            return pa.array([None if value is None else str(value) for value in values], pa.string())
        kinds = sorted({type(value).__name__ for value in held})
        raise InvalidInput(
            f"Column {column.name!r} must hold values of one type, or numbers and texts; got {column.dtype} with "
            f"{kinds}. Convert it, or leave it out with ignore=."
        ) from error


def check_named(wanted: Sequence[Any], found: Sequence[Any], settings: str) -> None:
    """Refuse names that no column has, and say which could be meant; `settings` are those that gave them."""
    unknown = [name for name in wanted if name not in found]
    if not unknown:
        return
    texts = [str(name) for name in found]
    guesses = [guess for name in unknown for guess in get_close_matches(str(name), texts, n=1)]
    advice = f"Did you mean {guesses}?" if guesses else "Correct the names."
    raise InvalidInput(
        f"`X` must have the columns that {settings} name; got none called {unknown} among {list(found)}. {advice}"
    )
