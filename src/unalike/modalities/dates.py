"""Moments in time as numbers: where in the day, the week and the year, and how long after 1970.

A cycle counts where the training cells go through it: they span at least one whole turn and differ in it. It becomes
two numbers, the sine and cosine of its angle, so that 23:59 lies beside 0:00. Time that only runs on tells normal
from anomalous nowhere but in the past (all new rows would lie outside of what trained), so it is left out unless it
is asked for.
"""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.types import FloatArray, IntArray

CYCLES = {"time of day": 1, "weekday": 7, "season": 365}
"""Days of one turn."""
ELAPSED, PRESENT = "elapsed", "present"

_DAY = 86_400_000_000
"""Microseconds."""
_THURSDAY = 3
"""1970-01-01, counted from Monday."""


@dataclass(frozen=True)
class Seen:
    """What part of time some cells cover.

    Parameters
    ----------
    least, most : dict of str to float
        Of ``"elapsed"`` in days, and in turns of each cycle; empty when all cells are missing.
    """

    least: dict[str, float]
    most: dict[str, float]

    @staticmethod
    def of(micros: IntArray) -> Seen:
        """``(m,)`` microseconds after 1970, without missing ones."""
        if len(micros) == 0:
            return Seen({}, {})
        found = {ELAPSED: micros / _DAY, **{cycle: turns(micros, cycle) for cycle in CYCLES}}
        least = {name: float(values.min()) for name, values in found.items()}
        return Seen(least, {name: float(values.max()) for name, values in found.items()})

    def __or__(self, other: Seen) -> Seen:
        """Of both."""
        names = self.least.keys() | other.least.keys()
        least = {name: min(each.least.get(name, np.inf) for each in (self, other)) for name in names}
        return Seen(least, {name: max(each.most.get(name, -np.inf) for each in (self, other)) for name in names})

    def cycles(self, *, dated: bool) -> list[str]:
        """The cycles that count; a time of day without a date has only that one, and spans nothing."""
        if not self.least:
            return []
        span = self.most[ELAPSED] - self.least[ELAPSED]
        differing = [cycle for cycle in CYCLES if self.most[cycle] > self.least[cycle]]
        if not dated:
            return [cycle for cycle in differing if cycle == "time of day"]
        return [cycle for cycle in differing if span >= CYCLES[cycle]]


def turns(micros: IntArray, cycle: str) -> FloatArray:
    """``(n,)`` in ``[0, 1)``: how far the turn of the cycle is, by the calendar."""
    days = np.floor_divide(micros, _DAY)
    if cycle == "time of day":
        return np.asarray((micros - days * _DAY) / _DAY)
    if cycle == "weekday":
        return np.asarray(np.mod(days + _THURSDAY, 7) / 7.0)
    date = days.astype("datetime64[D]")
    year = date.astype("datetime64[Y]")
    start, end = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    return np.asarray((date - start).astype(np.float64) / (end - start).astype(np.float64))


def width(part: str) -> int:
    """How many numbers the part becomes."""
    return 2 if part in CYCLES else 1


def labels(part: str) -> list[str]:
    """What its numbers are called."""
    return [f"{part}, sine", f"{part}, cosine"] if part in CYCLES else [part]


def numbers(micros: IntArray, missing: npt.NDArray[Any], parts: list[str]) -> list[FloatArray]:
    """``(n,)`` each: sines and cosines, days after 1970, or 0 for a date of which only its presence counts."""
    made: list[FloatArray] = []
    for part in parts:
        if part in CYCLES:
            angle = 2.0 * np.pi * turns(micros, part)
            made += [np.sin(angle), np.cos(angle)]
        else:
            made.append(micros / _DAY if part == ELAPSED else np.zeros(len(micros)))
    return [np.where(missing, np.nan, values) for values in made]


def told(found: list[float], parts: list[str]) -> str:
    """The moment that the numbers of `numbers` stand for, as far as they tell it: ``"14:30, Friday"``."""
    left = list(found)
    texts = []
    for part in parts:
        own = [left.pop(0) for _ in range(width(part))]
        if part in CYCLES:
            texts.append(_turn_told(part, math.atan2(*own) / (2.0 * math.pi) % 1.0))
        else:
            texts.append(str(date(1970, 1, 1) + timedelta(days=math.floor(own[0]))) if part == ELAPSED else "present")
    return ", ".join(texts)


def _turn_told(cycle: str, turn: float) -> str:
    if cycle == "time of day":
        minutes = round(turn * 1440) % 1440
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    if cycle == "weekday":
        return calendar.day_name[round(turn * 7) % 7]
    day = date(2023, 1, 1) + timedelta(days=round(turn * 365) % 365)
    return f"{day.day} {calendar.month_name[day.month]}"
