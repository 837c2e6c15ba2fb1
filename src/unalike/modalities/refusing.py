"""What a table refuses: columns and cells it cannot learn from, and those that differ from what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput
from unalike.modalities.cells import Cells, Column
from unalike.modalities.frames import frame
from unalike.types import Collection


def check_array(
    X: npt.NDArray[Any], settings: bool, learned: Sequence[Column] | None, infinite: Literal["error", "missing"]
) -> None:
    """Refuse an array that does not fit.

    Parameters
    ----------
    X : ndarray
        ``(n, columns)``.
    settings : bool
        Whether some of the settings name columns, which an array has not.
    learned : sequence of Column, optional
        Those of `fit`; None before.
    infinite : {"error", "missing"}
        What becomes of infinite numbers.

    Raises
    ------
    InvalidInput
        When it does not fit.
    """
    if settings:
        raise InvalidInput("`X` must have named columns for `ignore` and `id`; got an array. Give a DataFrame.")
    if learned is not None:
        _check_width(X.shape[1], learned)
        if any(column.kind != "number" for column in learned):
            raise InvalidInput("`X` must be a DataFrame, as in `fit`, to name its categories; got an array.")
    if infinite == "error" and X.dtype.kind == "f" and np.isinf(X).any():
        column = int(np.flatnonzero(np.isinf(X).any(axis=0))[0])
        raise InvalidInput(
            f"Column {column} of `X` (counted from 0) must be finite or missing; got infinity. Clip it, set it to "
            "NaN, or give infinite='missing'."
        )


def check_columns(used: Sequence[Any], learned: Sequence[Column] | None, named: bool) -> None:
    """Refuse a frame with the columns `used` as data; `named`: `fit` saw a frame too, not an array.

    Raises
    ------
    InvalidInput
        When columns of `fit` are missing, there is none, or they have no proper names.
    """
    if learned is not None and not named:
        _check_width(len(used), learned)
    elif learned is not None:
        lacking = [column.name for column in learned if column.name not in used]
        if lacking:
            raise InvalidInput(f"`X` must have the columns of `fit`; got none called {lacking}. Add them.")
    elif not used:
        raise InvalidInput("`X` must have at least one column to learn from; got none. Give more, or ignore fewer.")
    elif not all(isinstance(name, (str, int)) for name in used):
        raise InvalidInput(f"The columns of `X` must have texts or integers as names; got {used}. Rename them.")


def check_cells(
    X: Collection, names: Sequence[Any], learned: Sequence[Column] | None, infinite: Literal["error", "missing"]
) -> None:
    """Refuse cells in the columns `names` of a frame; `learned` are those of `fit` that they stand for.

    Raises
    ------
    InvalidInput
        When a column is of an unusable type or another than in `fit`, or infinite and must not be.
    """
    cells_of = frame(X)
    for name, column in zip(names, [None] * len(names) if learned is None else learned, strict=True):
        cells = Cells(cells_of.get_column(name))
        if column is not None:
            column.check(cells)
        if cells.kind == "number":
            cells.floats(infinite)


def _check_width(columns: int, learned: Sequence[Column]) -> None:
    if columns != len(learned):  # scikit-learn's words: its check_estimator looks for them
        raise InvalidInput(f"X has {columns} features, but Detector is expecting {len(learned)} features as input.")
