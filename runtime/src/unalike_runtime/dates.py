"""Dates, times of day and durations as numbers, in the way that unalike reads them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from unalike_runtime.decisions import FloatArray
from unalike_runtime.errors import InvalidInput

CYCLES = ("time of day", "weekday", "season")

_DAY = 86_400_000_000
_THURSDAY = 3
"""1970-01-01, counted from Monday."""

Micros = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def micros(cells: Any, zone: str | None, what: str, *, timed: bool) -> tuple[Micros, Flags]:
    """``(n,)`` microseconds after 1970, or with `timed` after midnight, by the clock of `zone`; which are missing.

    Raises
    ------
    InvalidInput
        A cell is no moment, or has a time zone where those of training had none, or the other way round.
    """
    from unalike_runtime.tables import values_of

    if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
        values: list[Any] = list(cells.astype("datetime64[us]"))
        values = [None if np.isnat(value) else value for value in values]
    else:
        values = values_of(cells)
    made = [0 if value is None else _moment(value, zone, what, timed=timed) for value in values]
    return np.array(made, dtype=np.int64), np.array([value is None for value in values], dtype=np.bool_)


def _moment(value: Any, zone: str | None, what: str, *, timed: bool) -> int:
    wanted = "times of day" if timed else "dates"
    if timed:
        if isinstance(value, time):
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    elif isinstance(value, (datetime, date, np.datetime64)):
        aware = isinstance(value, datetime) and value.tzinfo is not None
        if aware != (zone is not None):
            has, lacks = ("no", "one") if zone is None else ("a", "none")
            raise InvalidInput(f"Column {what} must have {has} time zone, as in training; got {lacks}. Convert it.")
        if isinstance(value, datetime) and zone is not None:
            value = value.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        return int(np.datetime64(value, "us").astype(np.int64))
    raise InvalidInput(f"Column {what} must hold {wanted}, as in training; got {value!r}. Convert it.")


def seconds(cells: Any, what: str) -> FloatArray:
    """``(n,)`` durations in seconds, NaN where missing.

    Raises
    ------
    InvalidInput
        A cell is no duration.
    """
    from unalike_runtime.tables import values_of

    if isinstance(cells, np.ndarray) and cells.dtype.kind == "m":
        made = cells.astype("timedelta64[ns]").astype(np.int64) / 1e9
        return np.asarray(np.where(np.isnat(cells), np.nan, made))
    values = values_of(cells)
    wrong = next((v for v in values if v is not None and not isinstance(v, (timedelta, np.timedelta64))), None)
    if wrong is not None:
        raise InvalidInput(f"Column {what} must hold durations, as in training; got {wrong!r}. Convert it.")
    return np.array([np.nan if value is None else value / timedelta(seconds=1) for value in values], dtype=np.float64)


def numbers(micros: Micros, missing: Flags, parts: Sequence[str]) -> list[FloatArray]:
    """``(n,)`` each: sines and cosines of cycles, days after 1970, or 0 where only the presence counts."""
    made: list[FloatArray] = []
    for part in parts:
        if part in CYCLES:
            angle = 2.0 * np.pi * _turns(micros, part)
            made += [np.sin(angle), np.cos(angle)]
        else:
            made.append(micros / _DAY if part == "elapsed" else np.zeros(len(micros)))
    return [np.where(missing, np.nan, values) for values in made]


def _turns(micros: Micros, cycle: str) -> FloatArray:
    """``(n,)`` in ``[0, 1)``: how far the turn of the cycle is."""
    days = np.floor_divide(micros, _DAY)
    if cycle == "time of day":
        return np.asarray((micros - days * _DAY) / _DAY)
    if cycle == "weekday":
        return np.asarray(np.mod(days + _THURSDAY, 7) / 7.0)
    day = days.astype("datetime64[D]")
    year = day.astype("datetime64[Y]")
    start, end = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    return np.asarray((day - start).astype(np.float64) / (end - start).astype(np.float64))
