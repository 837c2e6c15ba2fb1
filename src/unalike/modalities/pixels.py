"""The numbers of images: from arrays, Pillow's images and files, channels first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unalike import reading
from unalike.errors import InvalidInput, MissingExtra

Layout = Literal["auto", "channels-last", "channels-first"]

_DRAFT = (64, 64)
_ORIENTATION = 0x0112
_KIND_OF_PAGE = 254
_PLAIN_MODES = ("L", "RGB", "F", "I", "I;16", "I;16L", "I;16B", "I;16N")


class Checked(np.ndarray[Any, Any]):
    """``(n, channels, height, width)``: the type says that `check` has already put the channels first."""


def as_array(X: Any, layout: Layout) -> npt.NDArray[Any]:
    """``(n, channels, height, width)``."""
    pixels, first = _pixels(X, layout)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim != 4:
        raise InvalidInput(
            f"`X` must have shape (n, height, width), (n, height, width, channels) or (n, channels, height, width); "
            f"got {pixels.shape}. Give one image as a list of one."
        )
    elif not first and _channels_last(pixels.shape[1:], layout):
        pixels = np.moveaxis(pixels, 3, 1)
    _check_values(pixels, "`X`")
    return pixels.view(Checked)


def one_image(image: Any, layout: Layout) -> npt.NDArray[Any]:
    """One image as ``(channels, height, width)``."""
    if reading.is_path(image):
        return _decoded(Path(image), layout)
    if hasattr(image, "convert") and hasattr(image, "getbands"):
        return _from_pil(image, "An image")
    pixels, first = _pixels(image, layout)
    if pixels.ndim == 2:
        pixels = pixels[None]
    elif pixels.ndim != 3:
        raise InvalidInput(
            "An image must be a path, a PIL image or a numeric array of 2 or 3 axes; "
            f"got {type(image).__name__} of shape {pixels.shape}. Convert it."
        )
    elif not first and _channels_last(pixels.shape, layout):
        pixels = np.moveaxis(pixels, 2, 0)
    _check_values(pixels, "An image")
    return pixels


def scaled(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """As float32: 8-bit values divided by 255, 16-bit ones by 65,535."""
    values = np.array(pixels, dtype=np.float32, order="C")
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        values /= np.float32(255 if pixels.dtype.itemsize == 1 else 65535)
    return values


def _pixels(X: Any, layout: Layout) -> tuple[npt.NDArray[Any], bool]:
    """The numbers, and whether their type alone says that channels come first."""
    is_torch = type(X).__module__.startswith("torch")
    pixels = np.asarray(X.detach().cpu() if is_torch else X)
    if pixels.dtype.kind not in "uifb":
        raise InvalidInput(f"`X` must hold numbers, paths or PIL images; got an array of {pixels.dtype}. Convert it.")
    return pixels, is_torch and layout == "auto"


def _channels_last(shape: Sequence[int], layout: Layout) -> bool:
    if layout != "auto":
        return layout == "channels-last"
    usual = (1, 3, 4)
    if shape[-1] not in usual and shape[0] not in usual:
        raise InvalidInput(
            f"An image must say where its channels are when there are not 1, 3 or 4; got shape {tuple(shape)}. "
            "Use modalities.Image(layout='channels-first') or 'channels-last'."
        )
    return shape[-1] in usual


def _check_values(pixels: npt.NDArray[Any], what: str) -> None:
    if 0 in pixels.shape[-3:]:
        raise InvalidInput(f"{what} must have pixels; got shape {pixels.shape}. Leave it out.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InvalidInput(f"{what} must be finite; got NaN or infinity. Replace them, for example with 0.")


def header(path: str | Path) -> None:
    """Refuse a file that is missing, no image or too large, by its first bytes.

    Raises
    ------
    InvalidInput
        When it is.
    """
    if is_npy(path):
        _from_npy(Path(path), "auto", mapped=True)
        return
    with _file(Path(path)):
        pass


def glance(image: Any, layout: Layout) -> tuple[tuple[int, int, int], npt.NDArray[Any]]:
    """Channels, height and width of an image, and its pixels; of a large JPEG a smaller picture.

    A file is read to its end, so that a truncated one is found. libjpeg can decode to an eighth of the size in a fifth
    of the time; such pixels differ from those that are scaled down later, and no score is made of them.

    Raises
    ------
    InvalidInput
        When it cannot be read.
    """
    if reading.is_path(image) and not is_npy(image):
        with _file(Path(image)) as opened:
            size = opened.size
            if opened.format == "JPEG":
                opened.draft(None, _DRAFT)
            turned = opened.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            drafted = opened.size != size
            pixels = _from_file(opened, repr(str(image)))
        shape = (pixels.shape[0], *(size if turned else size[::-1])) if drafted else pixels.shape
    else:
        pixels = one_image(image, layout)
        shape = pixels.shape
    return (int(shape[0]), int(shape[1]), int(shape[2])), pixels


def thumbnails(pixels: npt.NDArray[Any], side: int) -> npt.NDArray[np.float32]:
    """``(n, side * side)`` grey values of ``(n, channels, height, width)``: means over areas."""
    import torch

    grey = torch.from_numpy(pixels.mean(axis=1, dtype=np.float32))
    small: npt.NDArray[np.float32] = torch.nn.functional.adaptive_avg_pool2d(grey, side).flatten(1).numpy()
    return small


def is_npy(path: str | Path) -> bool:
    """Whether the name is that of one array of numpy's."""
    return str(path).lower().endswith(".npy")


