"""Encoders without weights: the raw input, rescaled. What every trained encoder has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import fixed_size, one_of, table_levels
from unalike.encoders.mlp import known_codes
from unalike.types import Schema

Scaling = Literal["standard", "signed-log", "quantile"]

_QUANTILES = 1000
_CLIP = 3.5
_BOUND = 1e-7
"""Nearer than this to an end of the training data counts as the end; scikit-learn's BOUNDS_THRESHOLD."""


@dataclass(frozen=True)
class Raw:
    """Settings of the encoder that flattens its input: images become their pixels."""

    def build(self, schema: Schema) -> RawValues:
        """The encoder for samples of the schema's shape."""
        return RawValues(fixed_size("Raw", schema))


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """Settings of the encoder that rescales the columns of a table.

    Per numeric column a rescaled value and a flag of 1 for a missing cell, whose value is 0; per categorical
    column one place per code and one for a missing cell, so that two different categories, a category and
    one that training did not see, and a category and a missing cell are at distance 1.

    With ``z`` the value standardised by the observed training cells (a constant column is centred only):

    - ``"standard"``: ``z``;
    - ``"signed-log"``: ``sign(z) * log1p(|2z|)``;
    - ``"quantile"``: the normal score of the value's rank among the training cells, clipped at ±3.5, plus
      ``±log1p`` of how far ``z`` lies outside the training data's range.

    The encoder computes in float64 and returns the type of its input. Before `prepare` it takes every column
    for a constant 0 of spread 1.

    Parameters
    ----------
    scaling : {"standard", "signed-log", "quantile"}
        What becomes of numeric columns.

    Raises
    ------
    InvalidParameter
        `scaling` is none of these.

    Notes
    -----
    ``"quantile"`` is scikit-learn's ``QuantileTransformer(output_distribution="normal", n_quantiles=min(m, 1000))``
    within the training data's range, but for a constant column: there the value itself is 0, in the middle
    of what lies below and above it.
    """

    scaling: Scaling = "standard"

    def __post_init__(self) -> None:
        one_of("scaling", self.scaling, ("standard", "signed-log", "quantile"))

    def build(self, schema: Schema) -> RawCells:
        """The encoder for rows ``(columns, 2)``."""
        return RawCells(table_levels("RawTable", schema), self.scaling)


