"""The anomalies themselves: what stands out in each, beside what is normal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from unalike.decisions import Explanation
from unalike.errors import InvalidParameter
from unalike.report.material import Material
from unalike.report.passages import passage
from unalike.report.pictures import picture
from unalike.report.rows import row
from unalike.report.steps import events
from unalike.types import IntArray

_OPEN = 3

Draw = Callable[[Material, int, Explanation | None], str]


def anomalies(material: Material) -> str:
    """One block for each, the first open."""
    if material.shown == 0:
        return ""
    if material.in_time:
        return events(material)
    at = material.highest()
    if len(at) == 0:
        return ""
    draw = _draw(material)
    why = explained(material, at)
    none = "" if material.decisions.is_anomaly[at[0]] else (
        "<p>No sample is above the threshold; the highest scores are shown.</p>"
    )  # fmt: skip
    blocks = [
        block(heading(material, position), draw(material, position, told), number < _OPEN)
        for number, (position, told) in enumerate(zip(at.tolist(), why, strict=True))
    ]
    return f"{none}<p class='dim'>{escape(_about(material))}</p>{''.join(blocks)}"


def explained(material: Material, at: IntArray) -> Sequence[Explanation | None]:
    """Why the samples at `at` score as they do, in this order; None where this kind of data has no explanations."""
    order = np.sort(at)
    try:
        found = material.detector.explain(material.X, only=order)
    except InvalidParameter:
        return [None] * len(at)
    by_position = dict(zip(order.tolist(), found, strict=True))
    return [by_position[position] for position in at.tolist()]


def block(title: str, body: str, is_open: bool) -> str:
    """A part of the page that can be folded."""
    return f"<details class='shown'{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>"


def heading(material: Material, position: int) -> str:
    """Name, score and p-value of a sample, and what its label says."""
    decisions = material.decisions
    told = f"{decisions.ids[position]}: score {decisions.scores[position]:.4g}"
    if not np.isnan(decisions.p_values[position]):
        told += f", p = {decisions.p_values[position]:.2g}"
    if material.labels is not None:
        told += ", labelled anomaly" if material.labels[position] else ", labelled normal"
    return told


def _draw(material: Material) -> Draw:
    drawers: dict[str, Draw] = {"image": picture, "text": passage}
    return drawers.get(material.modality.name, row)


def _about(material: Material) -> str:
    if material.pool is None or material.modality.name == "table":
        return ""
    if material.pool.of_training:
        return "With each stand the training samples that are nearest to it in the embedding."
    return (
        "With each stand the samples of this data that are nearest to it in the embedding and were judged normal. To "
        "see training samples, give the training data too."
    )
