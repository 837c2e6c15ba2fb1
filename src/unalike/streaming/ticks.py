"""Which steps of its record the rows of a stream are: by their times, where they have some.

As the batch does (`records.grid`): rows that are all one step apart count up, and so do those of a device whose own
step is within a hundredth of that of training. At the first row that is not, a grid begins at the last that was; a row
belongs to the nearest point of it, and points without a row are missing steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput
from unalike.records import naming
from unalike.records import times as moments
from unalike.records.collection import Clock, Records, Segment
from unalike.records.grid import ALIKE, NEAR
from unalike.records.raw import Raw, Times
from unalike.types import IntArray


@dataclass(frozen=True, eq=False, slots=True)
class Ticks:
    """How far a stream has counted.

    Parameters
    ----------
    clock : Clock, optional
        Of training; None: times, where given, only name the steps.
    longest_gap : int
        Missing steps in a row; after more a new segment begins.
    next : int
        Number of the step that is due.
    timed : bool, optional
        Whether rows have times; None before the first.
    last : ndarray, optional
        ``(1,)`` time of the last row.
    anchor : ndarray, optional
        ``(1,)`` time of the step that the grid begins at.
    anchored : int
        Its number.
    zone : str, optional
        Time zone of the last rows.
    own : float
        Step of the rows, as long as all were as far apart; NaN: they were not; 0: not known yet.
    """

    clock: Clock | None
    longest_gap: int
    next: int = 0
    timed: bool | None = None
    last: Times | None = None
    anchor: Times | None = None
    anchored: int = 0
    own: float = 0.0
    zone: str | None = None

    def names(self, segments: Sequence[Segment]) -> npt.NDArray[Any]:
        """``(n,)`` ids of the steps of segments, as the batch gives them."""
        pieces = tuple(segment for segment in segments if len(segment))
        dated = self.last is not None and moments.is_dated(self.last)
        if pieces:
            return naming.names(Records(pieces, (), clock=Clock(self._step(), dated, self.zone)))
        if self.last is None:
            return np.zeros(0, dtype=np.int64)
        return np.zeros(0, dtype=np.str_) if dated and self.zone is not None else self.last[:0]

    def placed(self, raw: Raw) -> tuple[Ticks, list[Segment]]:
        """The rows as segments, missing steps between them filled with NaN; the first may go on where the last ended.

        Raises
        ------
        InvalidInput
            Times that do not rise from row to row, or by less than a step; times in some chunks only.
        """
        self._check_timed(raw)
        t = len(raw.values)
        if raw.times is None or self.clock is None:
            _check_rising(self.last, raw.times)
            piece = Segment(raw.values, raw.entity, self.next, raw.times)
            last = None if raw.times is None else raw.times[-1:]
            return replace(self, next=self.next + t, timed=raw.times is not None, last=last, zone=raw.zone), [piece]
        _check_rising(self.last, raw.times)
        moved, numbers, times = self._numbered(raw, self.clock.step)
        return moved, self._pieces(raw, numbers, times, moved)

    def state(self) -> dict[str, Any]:
        """What changes as steps come."""
        return {
            "next": self.next,
            "timed": self.timed,
            "last": self.last,
            "anchor": self.anchor,
            "anchored": self.anchored,
            "zone": self.zone,
            "own": None if np.isnan(self.own) else self.own,
        }

    def restored(self, state: dict[str, Any]) -> Ticks:
        """With what `state` gave."""
        own = state["own"]
        return replace(self, **{**state, "own": float("nan") if own is None else own})

    def _check_timed(self, raw: Raw) -> None:
        timed = raw.times is not None
        if self.timed is not None and timed != self.timed:
            raise InvalidInput(
                f"Times must be given for all steps of a stream or for none; got {'some' if timed else 'none'} after "
                f"steps {'without' if timed else 'with'} them."
            )
        if self.timed and (raw.zone is None) != (self.zone is None):
            now, before = ("without", "with") if raw.zone is None else ("with", "without")
            raise InvalidInput(
                f"Times of a stream must all have a time zone or none; got some {now} one after steps {before}. "
                "Give all in one way."
            )

    def _numbered(self, raw: Raw, step: float) -> tuple[Ticks, IntArray, Times]:
        """Numbers ``(t,)`` of the rows, and their times: as they are while they are regular, then those of the grid."""
        times = np.asarray(raw.times)
        count, own = self._regular(times, step)
        numbers = self.next + np.arange(len(times))
        anchor, anchored = self.anchor, self.anchored
        if count:
            anchor, anchored = times[count - 1 : count].copy(), self.next + count - 1
        if count < len(times) and anchor is not None:
            after = moments.seconds(times[count:], anchor[0]) / step
            numbers[count:] = anchored + np.rint(after).astype(np.int64)
            grid = moments.later(anchor[0], numbers[count:] - anchored, step)
            called = np.concatenate([times[:count], grid])
        else:
            called = times
        if (np.diff(numbers, prepend=self.next - 1) < 1).any():
            raise InvalidInput(
                f"Rows of a stream must be about a step ({step:g}) apart; got two at one step. Push their mean."
            )
        moved = replace(
            self,
            next=int(numbers[-1]) + 1,
            timed=True,
            last=times[-1:].copy(),
            anchor=anchor,
            anchored=anchored,
            own=own,
            zone=raw.zone,
        )
        return moved, numbers, called

    def _regular(self, times: Times, step: float) -> tuple[int, float]:
        """How many of the first rows are all one step apart and from the last, and that step; NaN when not all are."""
        if np.isnan(self.own):
            return 0, self.own
        first = self.last is None
        joined = times if self.last is None else np.concatenate([self.last, times])
        apart = np.diff(moments.seconds(joined, joined[0]))
        if len(apart) == 0:
            return 1, self.own
        own = self.own or float(apart[0])
        alike = (np.abs(apart - own) <= ALIKE * own) & (abs(own - step) <= NEAR * step)
        if alike.all():
            return len(times), own
        return int(np.argmin(alike)) + first, float("nan")

    def _pieces(self, raw: Raw, numbers: IntArray, times: Times, moved: Ticks) -> list[Segment]:
        """Rows at their numbers, in segments without a break."""
        breaks = np.flatnonzero(np.diff(numbers, prepend=self.next - 1) > self.longest_gap)
        runs = np.split(np.arange(len(numbers)), breaks)
        return [
            self._filled(raw, numbers[run], times[run], run, moved, begin=None if i else self.next)
            for i, run in enumerate(runs)
            if len(run)
        ]

    def _filled(
        self, raw: Raw, numbers: IntArray, times: Times, run: IntArray, moved: Ticks, begin: int | None
    ) -> Segment:
        begin = int(numbers[0]) if begin is None else begin
        size = int(numbers[-1]) - begin + 1
        if size == len(run):
            return Segment(raw.values[run], raw.entity, begin, times)
        values = np.full((size, raw.values.shape[1]), np.nan)
        values[numbers - begin] = raw.values[run]
        grid = moments.later(np.asarray(moved.anchor)[0], begin + np.arange(size) - moved.anchored, self._step())
        grid = grid.astype(np.result_type(grid, times))
        grid[numbers - begin] = times
        return Segment(values, raw.entity, begin, grid)

    def _step(self) -> float:
        return 1.0 if self.clock is None else self.clock.step


def _check_rising(last: Times | None, times: Times | None) -> None:
    if times is None:
        return
    joined = times if last is None else np.concatenate([last, times])
    later = joined[1:] > joined[:-1]
    if not later.all():
        row = int(np.argmin(later))
        raise InvalidInput(
            f"Times of a stream must rise from row to row; got {joined[row + 1]} after {joined[row]}. Push rows "
            "in order, each once."
        )
