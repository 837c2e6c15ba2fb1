"""Moments of steps as numbers: dates and plain numbers, in one way; and the step between two, as users tell it.

Dates are ``datetime64`` in nanoseconds (microseconds before 1678 and after 2262), in UTC where they have a time zone:
clocks that are put forward and back then leave no gap and no hour twice.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter
from unalike.plain import is_number
from unalike.records.raw import Times
from unalike.types import FloatArray, IntArray

_UNITS = {
    **dict.fromkeys(("ns", "nanosecond"), 1e-9),
    **dict.fromkeys(("us", "µs", "microsecond"), 1e-6),
    **dict.fromkeys(("ms", "millisecond"), 1e-3),
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "t", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86_400.0),
    **dict.fromkeys(("w", "week"), 604_800.0),
}
_PER_SECOND = {"ns": 10**9, "us": 10**6}


def is_dated(times: Times) -> bool:
    """Whether they are dates."""
    return times.dtype.kind == "M"


def of_arrow(cells: Any, name: Any) -> tuple[Times, str | None]:
    """``(t,)`` times of a column of Arrow's, and its time zone.

    Raises
    ------
    InvalidInput
        When cells are missing, infinite, or no times.
    """
    import pyarrow.types as kinds

    cells = _plain(cells)
    kind = cells.type
    if cells.null_count:
        raise _missing(name, cells.null_count)
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        cells = _read(cells, name)
        kind = cells.type
    if kinds.is_timestamp(kind) or kinds.is_date(kind):
        ticks, unit = _ticks(cells)
        return ticks.view(f"<M8[{unit}]"), getattr(kind, "tz", None)
    if kinds.is_duration(kind):
        ticks, unit = _ticks(cells)
        return ticks / _PER_SECOND[unit], None
    if kinds.is_integer(kind) and not kinds.is_uint64(kind):
        return np.asarray(cells.cast("int64").to_numpy(zero_copy_only=False)), None
    if kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_uint64(kind):
        return _floats(cells, name), None
    advice = "Join them with the date." if kinds.is_time(kind) else "Convert it, or name another column."
    raise InvalidInput(f"{_column(name)} must hold dates or numbers to tell the time; got {kind}. {advice}")


def seconds(times: Times, origin: Any) -> FloatArray:
    """``(t,)`` float64 after `origin`: seconds of dates, else in the unit of the numbers."""
    if is_dated(times):
        return np.asarray((times - origin).astype(np.int64) / _PER_SECOND[_unit(times)])
    return np.asarray((times - origin).astype(np.float64))


def later(origin: Any, steps: IntArray, step: float) -> Times:
    """``(t,)`` times so many steps after `origin`, of its kind; whole numbers become fractions with such a step."""
    first = np.asarray(origin)
    if first.dtype.kind != "M":
        return np.asarray(first + steps * (int(step) if float(step).is_integer() else step))
    ticks = step * _PER_SECOND[_unit(first)]
    near = round(ticks)  # exact where it can be: products of floats would lose nanoseconds in long records
    moved = steps * near if abs(ticks - near) < 1e-6 * ticks else np.rint(steps * ticks).astype(np.int64)
    return np.asarray(first + moved.astype(f"timedelta64[{_unit(first)}]"))


def _unit(times: Times) -> str:
    return np.datetime_data(times.dtype)[0]


def parsed_step(step: Any) -> tuple[float, bool]:
    """The step in seconds or in the unit of the times, and whether it is a duration, which only dates have.

    Parameters
    ----------
    step : float, str, timedelta or numpy.timedelta64
        A text is a number (or none, for 1) and a unit: ``"5min"``, ``"100ms"``, ``"h"``.

    Raises
    ------
    InvalidParameter
        When it is none of these, or not above 0.
    """
    value, duration = _value(step), not is_number(step)
    if value is None or not 0.0 < value < np.inf:
        raise InvalidParameter(
            f"`step` must be a number above 0, or a duration such as '5min', '100ms', '1h' or '1d'; got {step!r}."
        )
    return value, duration


def _value(step: Any) -> float | None:
    if isinstance(step, timedelta):
        return step.total_seconds()
    if isinstance(step, np.timedelta64):
        fixed = np.datetime_data(step.dtype)[0] not in ("Y", "M", "generic") and not np.isnat(step)
        return float(step / np.timedelta64(1, "s")) if fixed else None
    if isinstance(step, str):
        return _of_text(step.strip())
    return float(step) if is_number(step) else None


def _of_text(text: str) -> float | None:
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)?\s*([A-Za-zµ]+)", text)
    if found is None or found[2] == "M":  # months, as others write them, are no fixed time
        return None
    name = found[2].lower()
    unit = _UNITS.get(name, _UNITS.get(name.removesuffix("s")))
    return None if unit is None else float(found[1] or 1) * unit


def _plain(cells: Any) -> Any:
    import pyarrow as pa

    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _read(cells: Any, name: Any) -> Any:
    """Texts in the format of ISO 8601 as timestamps; those with an offset in UTC."""
    import pyarrow as pa

    for unit, zone in (("ns", None), ("ns", "UTC"), ("us", None), ("us", "UTC")):
        try:
            return cells.cast(pa.timestamp(unit, zone))
        except pa.ArrowInvalid:
            continue
    raise InvalidInput(
        f"{_column(name)} must hold times such as '2024-05-31 14:00:00', with an offset in all rows or in none; got "
        f"{cells[0].as_py()!r} first. Convert it, for example by pandas.to_datetime."
    )


def _ticks(cells: Any) -> tuple[IntArray, str]:
    """``(t,)`` whole units of dates or durations, and the unit: ``"ns"``, or ``"us"`` where those are too many."""
    import pyarrow as pa

    for unit in _PER_SECOND:
        kind = pa.duration(unit)
        if not pa.types.is_duration(cells.type):
            kind = pa.timestamp(unit, getattr(cells.type, "tz", None))
        try:
            return np.array(cells.cast(kind).cast(pa.int64()).to_numpy(zero_copy_only=False)), unit
        except pa.ArrowInvalid:
            continue
    raise InvalidInput(f"Times must be of years that calendars have; got {cells.type} beyond them. Correct them.")


def _floats(cells: Any, name: Any) -> FloatArray:
    import pyarrow as pa

    values = np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    if np.isnan(values).any():
        raise _missing(name, int(np.isnan(values).sum()))
    if np.isinf(values).any():
        raise InvalidInput(f"{_column(name)} must hold finite times; got infinity. Correct them.")
    return values


def _missing(name: Any, number: int) -> InvalidInput:
    return InvalidInput(
        f"{_column(name)} must have a time in every row; got {number} without. Fill them in, or leave out these rows."
    )


def _column(name: Any) -> str:
    return "The index of `X`" if name is None else f"Column {str(name)!r}"
