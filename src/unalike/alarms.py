"""How good are alarms where the events that should raise them are known?

Scores of steps are measured by `unalike.evaluation`. Whoever watches a machine asks something else: was each event
seen at all, how late, and how often was there nothing to see?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unalike.errors import InvalidInput
from unalike.events import Event, Events, Timeline, find_events
from unalike.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlarmEvaluation:
    """What `evaluate_alarms` counted.

    Parameters
    ----------
    n_events, n_alarms, n_false : int
        Labelled events; alarms; those of the alarms that meet no event.
    delays : ndarray
        ``(n_found,)`` int64: for each event that an alarm meets, steps from its beginning to the first step in it that
        is in an alarm.
    n_normal, n_normal_alarmed : int
        Steps in no event, and those of them that are in an alarm; 0 where it was not told how many steps there are.
        An alarm that never ends meets every event and is not false, so that these must stand beside it.
    """

    n_events: int
    n_alarms: int
    n_false: int
    delays: IntArray
    n_normal: int = 0
    n_normal_alarmed: int = 0

    @property
    def share_found(self) -> float:
        """Of the events; NaN where there are none."""
        return len(self.delays) / self.n_events if self.n_events else float("nan")

    @property
    def median_delay(self) -> float:
        """In steps; NaN where nothing was found."""
        return float(np.median(self.delays)) if len(self.delays) else float("nan")

    @property
    def share_of_normal(self) -> float:
        """Of the normal steps, those in an alarm; NaN where it is not known."""
        return self.n_normal_alarmed / self.n_normal if self.n_normal else float("nan")

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return {
            "n_events": self.n_events,
            "n_found": len(self.delays),
            "share_found": self.share_found,
            "median_delay": self.median_delay,
            "n_alarms": self.n_alarms,
            "n_false": self.n_false,
            "share_of_normal": self.share_of_normal,
        }

    def __str__(self) -> str:
        found = f"{len(self.delays)} of {self.n_events} events found"
        late = f", half of them within {self.median_delay:g} steps" if len(self.delays) else ""
        normal = f", {self.share_of_normal:.2%} of normal steps in an alarm" if self.n_normal else ""
        return f"{found}{late}; {self.n_false} of {self.n_alarms} alarms false{normal}"


def evaluate_alarms(alarms: Events, events: Events, n_steps: int = 0) -> AlarmEvaluation:
    """Compare alarms with what happened.

    Parameters
    ----------
    alarms : Events
        Of `Decisions.events`.
    events : Events
        What should have raised them, such as `labelled_events` gives.
    n_steps : int
        Steps of all records, to tell which share of the normal ones is in an alarm; 0 leaves that open.
    """
    delays, true = [], 0
    raised, happened = _by_record(alarms), _by_record(events)
    for event in events:
        first = _first_within(raised.get(event.record), event)
        if first is not None:
            delays.append(max(first - event.start, 0))
    for alarm in alarms:
        true += _first_within(happened.get(alarm.record), alarm) is not None
    shared = sum(_overlap(raised.get(event.record), event) for event in events)
    normal = max(n_steps - sum(map(len, events)), 0)
    return AlarmEvaluation(
        n_events=len(events),
        n_alarms=len(alarms),
        n_false=len(alarms) - true,
        delays=np.array(delays, dtype=np.int64),
        n_normal=normal,
        n_normal_alarmed=sum(map(len, alarms)) - shared if normal else 0,
    )


def labelled_events(labels: IntArray | BoolArray, steps: IntArray, entities: Any) -> Events:
    """Runs of labelled steps.

    Parameters
    ----------
    labels : array-like
        ``(n,)``, 1 or True for an anomaly.
    steps : ndarray
        ``(n,)`` numbers of the steps in their records, rising within an entity.
    entities : ndarray
        ``(n,)`` whose each step is.

    Raises
    ------
    InvalidInput
        When the lengths differ.
    """
    flags, names = np.asarray(labels).astype(np.bool_), np.asarray(entities)
    if not len(flags) == len(steps) == len(names):
        raise InvalidInput(f"`labels` must have one value per step, {len(steps)}; got {len(flags)}.")
    return find_events(Timeline(names, steps, steps, flags.astype(np.float64), np.full(len(flags), np.nan), flags))


def _by_record(events: Events) -> dict[str, IntArray]:
    """``(m, 2)`` starts and ends of the events of each record, in their order."""
    found: dict[str, list[tuple[int, int]]] = {}
    for event in events:
        found.setdefault(event.record, []).append((event.start, event.end))
    return {name: np.array(sorted(spans), dtype=np.int64) for name, spans in found.items()}


def _overlap(others: IntArray | None, event: Event) -> int:
    """Steps of the event that are in one of the others, which do not overlap each other."""
    if others is None:
        return 0
    shared = np.minimum(others[:, 1], event.end) - np.maximum(others[:, 0], event.start)
    return int(np.maximum(shared, 0).sum())


def _first_within(others: IntArray | None, event: Event) -> int | None:
    """The start of the first of the others, which do not overlap each other, that overlaps with the event."""
    if others is None:
        return None
    place = int(np.searchsorted(others[:, 1], event.start, side="right"))
    return int(others[place, 0]) if place < len(others) and others[place, 0] < event.end else None
