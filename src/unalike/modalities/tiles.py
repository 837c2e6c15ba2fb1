"""Images in overlapping tiles, so that a network sees small things in large images.

A sample is an image, its parts are tiles. They lie evenly, the outermost flush with the border, and overlap by a
quarter of their side or more: what is smaller than that lies whole in one of them, wherever it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike import reading
from unalike.data import count, take
from unalike.errors import InvalidParameter
from unalike.modalities.imagefiles import Images, opened
from unalike.modalities.pixels import Layout
from unalike.types import Collection, FloatArray, IntArray

OVERLAP = 0.25
"""Share of a tile's side that it has in common with the next, at least."""

_TURNED = (5, 6, 7, 8)
_ORIENTATION = 0x0112


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of images; some of them by an array of positions.

    Parameters
    ----------
    images : collection
        Checked images.
    owner : ndarray
        ``(n_tiles,)``: which of the images each tile is of, rising in what `tiled` makes.
    boxes : ndarray
        ``(n_tiles, 4)``: first row, first column, and the row and column after the last.
    """

    images: Collection
    owner: IntArray
    boxes: IntArray

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, positions: IntArray) -> Tiles:
        return Tiles(self.images, self.owner[positions], self.boxes[positions])

    def cut(self, read: Callable[[Any], npt.NDArray[Any]], make: Callable[[npt.NDArray[Any]], Any]) -> list[Any]:
        """What `make` makes of each tile ``(channels, rows, columns)``; tiles of one image in a row read it once.

        Parameters
        ----------
        read : callable
            One of the images to ``(channels, height, width)``.
        make : callable
            Tile to what is wanted of it.
        """
        made, last, pixels = [], -1, None
        for number, (top, left, bottom, right) in zip(self.owner.tolist(), self.boxes.tolist(), strict=True):
            if number != last or pixels is None:
                last, pixels = number, read(take(self.images, np.array([number]))[0])
            made.append(make(pixels[:, top:bottom, left:right]))
        return made


def tiled(images: Collection, side: int, layout: Layout) -> Tiles:
    """All tiles of checked images, image by image, row by row; smaller images are one tile along that side."""
    boxes = [boxes_of(int(height), int(width), side) for height, width in sizes(images, layout)]
    owner = np.repeat(np.arange(len(boxes)), [len(some) for some in boxes])
    return Tiles(images, owner, np.concatenate(boxes))


def boxes_of(height: int, width: int, side: int) -> IntArray:
    """``(tiles, 4)`` boxes of the tiles of one image, row by row."""
    tops, lefts = _starts(height, side), _starts(width, side)
    return np.array(
        [
            (top, left, min(top + side, height), min(left + side, width))
            for top in tops.tolist()
            for left in lefts.tolist()
        ],
        dtype=np.int64,
    )


def whole_boxes(images: Collection, layout: Layout) -> IntArray:
    """``(n, 4)``: each image as its own only tile."""
    all_sizes = sizes(images, layout)
    return np.concatenate([np.zeros_like(all_sizes), all_sizes], axis=1)


def sizes(images: Collection, layout: Layout) -> IntArray:
    """``(n, 2)`` height and width of checked images as the user gave them; of files from their headers."""
    if isinstance(images, np.ndarray):
        return np.tile(np.array(images.shape[-2:], dtype=np.int64), (len(images), 1))
    if isinstance(images, Images) and images.shapes is not None:
        return images.shapes[:, 1:].astype(np.int64)
    return np.array([_size(take(images, np.array([at]))[0], layout) for at in range(count(images))], dtype=np.int64)


def worst(scores: FloatArray, owner: IntArray, n: int) -> FloatArray:
    """``(n,)``: the highest score of each image's tiles."""
    joined = np.full(n, -np.inf)
    np.maximum.at(joined, owner, scores)
    return joined


def check_tile(side: Any) -> None:
    """Refuse what is neither None nor a side of 8 pixels or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if side is not None and not (isinstance(side, int) and not isinstance(side, bool) and side >= 8):
        raise InvalidParameter(f"`tile` must be None or a side of 8 pixels or more; got {side!r}. Try tile=224.")


def _starts(length: int, side: int) -> IntArray:
    if length <= side:
        return np.zeros(1, dtype=np.int64)
    steps = math.ceil((length - side) / (side * (1.0 - OVERLAP)))
    return np.round(np.linspace(0, length - side, steps + 1)).astype(np.int64)


def _size(item: Any, layout: Layout) -> tuple[int, int]:
    if reading.is_path(item) and not str(item).lower().endswith(".npy"):
        from PIL import Image as Pillow

        with Pillow.open(Path(item)) as file:
            width, height = file.size
            return (width, height) if file.getexif().get(_ORIENTATION, 1) in _TURNED else (height, width)
    pixels = opened(item, layout)
    return int(pixels.shape[-2]), int(pixels.shape[-1])
