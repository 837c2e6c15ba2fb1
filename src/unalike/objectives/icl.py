"""Internal contrastive learning: a part of a row belongs to the rest of the same row."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives.cells import check_cells
from unalike.objectives.head import embedding_width
from unalike.objectives.losses import check_temperature
from unalike.objectives.pairs import make_plain
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch, View

_CODE_WIDTH = 8
_MOST_CELLS = 2**22
"""Cells that `ICLObjective.score` spreads out at a time; memory does not grow with the rows."""


@dataclass(frozen=True, kw_only=True)
class ICL:
    """Settings of internal contrastive learning, for tables.

    A row is cut into windows of `window` neighbouring columns, one at each position. One small network sees a window,
    another the row's other columns in their order; neither is told the position. For each rest of the row its own
    window must be found among all windows *of the same row* (InfoNCE). In normal rows a window depends on the rest;
    where it does not, the loss is high, and the mean loss over the positions is the method's own score
    (`ICLObjective.score`, in a detector ``scorer="objective"``).

    The encoder learns beside the two: of each row one window is drawn, and from the row in which its cells are missing
    the embedding must find it as well. The gradient of that stops at the windows, so that the score is the paper's.

    Parameters
    ----------
    window : int, optional
        Columns of a window, 1 or more and below the number of columns. None: the paper's rule, 2 up to 40 columns, 10
        up to 160, else the number of columns less 150; 1 where there are only two columns.
    most_windows : int
        At most so many positions, 2 or more, evenly spread; the paper takes all. Time grows with their number.
    temperature : float
        Divides the cosines, above 0.
    hidden : tuple of int
        Widths of the hidden layers of both networks.
    width : int
        Of the vectors that are compared.
    levels : tuple of int
        For each column the number of codes, 0 for a numeric column, as `Schema.levels`. Empty: as the encoder's
        attribute `levels` says; where it has none, all columns are numeric.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    Both networks see a cell as its value, a flag for a missing one (whose value is 0) and, where the table has
    categories, a learned vector. That vector is of the category's rank by frequency and the same for all columns: a
    vector of the column's own would tell the position, and then matching needs no content.

    References
    ----------
    Shenkar and Wolf, "Anomaly detection for tabular data with internal contrastive learning", ICLR 2022. Labelled
    anomalies, which must *not* find their windows: Qiu et al., "Latent outlier exposure for anomaly detection with
    contaminated data", ICML 2022.
    """

    window: int | None = None
    most_windows: int = 50
    temperature: float = 0.01
    hidden: tuple[int, ...] = (100, 50)
    width: int = 128
    levels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("hidden", "levels"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise InvalidParameter(f"`{name}` must be a tuple of whole numbers; got {getattr(self, name)!r}.")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_temperature(self.temperature)
        whole = {"window": (self.window, 1), "most_windows": (self.most_windows, 2), "width": (self.width, 1)}
        for name, (value, least) in {**whole, **{f"hidden[{i}]": (w, 1) for i, w in enumerate(self.hidden)}}.items():
            optional = name == "window" and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise InvalidParameter(f"`{name}` must be a whole number of {least} or more; got {value!r}.")
        if any(level < 0 for level in self.levels):
            raise InvalidParameter(f"`levels` must be 0 (numeric) or a number of codes; got {self.levels}.")

    def build(self, encoder: nn.Module) -> ICLObjective:
        """Put the encoder beside networks that `ICLObjective.prepare` makes; torch's generator draws their seed."""
        head = nn.Linear(embedding_width(encoder), self.width)
        return ICLObjective(encoder, head, self, seed=int(torch.randint(2**31 - 1, ())))


