"""Windows of series ``(n, channels, length)`` read at other places, and smooth curves.

NaN stands for a missing step. It moves with the content, and a value between a missing step and another is missing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def resampled(data: Tensor, positions: Tensor) -> Tensor:
    """The content at fractional steps, by linear interpolation.

    Parameters
    ----------
    data : Tensor
        ``(n, channels, length)`` floating point.
    positions : Tensor
        ``(n, m)``, or ``(n, channels, m)`` for other places in each channel; in steps, 0 is the first. What lies
        outside is moved to the nearest end.

    Returns
    -------
    Tensor
        ``(n, channels, m)``. At a whole step it is that step, whatever its neighbour.
    """
    last = data.shape[2] - 1
    places = (positions if positions.ndim == 3 else positions[:, None]).to(data).clamp(0, last)
    whole = places.floor()
    share, left = places - whole, whole.long()  # (n, 1 or channels, m)
    before = data.gather(2, left.expand(-1, data.shape[1], -1))
    after = data.gather(2, (left + 1).clamp(max=last).expand(-1, data.shape[1], -1))
    return torch.where(share == 0, before, torch.lerp(before, after, share))


def mirrored(positions: Tensor, length: int) -> Tensor:
    """Whole or fractional steps outside of ``[0, length - 1]`` as their mirror images inside of it."""
    last = length - 1
    if last == 0:
        return torch.zeros_like(positions)
    folded = positions.remainder(2 * last)
    return torch.where(folded > last, 2 * last - folded, folded)


def reach(share: float, length: int) -> int:
    """How far a window may move: a share of its length in whole steps; above 0 it is one step at least.

    One step of the content stays.
    """
    return min(max(round(share * length), 1 if share > 0 else 0), length - 1)


def shifted(data: Tensor, steps: Tensor) -> Tensor:
    """The content moved; what moves in is the mirror image of what is there.

    Parameters
    ----------
    data : Tensor
        ``(n, channels, length)``.
    steps : Tensor
        ``(n,)`` whole numbers: above 0, the content moves to later steps, as in a window that began earlier.
    """
    length = data.shape[2]
    places = torch.arange(length, device=data.device) - steps.long()[:, None]  # (n, length)
    return data.gather(2, mirrored(places, length)[:, None].expand_as(data))


def smooth(knots: Tensor, length: int) -> Tensor:
    """A smooth curve through evenly spaced knots.

    A cubic Hermite spline with the slopes of Catmull and Rom (1974); it leaves the range of the knots a little.

    Parameters
    ----------
    knots : Tensor
        ``(..., k)``, k of 2 or more: the first and the last lie at the ends.
    length : int
        Steps of the curve.

    Returns
    -------
    Tensor
        ``(..., length)``.
    """
    last = knots.shape[-1] - 1
    places = torch.linspace(0, last, length, device=knots.device, dtype=knots.dtype)
    left = places.floor().clamp(max=last - 1)
    share, left = places - left, left.long()
    # Beyond the ends the curve goes on straight.
    ends = 2 * knots[..., [0, -1]] - knots[..., [1, -2]]
    padded = torch.cat((ends[..., :1], knots, ends[..., 1:]), dim=-1)
    weights = (
        -0.5 * share + share**2 - 0.5 * share**3,
        1.0 - 2.5 * share**2 + 1.5 * share**3,
        0.5 * share + 2.0 * share**2 - 1.5 * share**3,
        -0.5 * share**2 + 0.5 * share**3,
    )
    curve: Tensor = torch.zeros_like(padded[..., left])
    for offset, weight in enumerate(weights):
        curve = curve + weight * padded[..., left + offset]
    return curve
