"""Views of series ``(n, channels, length)``: values standardised by channel, NaN = missing.

What is missing stays missing in every view. `unalike.views.warping` has those that move the content to other
steps; this module offers them too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unalike.errors import InvalidParameter
from unalike.resampling import smooth
from unalike.seeding import RowGenerator
from unalike.views import checks
from unalike.views.warping import Crop, Permute, Shift, TimeWarp

__all__ = [
    "Crop",
    "DropChannels",
    "Jitter",
    "MagnitudeWarp",
    "MaskFrequencies",
    "MaskSteps",
    "Permute",
    "Scale",
    "Shift",
    "TimeWarp",
]


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Add independent normal noise to every value (Um et al., ICMI 2017).

    Parameters
    ----------
    sigma : float
        Standard deviation, 0 or more; in standard deviations of the channel, where these are standardised.

    Raises
    ------
    InvalidParameter
        When `sigma` is negative or not finite.
    """

    sigma: float = 0.05

    def __post_init__(self) -> None:
        checks.amount("sigma", self.sigma)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        return data + self.sigma * generator.normal(*data.shape[1:]).to(data)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Multiply by a random factor, whose logarithm is normal, so that nothing is turned upside down.

    Where channels are standardised, it scales the distance from the usual value.

    Parameters
    ----------
    sigma : float
        Standard deviation of the factor's logarithm, 0 or more.
    joint : bool
        One factor for all channels instead of one for each.

    Raises
    ------
    InvalidParameter
        When `sigma` is negative or not finite.
    """

    sigma: float = 0.1
    joint: bool = False

    def __post_init__(self) -> None:
        checks.amount("sigma", self.sigma)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        draw = generator.normal(1 if self.joint else data.shape[1], 1).to(data)
        return data * (self.sigma * draw).exp()


@dataclass(frozen=True, kw_only=True)
class MagnitudeWarp:
    """Multiply by a smooth random curve, one for each channel (after Um et al., ICMI 2017).

    The curve's logarithm goes through normal random knots, so that nothing is turned upside down.

    Parameters
    ----------
    sigma : float
        Standard deviation of the logarithm at a knot, 0 or more.
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
        knots = generator.normal(data.shape[1], self.knots).to(data)
        return data * (self.sigma * smooth(knots, data.shape[2])).exp()


@dataclass(frozen=True, kw_only=True)
class MaskSteps:
    """Make runs of steps missing (NaN).

    Runs begin at random and may touch. A window of which nothing would be left stays as it is.

    Parameters
    ----------
    share : float
        Chance of each step to become missing, at least 0 and below 1.
    run : float
        Length of a run as a share of the window's, above 0 and at most 1; it is one step at least.
    joint : bool
        The same steps in all channels instead of other ones in each.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    """

    share: float = 0.1
    run: float = 0.05
    joint: bool = False

    def __post_init__(self) -> None:
        checks.probability("share", self.share)
        checks.probability("run", self.run)
        if self.share == 1.0 or self.run == 0.0:
            raise InvalidParameter(
                f"`share` must be below 1 and `run` above 0; got {self.share!r} and {self.run!r}. "
                "Give for example share=0.1, run=0.05."
            )

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        channels, length = data.shape[1:]
        run = max(round(self.run * length), 1)
        # A step is hidden when one of the last `run` steps, itself included, begins a run.
        chance = 1.0 - (1.0 - self.share) ** (1.0 / run)
        begins = generator.uniform(1 if self.joint else channels, length + run) < chance
        begun = begins.cumsum(dim=2)
        hidden = begun[..., run:] > begun[..., :-run]
        left = (~hidden & ~data.isnan()).flatten(1).any(dim=1)
        return data.masked_fill(hidden & left[:, None, None], torch.nan)


@dataclass(frozen=True, kw_only=True)
class DropChannels:
    """Make whole channels missing (NaN); one that has values stays.

    Parameters
    ----------
    rate : float
        Chance of each channel, in ``[0, 1]``. A window of one channel stays as it is.

    Raises
    ------
    InvalidParameter
        When `rate` is not in ``[0, 1]``.
    """

    rate: float = 0.2

    def __post_init__(self) -> None:
        checks.probability("rate", self.rate)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        draw = generator.uniform(data.shape[1])  # (n, channels)
        known = (~data.isnan()).any(dim=2)
        kept = draw.masked_fill(~known, -1.0).argmax(dim=1, keepdim=True)
        dropped = (draw < self.rate).scatter(1, kept, False)
        return data.masked_fill(dropped[..., None], torch.nan)


@dataclass(frozen=True, kw_only=True)
class MaskFrequencies:
    """Take random frequencies out of each channel.

    The mean, frequency 0, stays. Missing steps count as the mean of the channel's other steps in the window, and are
    missing afterwards.

    Parameters
    ----------
    share : float
        Chance of each frequency, in ``[0, 1]``.

    Raises
    ------
    InvalidParameter
        When `share` is not in ``[0, 1]``.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        checks.probability("share", self.share)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.series(data)
        channels, length = data.shape[1:]
        missing = data.isnan()
        mean = data.nanmean(dim=2, keepdim=True).nan_to_num(0.0)
        spectrum = torch.fft.rfft(torch.where(missing, mean, data), dim=2)
        removed = generator.uniform(channels, spectrum.shape[2]) < self.share
        removed[..., 0] = False
        made: Tensor = torch.fft.irfft(spectrum.masked_fill(removed, 0.0), n=length, dim=2)
        made.masked_fill_(missing, torch.nan)
        return made
