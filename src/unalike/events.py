"""Alarms in time: runs of anomalous steps of a record, joined and cleaned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidParameter
from unalike.framing import Backend, as_frame
from unalike.plain import is_number
from unalike.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Event:
    """A run of anomalous steps in one record.

    Parameters
    ----------
    record : str
        The entity whose record it is; empty where there is only one.
    start, end : int
        Number of the first step in the record, and of the step after the last.
    score, p_value : float
        Of the highest step.
    peak : int
        Number of the highest step; the first of equal ones.
    first, last : Any
        Ids of the first and the last step: their times, where the records have times.
    """

    record: str
    start: int
    end: int
    score: float
    p_value: float
    peak: int = 0
    first: Any = None
    last: Any = None

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True, eq=False)
class Events(Sequence[Event]):
    """What `Decisions.events` found: a sequence of `Event`, record by record in the order of time.

    Parameters
    ----------
    items : tuple of Event
        One per alarm.
    """

    items: tuple[Event, ...]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, position: int) -> Event: ...

    @overload
    def __getitem__(self, position: slice) -> Events: ...

    def __getitem__(self, position: int | slice) -> Event | Events:
        return Events(self.items[position]) if isinstance(position, slice) else self.items[position]

    def to_dict(self) -> dict[str, npt.NDArray[Any]]:
        """One row per event: ``entity``, ids ``first last``, steps ``start end peak``, ``score``, ``p_value``."""
        columns = {
            "entity": np.array([event.record for event in self.items], dtype=np.str_),
            "first": np.array([event.first for event in self.items]),
            "last": np.array([event.last for event in self.items]),
        }
        for name in ("start", "end", "peak"):
            columns[name] = np.array([getattr(event, name) for event in self.items], dtype=np.int64)
        for name in ("score", "p_value"):
            columns[name] = np.array([getattr(event, name) for event in self.items], dtype=np.float64)
        return columns

    def to_frame(self, backend: Backend | None = None) -> Any:
        """A DataFrame of `to_dict`; `backend` and errors as in `Decisions.to_frame`."""
        return as_frame(self.to_dict(), backend)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Steps and what was decided of them, ``(n,)`` each: `Decisions`, in the order of time within an entity."""

    entities: npt.NDArray[Any]
    steps: IntArray
    ids: npt.NDArray[Any]
    scores: FloatArray
    p_values: FloatArray
    is_anomaly: BoolArray


def find_events(timeline: Timeline, *, shortest: int = 1, merge: int = 0, hold: float | None = None) -> Events:
    """Runs of anomalous steps; the parameters are those of `Decisions.events`."""
    check_settings(shortest, merge, hold)
    inside = _held(timeline, hold)
    new_record = np.concatenate([[True], timeline.entities[1:] != timeline.entities[:-1]])[: len(inside)]
    found = np.flatnonzero(inside)
    if len(found) == 0:
        return Events(())
    apart = np.diff(timeline.steps[found]) > merge + 1
    record = np.cumsum(new_record)[found]
    breaks = np.flatnonzero(apart | (np.diff(record) != 0)) + 1
    events = [_event(timeline, run) for run in np.split(found, breaks)]
    return Events(tuple(event for event in events if len(event) >= shortest))


def check_settings(shortest: Any, merge: Any, hold: Any) -> None:
    """Refuse settings of events that are out of range.

    Raises
    ------
    InvalidParameter
        When they are.
    """
    for name, value, least in (("shortest", shortest, 1), ("merge", merge, 0)):
        if not (is_number(value) and value == int(value) and value >= least):
            raise InvalidParameter(f"`{name}` must be a number of steps, at least {least}; got {value!r}.")
    if hold is not None and not (is_number(hold) and 0.0 < hold <= 1.0):
        raise InvalidParameter(f"`hold` must be a p-value above 0 and at most 1; got {hold!r}. Try 0.1.")


def _held(timeline: Timeline, hold: float | None) -> BoolArray:
    """``(n,)``: steps that are anomalous, or that follow such a step and are still at most `hold` likely."""
    if hold is None:
        return timeline.is_anomaly
    if np.isnan(timeline.p_values).any():
        raise InvalidParameter("`hold` must have p-values to compare with; the threshold gives none. Leave `hold` out.")
    still = timeline.is_anomaly | (timeline.p_values <= hold)
    follows = (np.diff(timeline.steps) == 1) & (timeline.entities[1:] == timeline.entities[:-1])
    # A run of steps that are still in question counts from its first anomalous step on.
    begins = still & np.concatenate([[True], ~(still[:-1] & follows)])[: len(still)]
    run = np.cumsum(begins)
    alarmed = np.cumsum(timeline.is_anomaly)
    before = np.concatenate([[0], alarmed])[:-1]
    at_begin = np.zeros(int(run[-1]) + 1 if len(run) else 1, dtype=np.int64)
    at_begin[run[begins]] = before[begins]
    return np.asarray(still & (alarmed > at_begin[run]), dtype=np.bool_)


def _event(timeline: Timeline, run: IntArray) -> Event:
    peak = run[np.argmax(timeline.scores[run])]
    return Event(
        record=str(timeline.entities[run[0]]),
        start=int(timeline.steps[run[0]]),
        end=int(timeline.steps[run[-1]]) + 1,
        score=float(timeline.scores[peak]),
        p_value=float(timeline.p_values[peak]),
        peak=int(timeline.steps[peak]),
        first=timeline.ids[run[0]],
        last=timeline.ids[run[-1]],
    )
