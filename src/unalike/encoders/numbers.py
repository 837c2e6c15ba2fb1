"""Numbers of a table before the first layer: as they are, or spread over several inputs.

A perceptron on plain numbers learns smooth functions of them first; where a narrow range of a column matters, several
inputs per number let it be seen. After Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in
tabular deep learning", NeurIPS 2022, with one change: theirs are made for prediction within the range of the training
data. Here a value outside of it must stay the farther away, the farther out it is.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Numbers = Literal["plain", "periodic", "piecewise-linear"]
KINDS: tuple[Numbers, ...] = ("plain", "periodic", "piecewise-linear")

_FREQUENCIES = 16
_PERIODIC_WIDTH = 8
_BINS = 16


def numbers_of(kind: Numbers, columns: int, scale: float) -> PlainNumbers | PeriodicNumbers | PiecewiseNumbers:
    """The module of a kind for so many numeric columns; torch's generator draws its weights."""
    if kind == "periodic":
        return PeriodicNumbers(columns, scale)
    return PiecewiseNumbers(columns) if kind == "piecewise-linear" else PlainNumbers()


def prepare_numbers(
    numbers: PlainNumbers | PeriodicNumbers | PiecewiseNumbers | None, sample: Tensor, numeric: Tensor
) -> None:
    """Prepare what `numbers_of` made, if anything, from the `numeric` columns of rows ``(m, columns, 2)``."""
    if numbers is not None:
        cells = sample.detach()[:, numeric]
        missing = cells[..., 1] > 0.5
        numbers.prepare(cells[..., 0].masked_fill(missing, 0.0), missing)


class PlainNumbers(nn.Module):
    """``(n, columns) -> (n, columns, 1)``, as they are."""

    width = 1

    def prepare(self, values: Tensor, missing: Tensor) -> None:
        """Nothing to learn."""

    def forward(self, values: Tensor) -> Tensor:
        """The values."""
        return values[..., None]


class PeriodicNumbers(nn.Module):
    """``(n, columns) -> (n, columns, 9)``: the value, and eight learned periodic functions of it.

    Per column 16 learned frequencies give 16 sines and 16 cosines; a linear layer of the column's own and ReLU make
    eight inputs of them. They are bounded, so the value itself stands beside them.

    Parameters
    ----------
    columns : int
        Numeric columns.
    scale : float
        Standard deviation from which frequencies are drawn, in periods per unit of the value.
    """

    width = 1 + _PERIODIC_WIDTH

    def __init__(self, columns: int, scale: float) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(scale * torch.randn(columns, _FREQUENCIES))
        bound = 1.0 / math.sqrt(2 * _FREQUENCIES)
        self.weight = nn.Parameter(torch.empty(columns, 2 * _FREQUENCIES, _PERIODIC_WIDTH).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, _PERIODIC_WIDTH).uniform_(-bound, bound))

    def prepare(self, values: Tensor, missing: Tensor) -> None:
        """Nothing to learn before training."""

    def forward(self, values: Tensor) -> Tensor:
        """Value and periodic functions."""
        turns = 2.0 * math.pi * values[..., None] * self.frequencies  # (n, columns, frequencies)
        waves = torch.cat((turns.sin(), turns.cos()), dim=2)
        bent = (torch.einsum("ncf,cfw->ncw", waves, self.weight) + self.bias).relu()
        return torch.cat((values[..., None].to(bent.dtype), bent), dim=2)


class PiecewiseNumbers(nn.Module):
    """``(n, columns) -> (n, columns, 16)``: how far each of at most 16 bins, one after the other, is filled.

    The bins' edges are quantiles of the training values, so that each holds about as many of them. An input is 0 below
    its bin, 1 above it and linear within. Beyond the outermost edges the first and the last input go on in the units
    of the value: going on as within the bin, as in the paper, a narrow bin would throw a value far out.

    Parameters
    ----------
    columns : int
        Numeric columns.
    """

    width = _BINS
    low: Tensor
    size: Tensor
    ends: Tensor
    last: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        # Before `prepare` each column has one bin, from 0 to 1. A bin that is not in use has infinite size: it stays 0.
        size = torch.full((columns, _BINS), math.inf)
        size[:, 0] = 1.0
        self.register_buffer("low", torch.zeros(columns, _BINS))
        self.register_buffer("size", size)
        self.register_buffer("ends", torch.tensor([0.0, 1.0]).repeat(columns, 1))
        self.register_buffer("last", torch.zeros(columns, dtype=torch.int64))

    def prepare(self, values: Tensor, missing: Tensor) -> None:
        """Learn the edges from the observed cells of training rows; both arguments are ``(m, columns)``."""
        self.low.zero_()
        self.size.fill_(math.inf)
        shares = torch.linspace(0.0, 1.0, _BINS + 1, dtype=torch.float64, device=values.device)
        for column, (cells, hidden) in enumerate(zip(values.double().T, missing.T, strict=True)):
            seen = cells[~hidden] if not hidden.all() else cells.new_zeros(1)
            edges = seen.quantile(shares, interpolation="nearest").unique()
            if len(edges) == 1:  # constant: a bin of no size, below and above which the value counts
                edges = edges.repeat(2)
            bins = len(edges) - 1
            self.low[column, :bins] = edges[:-1].to(self.low)
            self.size[column, :bins] = edges.diff().clamp_min(torch.finfo(self.size.dtype).tiny).to(self.size)
            self.ends[column] = edges[[0, -1]].to(self.ends)
            self.last[column] = bins - 1

    def forward(self, values: Tensor) -> Tensor:
        """How far the bins are filled."""
        filled = ((values[..., None] - self.low) / self.size).clamp(0.0, 1.0)  # (n, columns, bins)
        below = (values - self.ends[:, 0]).clamp(max=0.0)  # (n, columns)
        above = (values - self.ends[:, 1]).clamp(min=0.0)
        first = nn.functional.one_hot(torch.zeros_like(self.last), _BINS)  # (columns, bins)
        last = nn.functional.one_hot(self.last, _BINS)
        return filled + below[..., None] * first + above[..., None] * last
