"""Events of a stream: what `Decisions.events` would find in its provisional decisions, told as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.decisions import Decisions
from unalike.events import Event, Events


@dataclass(frozen=True, eq=False, slots=True)
class Open:
    """An event that may go on.

    Parameters
    ----------
    start, last, peak : int
        Numbers of its first, its last and its highest step so far.
    score, p_value : float
        Of the highest.
    first, latest : ndarray or None
        ``(1,)`` times of the first and the last step, where times are known.
    """

    start: int
    last: int
    peak: int
    score: float
    p_value: float
    first: npt.NDArray[Any] | None = None
    latest: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return self.last - self.start + 1


@dataclass(frozen=True, eq=False, slots=True)
class Alarms:
    """Events so far; the settings are those of `Decisions.events`.

    Parameters
    ----------
    shortest, merge, hold : int, int, float or None
        Settings.
    open : Open, optional
        The event that may go on.
    alarmed : bool
        With `hold`: whether an alarm goes on.
    last : int
        Number of the last step; -2 before the first.
    """

    shortest: int = 1
    merge: int = 0
    hold: float | None = None
    open: Open | None = None
    alarmed: bool = False
    last: int = -2

    def advanced(self, decisions: Decisions, times: npt.NDArray[Any] | None) -> tuple[Alarms, list[Open], list[Open]]:
        """After more steps: the events of which it is certain since then that they are some, and those that ended.

        Parameters
        ----------
        decisions : Decisions
            Provisional ones, of neighbouring steps.
        times : ndarray, optional
            ``(t,)``.
        """
        now, begun, ended = self, list[Open](), list[Open]()
        steps = [] if decisions.steps is None else decisions.steps.tolist()
        inside, alarmed = self._inside(decisions, steps)
        for row in np.flatnonzero(inside).tolist():
            at = None if times is None else times[row : row + 1].copy()
            step, score, p_value = steps[row], float(decisions.scores[row]), float(decisions.p_values[row])
            if now.open is not None and step - now.open.last > self.merge + 1:
                now = now._closed(ended)
            was = 0 if now.open is None else len(now.open)
            now = replace(now, open=_grown(now.open, step, score, p_value, at))
            if now.open is not None and was < self.shortest <= len(now.open):
                begun.append(now.open)
        last = steps[-1] if steps else self.last
        if now.open is not None and last - now.open.last > self.merge:
            now = now._closed(ended)
        return replace(now, alarmed=alarmed, last=last), begun, ended

    def closed(self) -> list[Open]:
        """The event that ends because the stream does."""
        ended = list[Open]()
        self._closed(ended)
        return ended

    def state(self) -> dict[str, Any]:
        """What changes as steps come."""
        event = None
        if self.open is not None:
            event = {name: getattr(self.open, name) for name in ("start", "last", "peak", "first", "latest")}
            event["height"] = np.array([self.open.score, self.open.p_value])
        return {"open": event, "alarmed": self.alarmed, "last": self.last}

    def restored(self, state: dict[str, Any]) -> Alarms:
        """With what `state` gave."""
        event = state["open"]
        if event is not None:
            score, p_value = event["height"].tolist()
            known = {name: value for name, value in event.items() if name != "height"}
            event = Open(**known, score=score, p_value=p_value)
        return replace(self, open=event, alarmed=state["alarmed"], last=state["last"])

    def _inside(self, decisions: Decisions, steps: list[int]) -> tuple[npt.NDArray[np.bool_], bool]:
        """``(t,)``: which steps are in an alarm; and whether it goes on."""
        if self.hold is None:
            return decisions.is_anomaly, False
        goes_on = self.alarmed and bool(steps) and steps[0] == self.last + 1
        still = decisions.is_anomaly | (decisions.p_values <= self.hold)
        inside = np.zeros(len(steps), dtype=bool)
        for row, (held, alarm) in enumerate(zip(still.tolist(), decisions.is_anomaly.tolist(), strict=True)):
            goes_on = held and (goes_on or alarm)
            inside[row] = goes_on
        return inside, goes_on

    def _closed(self, ended: list[Open]) -> Alarms:
        if self.open is not None and len(self.open) >= self.shortest:
            ended.append(self.open)
        return replace(self, open=None)


def told(several: list[Open], name: Callable[[int, npt.NDArray[Any] | None], Any], entity: str) -> Events:
    """As users see events; `name` gives the id of a step from its number and time."""
    return Events(
        tuple(
            Event(
                record=entity,
                start=event.start,
                end=event.last + 1,
                score=event.score,
                p_value=event.p_value,
                peak=event.peak,
                first=name(event.start, event.first),
                last=name(event.last, event.latest),
            )
            for event in several
        )
    )


def _grown(event: Open | None, step: int, score: float, p_value: float, at: npt.NDArray[Any] | None) -> Open:
    if event is None:
        return Open(step, step, step, score, p_value, at, at)
    if score > event.score:
        return replace(event, last=step, latest=at, peak=step, score=score, p_value=p_value)
    return replace(event, last=step, latest=at)
