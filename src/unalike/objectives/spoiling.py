"""Images made unlike normal ones, in part or as a whole: the negatives of `SpoiledContrast`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.defects import SyntheticDefect
from unalike.objectives.pairs import make_plain
from unalike.seeding import RowGenerator, derive
from unalike.symmetry import LEAST_CHANGE, change_by

SPOILED = ("turned", "defect", "halves", "warped", "stretched", "shaded")
_COMPARED = 512


@dataclass(frozen=True, kw_only=True)
class SpoilImage:
    """Spoil every image in one of several ways, drawn with equal chance.

    It has the form of a view, and `prepare` lets it know training images.

    Parameters
    ----------
    kinds : tuple of str
        Some of ``"turned"`` (by 90, 180 or 270 degrees; those turns only that change the data, see `CSI.least_change`,
        and of images that are not square only by 180), ``"defect"`` (a `SyntheticDefect`), ``"halves"`` (a large part,
        along a smooth line, is of another training image), ``"warped"`` (pulled about smoothly), ``"stretched"`` (by
        1.3 to 1.9 or so much smaller, each axis for itself; the border is repeated) and ``"shaded"`` (times a smooth
        pattern).
    defect : SyntheticDefect
        Of the kind ``"defect"``.
    turns : tuple of int
        Quarters of a turn that are used; set by `prepare`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    NotFitted
        Called before `prepare`.
    """

    kinds: tuple[str, ...] = SPOILED
    defect: SyntheticDefect = field(
        default_factory=lambda: SyntheticDefect(
            contents=("elsewhere", "another", "shade", "noise"), area=(0.03, 0.3), scar=(0.3, 0.9)
        )
    )
    turns: tuple[int, ...] = field(default=(1, 2, 3), repr=False, compare=False)

    def __post_init__(self) -> None:
        make_plain(self)
        kinds = tuple(self.kinds) if isinstance(self.kinds, (tuple, list)) else ()
        if not kinds or not set(kinds) <= set(SPOILED):
            raise InvalidParameter(f"`kinds` must be some of {SPOILED}; got {self.kinds!r}. Leave it out for all.")
        object.__setattr__(self, "kinds", kinds)
        if not isinstance(self.defect, SyntheticDefect):
            raise InvalidParameter(f"`defect` must be SyntheticDefect(...); got {self.defect!r}.")

    def prepare(self, sample: Tensor) -> SpoilImage:
        """A copy that takes pixels from training images ``(m, channels, height, width)`` and makes telling turns only.

        Fewer than 16 different images cannot tell: all turns that fit are kept.
        """
        fitting = (1, 2, 3) if sample.shape[2] == sample.shape[3] else (2,)
        some = sample.detach()[:: max(1, len(sample) // _COMPARED)][:_COMPARED]
        changes = {turn: change_by(some, torch.rot90(some, turn, (2, 3))) for turn in fitting}
        turns = tuple(turn for turn, change in changes.items() if math.isnan(change) or change >= LEAST_CHANGE)
        pool = replace(self.defect, contents=("another",)).prepare(sample).pool
        return replace(self, defect=replace(self.defect, pool=pool), turns=turns)

    @property
    def used(self) -> tuple[str, ...]:
        """The kinds that are drawn: without ``"turned"`` where no turn changes the data, unless it is the only one."""
        kinds = tuple(kind for kind in self.kinds if kind != "turned" or self.turns)
        return kinds or ("warped",)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, channels, height, width)``: every image spoiled."""
        kind = generator.integers(len(self.used))
        # Rows of one kind draw together, and each as much as its kind needs: from a stream of the row's own.
        own = RowGenerator(derive(0, "spoil-image"), generator.integers(2**62))
        made = data.clone()
        for number, name in enumerate(self.used):
            rows = (kind == number).nonzero()[:, 0]
            if len(rows):
                made[rows] = self._made(name, data[rows], own.rows(rows)).to(data.dtype)
        return made

    def _made(self, name: str, data: Tensor, generator: RowGenerator) -> Tensor:
        if name == "turned":
            return self._turned(data, generator)
        if name == "defect":
            return self.defect(data, generator)
        if name == "halves":
            halves = replace(self.defect, shapes=("blob",), contents=("another",), area=(0.3, 0.7))
            return halves(data, generator)
        if name == "warped":
            return _warped(data, generator)
        return _stretched(data, generator) if name == "stretched" else _shaded(data, generator)

    def _turned(self, data: Tensor, generator: RowGenerator) -> Tensor:
        turn = torch.tensor(self.turns, device=data.device)[generator.integers(len(self.turns))]
        made = data.clone()
        for quarters in self.turns:
            rows = (turn == quarters).nonzero()[:, 0]
            if len(rows):
                made[rows] = torch.rot90(data[rows], quarters, (2, 3))
        return made


def _warped(data: Tensor, generator: RowGenerator) -> Tensor:
    size = (int(data.shape[2]), int(data.shape[3]))
    moved = 0.35 * _smooth(generator, 4, size, 2).to(data)
    return _sampled(data, _identity(data) + moved.movedim(1, -1))


def _stretched(data: Tensor, generator: RowGenerator) -> Tensor:
    draw = generator.uniform(4).to(data)
    factor = 1.3 + 0.6 * draw[:, :2]
    factor = torch.where(draw[:, 2:] < 0.5, factor, 1.0 / factor)  # (n, 2)
    return _sampled(data, _identity(data) * factor[:, None, None])


def _shaded(data: Tensor, generator: RowGenerator) -> Tensor:
    size = (int(data.shape[2]), int(data.shape[3]))
    return data * (1.0 + 0.8 * _smooth(generator, 8, size, 1).to(data))


def _smooth(generator: RowGenerator, coarse: int, size: tuple[int, int], count: int) -> Tensor:
    """``(n, count, *size)`` from so many normal numbers a side."""
    return functional.interpolate(generator.normal(count, coarse, coarse), size, mode="bilinear", align_corners=False)


def _identity(data: Tensor) -> Tensor:
    """``(1, height, width, 2)``: where each pixel is, -1 to 1, across and down."""
    down, right = (
        (torch.arange(side, device=data.device, dtype=data.dtype) * 2 + 1) / side - 1 for side in data.shape[2:]
    )
    return torch.stack(torch.meshgrid(right, down, indexing="xy"), dim=-1)[None]


def _sampled(data: Tensor, grid: Tensor) -> Tensor:
    with torch.autocast(data.device.type, enabled=False):
        return functional.grid_sample(data, grid, mode="bilinear", padding_mode="border", align_corners=False)
