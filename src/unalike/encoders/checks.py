"""What encoders refuse at the door: settings out of range, data of another kind, a missing extra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from unalike.errors import InvalidParameter, MissingExtra
from unalike.plain import is_number
from unalike.types import Schema


def whole(name: str, value: Any, least: int = 1) -> int:
    """`value`, when it is a whole number of `least` or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidParameter(
            f"`{name}` must be a whole number of {least} or more; got {value!r}. Try {max(least, 128)}."
        )
    return value


def wholes(name: str, values: Any, least: int = 1) -> tuple[int, ...]:
    """`values` as a tuple, when they are one or more whole numbers of `least` or more.

    Raises
    ------
    InvalidParameter
        When they are not.
    """
    if not isinstance(values, (tuple, list)) or not values:
        raise InvalidParameter(
            f"`{name}` must be a tuple of one or more whole numbers; got {values!r}. Try (128, 128)."
        )
    return tuple(whole(name, value, least) for value in values)


def positive(name: str, value: Any) -> None:
    """Refuse what is not a finite number above 0.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not is_number(value) or not 0.0 < value < math.inf:
        raise InvalidParameter(f"`{name}` must be a finite number above 0; got {value!r}. Try 0.1.")


def truth(name: str, value: Any) -> None:
    """Refuse what is neither True nor False.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not isinstance(value, bool):
        raise InvalidParameter(f"`{name}` must be True or False; got {value!r}.")


def one_of(name: str, value: Any, known: Sequence[Any]) -> None:
    """Refuse what is none of the `known` values.

    Raises
    ------
    InvalidParameter
        When `value` is none of them.
    """
    if value not in known:
        raise InvalidParameter(f"`{name}` must be one of {list(known)}; got {value!r}. Give one of them.")


def image_shape(what: str, schema: Schema) -> tuple[int, int, int]:
    """``(channels, height, width)`` of the images that `schema` describes; a size that varies is -1.

    Raises
    ------
    InvalidParameter
        When it describes no images.
    """
    if len(schema.shape) != 3:
        raise InvalidParameter(
            f"`encoder` {what} must get images (channels, height, width); got samples of shape {schema.shape}. "
            "Tables take TableMLP, other data MLP."
        )
    channels, height, width = schema.shape
    return channels, height, width


def series_shape(what: str, schema: Schema, *, fixed: bool = False) -> tuple[int, int]:
    """``(channels, length)`` of the windows that `schema` describes; a length that varies is -1.

    Raises
    ------
    InvalidParameter
        When it describes no windows, or where the length varies and must be `fixed`.
    """
    if len(schema.shape) != 2 or schema.levels or schema.shape[0] < 1:
        raise InvalidParameter(
            f"`encoder` {what} must get windows of a time series (channels, length); got samples of shape "
            f"{schema.shape}. Images take ConvNet, tables TableMLP, other data MLP."
        )
    channels, length = schema.shape
    if fixed and length < 1:
        raise InvalidParameter(
            f"`encoder` {what} must get windows of one length; got shape {schema.shape}, where -1 varies. Cut windows "
            "of one length first."
        )
    return channels, length


def fixed_size(what: str, schema: Schema) -> int:
    """Numbers in one sample.

    Raises
    ------
    InvalidParameter
        When a size varies.
    """
    size = 1
    for length in schema.shape:
        if length < 1:
            raise InvalidParameter(
                f"`encoder` {what} must get samples of one size; got shape {schema.shape}, where -1 varies. "
                "Bring them to one size first."
            )
        size *= length
    return size


def table_levels(what: str, schema: Schema) -> tuple[int, ...]:
    """For each column of the table that `schema` describes its number of codes, 0 for a numeric column.

    Raises
    ------
    InvalidParameter
        When it describes no table.
    """
    columns = schema.shape[0] if len(schema.shape) == 2 and schema.shape[1] == 2 else 0
    if columns < 1 or len(schema.levels) not in (0, columns):
        raise InvalidParameter(
            f"`encoder` {what} must get a table (columns, 2) with one level per column; got samples of shape "
            f"{schema.shape} and {len(schema.levels)} levels. Images take ConvNet, other data MLP."
        )
    return schema.levels or (0,) * columns


def needs(what: str, module: str, extra: str) -> Any:
    """The optional dependency `module`.

    Raises
    ------
    MissingExtra
        When it is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"`{what}` must have {module.partition('.')[0]} installed; got: {error}. "
            f"Install it with: pip install 'unalike[{extra}]'."
        ) from error
