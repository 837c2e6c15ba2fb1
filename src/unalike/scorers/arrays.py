"""What every scorer asks of its embeddings, and the geometry of the cosine."""

from __future__ import annotations

from typing import Any

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.types import FloatArray

_FARTHEST = 1e120


def checked(values: Any, *, name: str = "embeddings", width: int | None = None, empty: bool = False) -> FloatArray:
    """`values` as a finite, C-contiguous ``(n, d)`` matrix.

    Parameters
    ----------
    values : array-like
        ``(n, d)`` numbers. Floats of 32 bits or fewer become float32, all else float64.
    name : str
        The parameter that held them, for errors.
    width : int, optional
        The ``d`` that is wanted.
    empty : bool
        Whether no rows at all is fine.

    Raises
    ------
    InvalidInput
        Not a matrix of numbers, empty, not finite, or of another width.
    """
    matrix = np.asarray(values)
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind not in "fiub":
        raise InvalidInput(
            f"`{name}` must be a matrix of numbers, one row per sample; got shape {matrix.shape} and type "
            f"{matrix.dtype}. Give an array of shape (samples, width)."
        )
    if len(matrix) == 0 and not empty:
        raise InvalidInput(f"`{name}` must hold at least one row; got none. Give normal samples.")
    if width is not None and matrix.shape[1] != width:
        raise InvalidInput(
            f"`{name}` must have the width that the scorer was fitted on, {width}; got {matrix.shape[1]}. "
            "Embed with the same encoder."
        )
    single = matrix.dtype.kind == "f" and matrix.dtype.itemsize <= 4
    matrix = np.ascontiguousarray(matrix, dtype=np.float32 if single else np.float64)
    unusable = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(unusable):
        raise InvalidInput(
            f"`{name}` must be finite; got NaN or infinity in {len(unusable)} of {len(matrix)} rows, first in row "
            f"{unusable[0]}. Look at the encoder or its input there."
        )
    return matrix


def unit_rows(rows: FloatArray) -> FloatArray:
    """Unit vectors in which half the squared Euclidean distance is ``1 - cos``.

    Parameters
    ----------
    rows : ndarray
        ``(..., d)``.

    Returns
    -------
    ndarray
        ``(..., d + 1)`` float64. The last column is 1 for a zero row and 0 for any other: a row without
        direction points in a direction of its own, at distance 0 from other zero rows and 1 from the rest.
    """
    rows = rows.astype(np.float64)
    # Dividing by the largest entry first keeps tiny and huge rows from under- and overflowing when squared.
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    rows /= np.where(largest > 0.0, largest, 1.0)
    norm = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    rows /= np.where(norm > 0.0, norm, 1.0)
    return np.concatenate([rows, (norm == 0.0).astype(np.float64)], axis=-1)


def whitened(centred: FloatArray, whitening: FloatArray) -> FloatArray:
    """``(n, d)`` rows times a ``(d, e)`` matrix or the ``(d,)`` diagonal of one; each row as if it came alone.

    Values beyond 1e120 count as 1e120, so that squares stay finite.
    """
    centred = np.clip(centred, -_FARTHEST, _FARTHEST)
    if whitening.ndim == 1:
        return np.asarray(np.clip(centred * whitening, -_FARTHEST, _FARTHEST))
    # Not a BLAS product: its last bits depend on how many rows come together, and a score must not.
    return np.asarray(np.clip(np.einsum("nd,de->ne", centred, whitening), -_FARTHEST, _FARTHEST))


def require_fitted(scorer: object, attribute: str) -> None:
    """Raise `NotFitted` when `scorer` has not learned `attribute` yet."""
    if not hasattr(scorer, attribute):
        name = type(scorer).__name__
        raise NotFitted(f"`{name}` must be fitted before it is used; it is not. Call `fit` with normal samples first.")


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise `InvalidParameter` when `value` is none of `choices`."""
    if value not in choices:
        raise InvalidParameter(f"`{name}` must be one of {list(choices)}; got {value!r}.")


def require_count(name: str, value: object, wanted: str = "an integer of at least 1") -> None:
    """Raise `InvalidParameter` when `value` is no integer of at least 1."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise InvalidParameter(f"`{name}` must be {wanted}; got {value!r}.")


def is_share(value: object) -> bool:
    """Whether `value` is a floating-point number above 0 and below 1."""
    return isinstance(value, (float, np.floating)) and 0.0 < float(value) < 1.0


def require_seed(value: object) -> None:
    """Raise `InvalidParameter` when `value` is no whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidParameter(f"`seed` must be a whole number; got {value!r}.")


def background_rows(background: FloatArray | None, width: int, instead: str) -> FloatArray:
    """``(b, width)`` embeddings that a scorer compares with.

    Raises
    ------
    InvalidParameter
        There are none; `instead` names a scorer that needs none.
    """
    if background is None:
        raise InvalidParameter(
            "`background` must be the embeddings of samples of no topic, (b, width); got None. Take an encoder "
            f"that offers them by `background()`, such as PretrainedText, or the scorer {instead}."
        )
    return checked(background, name="background", width=width)
