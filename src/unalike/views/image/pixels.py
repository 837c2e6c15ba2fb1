"""What is done to the pixels: pure functions on batches of images, with one setting per sample.

``n`` images of shape ``(channels, height, width)``; every per-sample setting is ``(n,)`` on the images'
device and in their dtype. No function mixes rows, changes its input or follows autocast to fewer bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

Padding = Literal["zeros", "border", "reflection"]
Range = tuple[float, float]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""

_CACHED = 2**19
"""Numbers: so many, read and written some times, stay in the caches of a CPU."""

# The FCC's YIQ: brightness, and the two axes of colour.
_YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True)
class Placement:
    """Where in its image each sample looks; coordinates and sizes are shares of the image, -1 to 1 its edges.

    Parameters
    ----------
    width, height : Tensor
        Of the window, 1 = the whole image; negative = mirrored.
    x, y : Tensor
        Centre of the window, 0 = the image's centre.
    angle : Tensor
        By which the image turns counter-clockwise, in radians.
    """

    width: Tensor
    height: Tensor
    x: Tensor
    y: Tensor
    angle: Tensor


def look(data: Tensor, place: Placement, size: tuple[int, int], padding: Padding) -> Tensor:
    """``(n, channels, *size)``: the windows at `place`, in one bilinear `grid_sample`.

    Pixel ``u`` of the window, in -1 to 1, is read at ``centre + R(angle) (width u_x, height u_y)``, where
    the rotation is of pixels, so that it keeps shapes in images that are not square.
    """
    rows, columns = data.shape[-2:]
    down = _centers(size[0], data)[:, None]
    right = _centers(size[1], data)[None, :]
    cosine, sine = place.angle.cos(), place.angle.sin()
    x = _plane(place.width * cosine, right, -place.height * sine * (rows / columns), down, place.x)
    y = _plane(place.width * sine * (columns / rows), right, place.height * cosine, down, place.y)
    # Planes side by side: interleaving them as grid_sample's layout has it costs more than the sampling.
    grid = torch.stack([x, y], dim=1).movedim(1, -1)
    return grid_sample(data, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def blur(data: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Gaussian blur of ``2 radius + 1`` pixels with reflected edges; `sigma` ``(n,)`` in pixels.

    A sum of shifted images: at these sizes as fast as a grouped convolution, and the same bits for a row
    whatever its batch. The radius is cut where reflection would leave the image. On a CPU a few images at a time,
    which stay in its caches.
    """
    step = max(_CACHED // max(data[0].numel(), 1), 1) if len(data) and data.device.type == "cpu" else len(data)
    if step >= len(data):
        return _blurred(data, sigma, radius)
    parts = zip(torch.split(data, step), torch.split(sigma, step), strict=True)
    return torch.cat([_blurred(part, of_part, radius) for part, of_part in parts])


def _blurred(data: Tensor, sigma: Tensor, radius: int) -> Tensor:
    for dim in (-1, -2):
        reach = min(radius, data.shape[dim] - 1)
        taps = _gaussian(sigma, reach)
        padded = pad(data, (reach, reach, 0, 0) if dim == -1 else (0, 0, reach, reach), mode="reflect")
        length = data.shape[dim]
        data = padded.narrow(dim, 0, length) * per_image(taps[:, 0])
        for shift in range(1, 2 * reach + 1):
            data.addcmul_(padded.narrow(dim, shift, length), per_image(taps[:, shift]))
    return data


def luma(data: Tensor) -> Tensor:
    """``(n, 1, height, width)``: the brightness of ``(n, 3, height, width)``."""
    red, green, blue = data.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def relight(data: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """``brightness (contrast x + (1 - contrast) mean(x))``, with the mean of each channel."""
    mean = data.mean(dim=(2, 3), keepdim=True)
    return data * per_image(brightness * contrast) + mean * per_image(brightness * (1.0 - contrast))


def recolor(data: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, turn: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue of ``(n, 3, height, width)`` as one linear map per sample.

    The first three as torchvision has them (contrast about the mean brightness); hue turns the colour plane
    of YIQ by `turn` radians, which keeps brightness and is linear where HSV is not. With ``A`` the map to
    grey, ``B = I - A`` to colour, and ``C`` the quarter turn of the colour plane:
    ``b (c (A + s (cos B + sin C)) x + (1 - c) mean(A x))``.
    """
    grey, color, quarter = (matrix.to(data) for matrix in _color_maps())
    colored = saturation * turn.cos(), saturation * turn.sin()
    maps = grey + colored[0][:, None, None] * color + colored[1][:, None, None] * quarter
    maps = maps * (brightness * contrast)[:, None, None]
    mean = (data.mean(dim=(2, 3)) * grey[0]).sum(dim=1) * brightness * (1.0 - contrast)
    with torch.autocast(data.device.type, enabled=False):
        return torch.baddbmm(mean[:, None, None], maps, data.flatten(2)).view_as(data)


def boxes(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: tuple[int, int]) -> Tensor:
    """``(n, 1, *size)`` bool: True inside each sample's box of whole pixels."""
    down = torch.arange(size[0], device=top.device)
    right = torch.arange(size[1], device=top.device)
    inside_rows = (down >= top[:, None]) & (down < (top + height)[:, None])
    inside_columns = (right >= left[:, None]) & (right < (left + width)[:, None])
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def per_image(values: Tensor) -> Tensor:
    """``(n,)`` as ``(n, 1, 1, 1)``."""
    return values[:, None, None, None]


def between(unit: Tensor, bounds: Range) -> Tensor:
    """Numbers in ``[0, 1)`` brought between the bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * unit


def _centers(count: int, like: Tensor) -> Tensor:
    """Centres of `count` pixels between -1 and 1."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) * 2 + 1) / count - 1


def _plane(a: Tensor, right: Tensor, b: Tensor, down: Tensor, c: Tensor) -> Tensor:
    """``(n, height, width)``: ``a right + b down + c``."""
    return a[:, None, None] * right + (b[:, None, None] * down + c[:, None, None])


def _gaussian(sigma: Tensor, radius: int) -> Tensor:
    offsets = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
    weights = (-0.5 * (offsets / sigma[:, None]) ** 2).exp()
    return weights / weights.sum(dim=1, keepdim=True)


@cache
def _color_maps() -> tuple[Tensor, Tensor, Tensor]:
    to_yiq = torch.tensor(_YIQ, dtype=torch.float64)
    from_yiq = torch.linalg.inv(to_yiq)
    grey = torch.outer(torch.ones(3, dtype=torch.float64), to_yiq[0])
    turned = torch.stack([-to_yiq[2], to_yiq[1]])
    return grey, torch.eye(3, dtype=torch.float64) - grey, from_yiq[:, 1:] @ turned
