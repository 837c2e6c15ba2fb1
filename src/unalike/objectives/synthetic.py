"""Real rows of a table against synthetic ones.

Noise-contrastive estimation (Gutmann and Hyvarinen, "Noise-contrastive estimation: a new estimation
principle for unnormalized statistical models", AISTATS 2010): a linear logit on the embedding tells
training rows from three kinds of noise, and the embedding learns where the training rows lie. The noise
and its settings are those of the project's table prototype: none of the three kinds was as good alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives.cells import check_cells
from unalike.objectives.head import embedding_width
from unalike.objectives.pairs import full_precision, make_plain
from unalike.seeding import RowGenerator, derive
from unalike.types import Batch, View

_POOL_ROWS = 10_000
_NEIGHBOR_ROWS = 2_000
_NARROWEST_BOX = 0.1
"""Of the column's standard deviation: a nearly constant column still gets a box to draw from."""


@dataclass(frozen=True, kw_only=True)
class SyntheticContrast:
    """Settings of the contrast of real rows with synthetic negatives, for tables.

    Every real row meets three negatives of equal weight:

    - *shuffle*: each cell is, with a probability drawn per row, that of a random training row;
    - *shell*: the row plus noise in a random direction (for half of the rows in a random subset of the
      columns), `shell_radii` times the usual distance between neighbours long; the length is
      log-uniform. A category is, with probability `code_swap`, that of a random training row;
    - *box*: uniform in the training data's range, widened; a category is uniform over those seen.

    A missing cell stays missing and keeps its value, except that shuffle brings cell and flag together.

    Parameters
    ----------
    levels : tuple of int
        For each column the number of codes, 0 for a numeric column, as `Schema.levels`. Empty: all
        columns are numeric.
    shuffle_share : tuple of float
        Range from which shuffle draws a row's probability, in ``(0, 1]``.
    shell_radii : tuple of float
        Shortest and longest noise, in units of the distance between neighbours, above 0.
    box_margin : float
        How far the box reaches past the data on each side, as a share of its width.
    code_swap : float
        Probability in ``[0, 1]``.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    levels: tuple[int, ...] = ()
    shuffle_share: tuple[float, float] = (0.1, 1.0)
    shell_radii: tuple[float, float] = (0.7, 10.0)
    box_margin: float = 0.3
    code_swap: float = 0.1

    def __post_init__(self) -> None:
        make_plain(self)
        if any(level < 0 for level in self.levels):
            raise InvalidParameter(f"`levels` must be 0 (numeric) or a number of codes; got {self.levels}.")
        _check_range("shuffle_share", self.shuffle_share, 1.0)
        _check_range("shell_radii", self.shell_radii, math.inf)
        if not 0.0 <= self.box_margin < math.inf:
            raise InvalidParameter(f"`box_margin` must be 0 or more; got {self.box_margin}. Try 0.3.")
        if not 0.0 <= self.code_swap <= 1.0:
            raise InvalidParameter(f"`code_swap` must be between 0 and 1; got {self.code_swap}. Try 0.1.")

    def build(self, encoder: nn.Module) -> SyntheticContrastObjective:
        """Put `encoder` under a linear logit, whose weights torch's generator draws."""
        return SyntheticContrastObjective(encoder, nn.Linear(embedding_width(encoder), 1), self)


