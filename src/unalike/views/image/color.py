"""Views that change light and colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unalike.errors import InvalidInput, InvalidParameter
from unalike.seeding import RowGenerator
from unalike.views import checks
from unalike.views.image import pixels

WithoutColor = Literal["skip", "error"]


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Random brightness, contrast, saturation and hue, in this order.

    Brightness multiplies, contrast scales about the mean brightness (without colour: about the mean of each
    channel), saturation about grey, as in torchvision; hue turns the colour plane of YIQ. All four are one
    linear map per sample. On standardised data the factors act on the standardised values.

    Parameters
    ----------
    brightness, contrast, saturation : float or (float, float)
        Largest distance of the factor from 1, or the factor's range; not below 0.
    hue : float or (float, float)
        Largest turn of the colour circle, or its range; 0.5 is half of it.
    p : float
        Chance that a sample is changed.
    clip : (float, float), optional
        Range that results are cut to, for example ``(0, 1)``. None cuts nothing.
    when_no_color : {"skip", "error"}
        Images without three channels: leave saturation and hue out, or refuse them.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    InvalidInput
        When called on images without colour under ``when_no_color="error"``, with saturation or hue set.
    """

    brightness: float | pixels.Range = 0.4
    contrast: float | pixels.Range = 0.4
    saturation: float | pixels.Range = 0.4
    hue: float | pixels.Range = 0.1
    p: float = 1.0
    clip: pixels.Range | None = None
    when_no_color: WithoutColor = "skip"

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            checks.around(name, getattr(self, name), 1.0, least=0.0)
        checks.around("hue", self.hue, 0.0, least=-0.5, most=0.5)
        checks.probability("p", self.p)
        if self.clip is not None:
            checks.interval("clip", self.clip)
        _check_without_color(self.when_no_color)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.images(data)
        unit = generator.uniform(5).to(data)
        changed = unit[:, 4] < self.p
        brightness = self._factor("brightness", unit[:, 0], changed)
        contrast = self._factor("contrast", unit[:, 1], changed)
        if self._has_color(data):
            saturation = self._factor("saturation", unit[:, 2], changed)
            turn = pixels.between(unit[:, 3], checks.around("hue", self.hue, 0.0)) * changed * (2.0 * math.pi)
            result = pixels.recolor(data, brightness, contrast, saturation, turn)
        else:
            result = pixels.relight(data, brightness, contrast)
        return result if self.clip is None else result.clamp_(*self.clip)

    def _factor(self, name: str, unit: Tensor, changed: Tensor) -> Tensor:
        bounds = checks.around(name, getattr(self, name), 1.0, least=0.0)
        return torch.where(changed, pixels.between(unit, bounds), 1.0)

    def _has_color(self, data: Tensor) -> bool:
        uses = checks.around("saturation", self.saturation, 1.0) != (1.0, 1.0)
        uses |= checks.around("hue", self.hue, 0.0) != (0.0, 0.0)
        return _three_channels(data, "`saturation` and `hue`", self.when_no_color if uses else "skip")


@dataclass(frozen=True, kw_only=True)
class Grayscale:
    """Replace colour by brightness (ITU-R BT.601), in all three channels.

    Parameters
    ----------
    p : float
        Chance that a sample is changed.
    when_no_color : {"skip", "error"}
        Images without three channels: leave them as they are, or refuse them.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    InvalidInput
        When called on images without colour under ``when_no_color="error"``.
    """

    p: float = 0.2
    when_no_color: WithoutColor = "skip"

    def __post_init__(self) -> None:
        checks.probability("p", self.p)
        _check_without_color(self.when_no_color)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.images(data)
        changed = generator.uniform() < self.p
        if not _three_channels(data, "`Grayscale`", self.when_no_color):
            return data.clone()
        return torch.where(pixels.per_image(changed), pixels.luma(data), data)


def _three_channels(data: Tensor, what: str, when_no_color: WithoutColor) -> bool:
    if data.shape[1] == 3:
        return True
    if when_no_color == "error":
        raise InvalidInput(
            f"`data` must have the 3 channels of colour for {what}; got {data.shape[1]}. "
            "Leave them out, or set when_no_color='skip'."
        )
    return False


def _check_without_color(when_no_color: str) -> None:
    if when_no_color not in ("skip", "error"):
        raise InvalidParameter(f"`when_no_color` must be 'skip' or 'error'; got {when_no_color!r}.")
