"""Does a value that was read from a file fit the type hint of a setting?"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin

NONE = "none"
"""How files, which have no null, write None."""


class Misfit(Exception):
    """The value does not fit; the message says what would."""


def did_you_mean(names: Iterable[Any], known: Iterable[str]) -> str:
    """The known names that unknown ones resemble, as the last sentence of an error; empty where none does."""
    known = list(known)
    alike = [match for name in names for match in get_close_matches(str(name), known, n=1)]
    return f" Did you mean {' and '.join(map(repr, dict.fromkeys(alike)))}?" if alike else ""


def may_be_none(hint: Any) -> bool:
    """Whether None is among what the hint allows."""
    return _is_union(hint) and type(None) in get_args(hint)


def fitted(value: Any, hint: Any) -> Any:
    """The value as the hint wants it: lists become tuples, whole numbers become floats, ``"none"`` None.

    Parameters
    ----------
    value : object
        From TOML or JSON; objects that are neither fit where the hint is Any.
    hint : type
        As `typing.get_type_hints` gives it.

    Raises
    ------
    Misfit
        When it does not fit.
    """
    if hint is Any:
        return tuple(value) if isinstance(value, list) else value
    if value == NONE and may_be_none(hint):
        return None
    if _is_union(hint):
        return _any_of(value, hint)
    if get_origin(hint) is Literal:
        return _held(value, value in get_args(hint), hint)
    if get_origin(hint) in (tuple, Sequence):
        return _sequence(value, hint)
    if get_origin(hint) is Mapping:
        return _mapping(value, hint)
    if hint is float:
        return float(_held(value, isinstance(value, (int, float)) and not isinstance(value, bool), hint))
    plain = isinstance(hint, type) and isinstance(value, hint)
    return _held(value, plain and (hint is bool or not isinstance(value, bool)), hint)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _any_of(value: Any, hint: Any) -> Any:
    # Whole numbers stay whole where both are allowed.
    for option in sorted(get_args(hint), key=lambda option: option is float):
        try:
            return fitted(value, option)
        except Misfit:
            continue
    raise Misfit(told(hint))


def _sequence(value: Any, hint: Any) -> tuple[Any, ...]:
    items = get_args(hint)
    if not isinstance(value, list):
        raise Misfit(told(hint))
    if get_origin(hint) is Sequence or (len(items) == 2 and items[1] is Ellipsis):
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise Misfit(told(hint))
    try:
        return tuple(fitted(item, inner) for item, inner in zip(value, items, strict=True))
    except Misfit as error:
        raise Misfit(told(hint)) from error


def _mapping(value: Any, hint: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misfit(told(hint))
    try:
        return {key: fitted(item, get_args(hint)[1]) for key, item in value.items()}
    except Misfit as error:
        raise Misfit(f"{told(hint)}, each {error}") from error


def _held(value: Any, fits: bool, hint: Any) -> Any:
    if not fits:
        raise Misfit(told(hint))
    return value


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): f"{NONE!r}"}


def told(hint: Any) -> str:
    """What the hint allows, in words."""
    if _is_union(hint):
        return " or ".join(dict.fromkeys(told(option) for option in get_args(hint) if _is_writable(option)))
    if get_origin(hint) is Literal:
        return f"one of {list(get_args(hint))}"
    if get_origin(hint) in (tuple, Sequence):
        items = get_args(hint)
        if get_origin(hint) is tuple and items[-1] is not Ellipsis:
            return f"a list of {len(items)}: {', '.join(told(item) for item in items)}"
        return f"a list, each {told(items[0])}"
    if get_origin(hint) is Mapping:
        return "a table"
    return _WORDS.get(hint, "what no file can hold")


def _is_writable(hint: Any) -> bool:
    return hint in _WORDS or get_origin(hint) in (tuple, Sequence, Literal)
