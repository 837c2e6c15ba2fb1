"""Images as the graph takes them: from files, PIL images and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from unalike_runtime.errors import InvalidInput

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
_AT_ONCE = 64
_PLAIN_MODES = ("L", "RGB", "F", "I", "I;16", "I;16L", "I;16B", "I;16N")
_USUAL_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Images that are read one by one.

    Parameters
    ----------
    items : list
        ``n`` paths, PIL images or arrays.
    ids : ndarray
        ``(n,)``.
    """

    items: list[Any]
    ids: npt.NDArray[Any]


def found(X: Any) -> Found:
    """The images of a folder, a file, a list or an array.

    Raises
    ------
    InvalidInput
        There are none.
    """
    if isinstance(X, (str, os.PathLike)):
        X = _listed(Path(X))
    if isinstance(X, np.ndarray) and X.ndim not in (3, 4):
        raise InvalidInput(
            f"`X` must have shape (n, height, width) or (n, height, width, channels); got {X.shape}. Give one image as "
            "a list of one."
        )
    items = list(X)
    if not items:
        raise InvalidInput("`X` must hold at least one image; got none.")
    if all(isinstance(item, (str, os.PathLike)) for item in items):
        return Found(items, np.array([str(item) for item in items]))
    return Found(items, np.arange(len(items)))


def _listed(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    every = sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in every if file.suffix.lower() in SUFFIXES]
    files = files or [file for file in every if file.suffix.lower() == ".npy"]
    if not files:
        raise InvalidInput(f"{str(path)!r} must be an image or a folder of images ({', '.join(SUFFIXES)}).")
    return files


def batches(images: Found, told: Mapping[str, Any]) -> Iterator[npt.NDArray[Any]]:
    """What is fed to the graph: neighbours of one size together, at most 64.

    Raises
    ------
    InvalidInput
        An image cannot be read, or is of another size, type or number of channels than the graph takes.
    """
    waiting: list[npt.NDArray[Any]] = []
    for item, name in zip(images.items, images.ids.tolist(), strict=True):
        pixels = _fed(item, repr(name), told)
        if waiting and (waiting[0].shape != pixels.shape or len(waiting) == _AT_ONCE):
            yield np.stack(waiting)
            waiting = []
        waiting.append(pixels)
    yield np.stack(waiting)


def _fed(item: Any, what: str, told: Mapping[str, Any]) -> npt.NDArray[Any]:
    """One image in the graph's layout and type."""
    pixels = _channels_first(item, what)
    if pixels.shape[0] == 1 and told["channels"] == 3:
        pixels = np.repeat(pixels, 3, axis=0)  # grey is a colour
    if pixels.shape[0] != told["channels"]:
        raise InvalidInput(f"Image {what} must have {told['channels']} channels; got {pixels.shape[0]}. Convert it.")
    if not told["resize"] and list(pixels.shape[1:]) != told["size"]:
        raise InvalidInput(
            f"Image {what} must have height and width {told['size']}; got {list(pixels.shape[1:])}. Resize it, or "
            "export the detector with resize=True."
        )
    pixels = _typed(pixels, what, told["pixels"])
    return np.ascontiguousarray(np.moveaxis(pixels, 0, 2) if told["layout"] == "channels-last" else pixels)


def _typed(pixels: npt.NDArray[Any], what: str, wanted: str) -> npt.NDArray[Any]:
    if wanted == "float32":
        values = pixels.astype(np.float32)
        whole = pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2
        return values / np.float32(255 if pixels.dtype.itemsize == 1 else 65535) if whole else values
    if str(pixels.dtype) != wanted:
        raise InvalidInput(
            f"Image {what} must hold {wanted}, as the file was exported; got {pixels.dtype}. Export the detector with "
            "pixels='float32', which takes any."
        )
    return pixels


def _channels_first(item: Any, what: str) -> npt.NDArray[Any]:
    if isinstance(item, (str, os.PathLike)):
        if Path(item).suffix.lower() != ".npy":
            return _opened(Path(item), what)
        item = _loaded(Path(item), what)
    if isinstance(item, Image.Image):
        return _from_pil(item, what)
    pixels = np.asarray(item)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "uifb":
        raise InvalidInput(f"Image {what} must be a path, a PIL image or numbers of 2 or 3 axes; got {pixels.shape}.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InvalidInput(f"Image {what} must be finite; got NaN or infinity. Replace them.")
    if pixels.ndim == 2:
        return pixels[None]
    return np.moveaxis(pixels, 2, 0) if pixels.shape[2] in _USUAL_CHANNELS else pixels


def _loaded(path: Path, what: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:
        raise InvalidInput(f"Image {what} must be readable; got an error: {error}. Mend or remove it.") from error


def _opened(path: Path, what: str) -> npt.NDArray[Any]:
    try:
        with Image.open(path) as opened:
            frames = int(getattr(opened, "n_frames", 1))
            if frames > 1 and opened.format != "MPO":
                raise InvalidInput(f"Image {what} must be one image; got {frames} frames. Save them apart.")
            return _from_pil(opened, what)
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(f"Image {what} must be readable; got an error: {error}. Mend or remove it.") from error


def _from_pil(image: Any, what: str) -> npt.NDArray[Any]:
    """As unalike reads it: upright, palettes and CMYK as colours, without transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("1", "LA"):
        image = image.convert("L")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA").convert("RGB")
    elif image.mode not in _PLAIN_MODES:
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if image.mode.startswith("I"):
        if pixels.min() < 0 or pixels.max() > 65535:
            raise InvalidInput(f"Image {what} must have at most 16 bits per pixel. Scale it.")
        pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
