"""Attention between the columns of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import one_of, positive, table_levels, whole
from unalike.encoders.mlp import known_codes
from unalike.encoders.numbers import KINDS, Numbers, numbers_of, prepare_numbers
from unalike.errors import InvalidParameter
from unalike.types import Schema


@dataclass(frozen=True, kw_only=True)
class TableTransformer:
    """Settings of a transformer whose tokens are the cells of one row, the FT-Transformer.

    Every cell becomes a token: a number times a vector of its column plus a bias of its column; a category's vector
    plus the bias; a vector of the column for a missing cell. Blocks of attention between the tokens follow; one more
    token reads from all others and is the embedding. A row never sees another row.

    Parameters
    ----------
    width : int
        Of a token and of the embedding; a multiple of `heads`.
    blocks : int
        Attention and feed-forward layers, 1 or more. Time grows with the square of the number of columns when there
        are two or more: for hundreds of columns take one, or `TableMLP`.
    heads : int
        Of the attention.
    numbers : {"plain", "periodic", "piecewise-linear"}
        As in `TableMLP`.
    frequency_scale : float
        As in `TableMLP`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    As published: normalisation before each layer but the first, and ReGLU in the feed-forward layers. Not as published:
    it is smaller, without dropout, and the embedding is read before the last normalisation, which would hide how far
    out a row is.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep learning models for tabular data", NeurIPS 2021.
    """

    width: int = 32
    blocks: int = 2
    heads: int = 4
    numbers: Numbers = "plain"
    frequency_scale: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "blocks", "heads"):
            whole(name, getattr(self, name))
        if self.width % self.heads:
            raise InvalidParameter(
                f"`width` must be a multiple of `heads`; got {self.width} and {self.heads}. Try 32 and 4."
            )
        one_of("numbers", self.numbers, KINDS)
        positive("frequency_scale", self.frequency_scale)

    def build(self, schema: Schema) -> CellTransformer:
        """The network for rows ``(columns, 2)``; torch's generator draws its weights."""
        tokens = CellTokens(table_levels("TableTransformer", schema), self)
        blocks = [Block(self.width, self.heads, normalized=position > 0) for position in range(self.blocks)]
        return CellTransformer(tokens, blocks)


class CellTransformer(nn.Module):
    """``(n, columns, 2) -> (n, width)``.

    Parameters
    ----------
    tokens : CellTokens
        ``(n, columns, 2) -> (n, 1 + columns, width)``; the first token becomes the embedding.
    blocks : list of Block
        ``(n, t, width) -> (n, t, width)``.
    """

    def __init__(self, tokens: CellTokens, blocks: list[Block]) -> None:
        super().__init__()
        self.tokens = tokens
        self.blocks = nn.ModuleList(blocks)
        self.levels = tokens.levels
        self.width = tokens.width

    def prepare(self, sample: Tensor) -> None:
        """Learn what `numbers` needs from training rows ``(m, columns, 2)``."""
        self.tokens.prepare(sample)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        tokens = self.tokens(data)
        for block in self.blocks[:-1]:
            tokens = block(tokens, len(tokens[0]))
        # Only the first token is read, so only it need ask in the last block.
        embeddings: Tensor = self.blocks[-1](tokens, 1)[:, 0]
        return embeddings


class CellTokens(nn.Module):
    """``(n, columns, 2) -> (n, 1 + columns, width)``.

    Parameters
    ----------
    levels : tuple of int
        For each column the number of codes, 0 for a numeric column.
    settings : TableTransformer
        Width and kind of numbers.
    """

    numeric: Tensor

    def __init__(self, levels: tuple[int, ...], settings: TableTransformer) -> None:
        super().__init__()
        numeric = [column for column, level in enumerate(levels) if level == 0]
        self.levels = levels
        self.width = settings.width
        self.register_buffer("numeric", torch.tensor(numeric, dtype=torch.int64), persistent=False)
        self.categorical = [column for column, level in enumerate(levels) if level > 0]
        self.numbers = numbers_of(settings.numbers, len(numeric), settings.frequency_scale) if numeric else None
        inputs = self.numbers.width if self.numbers is not None else 0
        self.first = _drawn(1, settings.width)
        self.weight = _drawn(len(numeric), inputs, settings.width) if numeric else None
        self.bias = _drawn(len(levels), settings.width)
        self.missing = _drawn(len(levels), settings.width)
        self.vectors = nn.ModuleList(nn.Embedding(levels[column], settings.width) for column in self.categorical)
        for vectors in self.vectors:
            _spread(vectors.weight)  # type: ignore[arg-type]

    def prepare(self, sample: Tensor) -> None:
        """As `CellTransformer.prepare`."""
        prepare_numbers(self.numbers, sample, self.numeric)

    def forward(self, data: Tensor) -> Tensor:
        """The tokens."""
        missing = data[..., 1] > 0.5  # (n, columns)
        values = data[..., 0].masked_fill(missing, 0.0)
        tokens = self.bias.expand(len(data), -1, -1).clone()  # (n, columns, width)
        if self.numbers is not None and self.weight is not None:
            inputs = self.numbers(values[:, self.numeric])  # (n, numeric, inputs)
            tokens[:, self.numeric] += torch.einsum("nci,ciw->ncw", inputs, self.weight).to(tokens.dtype)
        for column, vectors in zip(self.categorical, self.vectors, strict=True):
            tokens[:, column] += vectors(known_codes(values[:, column], self.levels[column])).to(tokens.dtype)
        tokens = torch.where(missing[..., None], self.missing, tokens)
        return torch.cat((self.first.expand(len(data), 1, -1), tokens), dim=1)


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to its input.

    Parameters
    ----------
    width, heads : int
        Of a token; of the attention.
    normalized : bool
        Whether the attention's input is normalised.
    """

    def __init__(self, width: int, heads: int, *, normalized: bool) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width) if normalized else nn.Identity()
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        hidden = round(width * 4 / 3)
        self.gated = nn.Linear(width, 2 * hidden)
        self.shrink = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, asking: int) -> Tensor:
        """``(n, asking, width)``: the first tokens of ``(n, t, width)`` after they have read from all."""
        inputs = self.before(tokens)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, t, width / heads)
            for part in (self.query(inputs[:, :asking]), *self.key_value(inputs).chunk(2, dim=2))
        )
        read = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens[:, :asking] + self.out(read)
        linear, gate = self.gated(self.between(tokens)).chunk(2, dim=2)
        moved: Tensor = tokens + self.shrink(linear * gate.relu())
        return moved


def _drawn(*shape: int) -> nn.Parameter:
    return nn.Parameter(_spread(torch.empty(shape)))


def _spread(weight: Tensor) -> Tensor:
    """Uniform within ``1 / sqrt(width)``, as published."""
    bound = 1.0 / math.sqrt(weight.shape[-1])
    return nn.init.uniform_(weight, -bound, bound)
