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
from unalike.modalities.moments import LARGEST
from unalike.modalities.pixels import Checked
from unalike.modalities.table import Table
from unalike.seeding import RowGenerator, derive
from unalike.types import Collection, Modality

Pixels = Literal["uint8", "uint16", "float32"]
Layout = Literal["channels-last", "channels-first"]

_DIVISORS = {"uint8": 255, "uint16": 65535, "float32": 1}
_SAMPLES = 8


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
    given : callable
        What is fed to the graph to what the user gives to the modality.
    """

    name: str
    module: nn.Module
    varying: tuple[str, ...]
    drawn: npt.NDArray[Any]
    fed: Callable[[Tensor], npt.NDArray[Any]]
    given: Callable[[npt.NDArray[Any]], Collection]


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
    known: Any = modality
    if type(known) is Image:
        return _of_images(known, images)
    if type(known) is Table:
        return _of_table(known)
    raise CannotExport(
        f"`detector` must be of images or of tables to be exported; got modality {modality.name!r}. Save it and score "
        "with unalike."
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


class Standardised(nn.Module):
    """Rows of numbers to cells: value in units of the column, and whether it is missing."""

    center: Tensor
    scale: Tensor

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.flags = table.missing == "flag"
        self.infinite = table.infinite == "missing"
        self.register_buffer("center", torch.from_numpy(np.array(table.center_, dtype=np.float64)))
        self.register_buffer("scale", torch.from_numpy(np.array(table.scale_, dtype=np.float64)))

    def forward(self, rows: Tensor) -> Tensor:
        """``(n, columns, 2)`` float32. A missing cell that would have to be filled stays NaN, and so does its score."""
        missing = rows.isnan()
        if self.infinite:
            missing = missing | rows.isinf()
        values = ((rows - self.center) / self.scale).clamp(-LARGEST, LARGEST)
        values = torch.where(missing, 0.0 if self.flags else torch.nan, values)
        flags = missing if self.flags else torch.zeros_like(missing)
        return torch.stack([values.to(torch.float32), flags.to(torch.float32)], dim=2)


def _of_images(modality: Image, settings: ImageInput) -> Input:
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

    def given(images: npt.NDArray[Any]) -> Collection:
        return np.ascontiguousarray(np.moveaxis(images, 3, 1) if last else images).view(Checked)

    # Twice the size and no multiple of it: where images are resized, that is to be proven as well.
    drawn = _pictures(channels, *((2 * height + 1, 2 * width + 3) if settings.resize else (height, width)))
    varying = ("n", "height", "width") if settings.resize else ("n",)
    return Input("images", Scaled(settings, modality.size_), varying, fed(drawn), fed, given)


def _of_table(modality: Table) -> Input:
    if any(modality.levels_) or len(modality.inputs_) < len(modality.columns_):
        raise CannotExport(
            "`detector` must be of numeric columns to be exported: categories, dates and times are read by Python. Got "
            f"{len(modality.inputs_)} columns with others among them. Encode them before `fit`, or save the detector."
        )
    scale, center = modality.scale_, modality.center_
    generator = RowGenerator(derive(0, "export"), torch.arange(_SAMPLES))
    drawn = generator.uniform(len(modality.columns_), 1, low=-2.0, high=2.0)

    def fed(encoded: Tensor) -> npt.NDArray[Any]:
        return np.asarray(encoded[:, :, 0].numpy().astype(np.float64) * scale + center)

    def given(rows: npt.NDArray[Any]) -> Collection:
        if not modality.named_:
            return rows
        return {column.name: rows[:, number] for number, column in enumerate(modality.inputs_)}

    return Input("rows", Standardised(modality), ("n",), fed(drawn), fed, given)


def _pictures(channels: int, height: int, width: int) -> Tensor:
    """``(8, channels, height, width)`` in ``[0, 1]``: from coarse patches to noise, from faint to strong."""
    generator = RowGenerator(derive(0, "export"), torch.arange(_SAMPLES))
    pictures = []
    for number in range(_SAMPLES):
        cells = min(2 ** (number // 2 + 1), height, width)
        own = generator.rows(torch.tensor([number]))
        coarse = own.uniform(channels, cells, cells)
        fine = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        pictures.append(0.5 + (fine - 0.5) * (number + 1) / _SAMPLES)
    return torch.cat(pictures)


def fed_examples(source: Input, modality: Modality, examples: Collection) -> npt.NDArray[Any]:
    """What of the user's samples is fed to the graph: at most 8, encoded as the modality does."""
    checked = modality.check(examples)
    parts, _ = modality.cut(take(checked, np.arange(min(count(checked), _SAMPLES))))
    return source.fed(modality.tensors(parts))
