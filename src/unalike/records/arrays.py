"""Arrays and nested sequences of numbers as ``(t, channels)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput
from unalike.types import FloatArray


def numbers(X: Any, called: str) -> FloatArray:
    """``(t, channels)`` or, of many records, ``(records, t, channels)`` float64, NaN = missing.

    Parameters
    ----------
    X : array-like
        ``(t,)``, ``(t, channels)`` or ``(records, t, channels)``; None and masked cells are missing.
    called : str
        How errors name it.

    Raises
    ------
    InvalidInput
        When it has other axes, or holds anything but numbers.
    """
    if hasattr(X, "toarray"):
        raise InvalidInput(f"{called} must be dense; got a sparse matrix. Convert it by X.toarray().")
    array = _array(X, called)
    if array.ndim not in (1, 2, 3):
        raise InvalidInput(
            f"{called} must have the axes (steps,), (steps, channels) or (records, steps, channels); got shape "
            f"{array.shape}. Give one array per record."
        )
    values = _floats(array, called)
    if np.ma.isMaskedArray(X):
        values[np.ma.getmaskarray(X)] = np.nan
    return values[:, None] if values.ndim == 1 else values


def _array(X: Any, called: str) -> npt.NDArray[Any]:
    if hasattr(X, "detach"):  # a tensor that may take gradients, or lie on a device
        X = X.detach().cpu()
    try:
        return np.asarray(X)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"{called} must have one number per step and channel; got rows of different lengths or kinds. "
            "Give many records as a list of arrays, each (steps, channels)."
        ) from error


def _floats(array: npt.NDArray[Any], called: str) -> FloatArray:
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    if array.dtype.kind == "O":
        try:
            return np.array([np.nan if _is_missing(cell) else _number(cell) for cell in array.flat]).reshape(
                array.shape
            )
        except (TypeError, ValueError) as error:
            raise _no_numbers(called, "objects") from error
    raise _no_numbers(called, str(array.dtype))


def _no_numbers(called: str, found: str) -> InvalidInput:
    return InvalidInput(
        f"{called} must hold numbers; got {found}. Give times, names of entities and texts as columns of a DataFrame."
    )


def _number(cell: Any) -> float:
    if isinstance(cell, (str, bytes, np.datetime64, np.timedelta64)):
        raise TypeError(type(cell).__name__)
    return float(cell)


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")
