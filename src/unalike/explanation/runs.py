"""Explanations of runs of steps: which channels of a record, and when.

Of the windows that overlap with a run the one that scores highest is explained, its channels being the places. When is
told by the squared difference of the found channels from the nearest normal windows, step by step, over all of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unalike.data import evenly, take
from unalike.decisions import Explanation, Explanations, Part
from unalike.errors import InvalidInput
from unalike.events import Events
from unalike.explanation.samples import chosen_positions
from unalike.explanation.search import Search, Setting, at_once, nearest_apart, searched
from unalike.types import BoolArray, Collection, FloatArray, IntArray, StepModality

_MOST_WINDOWS = 32
"""That are looked at for one run."""
_MOST_OF = 0.8
"""Of a channel's difference lies in the stretch that is named."""

_Told = Callable[[Tensor], FloatArray]
"""An encoded window in the units of the run's entity."""


@dataclass(frozen=True)
class _Run:
    """Steps ``start`` to before ``end`` among all of `X`, and the windows that are looked at."""

    start: int
    end: int
    windows: Tensor
    spans: IntArray


def explain_runs(setting: Setting, modality: StepModality, X: Collection, only: Any) -> Explanations:
    """One explanation for each run of chosen steps of checked records; as `explanation.explain`."""
    entities, steps = modality.timeline(X)
    runs = _event_runs(only, entities, steps) if isinstance(only, Events) else _runs(only, entities, steps)
    parts, spans = modality.cut(X)
    ids = modality.ids(X)
    made: list[Explanation] = []
    size = at_once(len(setting.rows), len(setting.places.places()))
    for first in range(0, len(runs), size):
        some = [_looked_at(setting, modality, parts, spans, start, end) for start, end in runs[first : first + size]]
        judged = [run for run in some if len(run.windows)]
        peaks = [run.windows[int(np.argmax(setting.score(run.windows)))] for run in judged]
        found = iter(searched(setting, torch.stack(peaks)) if peaks else [])
        for run in some:
            name = _name(entities[run.start], ids[run.start], ids[run.end - 1])
            told = partial(modality.told, entity=str(entities[run.start]))
            made.append(_told(setting, run, next(found), ids, name, told) if len(run.windows) else _nothing(run, name))
    return Explanations(tuple(made))


def _runs(only: Any, entities: Any, steps: IntArray) -> list[tuple[int, int]]:
    """Runs of chosen steps that follow upon each other in one record."""
    chosen = np.zeros(len(steps), dtype=np.bool_)
    chosen[chosen_positions(only, len(steps))] = True
    follows = np.concatenate([[False], (np.diff(steps) == 1) & (entities[1:] == entities[:-1])])[: len(steps)]
    begins = chosen & ~(np.concatenate([[False], chosen[:-1]])[: len(steps)] & follows)
    positions = np.flatnonzero(chosen)
    number = np.cumsum(begins)[positions]
    return [
        (int(run[0]), int(run[-1]) + 1) for run in np.split(positions, np.flatnonzero(np.diff(number)) + 1) if len(run)
    ]


def _event_runs(events: Events, entities: Any, steps: IntArray) -> list[tuple[int, int]]:
    runs = []
    for event in events:
        inside: BoolArray = (entities == event.record) & (steps >= event.start) & (steps < event.end)
        at = np.flatnonzero(inside)
        if len(at) == 0:
            raise InvalidInput(
                f"`only` must hold events of these records; none has the steps {event.start} to {event.end} of "
                f"{event.record!r}. Give the events of decisions about `X`."
            )
        runs.append((int(at[0]), int(at[-1]) + 1))
    return runs


def _looked_at(
    setting: Setting, modality: StepModality, parts: Collection, spans: IntArray, start: int, end: int
) -> _Run:
    over = np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))
    over = over[evenly(len(over), _MOST_WINDOWS)] if len(over) else over
    shape = setting.rows.shape[1:]
    windows = modality.tensors(take(parts, over)) if len(over) else torch.zeros(0, *shape)
    return _Run(start, end, windows, spans[over])


def _told(setting: Setting, run: _Run, search: Search, ids: Any, name: str, told: _Told) -> Explanation:
    names, shares = setting.places.places(), search.shares()
    value, usual, difference = _profile(setting, run, search, told)
    picture = np.zeros((run.end - run.start, len(names)))
    parts = []
    for place, share in zip(search.found, shares, strict=True):
        total = difference[:, place].sum()
        picture[:, place] = share * difference[:, place] / total if total > 0.0 else share / len(picture)
        first, last = stretch(difference[:, place])
        when = slice(first, last + 1)
        parts.append(
            Part(
                names[place],
                float(share),
                _mean(value[when, place]),
                _mean(usual[when, place]),
                (ids[run.start + first], ids[run.start + last]),
            )
        )
    nearest = tuple(setting.ids[position] for position in search.nearest().tolist())
    return Explanation(name, search.scores[0], tuple(parts), nearest, picture)


def _profile(setting: Setting, run: _Run, search: Search, told: _Told) -> tuple[FloatArray, FloatArray, FloatArray]:
    """``(steps, channels)`` each: values of the run, what is usual there, and how far they differ, by all windows."""
    steps, channels = run.end - run.start, len(setting.places.places())
    sums = np.zeros((3, steps, channels))
    counts = np.zeros((3, steps, channels))
    for window, (first, end) in zip(run.windows, run.spans.tolist(), strict=True):
        near = nearest_apart(setting.places.contrasts(window, setting.rows), search.found)
        typical = setting.places.typical(setting.rows[near])
        both = [told(side).T for side in (window, typical)]  # (length, channels) each
        apart = (window - typical).double().square().numpy().T
        begin, stop = max(first, run.start), min(end, run.end)
        inside = slice(len(apart) - (end - begin), len(apart) - (end - stop))
        for number, side in enumerate((*both, apart)):
            seen = ~np.isnan(side[inside])
            sums[number, begin - run.start : stop - run.start] += np.where(seen, side[inside], 0.0)
            counts[number, begin - run.start : stop - run.start] += seen
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means[0], means[1], np.nan_to_num(means[2])


def stretch(difference: FloatArray) -> tuple[int, int]:
    """First and last step of the shortest stretch that holds four fifths of ``(steps,)`` differences."""
    total = np.concatenate([[0.0], np.cumsum(difference)])
    if total[-1] <= 0.0:
        return 0, len(difference) - 1
    needed = _MOST_OF * total[-1] * (1.0 - 1e-12)
    first = np.arange(len(difference))
    end = np.searchsorted(total, total[:-1] + needed)
    fits = end < len(total)
    best = first[fits][np.argmin((end - first)[fits])]
    return int(best), int(end[best]) - 1


def _mean(values: FloatArray) -> float | None:
    seen = values[~np.isnan(values)]
    return float(f"{seen.mean():.6g}") if len(seen) else None


def _name(entity: Any, first: Any, last: Any) -> str:
    when = f"{first}" if first == last else f"{first} to {last}"
    return f"{entity}: {when}" if entity else when


def _nothing(run: _Run, name: str) -> Explanation:
    """Of a run in which too little was measured to judge it."""
    return Explanation(name, 0.0, (), (), np.zeros((run.end - run.start, 0)))
