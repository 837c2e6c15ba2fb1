"""Heat maps laid over the images they explain, as PNG files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.data import take
from unalike.decisions import Explanation
from unalike.errors import InvalidParameter
from unalike.explanation.samples import chosen_positions
from unalike.types import BoolArray, Collection, FloatArray, Pictured

_STOPS = np.array([[0, 0, 0], [90, 10, 110], [230, 60, 50], [255, 170, 0], [255, 255, 170]], dtype=np.float64)
_STRENGTH = 0.6
_OUTLINE = (0, 255, 255)


def overlay(
    pixels: npt.NDArray[Any], picture: FloatArray, mask: BoolArray | None = None, *, threshold: float | None = None
) -> npt.NDArray[np.uint8]:
    """``(height, width, 3)``: the image in grey or colour, hot where it is unlike normal ones, the mask outlined.

    Parameters
    ----------
    pixels : ndarray
        ``(channels, height, width)``; the first three channels are shown, or the first where there are two.
    picture, mask : ndarray
        ``(height, width)`` each, of an `Explanation`.
    threshold : float, optional
        What is coolest still has the colour of half the scale there, so that normal images stay cool. None: each image
        has a scale of its own.
    """
    shown = pixels[:3] if pixels.shape[0] >= 3 else np.repeat(pixels[:1], 3, axis=0)
    base = np.moveaxis(as_bytes(shown), 0, 2).astype(np.float64)
    low, top = float(picture.min()), float(picture.max())
    if threshold is not None:
        top = max(top, 2.0 * threshold - low)
    relative = (picture - low) / (top - low) if top > low else np.zeros_like(picture)
    at = np.linspace(0.0, 1.0, len(_STOPS))
    colors = np.stack([np.interp(relative, at, _STOPS[:, channel]) for channel in range(3)], axis=2)
    strength = (_STRENGTH * relative)[..., None]
    mixed = base * (1.0 - strength) + colors * strength
    if mask is not None:
        mixed[_edges(mask)] = _OUTLINE
    return np.asarray(np.round(mixed), dtype=np.uint8)


def write_overlays(
    modality: Pictured,
    X: Collection,
    explanations: Sequence[Explanation],
    folder: str | Path,
    *,
    only: Any = None,
    threshold: float | None = None,
) -> list[Path]:
    """One PNG file for each explained image.

    Parameters
    ----------
    modality : Pictured
        Fitted; gives the images' pixels.
    X : as in `Detector.fit`
        What was explained.
    explanations : sequence of Explanation
        Of those of `X` that `only` names.
    folder : path
        Made when it is not there. Files are called by the images' ids, with a number before it.
    only : array-like, optional
        As given to `Detector.explain`.
    threshold : float, optional
        As `overlay` takes it.

    Raises
    ------
    InvalidParameter
        When there are no pictures, or `folder` is a file.
    """
    from PIL import Image as Pillow

    X, folder = modality.check(X), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InvalidParameter(f"`pictures` must be a folder; {str(folder)!r} is a file. Give another.")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (position, sample) in enumerate(zip(chosen_positions(only, len(X)), explanations, strict=True)):
        if sample.picture is None:
            raise InvalidParameter("`explanations` must have pictures; got one without. Explain images.")
        pixels = modality.pixels(take(X, np.array([position])))
        name = re.sub(r"[^\w.-]+", "_", Path(sample.id).stem)[-80:] or "image"
        written.append(folder / f"{number:04}-{name}.png")
        made = overlay(pixels, sample.picture, sample.mask, threshold=threshold)
        Pillow.fromarray(made).save(written[-1])
    return written


def as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """8-bit values as they are; others stretched over the range of the image."""
    if pixels.dtype == np.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    scaled = (pixels.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.round(scaled).astype(np.uint8)


def _edges(mask: BoolArray) -> BoolArray:
    """Pixels of the mask that have a neighbour outside of it."""
    framed = np.pad(mask, 1)
    inner = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return np.asarray(mask & ~inner)