def _decoded(path: Path, layout: Layout) -> npt.NDArray[Any]:
    if is_npy(path):
        return _from_npy(path, layout)
    with _file(path) as opened:
        return _from_file(opened, repr(str(path)))


@contextmanager
def _file(path: Path) -> Iterator[Any]:
    """An image file that is not too large; whatever goes wrong with it is told with its name."""
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise MissingExtra("Reading image files needs Pillow. Install 'unalike[image]'.") from error
    what = repr(str(path))
    try:
        with Pillow.open(path) as opened:
            limit = Pillow.MAX_IMAGE_PIXELS
            if limit is not None and opened.width * opened.height > limit:
                raise Pillow.DecompressionBombError(f"{opened.width} x {opened.height} pixels")
            yield opened
    except InvalidInput:
        raise
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise InvalidInput(
            f"{what} must not be larger than Pillow trusts, {Pillow.MAX_IMAGE_PIXELS} pixels; got: {error}. Make it "
            "smaller or, where you trust it, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except Exception as error:
        raise _unreadable(what, error) from error


def _from_npy(path: Path, layout: Layout, *, mapped: bool = False) -> npt.NDArray[Any]:
    what = repr(str(path))
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:
        raise _unreadable(what, error) from error
    if mapped:
        return np.zeros((1, 1, 1))
    try:
        return one_image(array, layout)
    except InvalidInput as error:
        raise InvalidInput(f"{what} must be an image. {error}") from error


def _from_file(opened: Any, what: str) -> npt.NDArray[Any]:
    """The one image of a file; pages of a TIFF file may be its channels."""
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format == "TIFF":
        return _from_pages(opened, frames, what)
    if frames > 1 and opened.format != "MPO":  # in which photos lie before their previews
        raise InvalidInput(
            f"{what} must hold one image; got {frames} frames. Save them one by one, or give them as PIL images."
        )
    return _from_pil(opened, what)


def _from_pages(opened: Any, frames: int, what: str) -> npt.NDArray[Any]:
    pages = []
    for number in range(frames):
        opened.seek(number)
        if number == 0 or not int(opened.tag_v2.get(_KIND_OF_PAGE, 0)) & 1:  # a smaller copy, for viewers
            pages.append(_from_pil(opened, what))
    if len({(page.shape, page.dtype) for page in pages}) > 1 or (len(pages) > 1 and pages[0].shape[0] > 1):
        shapes = [page.shape for page in pages[:3]]
        raise InvalidInput(
            f"{what} must hold one image, or grey pages of one size, which become its channels; got {len(pages)} pages "
            f"of shapes {shapes}{'…' if len(pages) > len(shapes) else ''}. Save them one by one."
        )
    return np.concatenate(pages)


def _from_pil(image: Any, what: str) -> npt.NDArray[Any]:
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("1", "LA"):
            image = image.convert("L")
        elif image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA").convert("RGB")
        elif image.mode not in _PLAIN_MODES:
            image = image.convert("RGB")
        pixels = np.asarray(image)
    except Exception as error:
        raise _unreadable(what, error) from error
    if image.mode.startswith("I"):
        pixels = _as_uint16(pixels, what)
    pixels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    _check_values(pixels, what)
    return pixels


def _unreadable(what: str, error: Exception) -> InvalidInput:
    """Broken files make Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, zlib.error…"""
    return InvalidInput(f"{what} must be a readable image; got an error: {error}. Mend or remove it.")


def _as_uint16(pixels: npt.NDArray[Any], what: str) -> npt.NDArray[np.uint16]:
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise InvalidInput(
            f"{what} must have at most 16 bits per pixel; got values from {pixels.min()} to {pixels.max()}. "
            "Scale it, or give floating-point arrays."
        )
    return pixels.astype(np.uint16)
