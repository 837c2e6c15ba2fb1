"""Synthetic defects: a part of an image that does not belong there, and where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives.pairs import make_plain
from unalike.plain import is_number
from unalike.seeding import RowGenerator, derive

Range = tuple[float, float]
SHAPES = ("box", "scar", "blob")
CONTENTS = ("elsewhere", "another", "shade", "noise")
_COARSE = 5
"""Random numbers a side from which a blob grows."""
_POOL_IMAGES = 256
_POOL_VALUES = 2**23
_LEAST_CHANGE = 0.25


@dataclass(frozen=True, kw_only=True)
class SyntheticDefect:
    """Put one defect into every image: a shape filled with what does not belong there.

    It has the form of a view, but makes what is normal no more: the negatives of `DefectContrast`, or a shift of `CSI`.

    Parameters
    ----------
    shapes : tuple of {"box", "scar", "blob"}
        Each image gets one of them, with equal chance: a rectangle along the axes, a thin rectangle at any angle, or
        where smooth noise is highest.
    contents : tuple of {"elsewhere", "another", "shade", "noise"}
        Likewise: pixels of the same image from another place; of another training image from any place (`prepare`
        takes these images); the pixels that are there, darker or brighter; noise about their mean.
    area : (float, float)
        Share of the image that a box or a blob covers, on a log scale; in ``(0, 1]``.
    ratio : (float, float)
        Width to height of a box, on a log scale.
    scar : (float, float)
        Length of a scar as a share of the shorter side; its width is a tenth to a quarter of that, 1 pixel or more.
    strength : (float, float)
        By how many standard deviations of the image a shade is darker or, as often, brighter; and the standard
        deviation of noise in that unit.
    pool : Tensor, optional
        ``(m, channels, height, width)`` images to take pixels from; set by `prepare`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    NotFitted
        Called with ``"another"`` among the contents, before `prepare`.
    InvalidInput
        Called on other images than it was prepared with.

    Notes
    -----
    Where a defect would hardly be seen, because what is there looks the same, it becomes a shade: some pixel moves by
    at least a quarter of the image's standard deviation, of the images of the batch's own scale.

    References
    ----------
    Boxes and scars: Li, Sohn, Yoon and Pfister, "CutPaste: self-supervised learning for anomaly detection and
    localization", CVPR 2021. Blobs of smooth noise with pixels of other images: Zavrtanik, Kristan and Skocaj, "DRAEM",
    ICCV 2021, with Perlin's noise.
    """

    shapes: tuple[str, ...] = SHAPES
    contents: tuple[str, ...] = ("elsewhere", "shade", "noise")
    area: Range = (0.02, 0.15)
    ratio: Range = (0.3, 3.3)
    scar: Range = (0.2, 0.6)
    strength: Range = (0.5, 2.5)
    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, known in (("shapes", SHAPES), ("contents", CONTENTS)):
            object.__setattr__(self, name, _some(name, getattr(self, name), known))
        make_plain(self)
        for name, (least, most) in _RANGES.items():
            object.__setattr__(self, name, _interval(name, getattr(self, name), least, most))

    def prepare(self, sample: Tensor) -> SyntheticDefect:
        """A copy that takes pixels from training images ``(m, channels, height, width)``, at most 256 or 32 MiB."""
        if "another" not in self.contents:
            return self
        _check_images("sample", sample)
        most = min(_POOL_IMAGES, max(1, _POOL_VALUES // math.prod(sample.shape[1:])), len(sample))
        kept = torch.arange(most, device=sample.device) * len(sample) // most
        return replace(self, pool=sample[kept].detach().clone())

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, channels, height, width)``: every image with a defect."""
        return self.spoil(data, generator)[0]

    def spoil(self, data: Tensor, generator: RowGenerator) -> tuple[Tensor, Tensor]:
        """Every image with a defect, and where it is: ``(n, 1, height, width)`` bool, at least one pixel of each."""
        _check_images("data", data)
        kind = generator.integers(len(self.shapes) * len(self.contents))
        # Rows of one kind draw together, and each as much as its kind needs: from streams of the row's own.
        own, other = (RowGenerator(derive(0, "synthetic-defect"), generator.integers(2**62)) for _ in range(2))
        shape, content = kind % len(self.shapes), kind // len(self.shapes)
        where = torch.zeros_like(data[:, :1], dtype=torch.bool)
        for number, name in enumerate(self.shapes):
            rows = (shape == number).nonzero()[:, 0]
            if len(rows):
                where[rows] = self._shape(name, data[rows], own.rows(rows))
        made = data.clone()
        for number, name in enumerate(self.contents):
            rows = (content == number).nonzero()[:, 0]
            if len(rows):
                made[rows] = self._content(name, data[rows], where[rows], other.rows(rows))
        made = torch.where(where, made, data)
        unit = _unit(data)
        weak = ((made - data).abs() / unit).flatten(1).amax(dim=1) < _LEAST_CHANGE
        shaded = torch.where(where, self._content("shade", data, where, other), data)
        return torch.where(_per_image(weak), shaded, made), where

    def _shape(self, name: str, data: Tensor, generator: RowGenerator) -> Tensor:
        draw, size = generator.uniform(5), (data.shape[2], data.shape[3])
        if name == "blob":
            return _blob(draw[:, 0], generator, self.area, size)
        return _box(draw, self.area, self.ratio, size) if name == "box" else _scar(draw, self.scar, size)

    def _content(self, name: str, data: Tensor, where: Tensor, generator: RowGenerator) -> Tensor:
        unit = _unit(data)
        draw = generator.uniform(4).to(data)
        size = _per_image(_between(draw[:, 0], self.strength)) * unit
        if name == "shade":
            return data + size * _per_image(torch.where(draw[:, 1] < 0.5, -1.0, 1.0).to(data))
        if name == "noise":
            mean = (data * where).sum(dim=(2, 3), keepdim=True) / where.sum(dim=(2, 3), keepdim=True)
            return mean + generator.normal(*data.shape[1:]).to(data) * size
        source = data if name == "elsewhere" else self._others(data)[generator.integers(self._others_count())]
        return _moved(source, where, draw[:, 2], draw[:, 3])

    def _others_count(self) -> int:
        return 1 if self.pool is None else len(self.pool)

    def _others(self, data: Tensor) -> Tensor:
        if self.pool is None:
            raise NotFitted(
                "`SyntheticDefect` must know other images for contents='another'; it has none. Call .prepare(images), "
                "or leave it out."
            )
        if self.pool.shape[1:] != data.shape[1:]:
            raise InvalidInput(
                f"`data` must be images of the shape that `SyntheticDefect` was prepared with, "
                f"{tuple(self.pool.shape[1:])}; got {tuple(data.shape[1:])}. Prepare it with images of this kind."
            )
        return self.pool.to(data)


