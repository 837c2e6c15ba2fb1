"""Steps of one record or many as a collection: every step is a sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, slots=True)
class Segment:
    """Steps of one record without a break.

    Parameters
    ----------
    values : ndarray
        ``(t, channels)`` float64, since a channel may vary little around a large value; NaN where nothing was
        measured.
    entity : str
        Whose record: a machine, a sensor; empty where there is only one.
    start : int
        Number of the first step in its record.
    times : ndarray or None
        ``(t,)``: when each step was, as the user's data tells it: numbers, or ``datetime64`` (in UTC where the data
        have a time zone).
    """

    values: FloatArray
    entity: str = ""
    start: int = 0
    times: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Segment:
        """Steps `start` to before `stop` of this segment."""
        times = None if self.times is None else self.times[start:stop]
        return replace(self, values=self.values[start:stop], start=self.start + start, times=times)


@dataclass(frozen=True, slots=True)
class Clock:
    """What the times of records are.

    Parameters
    ----------
    step : float
        Between two steps: seconds where times are dates, else in their own unit; above 0.
    dated : bool
        Whether times are dates, not numbers.
    zone : str, optional
        Time zone in which the data told them.
    """

    step: float
    dated: bool
    zone: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Records:
    """Segments, one after the other; a step is named by its position among all of them.

    Parameters
    ----------
    segments : tuple of Segment
        In order; all of the same channels. Two segments of one entity do not touch in time.
    channels : tuple of str
        Names of the channels.
    named : bool
        Whether the user's data named them; those of arrays are ``x0``, ``x1``…
    clock : Clock, optional
        Of the times; None where no times are known.
    """

    segments: tuple[Segment, ...]
    channels: tuple[str, ...]
    named: bool = False
    clock: Clock | None = None

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    def __getitem__(self, positions: IntArray) -> Records:
        """The steps at rising `positions`: each run of neighbours that lie in one segment is a segment."""
        return replace(self, segments=tuple(self._runs(np.asarray(positions, dtype=np.int64))))

    def offsets(self) -> IntArray:
        """``(n_segments + 1,)``: position of each segment's first step; the last is the number of steps."""
        return np.cumsum([0, *map(len, self.segments)], dtype=np.int64)

    def _runs(self, positions: IntArray) -> list[Segment]:
        if len(positions) == 0:
            return []
        offsets = self.offsets()
        owner = np.searchsorted(offsets, positions, side="right") - 1
        breaks = np.flatnonzero((np.diff(positions) != 1) | (np.diff(owner) != 0)) + 1
        runs = []
        for run in np.split(np.arange(len(positions)), breaks):
            segment, first = int(owner[run[0]]), int(positions[run[0]])
            start = first - int(offsets[segment])
            runs.append(self.segments[segment].part(start, start + len(run)))
        return runs
