"""Views of series ``(n, channels, length)`` that move what is there to other steps.

NaN stands for a missing step. It moves with the content, and what is interpolated from a missing step is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unalike.errors import InvalidParameter
from unalike.resampling import reach, resampled, shifted, smooth
from unalike.seeding import RowGenerator
from unalike.views import checks


@dataclass(frozen=True, kw_only=True)
class TimeWarp:
    """Run faster here and slower there, alike in all channels (after Um et al., ICMI 2017).

    The logarithm of the speed is a smooth curve through normal random knots. Beginning and end stay where they are,
    the order of the steps too, and what lies between two steps is interpolated linearly.

    Parameters
    ----------
    sigma : float
        Standard deviation of the logarithm of the speed at a knot, 0 or more.
    knots : int
        Knots of the curve, evenly spaced, 2 or more.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    sigma: float = 0.2
    knots: int = 4

    def __post_init__(self) -> None:
        checks.amount("sigma", self.sigma)
        checks.several("knots", self.knots)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        length = data.shape[2]
        speed = (self.sigma * smooth(generator.normal(self.knots).to(data), max(length - 1, 1))).exp()
        passed = speed.cumsum(dim=1)  # (n, length - 1)
        places = passed * (length - 1) / passed[:, -1:]
        return resampled(data, torch.cat((torch.zeros_like(places[:, :1]), places), dim=1)[:, :length])


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Move the content by a random number of steps, as in a neighbouring window; what moves in is its mirror image.

    Parameters
    ----------
    most : float
        Largest shift to either side, as a share of the length, in ``[0, 1]``; above 0 it is one step at least. The
        last step is as far as the content can go.

    Raises
    ------
    InvalidParameter
        When `most` is not in ``[0, 1]``.
    """

    most: float = 0.25

    def __post_init__(self) -> None:
        checks.probability("most", self.most)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        most = reach(self.most, data.shape[2])
        return shifted(data, generator.integers(2 * most + 1) - most)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Take a random part of the window and stretch it to the full length, by linear interpolation.

    Parameters
    ----------
    share : (float, float)
        Range of the part's length, as a share of the window's, above 0 and at most 1.

    Raises
    ------
    InvalidParameter
        When `share` is no such range.
    """

    share: tuple[float, float] = (0.7, 1.0)

    def __post_init__(self) -> None:
        low, high = checks.interval("share", self.share, 0.0, 1.0)
        if low == 0.0:
            raise InvalidParameter(f"`share` must be above 0; got {self.share!r}. Give for example (0.7, 1.0).")
        object.__setattr__(self, "share", (low, high))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        length = data.shape[2]
        share, place = generator.uniform(2).to(data).chunk(2, dim=1)  # (n, 1) each
        low, high = self.share
        part = low + (high - low) * share
        steps = torch.arange(length, device=data.device, dtype=data.dtype)
        return resampled(data, place * (1.0 - part) * (length - 1) + steps * part)


@dataclass(frozen=True, kw_only=True)
class Permute:
    """Cut the window into pieces of one length and put them into a random order, alike in all channels.

    Lengths differ by a step where they must. One order in ``pieces!`` is the one that was.

    Parameters
    ----------
    pieces : int
        How many, 2 or more.

    Raises
    ------
    InvalidParameter
        When `pieces` is not such a number.
    """

    pieces: int = 4

    def __post_init__(self) -> None:
        checks.several("pieces", self.pieces)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        length = data.shape[2]
        step = torch.arange(length, device=data.device)
        rank = generator.permutation(self.pieces)[:, step * self.pieces // length]  # (n, length)
        order = (rank * length + step).argsort(dim=1)
        return data.gather(2, order[:, None].expand_as(data))