class SyntheticContrastObjective(nn.Module):
    """The contrast with its network: `encoder`, then `logit`; higher logit = more like a training row.

    The logit is no anomaly score: past the range of the training data it extrapolates wrongly. Score
    the embedding with neighbours.

    Parameters
    ----------
    encoder : Module
        ``(n, columns, 2) -> (n, width)``.
    logit : Linear
        ``(n, width) -> (n, 1)``.
    settings : SyntheticContrast
        How negatives are drawn.
    """

    kinds = ("shuffle", "shell", "box")
    """Names of the equal parts of what `negatives` gives."""

    pool: Tensor
    numeric: Tensor
    low: Tensor
    high: Tensor
    step: Tensor
    codes: Tensor
    code_counts: Tensor

    def __init__(self, encoder: nn.Module, logit: nn.Linear, settings: SyntheticContrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit = logit
        self.settings = settings
        # Training data does not belong into a saved model, hence persistent=False.
        for name in ("pool", "numeric", "low", "high", "step", "codes", "code_counts"):
            self.register_buffer(name, None, persistent=False)

    def prepare(self, sample: Tensor) -> None:
        """Learn ranges, the distance between neighbours and a pool of rows from training data.

        Parameters
        ----------
        sample : Tensor
            ``(m, columns, 2)``: value or code, and is-missing. At most 10,000 rows are kept and at most
            2,000 are compared; the subset is the same for every seed.

        Raises
        ------
        InvalidInput
            `sample` is not such a tensor, or has another number of columns than `levels`.
        """
        check_cells(sample, self.settings.levels)
        table = sample.detach().to("cpu", torch.float64)
        numeric = torch.tensor([level == 0 for level in self.settings.levels or (0,) * table.shape[1]])
        present = table[..., 1] == 0  # (m, columns)
        center, scale = _moments(table[..., 0], present)  # (columns,) each
        values = torch.where(present, table[..., 0], center)  # (m, columns)
        low, high = _box(values, scale, self.settings.box_margin)
        order = RowGenerator(derive(0, "synthetic-contrast"), torch.arange(len(table))).uniform().argsort()
        standard = ((values - center) / scale)[order[:_NEIGHBOR_ROWS]][:, numeric]
        step = scale * _neighbor_distance(standard)
        codes, code_counts = _seen_codes(table[..., 0], present & ~numeric)
        device, dtype = self.logit.weight.device, sample.dtype
        self.pool = sample.detach()[order[:_POOL_ROWS].to(sample.device)].to(device, dtype)
        self.low, self.high, self.step, self.codes = (part.to(device, dtype) for part in (low, high, step, codes))
        self.numeric, self.code_counts = numeric.to(device), code_counts.to(device)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss: mean softplus(-logit) of the real rows plus mean softplus(logit) of the negatives.

        Labelled anomalies join the negatives, with the weight of one synthetic row each; no synthetic rows are
        made of them. `views` is not used: what is contrasted are real and synthetic rows, not two views of one row.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        data, anomalies = batch.data, batch.data[:0]
        if batch.label is not None:
            normal = batch.label == 0
            data, anomalies, generator = data[normal], data[~normal], generator.rows(normal)
        rows = torch.cat((data, self.negatives(data, generator), anomalies))  # (4n + a, columns, 2)
        logits = self.logit(self.encoder(rows)).squeeze(1)  # (4n + a,)
        logits = full_precision(logits)
        real, negative = torch.split(logits, [len(data), len(rows) - len(data)])
        return functional.softplus(-real).mean() + functional.softplus(negative).mean()

    def negatives(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(3n, columns, 2)``: the shuffle, shell and box negatives of the rows ``(n, columns, 2)``.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        if self.pool is None:
            raise NotFitted("`prepare(sample)` must be called before the first batch; call it with the training rows.")
        kinds = (self._shuffle(data, generator), self._shell(data, generator), self._box(data, generator))
        return torch.cat([kind.to(data.dtype) for kind in kinds])

    def _shuffle(self, data: Tensor, generator: RowGenerator) -> Tensor:
        low, high = self.settings.shuffle_share
        share = generator.uniform(1, low=low, high=high)  # (n, 1)
        replaced = generator.uniform(data.shape[1]) < share  # (n, columns)
        return torch.where(replaced[..., None], self._donors(data, generator), data)

    def _shell(self, data: Tensor, generator: RowGenerator) -> Tensor:
        columns = data.shape[1]
        known = data[..., 1] == 0  # (n, columns)
        movable = known & self.numeric
        whole, share = generator.uniform(2).chunk(2, dim=1)  # (n, 1) each
        share = share.masked_fill(whole < 0.5, 1.0)  # half of the rows move in all their columns
        moved = _chosen(generator.uniform(columns), share, movable)  # (n, columns)
        direction = functional.normalize(generator.normal(columns) * moved, dim=1)  # (n, columns), unit rows
        short, long = (math.log(radius) for radius in self.settings.shell_radii)
        radius = generator.uniform(1, low=short, high=long).exp()  # (n, 1)
        noisy = data[..., 0] + direction * radius * self.step  # (n, columns)
        donors = self._donors(data, generator)
        draw = generator.uniform(columns)
        swappable = known & ~self.numeric & (donors[..., 1] == 0)
        swapped = swappable & (draw < self.settings.code_swap)
        # A row without numeric cells gets at least one swap, or its negative would be the row itself.
        swapped |= _chosen(draw, 0.0, swappable) & ~movable.any(dim=1, keepdim=True)
        return _with_values(data, torch.where(swapped, donors[..., 0], noisy))

    def _box(self, data: Tensor, generator: RowGenerator) -> Tensor:
        draw = generator.uniform(data.shape[1])  # (n, columns)
        number = self.low + draw * (self.high - self.low)
        position = (draw * self.code_counts).long()  # (n, columns)
        code = self.codes[torch.arange(data.shape[1], device=data.device), position]  # (n, columns)
        drawn = torch.where(self.numeric, number, code)
        known = (data[..., 1] == 0) & (self.numeric | (self.code_counts > 0))
        return _with_values(data, torch.where(known, drawn, data[..., 0]))

    def _donors(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, columns, 2)``: each cell from a random training row of its own."""
        columns = data.shape[1]
        row = generator.integers(len(self.pool), columns)  # (n, columns)
        return self.pool[row, torch.arange(columns, device=row.device)].to(data.dtype)


def _chosen(draw: Tensor, share: Tensor | float, eligible: Tensor) -> Tensor:
    """Which eligible cells ``(n, columns)`` have a draw below `share`; where there are any, at least one."""
    least = draw.masked_fill(~eligible, math.inf).amin(dim=1, keepdim=True)  # (n, 1)
    return eligible & ((draw < share) | (draw == least))


def _with_values(data: Tensor, values: Tensor) -> Tensor:
    return torch.stack((values.to(data.dtype), data[..., 1]), dim=-1)


def _moments(values: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(columns,)`` of the present cells; 0 and 1 where there is nothing to measure."""
    count = present.sum(dim=0).clamp_min(1)
    center = values.where(present, 0.0).sum(dim=0) / count
    variance = (values - center).where(present, 0.0).square().sum(dim=0) / count
    scale = variance.sqrt()
    # A constant column's deviation is rounding noise, as in scikit-learn's StandardScaler.
    constant = scale <= 10.0 * torch.finfo(torch.float32).eps * center.abs()
    return center, scale.where(~constant, 1.0)


def _box(values: Tensor, scale: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    low, high = values.amin(dim=0), values.amax(dim=0)
    width = (high - low).maximum(_NARROWEST_BOX * scale)
    return low - margin * width, high + margin * width


def _neighbor_distance(standard: Tensor) -> float:
    """The usual distance of neighbours among standardised rows ``(m, columns)``.

    The largest of the median distance to the nearest row, 0.3 of that to the fifth nearest (the nearest
    may be a copy) and 0.02 sqrt(columns) (all may be copies).
    """
    floor = 0.02 * math.sqrt(standard.shape[1])
    if len(standard) < 2:
        return floor
    distances = torch.cdist(standard, standard).fill_diagonal_(math.inf)
    nearest = distances.topk(min(5, len(standard) - 1), largest=False).values  # (m, 5)
    return max(float(nearest[:, 0].median()), 0.3 * float(nearest[:, -1].median()), floor)


def _seen_codes(values: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct codes of each column ``(columns, most)``, padded with 0, and their number ``(columns,)``."""
    seen = [column[chosen].unique() for column, chosen in zip(values.T, counted.T, strict=True)]
    counts = torch.tensor([len(codes) for codes in seen])
    codes = torch.zeros(len(seen), max(int(counts.max()), 1), dtype=values.dtype)
    for column, known in enumerate(seen):
        codes[column, : len(known)] = known
    return codes, counts


def _check_range(name: str, ends: tuple[float, float], largest: float) -> None:
    if len(ends) != 2 or not (0.0 < ends[0] <= ends[1] <= largest and ends[1] < math.inf):
        above = "" if largest == math.inf else f" and at most {largest:g}"
        raise InvalidParameter(f"`{name}` must be two numbers in rising order, above 0{above}; got {ends}.")
