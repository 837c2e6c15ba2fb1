"""Records made regular in time.

A record whose times are all one step apart (within a millionth) stays as it is; so does a later one whose own step is
within a hundredth of that of training. Any other is put on a grid: its points are whole steps after the record's first
time; a point holds the mean of what was measured within half a step of it, and NaN where nothing was. Nothing is
filled in. Where nothing was measured for longer than the longest gap, a new segment starts, on the same grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unalike.errors import InputWarning, InvalidInput, tell
from unalike.records import times as moments
from unalike.records.collection import Clock, Segment
from unalike.records.raw import Raw, Times
from unalike.types import FloatArray, IntArray

LONGEST_GAP = 100
"""Steps without a measurement that still are one segment."""

ALIKE = 1e-6
NEAR = 0.01
"""Of the step of training: a later record as near as this has its steps."""
_FURTHER = 1.1
"""Rows of a record so many steps apart are told: a tenth of the steps is missing, and may look like an anomaly."""
_NEARER = 0.5
"""Rows so much nearer than those of training are told: means of several vary less."""
_MOST_EMPTY = 10
_FEW = 1_000
"""A grid may have `_MOST_EMPTY` times as many points as there are rows, and so many more."""
_MOST_STEPS = 2**45
"""Steps after the first time: numbers that floats hold, and that thousands of records may have one after the other."""


def without_times(raws: Sequence[Raw]) -> tuple[Segment, ...]:
    """Records whose rows are one step apart by assumption."""
    return tuple(Segment(raw.values, raw.entity) for raw in raws)


def regular(
    raws: Sequence[Raw], step: float | None, learned: Clock | None, longest: int
) -> tuple[tuple[Segment, ...], Clock | None]:
    """Segments that are regular in time, and what the times are.

    Parameters
    ----------
    raws : sequence of Raw
        All with times of one kind.
    step : float, optional
        Of the setting. None: that of training, else the usual one of these records.
    learned : Clock, optional
        Of training.
    longest : int
        The longest gap, in steps, within a segment.

    Returns
    -------
    segments : tuple of Segment
    clock : Clock or None
        None when no record has two different times and no step is known.

    Raises
    ------
    InvalidInput
        When the grid would be far larger than the data.
    """
    raws = _each_time_once(raws)
    after = [moments.seconds(np.asarray(raw.times), np.asarray(raw.times)[0]) for raw in raws]
    wanted = step if step is not None else None if learned is None else learned.step
    found = wanted if wanted is not None else usual_step(after)
    if found is None:
        return tuple(Segment(raw.values, raw.entity, 0, raw.times) for raw in raws), None
    if wanted is not None:
        _tell_of_other_steps(raws, after, wanted, of_fit=step is None)
    segments = [part for raw, since in zip(raws, after, strict=True) for part in _segments(raw, since, found, longest)]
    first = raws[0]
    dated = first.times is not None and moments.is_dated(first.times)
    return tuple(segments), Clock(found, dated, first.zone)


def usual_step(after: Sequence[FloatArray]) -> float | None:
    """The median difference of neighbouring times, or the mean of those near it where this leaves fewer points empty.

    Times that are rounded, such as to 33 and 34 ms, have a median that is not their step: its grid would run away from
    them.

    Parameters
    ----------
    after : sequence of ndarray
        For each record its times after its first, rising.
    """
    together = np.concatenate([np.zeros(0), *map(np.diff, after)])
    if len(together) == 0:
        return None
    median = _median(together)
    near = together[np.abs(together - median) < 0.5 * median]
    mean = float(near.mean()) if len(near) else median
    return min((median, mean), key=lambda step: sum(_misplaced(since, step) for since in after))


def _median(apart: FloatArray) -> float:
    """A difference that is there, where the mean of two in the middle would be none."""
    return float(np.quantile(apart, 0.5, method="lower"))


def _misplaced(after: FloatArray, step: float) -> int:
    """How many neighbours that are about a step apart come to lie on one point of the grid, or leave one empty."""
    return int(((np.diff(np.rint(after / step)) != 1) & (np.diff(after) < 1.5 * step)).sum())


def _each_time_once(raws: Sequence[Raw]) -> list[Raw]:
    """Sorted in time; rows of one time are averaged, and a warning tells of it."""
    made, doubled, example = [], 0, ""
    for raw in raws:
        times = np.asarray(raw.times)
        order = np.argsort(times, kind="stable")
        values, times = (raw.values, times) if _rising(order) else (raw.values[order], times[order])
        first = np.flatnonzero(np.concatenate([[True], times[1:] != times[:-1]]))
        if len(first) < len(times):
            doubled += len(times) - len(first)
            again = times[1:][times[1:] == times[:-1]][0]
            example = example or f"{again} in {raw.called()}"
            values, times = bin_means(values, first), times[first]
        made.append(replace(raw, values=values, times=times))
    if doubled:
        tell(
            f"Every step of a record must have a time of its own; got {doubled} rows at a time that another row of the "
            f"record has, such as {example}. Their mean is taken. Give `entity` when the rows are of several machines, "
            "and times with a zone when clocks were put back.",
            InputWarning,
        )
    return made


def _rising(order: IntArray) -> bool:
    return bool((order == np.arange(len(order))).all())


def _segments(raw: Raw, after: FloatArray, step: float, longest: int) -> list[Segment]:
    """One record on its grid."""
    times, apart = np.asarray(raw.times), np.diff(after)
    own = _median(apart) if len(apart) else step
    if abs(own - step) <= NEAR * step and (np.abs(apart - own) <= ALIKE * own).all():
        return [Segment(raw.values, raw.entity, 0, times)]
    steps = np.rint(after / step)
    _check_size(raw, steps, step, longest)
    points = steps.astype(np.int64)
    runs = np.split(np.arange(len(points)), np.flatnonzero(np.diff(points) > longest) + 1)
    return [_gridded(raw, points[rows], rows, times[0], step) for rows in runs]


def _gridded(raw: Raw, points: IntArray, rows: IntArray, origin: Times, step: float) -> Segment:
    """The rows of one segment, at the points of the grid that they belong to."""
    first = np.flatnonzero(np.diff(points, prepend=points[0] - 1))
    values = np.full((int(points[-1] - points[0]) + 1, raw.values.shape[1]), np.nan)
    values[points[first] - points[0]] = bin_means(raw.values[rows], first)
    grid = np.arange(points[0], points[-1] + 1)
    return Segment(values, raw.entity, int(points[0]), moments.later(origin, grid, step))


def bin_means(values: FloatArray, first: IntArray) -> FloatArray:
    """``(bins, channels)``: the mean of what was measured in each bin, NaN where nothing was.

    Exact for equal values, whatever their size: means are taken of differences from the least.

    Parameters
    ----------
    values : ndarray
        ``(t, channels)``, bin after bin.
    first : ndarray
        ``(bins,)`` position of the first row of each.
    """
    if len(first) == len(values):
        return values
    least, most = np.fmin.reduceat(values, first), np.fmax.reduceat(values, first)
    number = np.diff(first, append=len(values))
    measured = np.add.reduceat(~np.isnan(values), first, dtype=np.int64)
    with np.errstate(over="ignore"):
        above = np.where(np.isnan(values), 0.0, values - np.repeat(least, number, axis=0))
        means = least + np.add.reduceat(above, first) / np.maximum(measured, 1)
    return np.asarray(np.clip(means, least, most))


def _check_size(raw: Raw, steps: FloatArray, step: float, longest: int) -> None:
    gaps = np.diff(steps)
    size = int(np.where(gaps > longest, 1, gaps).sum()) + 1
    if size > _MOST_EMPTY * len(steps) + _FEW or steps[-1] > _MOST_STEPS:
        raise InvalidInput(
            f"The rows of {raw.called()} must be about one step ({step:g}) apart; got {len(steps)} rows over "
            f"{steps[-1]:.0f} steps. Give a larger `step`, or correct the times."
        )


def _tell_of_other_steps(raws: Sequence[Raw], after: Sequence[FloatArray], step: float, *, of_fit: bool) -> None:
    """Where rows are further apart than the wanted step, or much nearer than that of training, a warning says so.

    Who gives a larger step wants the means.
    """
    medians = {raw.called(): _median(np.diff(since)) for raw, since in zip(raws, after, strict=True) if len(since) > 1}
    least = _NEARER if of_fit else 0.0
    others = {name: median for name, median in medians.items() if not least <= median / step <= _FURTHER}
    if others:
        name, median = next(iter(others.items()))
        source = "as in training" if of_fit else "as `step` says"
        tell(
            f"Rows must be about {step:g} apart, {source}; got {median:g} in {name}"
            f"{f' and {len(others) - 1} more' if len(others) > 1 else ''}. They are brought to that step: by means "
            "where there are more rows, with missing steps where there are fewer, which may raise alarms.",
            InputWarning,
        )