class ICLObjective(nn.Module):
    """Internal contrastive learning with its networks.

    Parameters
    ----------
    encoder, head : Module
        ``(n, columns, 2) -> (n, width)`` and ``(n, width) -> (n, settings.width)``.
    settings : ICL
        Windows and loss.
    seed : int
        Of the networks that `prepare` makes, whose sizes depend on the number of columns.

    Attributes
    ----------
    rest, window : Sequential or None
        The network of what is left of a row, and that of a window; None before `prepare`.
    codes : Embedding or None
        ``(most levels, 8)``, the vectors of categories; None without categories.
    """

    inside: Tensor
    outside: Tensor
    ranks: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Linear, settings: ICL, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings
        self.seed = seed
        self.levels: tuple[int, ...] = settings.levels or tuple(getattr(encoder, "levels", ()))
        self.rest: nn.Sequential | None = None
        self.window: nn.Sequential | None = None
        self.codes: nn.Embedding | None = None
        self.register_buffer("inside", None, persistent=False)
        self.register_buffer("outside", None, persistent=False)
        self.register_buffer("ranks", None)

    def prepare(self, sample: Tensor) -> None:
        """Lay the windows, rank the categories and make the two networks.

        Parameters
        ----------
        sample : Tensor
            ``(m, columns, 2)``: value or code, and is-missing.

        Raises
        ------
        InvalidInput
            `sample` is not such a tensor, has fewer than two columns, or another number of them than `levels`.
        InvalidParameter
            `window` leaves nothing of the row.
        """
        check_cells(sample, self.levels, several=True)
        columns, settings = sample.shape[1], self.settings
        window = _window(columns, settings.window)
        device, dtype = self.head.weight.device, self.head.weight.dtype
        starts = _starts(columns - window + 1, settings.most_windows)  # (windows,)
        inside = starts[:, None] + torch.arange(window)  # (windows, window)
        self.inside, self.outside = inside.to(device), _others(inside, columns).to(device)
        self.ranks = _ranks(sample.detach(), self.levels or (0,) * columns).to(device)
        width = 2 + (_CODE_WIDTH if any(self.levels) else 0)
        with isolated(self.seed):
            rest = _perceptron((columns - window) * width, settings)
            seen = _perceptron(window * width, settings)
            codes = nn.Embedding(self.ranks.shape[1], _CODE_WIDTH) if any(self.levels) else None
        self.rest, self.window = rest.to(device, dtype), seen.to(device, dtype)
        self.codes = None if codes is None else codes.to(device, dtype)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar: mean loss of the paper's two networks over rows and positions, plus that of the encoder over rows.

        A labelled anomaly pays minus the logarithm of the probability of *not* finding the window. `views` are not
        used: what belongs together are parts of one row.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        cells = self._cells(batch.data)  # (n, columns, width)
        windows = self._windows(cells)  # (n, windows, d)
        anomalous = None if batch.label is None else batch.label != 0
        chosen = generator.integers(windows.shape[1])  # (n,)
        own = _paid(self._rests(cells), windows, None, self.settings.temperature, anomalous)
        embedded = self._embedded(batch.data, chosen)[:, None]  # (n, 1, d)
        return own + _paid(embedded, windows.detach(), chosen, self.settings.temperature, anomalous)

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """``(n,)``: mean loss over the positions, by the paper's two networks; higher = more anomalous.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        _prepared(self.rest)
        rows = max(1, _MOST_CELLS // self.outside.numel())
        return torch.cat([self._losses(part).mean(dim=1) for part in torch.split(batch.data, rows)])

    def _losses(self, data: Tensor) -> Tensor:
        """``(n, windows)``: of finding each window."""
        cells = self._cells(data)
        logits = _logits(self._rests(cells), self._windows(cells), self.settings.temperature)
        return -functional.log_softmax(logits, dim=2).diagonal(dim1=1, dim2=2)

    def _cells(self, data: Tensor) -> Tensor:
        _prepared(self.rest)
        missing = data[..., 1] > 0.5  # (n, columns)
        values = data[..., 0].masked_fill(missing, 0.0)
        if self.codes is None:
            return torch.stack((values, missing.to(values.dtype)), dim=-1)
        levels = torch.tensor(self.levels, device=data.device)  # (columns,)
        code = values.masked_fill((values < 0) | (values >= levels), 0.0).long()  # (n, columns)
        rank = self.ranks.T.gather(0, code)  # (n, columns)
        categorical = levels > 0
        vectors = self.codes(rank) * (categorical & ~missing)[..., None]  # (n, columns, code width)
        numbers = torch.stack((values.masked_fill(categorical, 0.0), missing.to(values.dtype)), dim=-1)
        return torch.cat((numbers, vectors.to(numbers.dtype)), dim=-1)

    def _windows(self, cells: Tensor) -> Tensor:
        vectors: Tensor = _prepared(self.window)(cells[:, self.inside].flatten(2))
        return vectors

    def _rests(self, cells: Tensor) -> Tensor:
        vectors: Tensor = _prepared(self.rest)(cells[:, self.outside].flatten(2))
        return vectors

    def _embedded(self, data: Tensor, chosen: Tensor) -> Tensor:
        """``(n, d)``: by the encoder, from rows in which the cells of the `chosen` ``(n,)`` window are missing."""
        hidden = torch.zeros(data.shape[:2], dtype=torch.bool, device=data.device)
        hidden = hidden.scatter(1, self.inside[chosen], True)  # (n, columns)
        gone = torch.tensor([0.0, 1.0], dtype=data.dtype, device=data.device)
        vectors: Tensor = self.head(self.encoder(torch.where(hidden[..., None], gone, data)))
        return vectors


def _prepared(network: nn.Sequential | None) -> nn.Sequential:
    if network is None:
        raise NotFitted("`prepare(sample)` must be called before the first batch; call it with the training rows.")
    return network


def _logits(queries: Tensor, windows: Tensor, temperature: float) -> Tensor:
    """``(n, q, windows)``: how well each query ``(n, q, d)`` fits each window ``(n, windows, d)`` of its row."""
    # Half precision would be off by several hundredths after the division by the temperature.
    with torch.autocast(queries.device.type, enabled=False):
        kind = torch.promote_types(queries.dtype, torch.float32)
        left, right = (functional.normalize(rows.to(kind), dim=2) for rows in (queries, windows))
        return left @ right.transpose(1, 2) / temperature


def _paid(
    queries: Tensor, windows: Tensor, chosen: Tensor | None, temperature: float, anomalous: Tensor | None
) -> Tensor:
    """Mean cost of finding the window of each query, which is `chosen` ``(n,)`` of one and the q-th of all."""
    logits = _logits(queries, windows, temperature)
    place = torch.arange(logits.shape[2], device=logits.device).expand(len(logits), -1)
    place = (place if chosen is None else chosen[:, None])[..., None]  # (n, q, 1)
    total = logits.logsumexp(dim=2)  # (n, q)
    cost = (total - logits.gather(2, place)[..., 0]).mean(dim=1)  # (n,)
    if anomalous is not None:
        wrong = logits.scatter(2, place, -torch.inf).logsumexp(dim=2)
        cost = torch.where(anomalous, (total - wrong).mean(dim=1), cost)
    return cost.mean()


def _window(columns: int, window: int | None) -> int:
    if window is not None:
        if window >= columns:
            raise InvalidParameter(
                f"`window` must leave something of the row, which has {columns} columns; got {window}. Try 1 or 2."
            )
        return window
    rule = 2 if columns <= 40 else 10 if columns <= 160 else columns - 150
    return min(rule, columns - 1)


def _starts(positions: int, most: int) -> Tensor:
    """``(min(positions, most),)`` int64, evenly spread, the first and the last among them."""
    if positions <= most:
        return torch.arange(positions)
    return torch.linspace(0, positions - 1, most, dtype=torch.float64).round().long()


def _others(inside: Tensor, columns: int) -> Tensor:
    """``(windows, columns - window)``: the columns that are not in a window, in order."""
    outside = torch.ones(len(inside), columns, dtype=torch.bool).scatter(1, inside, False)
    return outside.nonzero()[:, 1].view(len(inside), -1)


def _ranks(sample: Tensor, levels: tuple[int, ...]) -> Tensor:
    """``(columns, most levels)`` int64: rank of each code by its frequency in its column, 0 = the most frequent."""
    ranks = torch.zeros(len(levels), max(1, *levels), dtype=torch.int64)
    for column, level in enumerate(levels):
        if level:
            seen = sample[:, column, 0][sample[:, column, 1] <= 0.5].long().cpu()
            counts = seen[(seen >= 0) & (seen < level)].bincount(minlength=level)
            ranks[column, counts.argsort(descending=True, stable=True)] = torch.arange(level)
    return ranks


def _perceptron(inputs: int, settings: ICL) -> nn.Sequential:
    widths = (inputs, *settings.hidden)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], settings.width))
