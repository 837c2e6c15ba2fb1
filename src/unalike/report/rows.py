"""Anomalous rows of tables: the guilty columns beside what is usual, and the nearest normal rows."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import torch

from unalike.data import take
from unalike.decisions import Explanation
from unalike.report.material import Material

_NEAREST = 3
_MOST_OTHERS = 30


def row(material: Material, position: int, why: Explanation | None) -> str:
    """A table with a line per guilty column; the other columns folded."""
    if not hasattr(material.modality, "values"):
        return "<p>Samples of this kind cannot be shown.</p>"
    names = material.modality.places()
    values = material.modality.values(take(material.X, np.array([position])))[0]
    guilty = {part.place: part for part in why.parts} if why is not None else {}
    near = _nearest(material, why)
    lines = [
        _line(name, _told(part.value), _told(part.usual), part.share, names, near) for name, part in guilty.items()
    ]
    others = [(name, value) for name, value in zip(names, values, strict=True) if name not in guilty]
    rest = [_line(name, _told(value), "", None, names, near) for name, value in others[:_MOST_OTHERS]]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("column", "value", "usual here", "share", *(
        f"normal: {name}" for name in near)))  # fmt: skip
    shown = _table(head, lines) if lines else "<p class='dim'>No column alone explains the score.</p>"
    more = len(others) - len(rest)
    folded = f"<details><summary>{len(others)} other columns</summary>{_table(head, rest)}"
    folded += f"<p class='dim'>{more} more are not shown.</p></details>" if more > 0 else "</details>"
    return shown + (folded if rest else "")


def _nearest(material: Material, why: Explanation | None) -> Mapping[str, list[Any]]:
    """Name of a nearest normal row to its values, of those that the model knows."""
    memory = getattr(material.detector, "memory_", None)
    if why is None or memory is None or memory.rows is None or memory.ids is None:
        return {}
    at = {name: number for number, name in enumerate(memory.ids.tolist())}
    return {name: list(material.modality.told(torch.from_numpy(memory.rows[at[name]])))
            for name in why.nearest[:_NEAREST] if name in at}  # fmt: skip


def _line(name: str, value: str, usual: str, share: float | None, names: Any, near: Mapping[str, list[Any]]) -> str:
    place = list(names).index(name)
    bar = "" if share is None else f'<span class="bar" style="width:{3 * share:.2f}rem"></span> {share:.0%}'
    cells = [f'<td title="{escape(name)}">{escape(name)}</td>', f'<td class="odd">{escape(value)}</td>' if share is not
             None else f"<td>{escape(value)}</td>", f"<td>{escape(usual)}</td><td>{bar}</td>"]  # fmt: skip
    cells += [f"<td>{escape(_told(values[place]))}</td>" for values in near.values()]
    return f"<tr>{''.join(cells)}</tr>"


def _table(head: str, lines: list[str]) -> str:
    return (
        f'<div class="wide"><table class="cells"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
        "</div>"
    )


def _told(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)