def _box(draw: Tensor, area: Range, ratio: Range, size: tuple[int, int]) -> Tensor:
    share, shape = _on_log_scale(draw[:, 0], area), _on_log_scale(draw[:, 1], ratio)
    cells = share * size[0] * size[1]
    height = (cells / shape).sqrt().round().clamp(1, size[0])
    width = (cells * shape).sqrt().round().clamp(1, size[1])
    top = (draw[:, 2] * (size[0] - height + 1)).floor()
    left = (draw[:, 3] * (size[1] - width + 1)).floor()
    return _boxes(top, left, height, width, size)


def _scar(draw: Tensor, length: Range, size: tuple[int, int]) -> Tensor:
    long = (_between(draw[:, 0], length) * min(size)).clamp(min=1.0)
    thick = (long * _between(draw[:, 1], (0.1, 0.25))).clamp(min=1.0)
    angle = draw[:, 2] * math.pi
    # The middle is on a pixel, which is then covered at any angle.
    down = torch.arange(size[0], device=draw.device) - (draw[:, 3:4] * size[0]).floor()
    right = torch.arange(size[1], device=draw.device) - (draw[:, 4:5] * size[1]).floor()
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along = cosine * right[:, None, :] + sine * down[:, :, None]
    across = cosine * down[:, :, None] - sine * right[:, None, :]
    inside = (along.abs() <= long[:, None, None] / 2) & (across.abs() <= thick[:, None, None] / 2)
    return inside[:, None]


