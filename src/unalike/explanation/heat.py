"""Heat maps: from scores of places, or of samples with a part hidden, to pictures in the units of the fused score."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unalike.scorers.fusion import Fusion
from unalike.types import BoolArray, FloatArray, IntArray

SIGMA = 0.5
"""Of the Gaussian that smooths a map of places, in places."""

_WINDOWS = 9
"""Hidden windows along a side of an image; each is twice as long as the step."""


def spread_places(scores: FloatArray, grid: tuple[int, int], size: tuple[int, int]) -> FloatArray:
    """Scores of places as a map: interpolated (bilinear), then smoothed by a Gaussian of half a place.

    Parameters
    ----------
    scores : ndarray
        ``(places,)``, row by row.
    grid : (int, int)
        Rows and columns of the places.
    size : (int, int)
        Height and width of the map.
    """
    from scipy.ndimage import gaussian_filter

    if grid[0] * grid[1] != len(scores):  # of an encoder for images that vary in size
        grid = _nearest_grid(len(scores), size)
    coarse = torch.from_numpy(scores.reshape(1, 1, *grid))
    fine = functional.interpolate(coarse, size, mode="bilinear", align_corners=False)[0, 0].numpy()
    sigma = [SIGMA * pixels / places for pixels, places in zip(size, grid, strict=True)]
    return np.asarray(gaussian_filter(fine, sigma, mode="nearest"))


def fused_map(
    maps: Mapping[str, FloatArray], scores: Mapping[str, float], usual: Mapping[str, float], fusion: Fusion
) -> FloatArray:
    """``(height, width)``: the fused score that the sample would have if each place were its worst.

    The map of a branch is scaled so that its peak is the sample's score by that branch. What a branch without a map has
    above its usual score, as it knows no places, is shared out in proportion to what the other maps have above theirs.

    Parameters
    ----------
    maps : mapping of str to ndarray
        Branch to its ``(height, width)`` map, at least one.
    scores : mapping of str to float
        Branch to the sample's score, of all fitted branches.
    usual : mapping of str to float
        Branch to the score of a usual sample.
    fusion : Fusion
        Fitted.
    """
    peaks = {name: peaked(picture, scores[name]) for name, picture in maps.items()}
    relative = np.mean([_above(picture, usual[name]) for name, picture in peaks.items()], axis=0)
    values = {
        name: (peaks[name] if name in peaks else between(usual[name], score, relative)).ravel()
        for name, score in scores.items()
    }
    return fusion.score(values).reshape(relative.shape)


def between(usual: float, score: float, relative: FloatArray) -> FloatArray:
    """`score` where `relative` is 1, and the usual score, or `score` where that is less, where it is 0."""
    base = min(usual, score)
    return np.asarray(base + (score - base) * relative)


def _above(picture: FloatArray, usual: float) -> FloatArray:
    """In [0, 1]: what is above the usual score, as a share of the most; above the least where nothing is."""
    base = usual if picture.max() > usual else float(picture.min())
    return peaked(np.maximum(picture - base, 0.0), 1.0)


def peaked(picture: FloatArray, score: float) -> FloatArray:
    """The picture stretched, its least value fixed, so that its peak is the score to the last bit."""
    top, base = float(picture.max()), min(float(picture.min()), score)
    stretched = picture.astype(np.float64)
    if top > base:
        stretched = base + (stretched - base) * ((score - base) / (top - base))
    stretched = np.minimum(stretched, score)
    stretched[np.unravel_index(int(picture.argmax()), picture.shape)] = score
    return stretched


def blended(maps: list[FloatArray], boxes: IntArray, size: tuple[int, int]) -> FloatArray:
    """Maps of tiles as one picture; where they overlap, each weighs the less the nearer its border is.

    Parameters
    ----------
    maps : list of ndarray
        One for each box, of any size.
    boxes : ndarray
        ``(tiles, 4)``, as `unalike.modalities.tiles.Tiles` has them.
    size : (int, int)
        Height and width of the picture.
    """
    total, weight = np.zeros(size), np.zeros(size)
    for part, (top, left, bottom, right) in zip(maps, boxes.tolist(), strict=True):
        shape = (bottom - top, right - left)
        tent = np.multiply.outer(_tent(shape[0]), _tent(shape[1]))
        total[top:bottom, left:right] += tent * resized(part, shape)
        weight[top:bottom, left:right] += tent
    return total / weight


def resized(picture: FloatArray, size: tuple[int, int]) -> FloatArray:
    """The picture in another size (bilinear)."""
    if picture.shape == size:
        return picture
    made = functional.interpolate(torch.from_numpy(picture)[None, None], size, mode="bilinear", align_corners=False)
    return np.asarray(made[0, 0].numpy())


def windows(size: tuple[int, int]) -> BoolArray:
    """``(m, height, width)``: the parts of an image that are hidden one after the other; together they cover it."""
    hidden = [np.outer(rows, columns) for rows in _stretches(size[0]) for columns in _stretches(size[1])]
    return np.stack(hidden)


def without(image: Tensor, hidden: Tensor) -> Tensor:
    """``(m, channels, height, width)``: the image with each part filled in from what is around it.

    By normalised convolution: a mean of the pixels that are seen, weighted by a Gaussian of their distance.

    Parameters
    ----------
    image : Tensor
        ``(channels, height, width)``.
    hidden : Tensor
        ``(m, height, width)`` bool.
    """
    seen = (~hidden).to(image.dtype)[:, None]
    sigma = max(min(image.shape[-2:]) / _WINDOWS, 1.0)
    around, weight = _blurred(image * seen, sigma), _blurred(seen, sigma)
    return torch.where(hidden[:, None], around / weight.clamp_min(1e-12), image)


def occlusion_map(falls: FloatArray, hidden: BoolArray) -> FloatArray:
    """``(height, width)``: by how much the score falls, in the mean, when a window over that place is hidden."""
    falls = np.maximum(falls, 0.0)
    return np.asarray(np.tensordot(falls, hidden.astype(np.float64), axes=1) / hidden.sum(axis=0))


def _stretches(length: int) -> BoolArray:
    count = min(_WINDOWS, length)
    edges = np.round(np.linspace(0, length, count + 1)).astype(np.int64)
    at = np.arange(length)
    if count < 3:
        return (at >= edges[:-1, None]) & (at < edges[1:, None])
    return (at >= edges[:-2, None]) & (at < edges[2:, None])


def _tent(length: int) -> FloatArray:
    """``(length,)``: falls off towards both ends, above 0."""
    at = np.arange(length) + 0.5
    return np.asarray(np.minimum(at, length - at))


def _blurred(images: Tensor, sigma: float) -> Tensor:
    for axis in (-2, -1):
        reach = min(math.ceil(3.0 * sigma), images.shape[axis] - 1)
        at = torch.arange(-reach, reach + 1, dtype=images.dtype)
        kernel = torch.exp(-0.5 * (at / sigma) ** 2)
        shape = [1, 1, 1, 1]
        shape[axis] = len(kernel)
        padding = (reach, 0) if axis == -2 else (0, reach)
        channels = images.shape[1]
        images = functional.conv2d(
            images, kernel.view(shape).expand(channels, 1, *shape[2:]), padding=padding, groups=channels
        )
    return images


def _nearest_grid(places: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of so many places, about as a picture of this size has them."""
    wanted = math.sqrt(places * size[0] / size[1])
    rows = min((rows for rows in range(1, places + 1) if places % rows == 0), key=lambda rows: abs(rows - wanted))
    return rows, places // rows
