"""Alarms in records: what the commands ask of them, write and print."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from unalike.alarms import AlarmEvaluation, evaluate_alarms, labelled_events
from unalike.errors import InvalidParameter
from unalike.types import IntArray, InTime

if TYPE_CHECKING:
    from rich.console import Console

    from unalike.decisions import Decisions
    from unalike.events import Events
    from unalike.records import Records

_MOST_SHOWN = 10
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, kw_only=True)
class AlarmOptions:
    """How steps become alarms; the fields are the parameters of `Decisions.events`, None where not given."""

    merge: int | None = None
    shortest: int | None = None
    hold: float | None = None

    def check(self, kind: Any, events: Path | None = None) -> None:
        """Refuse options, and a file of events, for anything but records.

        Raises
        ------
        InvalidParameter
            When there are any.
        """
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        given += [] if events is None else ["events"]
        if given and not isinstance(kind, InTime):
            raise InvalidParameter(
                f"`--{given[0]}` must go with a model of series; got one of {kind.name}. Leave it out."
            )

    def compared(self, decisions: Decisions, flags: IntArray) -> AlarmEvaluation | None:
        """The alarms beside the events that ``(n,)`` labels tell; None where samples are no steps."""
        if decisions.entities is None or decisions.steps is None:
            return None
        events = labelled_events(flags, decisions.steps, decisions.entities)
        return evaluate_alarms(self.alarms(decisions), events, len(decisions))

    def alarms(self, decisions: Decisions) -> Events:
        """Of decided steps."""
        return decisions.events(merge=self.merge or 0, shortest=self.shortest or 1, hold=self.hold)


def event_columns(alarms: Events, decisions: Decisions) -> dict[str, npt.NDArray[Any]]:
    """The columns of a file of events, of the same types where there are none."""
    columns = alarms.to_dict()
    return columns if len(alarms) else columns | dict.fromkeys(("first", "last"), decisions.ids[:0])


def days(records: Records) -> float | None:
    """How many days the records span, those that several span counted once; None where times are no dates."""
    if records.clock is None or not records.clock.dated:
        return None
    step = np.timedelta64(round(records.clock.step * 1e9), "ns")
    spans = sorted((s.times[0], s.times[-1] + step) for s in records.segments if s.times is not None)
    total, reached = np.timedelta64(0, "ns"), spans[0][0]
    for begin, end in spans:
        if end > reached:
            total, reached = total + (end - max(begin, reached)), end
    return float(total / _DAY)


def show_alarms(
    console: Console, alarms: Events, decisions: Decisions, span: float | None, written: list[Path]
) -> None:
    """How many alarms, and where they are written, or the highest ones."""
    for path in written:
        console.print(f"written to {path}", soft_wrap=True)
    if not written:
        _show_highest(console, alarms)
    console.print(summary(alarms, decisions, span), soft_wrap=True)


def summary(alarms: Events, decisions: Decisions, span: float | None) -> str:
    """One line: how many alarms of how many steps, by which threshold; from a day on, how many a day."""
    rate = "" if decisions.false_alarm_rate is None else f" at a false-alarm rate of {decisions.false_alarm_rate:.4g}"
    if decisions.false_discovery_rate is not None:
        rate = f" at a false discovery rate of {decisions.false_discovery_rate:.4g}"
    daily = "" if span is None or span < 1.0 else f"; {len(alarms) / span:.3g} alarms a day"
    return (
        f"{len(alarms)} alarm{'' if len(alarms) == 1 else 's'}: {int(decisions.is_anomaly.sum())} of {len(decisions)} "
        f"steps are anomalies{rate} (score above {decisions.threshold:.4g}){daily}"
    )


def _show_highest(console: Console, alarms: Events) -> None:
    if not len(alarms):
        return
    highest = sorted(alarms, key=lambda alarm: -alarm.score)[:_MOST_SHOWN]
    title = f"Highest {_MOST_SHOWN} of {len(alarms)} alarms" if len(alarms) > _MOST_SHOWN else "Alarms"
    table = Table(title=title, min_width=len(title))
    many = any(alarm.record for alarm in alarms)
    for name in (["entity"] if many else []) + ["first", "last"]:
        table.add_column(name, overflow="fold")
    for name in ("steps", "score", "p_value"):
        table.add_column(name, justify="right")
    for alarm in highest:
        cells = [str(alarm.first), str(alarm.last), str(len(alarm)), f"{alarm.score:.4g}", f"{alarm.p_value:.4g}"]
        table.add_row(*([alarm.record] if many else []), *cells)
    console.print(table)
