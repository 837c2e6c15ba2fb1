"""From whatever a user calls a table to an array, a frame in memory, or rows that are read when needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt

from unalike import reading, scanning
from unalike.errors import InvalidInput
from unalike.types import Collection


class NotNumbers(InvalidInput, TypeError):
    """The same for those who catch NumPy's error."""


def collected(X: Any) -> Collection:
    """An array, a frame of a library that narwhals knows, or `scanning.ArrowRows`.

    Raises
    ------
    InvalidInput
        When it is none, a file cannot be read, or columns have one name.
    """
    if reading.is_path(X):
        X = _file(X)
    if isinstance(X, scanning.ArrowRows):
        return X
    if scanning.is_dataset(X):
        return scanning.of_dataset(X)
    if hasattr(X, "read_all"):  # a stream, which can be read only once
        X = X.read_all()
    return _frame(X) if _has_names(X) else _rows(X)


def _file(path: Any) -> Any:
    if str(path).lower().endswith(".npz"):
        return reading.read_npz(path)
    rows = scanning.open_tables(path)
    return reading.read_table(path) if rows is None else rows


def _has_names(X: Any) -> bool:
    return any(hasattr(type(X), name) for name in ("collect_schema", "columns", "column_names"))


def _frame(X: Any) -> Any:
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


def _rows(X: Any) -> Collection:
    """Dicts, sequences, arrays and tensors."""
    if hasattr(X, "toarray"):
        raise InvalidInput("`X` must be dense; got a sparse matrix. Convert it by X.toarray().")
    if isinstance(X, Mapping):
        return _table({name: list(cells) for name, cells in X.items()})
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
        names = dict.fromkeys(name for row in X for name in row)
        return _table({name: [row.get(name) for row in X] for name in names})
    if getattr(getattr(X, "dtype", None), "names", None):
        return _table({name: X[name] for name in X.dtype.names})
    return _array(X)


def _table(columns: Mapping[Any, Any]) -> Any:
    """Columns of Python values as an Arrow table; values of mixed types become texts."""
    import pyarrow as pa

    if not all(isinstance(name, str) for name in columns):
        raise InvalidInput(f"The columns of `X` must have texts as names; got {list(columns)}. Rename them.")
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise InvalidInput(f"The columns of `X` must be of one length; got {sorted(lengths)}. Give one cell per row.")
    return pa.table({name: _column(name, cells) for name, cells in columns.items()})


def _column(name: str, cells: Any) -> Any:
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


def _array(X: Any) -> npt.NDArray[Any]:
    from sklearn.utils import check_array

    _check_axes(X)
    try:
        return np.asarray(check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0))
    except (ValueError, TypeError) as error:
        filled = _without_none(X)
        if filled is not None:
            return filled
        message = f"{str(error).rstrip('.')}. Arrays hold numbers: give texts, dates and mixed types as a DataFrame."
        raise (NotNumbers if isinstance(error, TypeError) else InvalidInput)(message) from error


def _without_none(X: Any) -> npt.NDArray[Any] | None:
    """Numbers with None among them, which become NaN; None when there are other objects."""
    try:
        cells = np.asarray(X, dtype=object)
    except ValueError:
        return None
    numbers = [cell is None or isinstance(cell, (bool, int, float, np.number, np.bool_)) for cell in cells.flat]
    if cells.ndim != 2 or not all(numbers) or cells.size == 0:
        return None
    return np.array([[np.nan if cell is None else float(cell) for cell in row] for row in cells])


def _check_axes(X: Any) -> None:
    try:
        shape = np.shape(X)
    except (ValueError, TypeError):
        return  # rows of different lengths
    if len(shape) > 2:
        raise InvalidInput(
            f"`X` must have two axes, rows and columns; got shape {shape}. Make each sample one row by "
            "X.reshape(len(X), -1); images are for Detector('image')."
        )
    if getattr(getattr(X, "dtype", None), "kind", None) in ("M", "m"):
        raise InvalidInput("`X` must hold numbers; got an array of dates. Give them as columns of a DataFrame.")


def check_named(wanted: Sequence[Any], found: Sequence[Any]) -> None:
    """Refuse names of settings that no column has, and say which could be meant."""
    unknown = [name for name in wanted if name not in found]
    if not unknown:
        return
    texts = [str(name) for name in found]
    guesses = [guess for name in unknown for guess in get_close_matches(str(name), texts, n=1)]
    advice = f"Did you mean {guesses}?" if guesses else "Correct the names."
    raise InvalidInput(
        f"`X` must have the columns that `ignore`, `id`, `ordinal` and `elapsed` name; got none called {unknown} among "
        f"{list(found)}. {advice}"
    )