def _blob(draw: Tensor, generator: RowGenerator, area: Range, size: tuple[int, int]) -> Tensor:
    """Where smooth noise is among its highest, so many pixels that the area is as drawn."""
    coarse = generator.normal(1, _COARSE, _COARSE)
    field = interpolate(coarse, size, mode="bilinear", align_corners=True).flatten(1)
    count = (_on_log_scale(draw, area) * field.shape[1]).round().clamp(min=1).long()
    least = field.sort(dim=1, descending=True).values.gather(1, count[:, None] - 1)
    return (field >= least).view(-1, 1, *size)


def _moved(source: Tensor, where: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """What the images show elsewhere, such that it fills the shape: each image rolled, as far as the shape is large."""
    rows, columns = source.shape[-2:]
    top, height = _extent(where.flatten(1, 2).any(dim=2))
    left, width = _extent(where.flatten(1, 2).any(dim=1))
    from_row = (down.to(torch.float64) * (rows - height + 1)).long().clamp(max=rows - 1)
    from_column = (right.to(torch.float64) * (columns - width + 1)).long().clamp(max=columns - 1)
    row = (torch.arange(rows, device=source.device) + (from_row - top)[:, None]) % rows  # (n, rows)
    column = (torch.arange(columns, device=source.device) + (from_column - left)[:, None]) % columns
    each = torch.arange(len(source), device=source.device)[:, None, None]
    return source[each, :, row[:, :, None], column[:, None, :]].movedim(-1, 1)


def _extent(used: Tensor) -> tuple[Tensor, Tensor]:
    """The first of the used positions ``(n, length)`` and how far they reach, ``(n,)`` each."""
    first = used.to(torch.uint8).argmax(dim=1)
    last = used.shape[1] - 1 - used.flip(1).to(torch.uint8).argmax(dim=1)
    return first, last - first + 1


def _unit(data: Tensor) -> Tensor:
    """``(n, 1, 1, 1)``: the standard deviation of each image, or of a flat one that of its size; above 0."""
    deviation = data.std(dim=(1, 2, 3), keepdim=True, correction=0)
    size = data.abs().amax(dim=(1, 2, 3), keepdim=True)
    deviation = torch.where(deviation > 1e-4 * size, deviation, 0.25 * size)
    return torch.where(deviation > 0.0, deviation, 1.0)


def _on_log_scale(unit: Tensor, ends: Range) -> Tensor:
    return _between(unit, (math.log(ends[0]), math.log(ends[1]))).exp()


def _boxes(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: tuple[int, int]) -> Tensor:
    """``(n, 1, *size)`` bool: True inside each image's box of whole pixels."""
    down = torch.arange(size[0], device=top.device)
    right = torch.arange(size[1], device=top.device)
    inside_rows = (down >= top[:, None]) & (down < (top + height)[:, None])
    inside_columns = (right >= left[:, None]) & (right < (left + width)[:, None])
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _between(unit: Tensor, ends: Range) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * unit


def _some(name: str, value: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list)) or not value or not set(value) <= set(known):
        raise InvalidParameter(f"`{name}` must be some of {known}; got {value!r}. Leave it out for the default.")
    return tuple(value)


_RANGES = {"area": (1e-4, 1.0), "ratio": (1e-2, 1e2), "scar": (1e-2, 1.0), "strength": (1e-3, math.inf)}


def _interval(name: str, value: Any, least: float, most: float) -> Range:
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    if not pair or not least <= value[0] <= value[1] <= most or not math.isfinite(value[1]):
        raise InvalidParameter(
            f"`{name}` must be two numbers in rising order, from {least:g} to {most:g}; got {value!r}. "
            "Give the same number twice to fix it."
        )
    return float(value[0]), float(value[1])


def _check_images(name: str, data: Tensor) -> None:
    if data.ndim != 4 or 0 in data.shape[1:] or not data.is_floating_point():
        raise InvalidInput(
            f"`{name}` must be images, (n, channels, height, width), in floating point; got shape "
            f"{tuple(data.shape)} of {data.dtype}. Defects are put into images only."
        )
