"""Rows of a table on the page, in the table's own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from torch import Tensor

_MOST_COLUMNS = 30
_OPEN = 2
_UNSEEN = "(unseen)"
_PRECISION = 2.0**-22


class Cells:
    """Draws rows of a table, changed cells marked.

    Parameters
    ----------
    samples : Tensor
        ``(s, columns, 2)``: standardised value or code, and is-missing.
    ids : sequence of str
        Of the samples.
    modality : Modality
        Fitted, with `columns_`, `levels_`, `center_` and `scale_` as `modalities.Table` has them.
    """

    note = "Bold cells on colour are changed. Columns that no view of a row changes are left out."

    def __init__(self, samples: Tensor, ids: Sequence[str], modality: Any) -> None:
        self._samples = samples
        self._ids = ids
        self._modality = modality

    def draw(self, views: Sequence[Tensor]) -> str:
        """One table per sample, a line per column, the sample beside its views, ``(s, columns, 2)`` each."""
        return "\n".join(self._sample(place, [made[place] for made in views]) for place in range(len(self._samples)))

    def _sample(self, place: int, views: Sequence[Tensor]) -> str:
        sample = self._samples[place]
        changed = [(made != sample).any(dim=1).tolist() for made in views]
        lines = [column for column in range(len(sample)) if any(view[column] for view in changed)]
        counts = ", ".join(str(sum(view)) for view in changed)
        title = f"<summary>row {escape(str(self._ids[place]))}: changed cells {counts} of {len(sample)}</summary>"
        head = "".join(
            f"<th>{name}</th>" for name in ("column", "row", *(f"view {number}" for number in range(1, len(views) + 1)))
        )
        body = "".join(self._line(column, sample, views, changed) for column in lines[:_MOST_COLUMNS])
        more = len(lines) - _MOST_COLUMNS
        rest = f'<p class="dim">{more} more changed columns are not shown.</p>' if more > 0 else ""
        table = (
            f'<div class="wide"><table class="cells"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )
        shown = table if lines else '<p class="dim">No cell is changed.</p>'
        return f"<details{' open' if place < _OPEN else ''}>{title}{shown}{rest}</details>"

    def _line(self, column: int, sample: Tensor, views: Sequence[Tensor], changed: Sequence[Sequence[bool]]) -> str:
        name = escape(str(self._modality.columns_[column]))
        cells = [f'<td title="{name}">{name}</td>', f"<td>{self._shown(column, sample[column])}</td>"]
        for made, marks in zip(views, changed, strict=True):
            text = self._shown(column, made[column])
            cells.append(f"<td><mark>{text}</mark></td>" if marks[column] else f"<td>{text}</td>")
        return f"<tr>{''.join(cells)}</tr>"

    def _shown(self, column: int, cell: Tensor) -> str:
        value, missing = (float(number) for number in cell)
        if missing > 0.5:
            return "missing"
        levels = self._modality.levels_[column]
        if not levels:
            return self._number(column, value)
        code = round(value)
        return escape(str(levels[code - 1])) if 1 <= code <= len(levels) else _UNSEEN

    def _number(self, column: int, value: float) -> str:
        """In its own unit, without the digits that single precision has made up."""
        center, scale = float(self._modality.center_[column]), float(self._modality.scale_[column])
        doubt = _PRECISION * max(abs(center), abs(value * scale), abs(value * scale + center))
        digits = 12 if doubt == 0.0 else max(min(math.floor(-math.log10(doubt)), 300), -300)
        return f"{round(value * scale + center, digits) + 0.0:.6g}"
