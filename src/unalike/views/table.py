"""Views of table rows ``(n, columns, 2)``: a standardised number or a category's code, and is-missing.

A cell is replaced, hidden or moved as a whole, value and flag together, so that no view makes a cell that the
encoder could not meet: a code stays a code, and a missing cell has value 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unalike.errors import InvalidInput, NotFitted
from unalike.seeding import RowGenerator
from unalike.types import View
from unalike.views import checks
from unalike.views.compose import Compose

_POOL = 10_000
_NEIGHBOR_POOL = 1_000


@dataclass(frozen=True, kw_only=True)
class CorruptCells:
    """Replace cells by those of the same column in random training rows (SCARF, Bahri et al., 2022).

    Each cell is replaced with chance `rate`, each from a row of its own: draws from the columns' marginal
    distributions. SCARF replaces the same number of cells in each row; here that number varies.

    Parameters
    ----------
    rate : float
        Chance of each cell.
    pool : Tensor, optional
        ``(m, columns, 2)``, rows to draw from; set by `prepare`.

    Raises
    ------
    InvalidParameter
        When `rate` is not in ``[0, 1]``.
    NotFitted
        When called before `prepare`.
    """

    rate: float = 0.6
    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.probability("rate", self.rate)

    def prepare(self, sample: Tensor) -> CorruptCells:
        """A copy that draws from `sample`, ``(m, columns, 2)`` training rows."""
        return replace(self, pool=_pool(sample))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.cells(data)
        pool = _donors(self.pool, data, "CorruptCells")
        columns = data.shape[1]
        replaced = generator.uniform(columns) < self.rate
        rows = generator.integers(len(pool), columns)
        return torch.where(replaced[:, :, None], pool[rows, torch.arange(columns, device=data.device)], data)


@dataclass(frozen=True)
class MaskCells:
    """Make cells missing: value 0, flag 1.

    Parameters
    ----------
    rate : float
        Chance of each cell.

    Raises
    ------
    InvalidParameter
        When `rate` is not in ``[0, 1]``.
    """

    rate: float = 0.15

    def __post_init__(self) -> None:
        checks.probability("rate", self.rate)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.cells(data)
        hidden = generator.uniform(data.shape[1]) < self.rate
        return torch.where(hidden[:, :, None], data.new_tensor([0.0, 1.0]), data)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add independent normal noise to the observed cells of numeric columns.

    Parameters
    ----------
    scale : float
        Standard deviation; in standard deviations of the column, where the columns are standardised.
    levels : tuple of int
        Number of codes of each column, 0 for a numeric one, as in `Schema`. Empty: all are numeric.

    Raises
    ------
    InvalidParameter
        When `scale` is negative or not finite.
    InvalidInput
        When called on rows with another number of columns than `levels`.
    """

    scale: float = 0.1
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks.amount("scale", self.scale)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.cells(data, self.levels)
        noise = generator.normal(data.shape[1]).to(data) * self.scale
        moved = _numeric(self.levels, data) & (data[..., 1] == 0)
        return torch.stack([torch.where(moved, data[..., 0] + noise, data[..., 0]), data[..., 1]], dim=2)


@dataclass(frozen=True, kw_only=True)
class MixUp:
    """Move each row some of the way to a random training row (after mixup, Zhang et al., 2018).

    A weight between `low` and `high` is drawn per row. A number moves that share of the way. A category, and a
    cell that is missing in one of the two rows, cannot lie between: it is the other row's with that chance.

    Parameters
    ----------
    low, high : float
        Range of the weight of the other row; 0 changes nothing, 1 gives the other row.
    levels : tuple of int
        As in `Noise`.
    pool : Tensor, optional
        ``(m, columns, 2)``, rows to draw from; set by `prepare`.

    Raises
    ------
    InvalidParameter
        When not ``0 <= low <= high <= 1``.
    NotFitted
        When called before `prepare`.
    InvalidInput
        When called on rows with another number of columns than `levels`.
    """

    low: float = 0.0
    high: float = 0.5
    levels: tuple[int, ...] = ()
    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.interval("low, high", (self.low, self.high), 0.0, 1.0)

    def prepare(self, sample: Tensor) -> MixUp:
        """A copy that draws from `sample`, ``(m, columns, 2)`` training rows."""
        return replace(self, pool=_pool(sample))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.cells(data, self.levels)
        pool = _donors(self.pool, data, "MixUp")
        other = pool[generator.integers(len(pool))]
        weight = (self.low + (self.high - self.low) * generator.uniform(1)).to(data)
        taken = generator.uniform(data.shape[1]).to(data) < weight
        between = _numeric(self.levels, data) & (data[..., 1] == 0) & (other[..., 1] == 0)
        mixed = torch.stack([data[..., 0] + weight * (other[..., 0] - data[..., 0]), data[..., 1]], dim=2)
        return torch.where(between[:, :, None], mixed, torch.where(taken[:, :, None], other, data))


