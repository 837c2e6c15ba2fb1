"""Views that move pixels: crop, flip, rotate, shift."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator
from unalike.symmetry import is_symmetric
from unalike.views import checks
from unalike.views.image import pixels


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Crop, flip, rotate and shift in one bilinear sampling; by default it changes nothing.

    The window that a view shows is the whole image, or a crop of random size, shape and place, turned
    about its centre, shifted and mirrored, and is scaled to the size of the result. The crop is that of
    Inception (Szegedy et al., "Going deeper with convolutions", 2015), as in torchvision, but its place is
    not rounded to whole pixels, and its area is kept where its shape would not fit: the shape gives way.

    Parameters
    ----------
    scale : (float, float)
        Area of the crop as a share of the image, between 0 (not included) and 1.
    ratio : (float, float)
        How much wider than the result's own shape the crop is, drawn on a log scale; 1 keeps proportions.
    horizontal_flip, vertical_flip : float
        Chance to mirror left and right, or top and bottom.
    degrees : float or (float, float)
        Rotation counter-clockwise: up to this many degrees either way, or between two numbers.
    translate : float
        Largest shift along each axis, as a share of height and width.
    p : float
        Chance that a sample is cropped, rotated and shifted at all. Flips have their own.
    size : int or (int, int), optional
        ``(height, width)`` of the result; one number for both. None keeps that of the data. Shrinking to
        less than half is not smoothed before.
    padding : {"reflection", "border", "zeros"}
        What lies outside the image. Reflection brings in no value that the image does not have.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    scale: pixels.Range = (1.0, 1.0)
    ratio: pixels.Range = (1.0, 1.0)
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    degrees: float | pixels.Range = 0.0
    translate: float = 0.0
    p: float = 1.0
    size: int | tuple[int, int] | None = None
    padding: pixels.Padding = "reflection"

    def __post_init__(self) -> None:
        checks.interval("scale", self.scale, 1e-4, 1.0)
        checks.interval("ratio", self.ratio, 1e-2, 1e2)
        checks.around("degrees", self.degrees, 0.0)
        for name in ("horizontal_flip", "vertical_flip", "translate", "p"):
            checks.probability(name, getattr(self, name))
        if self.padding not in ("reflection", "border", "zeros"):
            raise InvalidParameter(f"`padding` must be 'reflection', 'border' or 'zeros'; got {self.padding!r}.")
        _size(self.size, (1, 1))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.images(data)
        size = _size(self.size, (data.shape[2], data.shape[3]))
        stretch = (size[1] / size[0]) * (data.shape[2] / data.shape[3])
        return pixels.look(data, self._draw(generator.uniform(10).to(data), stretch), size, self.padding)

    def _draw(self, unit: Tensor, stretch: float) -> pixels.Placement:
        """One placement per row of `unit`; `stretch` is the result's width to height, over the data's."""
        changed = unit[:, 0] < self.p
        area = torch.where(changed, pixels.between(unit[:, 1], self.scale), 1.0)
        shape = pixels.between(unit[:, 2], (math.log(self.ratio[0]), math.log(self.ratio[1]))).exp() * stretch
        shape = shape.clamp(min=area, max=1.0 / area)
        width, height = (area * shape).sqrt().clamp(max=1.0), (area / shape).sqrt().clamp(max=1.0)
        turn = pixels.between(unit[:, 3], checks.around("degrees", self.degrees, 0.0)) * changed
        shift = (2.0 * unit[:, 4:6] - 1.0) * (2.0 * self.translate) * changed[:, None]
        mirror = 1.0 - 2.0 * (unit[:, 6:8] < unit.new_tensor([self.horizontal_flip, self.vertical_flip])).to(unit.dtype)
        return pixels.Placement(
            width=width * mirror[:, 0],
            height=height * mirror[:, 1],
            x=(1.0 - width) * (2.0 * unit[:, 8] - 1.0) + shift[:, 0],
            y=(1.0 - height) * (2.0 * unit[:, 9] - 1.0) + shift[:, 1],
            angle=turn * (math.pi / 180.0),
        )


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """A crop of random size, shape and place, scaled back to the full size; see `Affine`.

    Parameters
    ----------
    scale, ratio, size
        As in `Affine`. Small `scale` shows details; normal samples must look normal from them.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    scale: pixels.Range = (0.2, 1.0)
    ratio: pixels.Range = (3 / 4, 4 / 3)
    size: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._affine()

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return self._affine()(data, generator)

    def _affine(self) -> Affine:
        return Affine(scale=self.scale, ratio=self.ratio, size=self.size)


