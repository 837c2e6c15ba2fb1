"""From whatever a user calls a table to an array, a frame in memory, or rows that are read when needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike import reading, scanning, tabular
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
    return tabular.collected(X) if tabular.has_names(X) else _rows(X)


def _file(path: Any) -> Any:
    if str(path).lower().endswith(".npz"):
        return reading.read_npz(path)
    rows = scanning.open_tables(path)
    return reading.read_table(path) if rows is None else rows


def _rows(X: Any) -> Collection:
    """Dicts, sequences, arrays and tensors."""
    if hasattr(X, "toarray"):
        raise InvalidInput("`X` must be dense; got a sparse matrix. Convert it by X.toarray().")
    if isinstance(X, Mapping):
        return tabular.of_columns({name: list(cells) for name, cells in X.items()})
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
        return tabular.of_rows(X)
    if getattr(getattr(X, "dtype", None), "names", None):
        return tabular.of_columns({name: X[name] for name in X.dtype.names})
    return _array(X)


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
