"""The places of a table that explanations name: its columns (`unalike.types.Places`).

Rows are encoded ``(..., columns, 2)``, value-or-code and is-missing, numbers standardised; `levels` has for each
column the number of codes of a categorical one, 0 for a numeric one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import torch
from torch import Tensor

from unalike.types import Collection, FloatArray

_FARTHEST = 1e4
"""Standard deviations that count: sums of larger squares would hide the other columns in their rounding."""
_DIGITS = 5


def contrasts(row: Tensor, rows: Tensor, levels: Sequence[int]) -> Tensor:
    """How unlike a ``(columns, 2)`` row is each of ``(m, columns, 2)`` rows in each column: ``(m, columns)`` float64.

    The squared difference of numbers, counting at most 10,000 standard deviations; 1 between a number and a missing
    cell more than between the number and 0; 1 between two categories. Their sum is the squared distance of
    `encoders.RawTable` with ``scaling="standard"`` for columns that it need not scale again.
    """
    numeric = torch.tensor([level == 0 for level in levels])
    both = torch.stack([row.expand_as(rows), rows]).double()
    values, missing = both[..., 0], both[..., 1]
    squared = (values[0] - values[1]).clamp(-_FARTHEST, _FARTHEST).square()
    flags = (missing[0] != missing[1]).double()
    differing = ((values[0] != values[1]) | (missing[0] != missing[1])).double()
    return torch.where(numeric, squared + flags, differing)


def typical(rows: Tensor, levels: Sequence[int]) -> Tensor:
    """What ``(..., k, columns, 2)`` rows have in each column: ``(..., columns, 2)``.

    Missing where most cells are; else the lower median of the observed numbers, which is one of them, and the most
    frequent category.
    """
    numeric = torch.tensor([level == 0 for level in levels])
    missing = rows[..., 1] > 0.5
    gone = missing.double().mean(dim=-2) > 0.5
    observed = rows[..., 0].masked_fill(missing, torch.nan)
    middle = observed.nanmedian(dim=-2).values
    code = _most_frequent(observed) if not numeric.all() else middle
    value = torch.where(numeric, middle, code).masked_fill(gone, 0.0)
    return torch.stack([value, gone.to(value.dtype)], dim=-1)


def _most_frequent(codes: Tensor) -> Tensor:
    """``(..., k, columns)`` codes, NaN where missing, to ``(..., columns)``; of two as frequent, the first."""
    times = (codes.unsqueeze(-2) == codes.unsqueeze(-3)).sum(dim=-2)  # NaN equals nothing
    return codes.gather(-2, times.argmax(dim=-2, keepdim=True)).squeeze(-2)


def told(row: Tensor, levels: Sequence[Sequence[str]], center: FloatArray, scale: FloatArray) -> list[Any]:
    """A ``(columns, 2)`` row in the user's units: numbers, names of categories, None for a missing cell.

    Numbers are rounded to a hundred-thousandth of the column's standard deviation, what single precision holds.
    """
    cells: list[Any] = []
    for (value, missing), names, middle, unit in zip(row.tolist(), levels, center, scale, strict=True):
        if missing > 0.5 or (names and value < 1):
            cells.append(None)
        elif names:
            cells.append(names[int(value) - 1])
        else:
            cells.append(round(float(value * unit + middle), _DIGITS - int(np.floor(np.log10(unit)))))
    return cells


def values(X: Collection, names: Sequence[Any]) -> list[list[Any]]:
    """For each row of checked `X` the cells of these columns as the user gave them; None where missing."""
    if isinstance(X, np.ndarray):
        return [[None if cell != cell else cell for cell in row] for row in X.tolist()]
    frame = nw.from_native(X, eager_only=True)
    return [list(row) for row in zip(*(_cells(frame.get_column(name)) for name in names), strict=True)]


def _cells(column: Any) -> list[Any]:
    missing = column.is_null().to_list()
    cells = [None if gone else cell for cell, gone in zip(column.to_list(), missing, strict=True)]
    return [None if isinstance(cell, float) and cell != cell else cell for cell in cells]
