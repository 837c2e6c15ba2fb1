"""Multi-layer perceptrons: for tables, and for plain vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from unalike.encoders.checks import fixed_size, one_of, positive, table_levels, whole, wholes
from unalike.encoders.numbers import KINDS, Numbers, numbers_of, prepare_numbers
from unalike.types import Schema

Activation = Literal["silu", "relu"]
Normalization = Literal["none", "layer"]

_WIDEST_EMBEDDING = 50


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Settings of a perceptron on samples of any shape, flattened.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    width : int, optional
        Width of the embedding, by one more linear layer. None: the embedding is the last hidden layer,
        after its activation.
    activation : {"silu", "relu"}
        Of the hidden layers.
    normalization : {"none", "layer"}
        Before each activation. Layer normalisation hides how far out a row is, so the default has none.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    hidden: tuple[int, ...] = (128, 128)
    width: int | None = None
    activation: Activation = "silu"
    normalization: Normalization = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", _checked(self.hidden, self.width, self.activation, self.normalization))

    def build(self, schema: Schema) -> Perceptron:
        """The network for samples of the schema's shape; torch's generator draws its weights."""
        first = nn.Linear(fixed_size("MLP", schema), self.hidden[0])
        return Perceptron(first, _after_first(self.hidden, self.width, self.activation, self.normalization))


@dataclass(frozen=True, kw_only=True)
class TableMLP:
    """Settings of a perceptron on rows of a table.

    A numeric cell enters as it is, or as `numbers` says. A categorical column has one learned vector per
    category and one for categories that training did not see (code 0, and any code out of range). A missing
    cell enters as zeros, and a flag per column tells the first layer.

    Parameters
    ----------
    hidden, width, activation, normalization
        As in `MLP`.
    embedding_width : int, optional
        Width of each category's vector. None: ``min(50, round(1.6 * levels**0.56))``, fastai's rule.
    numbers : {"plain", "periodic", "piecewise-linear"}
        What a number becomes: itself; itself and learned sines and cosines (`numbers.PeriodicNumbers`); how far each
        of 16 bins between quantiles of the training data is filled (`numbers.PiecewiseNumbers`).
    frequency_scale : float
        Of the periodic ones: standard deviation of the first frequencies, in periods per unit, above 0. The larger,
        the narrower a range of values can be told apart.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    A category's vector is drawn so that two categories are at distance about 1, as in `RawTable`:
    with torch's standard normal vectors they would outweigh the standardised numeric columns.
    """

    hidden: tuple[int, ...] = (128, 128)
    width: int | None = None
    activation: Activation = "silu"
    normalization: Normalization = "none"
    embedding_width: int | None = None
    numbers: Numbers = "plain"
    frequency_scale: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", _checked(self.hidden, self.width, self.activation, self.normalization))
        if self.embedding_width is not None:
            whole("embedding_width", self.embedding_width)
        one_of("numbers", self.numbers, KINDS)
        positive("frequency_scale", self.frequency_scale)

    def build(self, schema: Schema) -> TablePerceptron:
        """The network for rows ``(columns, 2)``; torch's generator draws its weights."""
        levels = table_levels("TableMLP", schema)
        cells = TableCells(levels, self.embedding_width, self.numbers, self.frequency_scale)
        first = nn.Linear(cells.width, self.hidden[0])
        flags = nn.Linear(schema.shape[0], self.hidden[0], bias=False)
        rest = _after_first(self.hidden, self.width, self.activation, self.normalization)
        return TablePerceptron(cells, first, flags, rest)


class Perceptron(nn.Module):
    """``(n, ...) -> (n, width)``, flattened first.

    Parameters
    ----------
    first : Linear
        ``(n, size) -> (n, hidden)``.
    rest : Sequential
        ``(n, hidden) -> (n, width)``.
    """

    def __init__(self, first: nn.Linear, rest: nn.Sequential) -> None:
        super().__init__()
        self.first = first
        self.rest = rest
        self.width = _out(first, rest)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        embeddings: Tensor = self.rest(self.first(data.flatten(1)))
        return embeddings


class TablePerceptron(nn.Module):
    """``(n, columns, 2) -> (n, width)``.

    The flags of missing cells have a layer of their own: in one layer with the values they would shrink
    the first weights of these, which torch draws by the number of inputs.

    Parameters
    ----------
    cells : TableCells
        ``(n, columns, 2) -> (n, cells.width)``.
    first, flags : Linear
        ``(n, cells.width) -> (n, hidden)`` and ``(n, columns) -> (n, hidden)``, which are added.
    rest : Sequential
        ``(n, hidden) -> (n, width)``.
    """

    def __init__(self, cells: TableCells, first: nn.Linear, flags: nn.Linear, rest: nn.Sequential) -> None:
        super().__init__()
        self.cells = cells
        self.levels = cells.levels
        self.first = first
        self.flags = flags
        self.rest = rest
        self.width = _out(first, rest)

    def prepare(self, sample: Tensor) -> None:
        """Learn what `numbers` needs from training rows ``(m, columns, 2)``."""
        self.cells.prepare(sample)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        embeddings: Tensor = self.rest(self.first(self.cells(data)) + self.flags(data[..., 1]))
        return embeddings