class RawValues(nn.Module):
    """``(n, ...) -> (n, width)``, as it is.

    Parameters
    ----------
    width : int
        Numbers in one sample.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, data: Tensor) -> Tensor:
        """The flattened samples."""
        return data.flatten(1)


class RawCells(nn.Module):
    """``(n, columns, 2) -> (n, width)``: numbers, their flags, then the categories.

    Parameters
    ----------
    levels : tuple of int
        For each column the number of codes, 0 for a numeric column.
    scaling : {"standard", "signed-log", "quantile"}
        As in `RawTable`.
    """

    numeric: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, levels: tuple[int, ...], scaling: Scaling) -> None:
        super().__init__()
        numeric = [column for column, level in enumerate(levels) if level == 0]
        self.levels = levels
        self.scaling = scaling
        self.register_buffer("numeric", torch.tensor(numeric, dtype=torch.int64), persistent=False)
        # float64: a value of the training data must be met again exactly, or its rank is lost.
        self.register_buffer("mean", torch.zeros(len(numeric), dtype=torch.float64))
        self.register_buffer("std", torch.ones(len(numeric), dtype=torch.float64))
        self.ranks = NormalScores(len(numeric)) if scaling == "quantile" else None
        self.width = 2 * len(numeric) + sum(level + 1 for level in levels if level > 0)

    def prepare(self, sample: Tensor) -> None:
        """Learn the scales from the observed cells of training rows ``(m, columns, 2)``."""
        values, missing = self._numbers(sample.detach())  # (m, columns) each
        seen = (~missing).sum(dim=0).clamp(min=1)
        mean = values.sum(dim=0) / seen
        std = ((values - mean).masked_fill(missing, 0.0).square().sum(dim=0) / seen).sqrt()
        constant = std <= 10 * torch.finfo(torch.float64).eps * mean.abs()
        self.mean.copy_(mean)
        self.std.copy_(std.masked_fill(constant, 1.0))
        if self.ranks is not None:
            self.ranks.fit(self._standard(values), missing)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)`` in the type of `data`."""
        values, missing = self._numbers(data)  # (n, columns) each
        scaled = self._scaled(self._standard(values)).masked_fill(missing, 0.0)
        parts = [scaled, missing.to(scaled.dtype)]
        for column, level in enumerate(self.levels):
            if level > 0:
                codes = known_codes(data[:, column, 0], level).masked_fill(data[:, column, 1] > 0.5, level)
                parts.append(functional.one_hot(codes, level + 1).to(scaled.dtype) / math.sqrt(2.0))
        return torch.cat(parts, dim=1).to(data.dtype)

    def _numbers(self, data: Tensor) -> tuple[Tensor, Tensor]:
        missing = data[:, self.numeric, 1] > 0.5
        return data[:, self.numeric, 0].masked_fill(missing, 0.0).to(self.mean.dtype), missing

    def _standard(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std

    def _scaled(self, z: Tensor) -> Tensor:
        if self.ranks is not None:
            scores: Tensor = self.ranks(z)
            return scores
        return z.sign() * (2.0 * z).abs().log1p() if self.scaling == "signed-log" else z


class NormalScores(nn.Module):
    """Values to normal scores of their ranks, ``(n, columns) -> (n, columns)``; ends as `RawTable` says.

    Parameters
    ----------
    columns : int
        How many.
    """

    quantiles: Tensor
    count: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        # The shape is fixed, so that a saved encoder can be rebuilt; past the first `count` all are infinite.
        quantiles = torch.full((columns, _QUANTILES), math.inf, dtype=torch.float64)
        quantiles[:, 0] = 0.0
        self.register_buffer("quantiles", quantiles)
        self.register_buffer("count", torch.ones((), dtype=torch.int64))

    def fit(self, values: Tensor, missing: Tensor) -> None:
        """Learn at most 1,000 quantiles of the observed cells; `values` and `missing` are ``(m, columns)``."""
        count = min(len(values), _QUANTILES)
        self.count.fill_(count)
        self.quantiles.fill_(math.inf)
        for column, (cells, hidden) in enumerate(zip(values.T, missing.T, strict=True)):
            seen = cells[~hidden] if not hidden.all() else cells.new_zeros(1)
            self.quantiles[column, :count] = _quantiles(seen.sort().values, count)

    def forward(self, values: Tensor) -> Tensor:
        """Scores ``(n, columns)``."""
        low, high = self.quantiles[:, 0], self.quantiles[:, self.count - 1]  # (columns,) each
        share = self._shares(values.T.contiguous()).T  # (n, columns)
        below, above = values - _BOUND < low, values + _BOUND > high
        share = share.masked_fill(below, 0.0).masked_fill(above, 1.0).masked_fill(below & above, 0.5)
        outside = (values - high).clamp(min=0.0).log1p() - (low - values).clamp(min=0.0).log1p()
        scores: Tensor = torch.special.ndtri(share).clamp(-_CLIP, _CLIP) + outside
        return scores

    def _shares(self, values: Tensor) -> Tensor:
        """Where values ``(columns, n)`` stand among the quantiles of their column: shares in ``[0, 1]``.

        Linear between two quantiles; a value that equals several stands in their middle.
        """
        first = torch.searchsorted(self.quantiles, values)  # quantiles below the value
        after = torch.searchsorted(self.quantiles, values, right=True)  # quantiles not above it
        last = self.count - 1
        right = first.minimum(last)
        left = (right - 1).clamp(min=0)
        start, end = self.quantiles.gather(1, left), self.quantiles.gather(1, right)
        between = left + (values - start) / (end - start)
        return torch.where(after > first, (first + after - 1) / 2, between) / last.clamp(min=1)


def _quantiles(ordered: Tensor, count: int) -> Tensor:
    """``(count,)`` evenly spaced quantiles of rising values ``(m,)``, linear between two of them.

    Positions are whole numbers and remainders, because equal values must give equal quantiles to the last bit:
    numpy's percentiles differ by a rounding error there, which moves the ranks of all that are equal.
    """
    steps = torch.arange(count, device=ordered.device) * (len(ordered) - 1)
    left = steps // max(count - 1, 1)
    share = (steps % max(count - 1, 1)) / max(count - 1, 1)
    start, end = ordered[left], ordered[(left + 1).clamp(max=len(ordered) - 1)]
    return (start + (end - start) * share).minimum(end)