@dataclass(frozen=True, kw_only=True)
class NeighborCells:
    """Replace cells by those of a training row that is near.

    For each row one of its `neighbors` nearest pool rows is drawn, and each cell is that row's with chance
    `rate`. Unlike those of `CorruptCells`, all donors of a row belong together and lie near, so that the
    view stays where the data lies, and moves less.

    Rows are near by Euclidean distance in the numbers as they are given, standardised by the modality, a missing
    one being 0; each category and each is-missing flag that differs adds 1 to the square. Copies of the row
    are no neighbours.
    The cost is one distance to each pool row, of which there are at most 1,000, per row and view.

    Parameters
    ----------
    rate : float
        Chance of each cell.
    neighbors : int
        How many rows are near; fewer when the pool is smaller.
    levels : tuple of int
        As in `Noise`.
    pool : Tensor, optional
        ``(m, columns, 2)``, rows to draw from; set by `prepare`.

    Raises
    ------
    InvalidParameter
        When `rate` is not in ``[0, 1]``, or `neighbors` no whole number of 1 or more.
    NotFitted
        When called before `prepare`.
    InvalidInput
        When called on rows with another number of columns than `levels`.
    """

    rate: float = 0.5
    neighbors: int = 5
    levels: tuple[int, ...] = ()
    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.probability("rate", self.rate)
        checks.at_least_one("neighbors", self.neighbors)

    def prepare(self, sample: Tensor) -> NeighborCells:
        """A copy that draws from `sample`, ``(m, columns, 2)`` training rows."""
        return replace(self, pool=_pool(sample, _NEIGHBOR_POOL))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.cells(data, self.levels)
        pool = _donors(self.pool, data, "NeighborCells")
        nearest = _squared_distances(data, pool, _numeric(self.levels, data))  # (n, m)
        # A row has no neighbours but copies when all distances are infinite; it then takes the cells of a copy.
        nearest = nearest.masked_fill(nearest == 0.0, math.inf)
        near = nearest.topk(min(self.neighbors, len(pool)), dim=1, largest=False)  # (n, k)
        known = near.values.isfinite().sum(dim=1).clamp(min=1)  # (n,)
        drawn = generator.integers(2**31, 1)[:, 0] % known
        donor = pool[near.indices.gather(1, drawn[:, None])[:, 0]]  # (n, columns, 2)
        taken = generator.uniform(data.shape[1]) < self.rate
        return torch.where(taken[:, :, None], donor, data)


def standard_table_view(levels: tuple[int, ...]) -> Compose:
    """What table rows are contrasted under by default: SCARF's corruption, and a little noise on numbers.

    Parameters
    ----------
    levels : tuple of int
        As in the modality's schema.
    """
    members: tuple[View, ...] = (CorruptCells(rate=0.3), Noise(scale=0.05, levels=levels))
    return Compose(members)


def _squared_distances(data: Tensor, pool: Tensor, numeric: Tensor) -> Tensor:
    """``(n, m)``, exact per pair: a distance by matrix products would depend on the batch in its last bits."""
    rows, others = data.double(), pool.double()
    exact = "donot_use_mm_for_euclid_dist"
    squared = torch.cdist(rows[:, numeric, 0], others[:, numeric, 0], compute_mode=exact).square()
    codes = torch.cdist(rows[:, ~numeric, 0], others[:, ~numeric, 0], p=0.0)
    flags = torch.cdist(rows[..., 1], others[..., 1], p=0.0)
    return squared + codes + flags


def _pool(sample: Tensor, most: int = _POOL) -> Tensor:
    """At most `most` rows of the sample, evenly spaced, in a copy of their own."""
    checks.cells(sample)
    if len(sample) == 0:
        raise InvalidInput("`sample` must hold at least one row to draw from; got none.")
    count = min(len(sample), most)
    return sample[torch.arange(count, device=sample.device) * len(sample) // count].detach().clone()


def _donors(pool: Tensor | None, data: Tensor, name: str) -> Tensor:
    if pool is None:
        raise NotFitted(
            f"`{name}` must know training rows to draw from; it has none. Call "
            f"view = view.prepare(rows), as `Detector.fit` does, or give pool=."
        )
    if pool.shape[1:] != data.shape[1:]:
        raise InvalidInput(
            f"`data` must have the columns of the rows that `{name}` was prepared with; got "
            f"{data.shape[1]} instead of {pool.shape[1]}. Prepare it with rows of this table."
        )
    return pool.to(data)


def _numeric(levels: tuple[int, ...], data: Tensor) -> Tensor:
    """``(columns,)`` bool."""
    return torch.tensor([level == 0 for level in levels or (0,) * data.shape[1]], device=data.device)