class TableCells(nn.Module):
    """Cells to numbers: ``(n, columns, 2) -> (n, width)``, numeric columns first, then the categories' vectors.

    Parameters
    ----------
    levels : tuple of int
        For each column the number of codes, 0 for a numeric column.
    embedding_width : int, optional
        As in `TableMLP`.
    numbers : str
        As in `TableMLP`.
    frequency_scale : float
        As in `TableMLP`.
    """

    numeric: Tensor

    def __init__(
        self, levels: tuple[int, ...], embedding_width: int | None, numbers: Numbers, frequency_scale: float
    ) -> None:
        super().__init__()
        self.levels = levels
        numeric = [column for column, level in enumerate(levels) if level == 0]
        self.register_buffer("numeric", torch.tensor(numeric, dtype=torch.int64), persistent=False)
        self.categorical = [column for column, level in enumerate(levels) if level > 0]
        widths = [embedding_width or _embedding_width(levels[column]) for column in self.categorical]
        self.vectors = nn.ModuleList(
            _vectors(levels[column], width) for column, width in zip(self.categorical, widths, strict=True)
        )
        # None where there is nothing to learn: without numeric columns a weight would have no gradient.
        made = numbers_of(numbers, len(numeric), frequency_scale) if numeric and numbers != "plain" else None
        self.numbers = made
        self.width = len(numeric) * (1 if made is None else made.width) + sum(widths)

    def prepare(self, sample: Tensor) -> None:
        """As `TablePerceptron.prepare`."""
        prepare_numbers(self.numbers, sample, self.numeric)

    def forward(self, data: Tensor) -> Tensor:
        """Numbers ``(n, width)``; those of a missing cell are 0."""
        missing = data[..., 1] > 0.5  # (n, columns)
        values = data[..., 0].masked_fill(missing, 0.0)
        parts = [values[:, self.numeric]]
        if self.numbers is not None:
            inputs = self.numbers(parts[0]).masked_fill(missing[:, self.numeric, None], 0.0)
            parts = [inputs.flatten(1)]
        for column, vectors in zip(self.categorical, self.vectors, strict=True):
            code = known_codes(values[:, column], vectors.num_embeddings)  # type: ignore[arg-type]
            parts.append(vectors(code).masked_fill(missing[:, column, None], 0.0))
        return torch.cat(parts, dim=1)


def known_codes(values: Tensor, levels: int) -> Tensor:
    """``(n,)`` int64 codes; one that is not in ``[0, levels)`` is 0, the slot of what training did not see."""
    # Compared as numbers: a huge one must not wrap around into the range.
    return values.masked_fill((values < 0) | (values >= levels), 0.0).long()


def _embedding_width(levels: int) -> int:
    return max(1, min(_WIDEST_EMBEDDING, round(1.6 * math.pow(levels, 0.56))))


def _vectors(levels: int, width: int) -> nn.Embedding:
    vectors = nn.Embedding(levels, width)
    nn.init.normal_(vectors.weight, std=1.0 / math.sqrt(2.0 * width))
    return vectors


def _after_first(
    hidden: tuple[int, ...], width: int | None, activation: Activation, normalization: Normalization
) -> nn.Sequential:
    parts = _between(hidden[0], activation, normalization)
    for before, after in pairwise(hidden):
        parts += [nn.Linear(before, after), *_between(after, activation, normalization)]
    if width is not None:
        parts.append(nn.Linear(hidden[-1], width))
    return nn.Sequential(*parts)


def _between(width: int, activation: Activation, normalization: Normalization) -> list[nn.Module]:
    bent = nn.SiLU() if activation == "silu" else nn.ReLU()
    return [bent] if normalization == "none" else [nn.LayerNorm(width), bent]


def _out(first: nn.Linear, rest: nn.Sequential) -> int:
    linear = [part for part in (first, *rest) if isinstance(part, nn.Linear)]
    return linear[-1].out_features


def _checked(hidden: tuple[int, ...], width: int | None, activation: str, normalization: str) -> tuple[int, ...]:
    if width is not None:
        whole("width", width)
    one_of("activation", activation, ("silu", "relu"))
    one_of("normalization", normalization, ("none", "layer"))
    return wholes("hidden", hidden)
