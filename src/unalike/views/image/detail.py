"""Views that take detail away: blur, cut-out, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator
from unalike.views import checks
from unalike.views.image import pixels


@dataclass(frozen=True, kw_only=True)
class GaussianBlur:
    """Smooth with a Gaussian of random width; edges are reflected.

    Parameters
    ----------
    sigma : (float, float)
        Standard deviation in pixels, at least 0.01.
    p : float
        Chance that a sample is smoothed.
    kernel_size : int, optional
        Odd number of pixels that count. None: six of the largest standard deviations.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    sigma: pixels.Range = (0.1, 2.0)
    p: float = 0.5
    kernel_size: int | None = None

    def __post_init__(self) -> None:
        checks.interval("sigma", self.sigma, 0.01)
        checks.probability("p", self.p)
        if self.kernel_size is not None and (self.kernel_size < 1 or self.kernel_size % 2 == 0):
            raise InvalidParameter(f"`kernel_size` must be odd and at least 1; got {self.kernel_size}.")

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.images(data)
        unit = generator.uniform(2).to(data)
        changed = unit[:, 0] < self.p
        radius = math.ceil(3.0 * self.sigma[1]) if self.kernel_size is None else self.kernel_size // 2
        result = data.clone()
        result[changed] = pixels.blur(data[changed], pixels.between(unit[changed, 1], self.sigma), radius)
        return result


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """Cover a random rectangle with the mean of each channel of the sample.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017; area
    and shape are drawn as in random erasing (Zhong et al., 2020).

    Parameters
    ----------
    scale : (float, float)
        Area of the rectangle as a share of the image.
    ratio : (float, float)
        Width to height of the rectangle, drawn on a log scale.
    p : float
        Chance that a sample is covered.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    scale: pixels.Range = (0.02, 0.2)
    ratio: pixels.Range = (0.3, 3.3)
    p: float = 0.5

    def __post_init__(self) -> None:
        checks.interval("scale", self.scale, 0.0, 1.0)
        checks.interval("ratio", self.ratio, 1e-2, 1e2)
        checks.probability("p", self.p)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.images(data)
        unit = generator.uniform(5)
        rows, columns = data.shape[2], data.shape[3]
        area = pixels.between(unit[:, 1], self.scale) * (rows * columns)
        shape = pixels.between(unit[:, 2], (math.log(self.ratio[0]), math.log(self.ratio[1]))).exp()
        height = (area / shape).sqrt().round().clamp(1, rows)
        width = (area * shape).sqrt().round().clamp(1, columns)
        top = (unit[:, 3] * (rows - height + 1)).floor()
        left = (unit[:, 4] * (columns - width + 1)).floor()
        covered = pixels.boxes(top, left, height, width, (rows, columns)) & pixels.per_image(unit[:, 0] < self.p)
        return torch.where(covered, data.mean(dim=(2, 3), keepdim=True), data)


@dataclass(frozen=True, kw_only=True)
class GaussianNoise:
    """Add independent normal noise to every value.

    Parameters
    ----------
    scale : (float, float)
        Standard deviation of the noise as a share of the sample's own, channel by channel.
    p : float
        Chance that a sample is changed.
    clip : (float, float), optional
        Range that results are cut to. None cuts nothing.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    scale: pixels.Range = (0.0, 0.1)
    p: float = 0.5
    clip: pixels.Range | None = None

    def __post_init__(self) -> None:
        checks.interval("scale", self.scale, 0.0)
        checks.probability("p", self.p)
        if self.clip is not None:
            checks.interval("clip", self.clip)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.images(data)
        unit = generator.uniform(2).to(data)
        strength = pixels.between(unit[:, 1], self.scale) * (unit[:, 0] < self.p)
        deviation = data.std(dim=(2, 3), keepdim=True, correction=0) * pixels.per_image(strength)
        result = data + generator.normal(*data.shape[1:]).to(data) * deviation
        return result if self.clip is None else result.clamp_(*self.clip)