@dataclass(frozen=True, kw_only=True)
class Rotate:
    """Turn about the centre; see `Affine`.

    Parameters
    ----------
    degrees : float or (float, float)
        Up to this many either way, or between two numbers; counter-clockwise.
    p : float
        Chance that a sample is turned.
    padding : {"reflection", "border", "zeros"}
        What lies outside the image.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    degrees: float | pixels.Range = 15.0
    p: float = 1.0
    padding: pixels.Padding = "reflection"

    def __post_init__(self) -> None:
        self._affine()

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return self._affine()(data, generator)

    def _affine(self) -> Affine:
        return Affine(degrees=self.degrees, p=self.p, padding=self.padding)


@dataclass(frozen=True, kw_only=True)
class Translate:
    """Shift along both axes; see `Affine`.

    Parameters
    ----------
    fraction : float
        Largest shift, as a share of height and width.
    p : float
        Chance that a sample is shifted.
    padding : {"reflection", "border", "zeros"}
        What lies outside the image.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    fraction: float = 0.1
    p: float = 1.0
    padding: pixels.Padding = "reflection"

    def __post_init__(self) -> None:
        checks.probability("fraction", self.fraction)
        self._affine()

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return self._affine()(data, generator)

    def _affine(self) -> Affine:
        return Affine(translate=self.fraction, p=self.p, padding=self.padding)


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror left and right, pixel for pixel.

    Parameters
    ----------
    p : float
        Chance that a sample is mirrored.

    Raises
    ------
    InvalidParameter
        When `p` is not in ``[0, 1]``.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        checks.probability("p", self.p)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return _flip(data, generator, self.p, dim=3)


@dataclass(frozen=True)
class SymmetricFlip:
    """Mirror left and right where mirrored training images are like the training images; see `unalike.symmetry`.

    Where all shoes point to the left, a mirrored one is another thing, and it changes nothing.

    Parameters
    ----------
    p : float
        Chance that a sample is mirrored then.
    flips : bool
        Whether they are; set by `prepare`.

    Raises
    ------
    InvalidParameter
        When `p` is not in ``[0, 1]``.
    """

    p: float = 0.5
    flips: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.probability("p", self.p)

    def prepare(self, sample: Tensor) -> SymmetricFlip:
        """A copy that knows whether training images ``(m, channels, height, width)`` are symmetric."""
        return replace(self, flips=is_symmetric(sample))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return _flip(data, generator, self.p if self.flips else 0.0, dim=3)


@dataclass(frozen=True)
class VerticalFlip:
    """Mirror top and bottom, pixel for pixel.

    Parameters
    ----------
    p : float
        Chance that a sample is mirrored.

    Raises
    ------
    InvalidParameter
        When `p` is not in ``[0, 1]``.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        checks.probability("p", self.p)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return _flip(data, generator, self.p, dim=2)


def _flip(data: Tensor, generator: RowGenerator, p: float, dim: int) -> Tensor:
    checks.images(data)
    return torch.where(pixels.per_image(generator.uniform() < p), data.flip(dim), data)


def _size(size: Any, of_data: tuple[int, int]) -> tuple[int, int]:
    if size is None:
        return of_data
    pair = (size, size) if isinstance(size, int) else size
    whole = isinstance(pair, (tuple, list)) and all(isinstance(side, int) and side >= 1 for side in pair)
    if not whole or len(pair) != 2:
        raise InvalidParameter(f"`size` must be one or two whole numbers of 1 or more; got {size!r}. Try 32.")
    return pair[0], pair[1]
