"""What views refuse at the door: settings out of range, data of the wrong shape."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from unalike.errors import InvalidInput, InvalidParameter


def probability(name: str, value: Any) -> None:
    """Refuse what is no number in ``[0, 1]``.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not _is_number(value) or not 0.0 <= value <= 1.0:
        raise InvalidParameter(f"`{name}` must be a probability in [0, 1]; got {value!r}. Give for example 0.5.")


def amount(name: str, value: Any) -> None:
    """Refuse what is no finite number of 0 or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not _is_number(value) or not 0.0 <= value < math.inf:
        raise InvalidParameter(f"`{name}` must be a finite number of 0 or more; got {value!r}. Give for example 0.1.")


def at_least_one(name: str, value: Any) -> None:
    """Refuse what is no whole number of 1 or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidParameter(f"`{name}` must be a whole number of 1 or more; got {value!r}. Give for example 5.")


def several(name: str, value: Any) -> None:
    """Refuse what is no whole number of 2 or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 2:
        raise InvalidParameter(f"`{name}` must be a whole number of 2 or more; got {value!r}. Give for example 4.")


def interval(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> tuple[float, float]:
    """``(low, high)`` of a setting that says between which numbers to draw.

    Raises
    ------
    InvalidParameter
        When `value` is no ordered pair of finite numbers in ``[least, most]``.
    """
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_number, value))
    if not pair or not least <= value[0] <= value[1] <= most or not all(map(math.isfinite, value)):
        raise InvalidParameter(
            f"`{name}` must be (low, high) with {least:g} <= low <= high <= {most:g}; got {value!r}. "
            "Give the same number twice to fix it."
        )
    return float(value[0]), float(value[1])


def around(
    name: str, value: Any, center: float, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """``(low, high)`` of a setting that is either such a pair or the largest distance from `center`.

    Raises
    ------
    InvalidParameter
        When `value` is neither a number of 0 or more nor an ordered pair in ``[least, most]``.
    """
    if not _is_number(value):
        return interval(name, value, least, most)
    if not 0.0 <= value < math.inf or center + value > most:
        raise InvalidParameter(
            f"`{name}` must be a number from 0 to {most - center:g}, or a pair (low, high); got {value!r}."
        )
    return max(center - float(value), least), center + float(value)


def images(data: Tensor) -> None:
    """Refuse what is no batch of images.

    Raises
    ------
    InvalidInput
        When `data` is not ``(n, channels, height, width)`` floating point.
    """
    if data.ndim != 4 or not data.is_floating_point():
        raise InvalidInput(
            "`data` must be images of shape (n, channels, height, width) in floating point; got "
            f"shape {tuple(data.shape)} of {data.dtype}. Convert whole numbers with data.float() and scale them."
        )


def series(data: Tensor) -> None:
    """Refuse what is no batch of windows of series.

    Raises
    ------
    InvalidInput
        When `data` is not ``(n, channels, length)`` floating point with at least one step.
    """
    if data.ndim != 3 or data.shape[2] == 0 or not data.is_floating_point():
        raise InvalidInput(
            "`data` must be windows of series of shape (n, channels, length) in floating point; got "
            f"shape {tuple(data.shape)} of {data.dtype}. Put channels before steps: data.transpose(1, 2)."
        )


def cells(data: Tensor, levels: tuple[int, ...] = ()) -> None:
    """Refuse what is no batch of table rows.

    Raises
    ------
    InvalidInput
        When `data` is not ``(n, columns, 2)`` floating point, or has not one column for each of `levels`.
    """
    if data.ndim != 3 or data.shape[-1] != 2 or not data.is_floating_point():
        raise InvalidInput(
            "`data` must be table rows of shape (n, columns, 2), value-or-code and is-missing, in floating point; "
            f"got shape {tuple(data.shape)} of {data.dtype}. Make them with `modalities.Table().fit(X).tensors(X)`."
        )
    if levels and len(levels) != data.shape[1]:
        raise InvalidInput(
            f"`data` must have {len(levels)} columns, as many as the view's `levels`; got {data.shape[1]}. "
            "Give the `levels` of the table's schema."
        )


def points(data: Tensor) -> None:
    """Refuse what is no batch of texts.

    Raises
    ------
    InvalidInput
        When `data` is not ``(n, length)`` whole numbers.
    """
    if data.ndim != 2 or data.shape[1] == 0 or data.is_floating_point():
        raise InvalidInput(
            "`data` must be texts of shape (n, length), the code points of their characters in whole numbers; got "
            f"shape {tuple(data.shape)} of {data.dtype}. Make them with `unalike.texts.encoded`."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
