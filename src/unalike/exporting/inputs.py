"""What a modality does with its input, as modules that ONNX can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unalike.data import count, take
from unalike.errors import CannotExport, InvalidParameter
from unalike.modalities.image import Image
from unalike.modalities.pixels import Checked
from unalike.modalities.series import Series
from unalike.modalities.table import Table
from unalike.seeding import RowGenerator, derive
from unalike.types import Collection, Modality

Pixels = Literal["uint8", "uint16", "float32"]
Layout = Literal["channels-last", "channels-first"]

_DIVISORS = {"uint8": 255, "uint16": 65535, "float32": 1}
SAMPLES = 8


@dataclass(frozen=True)
class Input:
    """How the graph begins.

    Parameters
    ----------
    name : str
        Of the graph's input.
    module : Module
        What is fed to the graph, to encoded samples as `Modality.tensors` gives them.
    varying : tuple of str
        Names of the axes whose length is free, from the first one.
    drawn : ndarray
        ``(8, ...)`` samples that fit, when the user gives none.
    fed : callable
        Encoded samples ``(n, *shape)`` to what is fed to the graph.
    encoded : callable
        What is fed to the graph to encoded samples, as the modality makes them.
    described : dict
        What a reader must know to make of a user's data what is fed; JSON values.
    joins : bool
        Whether samples are judged by several parts each: then the graph gives the scores of parts, and who runs it
        joins them and decides.
    """

    name: str
    module: nn.Module
    varying: tuple[str, ...]
    drawn: npt.NDArray[Any]
    fed: Callable[[Tensor], npt.NDArray[Any]]
    encoded: Callable[[npt.NDArray[Any]], Tensor]
    described: dict[str, Any]
    joins: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How images come: see `unalike.export`."""

    pixels: Pixels = "uint8"
    layout: Layout = "channels-last"
    resize: bool = False

    def __post_init__(self) -> None:
        if self.pixels not in _DIVISORS:
            raise InvalidParameter(f"`pixels` must be one of {list(_DIVISORS)}; got {self.pixels!r}.")
        if self.layout not in ("channels-last", "channels-first"):
            raise InvalidParameter(f"`layout` must be 'channels-last' or 'channels-first'; got {self.layout!r}.")


def input_of(modality: Modality, images: ImageInput) -> Input:
    """The beginning of the graph for a fitted modality.

    Raises
    ------
    CannotExport
        A kind of data, or a setting of it, that only Python can read.
    """
    from unalike.exporting import tables, windows

    known: Any = modality
    if type(known) is Image:
        return _of_images(known, images)
    if type(known) is Table:
        return tables.of_table(known)
    if type(known) is Series:
        return windows.of_series(known)
    raise CannotExport(
        f"`detector` must be of images, tables or series to be exported; got modality {modality.name!r}. Save it and "
        "score with unalike."
    )


class Scaled(nn.Module):
    """Pixels to values, channels first, at the size that the model was fitted on."""

    def __init__(self, settings: ImageInput, size: tuple[int, int]) -> None:
        super().__init__()
        self.divisor = _DIVISORS[settings.pixels]
        self.last = settings.layout == "channels-last"
        self.size = size if settings.resize else None

    def forward(self, images: Tensor) -> Tensor:
        """``(n, channels, *size)`` float32."""
        values = images.to(torch.float32)
        if self.divisor != 1:
            values = values / self.divisor
        if self.last:
            values = values.permute(0, 3, 1, 2)
        return values if self.size is None else resized(values, self.size)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased: torch's ``interpolate`` of any size, as two matrix products."""
    down = _shares(images.shape[2], size[0], images)
    right = _shares(images.shape[3], size[1], images)
    return down @ (images @ right.T)


def _shares(before: Any, after: int, like: Tensor) -> Tensor:
    """``(after, before)``: which share of each new pixel an old one has. A triangle about the new pixel's centre."""
    step = torch.tensor(1.0, dtype=torch.float64) * before / after
    centres = (torch.arange(after, dtype=torch.float64) + 0.5) * step
    pixels = torch.arange(before, dtype=torch.float64) + 0.5
    shares = (1.0 - (pixels - centres[:, None]).abs() / step.clamp(min=1.0)).clamp(min=0.0)
    whole: Tensor = shares / shares.sum(dim=1, keepdim=True)
    return whole.to(like.dtype)


def _of_images(modality: Image, settings: ImageInput) -> Input:
    if modality.tile is not None:
        raise CannotExport(
            f"`detector` must judge images whole to be exported; got tile={modality.tile}, and a graph takes one size. "
            "Save it and score with unalike, or fit without `tile`."
        )
    channels, (height, width) = modality.channels_, modality.size_
    divisor, last = _DIVISORS[settings.pixels], settings.layout == "channels-last"
    if settings.resize and not last:
        raise InvalidParameter("`resize=True` must go with layout='channels-last'. Give that, or resize before.")

    def fed(encoded: Tensor) -> npt.NDArray[Any]:
        values = encoded.numpy()
        if divisor != 1:
            values = np.rint(np.clip(values, 0.0, 1.0) * divisor)
        values = values.astype(settings.pixels)
        return np.ascontiguousarray(np.moveaxis(values, 1, 3) if last else values)

    def encoded(images: npt.NDArray[Any]) -> Tensor:
        pixels = np.ascontiguousarray(np.moveaxis(images, 3, 1) if last else images).view(Checked)
        return modality.tensors(modality.check(pixels))

    described = {
        "channels": channels,
        "size": [height, width],
        "pixels": settings.pixels,
        "layout": settings.layout,
        "resize": settings.resize,
    }

    # Twice the size and no multiple of it: where images are resized, that is to be proven as well.
    drawn = _pictures(channels, *((2 * height + 1, 2 * width + 3) if settings.resize else (height, width)))
    varying = ("n", "height", "width") if settings.resize else ("n",)
    return Input(
        name="images",
        module=Scaled(settings, modality.size_),
        varying=varying,
        drawn=fed(drawn),
        fed=fed,
        encoded=encoded,
        described=described,
    )


def _pictures(channels: int, height: int, width: int) -> Tensor:
    """``(8, channels, height, width)`` in ``[0, 1]``: from coarse patches to noise, from faint to strong."""
    generator = RowGenerator(derive(0, "export"), torch.arange(SAMPLES))
    pictures = []
    for number in range(SAMPLES):
        cells = min(2 ** (number // 2 + 1), height, width)
        own = generator.rows(torch.tensor([number]))
        coarse = own.uniform(channels, cells, cells)
        fine = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        pictures.append(0.5 + (fine - 0.5) * (number + 1) / SAMPLES)
    return torch.cat(pictures)


def fed_examples(source: Input, modality: Modality, examples: Collection) -> npt.NDArray[Any]:
    """What of the user's samples is fed to the graph: at most 8, encoded as the modality does."""
    checked = modality.check(examples)
    parts, _ = modality.cut(take(checked, np.arange(min(count(checked), SAMPLES))))
    return source.fed(modality.tensors(parts))
