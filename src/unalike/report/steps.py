"""Alarms in records: the guilty channels around each, and the nearest normal windows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import torch

from unalike.decisions import Explanation, Part
from unalike.errors import InvalidParameter
from unalike.events import Event, Events
from unalike.report.charts import polylines
from unalike.report.material import Material
from unalike.types import FloatArray

_OPEN = 3
_MOST_CHANNELS = 4
_WIDTH, _NARROW, _HEIGHT = 360.0, 240.0, 90.0
_TOP, _LEFT = 6.0, 52.0


def events(material: Material) -> str:
    """One block for each alarm, the highest first."""
    window = int(material.modality.schema.shape[-1])
    found = material.decisions.events(merge=window)
    if len(found) == 0:
        return "<p>No step is above the threshold: there is no alarm to show.</p>"
    order = np.argsort([-event.score for event in found], kind="stable")[: material.shown]
    chosen = [found[position] for position in order.tolist()]
    why = _explained(material, chosen)
    blocks = [
        f"<details class='shown'{' open' if number < _OPEN else ''}><summary>{escape(_title(event))}</summary>"
        f"{_event(material, event, told, window)}</details>"
        for number, (event, told) in enumerate(zip(chosen, why, strict=True))
    ]
    note = (
        f"{len(found)} alarm{'' if len(found) == 1 else 's'}, those with at most a window ({window} steps) between "
        "them joined. First: the channels that cause an alarm, shaded where it is; the heavy line is where a channel "
        "differs most. Then, on the same scale: the nearest normal window that the model keeps."
    )
    return f"<p class='dim'>{escape(note)}</p>{''.join(blocks)}"


def _explained(material: Material, chosen: Sequence[Event]) -> Sequence[Explanation | None]:
    try:
        return list(material.detector.explain(material.X, only=Events(tuple(chosen)), most_places=_MOST_CHANNELS))
    except InvalidParameter:
        return [None] * len(chosen)


def _title(event: Event) -> str:
    when = f"{event.first}" if event.first == event.last else f"{event.first} to {event.last}"
    whose = f"{event.record}: " if event.record else ""
    return f"{whose}{when} ({len(event)} steps): score {event.score:.4g}, p = {event.p_value:.2g}"


def _event(material: Material, event: Event, why: Explanation | None, window: int) -> str:
    decisions = material.decisions
    assert decisions.entities is not None  # noqa: S101
    assert decisions.steps is not None  # noqa: S101
    around = max(window, len(event))
    near = (decisions.steps >= event.start - around) & (decisions.steps < event.end + around)
    rows = np.flatnonzero((decisions.entities == event.record) & near)
    values = material.modality.values(material.X)[rows]
    steps = decisions.steps[rows]
    names = list(material.modality.places())
    parts = list(why.parts) if why is not None and why.parts else [Part(names[0], 0.0, None, None)]
    normal = _nearest(material, why, event.record)
    ids = decisions.ids[rows]
    drawn = []
    for part in parts:
        place = names.index(part.place)
        line = values[:, place]
        usual = None if normal is None else normal[1][place]
        scale = _scale(line if usual is None else np.concatenate([line, usual]))
        heavy = _stretch(part, ids, len(rows))
        own = _plot(line, scale, _WIDTH, _shade(steps, event), heavy)
        other = "" if usual is None else _plot(usual, scale, _NARROW)
        told = f"{part.place}: {part.share:.0%} of the score" if part.share else part.place
        if part.value is not None and part.usual is not None:
            told += f"; mean {part.value:.4g} where it differs most, usual is {part.usual:.4g}"
        right = f'<figure class="usual">{other}</figure>' if other else ""
        drawn.append(f'<p class="dim">{escape(told)}</p><div class="steps"><figure>{own}</figure>{right}</div>')
    if normal is not None:
        drawn.append(f'<p class="dim">Nearest normal window from {escape(normal[0])}.</p>')
    return "".join(drawn)


def _nearest(material: Material, why: Explanation | None, record: str) -> tuple[str, FloatArray] | None:
    """Name and values ``(channels, window)`` of the nearest normal window that the model keeps."""
    memory = getattr(material.detector, "memory_", None)
    if why is None or not why.nearest or memory is None or memory.rows is None or memory.ids is None:
        return None
    at = np.flatnonzero(memory.ids == why.nearest[0])
    if len(at) == 0:
        return None
    told: FloatArray = material.modality.told(torch.from_numpy(memory.rows[at[0]]), record)
    return why.nearest[0], told


def _scale(values: FloatArray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _shade(steps: Any, event: Event) -> tuple[float, float]:
    inside = np.flatnonzero((steps >= event.start) & (steps < event.end))
    return float(inside[0]), float(inside[-1]) + 1.0


def _stretch(part: Part, ids: Any, n: int) -> tuple[int, int] | None:
    if part.at is None:
        return None
    first, last = (np.flatnonzero(ids == end) for end in part.at)
    return (int(first[0]), int(last[-1]) + 1) if len(first) and len(last) else None


def _plot(
    line: FloatArray,
    scale: tuple[float, float],
    width: float,
    shade: tuple[float, float] | None = None,
    heavy: tuple[int, int] | None = None,
) -> str:
    low, high = scale
    across = (width - _LEFT) / max(len(line), 1)
    x = _LEFT + (np.arange(len(line)) + 0.5) * across
    y = _TOP + (high - line) / (high - low) * (_HEIGHT - 2 * _TOP)
    drawn = ""
    if shade is not None:
        left, right = (_LEFT + end * across for end in shade)
        drawn += f'<rect class="shade" x="{left:.1f}" y="0" width="{max(right - left, 2.0):.1f}" height="{_HEIGHT:g}"/>'
    drawn += f'<g class="k0">{polylines(x, y)}</g>'
    if heavy is not None:
        stretch = slice(*heavy)
        drawn += f'<g class="heavy">{polylines(x[stretch], y[stretch])}</g>'
    ends = "".join(
        f'<text x="{_LEFT - 4:g}" y="{at:g}" text-anchor="end">{value + 0.0:.3g}</text>'
        for value, at in ((high, 12.0), (low, _HEIGHT - 4.0))
    )
    return f'<svg viewBox="0 0 {width:g} {_HEIGHT:g}" role="img" aria-label="values over time">{drawn}{ends}</svg>'
