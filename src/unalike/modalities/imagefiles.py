"""Images that are read when they are needed: paths, arrays, PIL images, the items of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np

from unalike import reading
from unalike.errors import InputWarning, InvalidInput, tell
from unalike.modalities import nearcopies
from unalike.modalities.pixels import Layout, glance, header, one_image, thumbnails
from unalike.types import FloatArray, IntArray, Skipped

_MOST_WORKERS = 8
_NAMED = 3

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class Images:
    """Checked images, read one by one when they are needed; a sequence of them, or of some by an array of positions.

    Parameters
    ----------
    items : list
        ``n`` paths, arrays, PIL images or `Item`.
    rows : ndarray
        ``(n,)``: where each stands in what the user gave.
    shapes : ndarray or None
        ``(n, 3)``: channels, height and width, where all of them have been looked into.
    thumbnails : ndarray or None
        ``(n, 256)``: `nearcopies.standardised`, likewise.
    skipped : tuple of Skipped
        Those that were left out; empty for some of the images.
    """

    items: list[Any]
    rows: IntArray
    shapes: IntArray | None = None
    thumbnails: FloatArray | None = None
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    @overload
    def __getitem__(self, position: int, /) -> Any: ...

    @overload
    def __getitem__(self, position: IntArray, /) -> Images: ...

    def __getitem__(self, position: int | IntArray, /) -> Any:
        if not isinstance(position, np.ndarray):
            return self.items[position]
        return Images(
            [self.items[at] for at in position.tolist()],
            self.rows[position],
            None if self.shapes is None else self.shapes[position],
            None if self.thumbnails is None else self.thumbnails[position],
        )


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One image of a data set, fetched when it is needed."""

    source: Any
    row: int

    def image(self) -> Any:
        """What the data set gives, without a label that comes after it.

        Raises
        ------
        InvalidInput
            When the data set fails.
        """
        try:
            found = self.source[self.row]
        except Exception as error:
            raise InvalidInput(f"Item {self.row} of `X` must be an image; got an error: {error!r}. Mend it.") from error
        return found[0] if isinstance(found, (tuple, list)) and len(found) else found


def is_data_set(X: Any) -> bool:
    """Whether `X` is a map-style data set, such as torch's: items by number, and no array."""
    sized = all(hasattr(type(X), name) for name in ("__len__", "__getitem__"))
    other = (str, bytes, dict, list, tuple, np.ndarray, Images)
    return sized and not isinstance(X, other) and not hasattr(X, "shape") and not hasattr(X, "__array__")


def listed(X: Any) -> Images:
    """The images of a list, a data set or a folder's paths."""
    items = [Item(X, row) for row in range(len(X))] if is_data_set(X) else list(X)
    return Images(items, np.arange(len(items)))


def opened(item: Any, layout: Layout) -> Any:
    """``(channels, height, width)`` of one of `Images`, whole."""
    return one_image(item.image() if isinstance(item, Item) else item, layout)


def looked_into(images: Images, layout: Layout, workers: int | None, channels: int | None, *, skip: bool) -> Images:
    """The images with their shapes and thumbnails, every file read to its end.

    Parameters
    ----------
    images : Images
        As `listed`.
    layout : str
        Of arrays.
    workers : int, optional
        As `modalities.Image`.
    channels : int, optional
        What every image must have.
    skip : bool
        Leave out those that cannot be used, with one warning; else the first of them is an error.

    Raises
    ------
    InvalidInput
        For the first image that cannot be used, or when none can.
    """

    def look(item: Any) -> tuple[tuple[int, int, int], Any] | InvalidInput:
        try:
            shape, pixels = glance(item.image() if isinstance(item, Item) else item, layout)
            check_channels(shape[0], channels, item)
            return shape, thumbnails(pixels[None], nearcopies.SIDE)[0]
        except InvalidInput as error:
            if not skip:
                raise
            return error

    found = list(in_order(look, images.items, workers))
    left_out = [
        Skipped(int(row), name_of(item, int(row)), str(result))
        for item, row, result in zip(images.items, images.rows, found, strict=True)
        if isinstance(result, InvalidInput)
    ]
    seen = [result for result in found if not isinstance(result, InvalidInput)]
    kept = [not isinstance(result, InvalidInput) for result in found]
    if not seen:
        raise InvalidInput(f"`X` must hold an image that can be read; got {len(found)} that cannot. {_told(left_out)}")
    if left_out:
        tell(f"{len(left_out)} of {len(found)} images cannot be used and are left out. {_told(left_out)}", InputWarning)
    return Images(
        [item for item, is_kept in zip(images.items, kept, strict=True) if is_kept],
        images.rows[kept],
        np.array([shape for shape, _ in seen], dtype=np.int64),
        nearcopies.standardised(np.stack([small for _, small in seen])),
        (*images.skipped, *left_out),
    )


def check_headers(images: Images, workers: int | None) -> None:
    """Refuse files that are missing, no images, or too large, without decoding them.

    Raises
    ------
    InvalidInput
        For the first of them.
    """
    paths = [item for item in images.items if reading.is_path(item)]
    for _ in in_order(header, paths, workers):
        pass


def check_channels(channels: int, wanted: int | None, item: Any) -> None:
    """Refuse an image with other channels than `wanted`; grey is a colour.

    Raises
    ------
    InvalidInput
        When it has others.
    """
    if wanted in (None, channels) or (channels, wanted) == (1, 3):
        return
    what = repr(str(item)) if reading.is_path(item) else "Every image"
    raise InvalidInput(f"{what} must have {wanted} channels, as in `fit`; got {channels}. Convert it.")


def in_order(make: Callable[[_Item], _Made], items: Sequence[_Item], workers: int | None) -> Iterator[_Made]:
    """``make(item)`` of each, in order; of paths several at a time, in threads.

    Only paths: a data set, or a PIL image that is still to be read, may not bear several threads. Pillow decodes
    without Python's lock, so that threads do as well as processes, and need no copy of anything.
    """
    threads = min(usual_workers() if workers is None else workers, len(items))
    if threads < 2 or not all(map(reading.is_path, items)):
        yield from map(make, items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="unalike-images")
    try:
        yield from pool.map(make, items)
    finally:  # after an error nothing more is read
        pool.shutdown(wait=True, cancel_futures=True)


def usual_workers() -> int:
    """As many threads as this process has cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def name_of(item: Any, row: int) -> str:
    """The path, or the row as text."""
    return str(item) if reading.is_path(item) else str(row)


def _told(left_out: Iterable[Skipped]) -> str:
    left_out = list(left_out)
    named = [
        sample.reason if sample.id in sample.reason else f"{sample.id}: {sample.reason}" for sample in left_out[:_NAMED]
    ]
    return " ".join([*named, *(["…"] if len(left_out) > _NAMED else [])])
