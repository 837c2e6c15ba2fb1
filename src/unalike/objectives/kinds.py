"""The kinds of anomaly that are put into windows of series: what the values of a stretch become.

Each is a function of the windows ``(n, channels, length)``, of windows to draw from, ``(n, channels, length)``, one
for each, of where the anomaly lies, and of sizes. It gives ``(n, channels, length)``, of which the cells of the
stretch count. NaN = missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unalike.resampling import mirrored, resampled
from unalike.seeding import RowGenerator


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Where the anomalies lie.

    Parameters
    ----------
    cells : Tensor
        ``(n, channels, length)`` bool.
    start, span : Tensor
        ``(n, 1)`` int64 each: first step and number of steps.
    """

    cells: Tensor
    start: Tensor
    span: Tensor

    def rows(self, chosen: Tensor) -> Stretch:
        """Those of some windows."""
        return Stretch(cells=self.cells[chosen], start=self.start[chosen], span=self.span[chosen])


@dataclass(frozen=True)
class Sizes:
    """Ranges of sizes, as in `InjectAnomalies`."""

    spike: tuple[float, float]
    shift: tuple[float, float]
    noise: tuple[float, float]
    speed: tuple[float, float]
    amplitude: tuple[float, float]


_MOVES = (0.06, 0.31)
"""How far a stretch is moved in time, as a share of the window."""
_SMOOTH = 4
"""Neighbours on each side that a smoothed value is the mean of, in 64ths of a window."""

Kind = Callable[[Tensor, Tensor, Stretch, RowGenerator, Sizes], Tensor]


def signed_sizes(generator: RowGenerator, ends: tuple[float, float], data: Tensor) -> Tensor:
    """``(n, channels, 1)``: log-uniform sizes between `ends`, up or down."""
    size, side = generator.uniform(2, data.shape[1], 1).to(data).unbind(dim=1)
    low, high = (math.log(end) for end in ends)
    return (low + (high - low) * size).exp() * (2.0 * (side < 0.5) - 1.0)


def _factors(generator: RowGenerator, ends: tuple[float, float], count: int, data: Tensor) -> Tensor:
    """``(n, count)``: log-uniform between `ends` or, as often, between their inverses."""
    size, side = generator.uniform(2, count).to(data).unbind(dim=1)
    low, high = (math.log(end) for end in ends)
    return ((low + (high - low) * size) * (2.0 * (side < 0.5) - 1.0)).exp()


def _spike(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    return data + signed_sizes(generator, sizes.spike, data)


def _level_shift(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    return data + signed_sizes(generator, sizes.shift, data)


def _trend(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    ramp = ((_since_start(data, stretch) + 1).to(data) / stretch.span).clamp(0.0, 1.0)  # (n, length)
    return data + signed_sizes(generator, sizes.shift, data) * ramp[:, None]


def _speed(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    factor = _factors(generator, sizes.speed, 1, data)  # (n, 1)
    places = stretch.start + _since_start(data, stretch) * factor
    return resampled(data, mirrored(places, data.shape[2]))


def _noise(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    return data + signed_sizes(generator, sizes.noise, data) * generator.normal(*data.shape[1:]).to(data)


def _flat_line(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    first = stretch.start[:, None].expand(-1, data.shape[1], 1)
    return data.gather(2, first).nan_to_num(0.0).expand_as(data)


def _channel_mix_up(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    channels = data.shape[1]
    if channels == 1:
        return donors
    own = torch.arange(channels, device=data.device)
    other = (own + 1 + generator.integers(channels - 1, channels)) % channels  # (n, channels)
    return data.gather(1, other[..., None].expand_as(data))


def _elsewhere(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    length = data.shape[2]
    begin = generator.integers(2**31, 1) % (length - stretch.span + 1)  # (n, 1)
    places = (begin + _since_start(data, stretch)).clamp(0, length - 1)
    taken = donors.gather(2, places[:, None].expand_as(data))
    first = stretch.start[:, None].expand(-1, data.shape[1], 1)
    # It joins where the stretch begins: a jump there would be told by its size, not by the pattern.
    return taken + (data.gather(2, first) - taken.gather(2, first)).nan_to_num(0.0)


def _reversed(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    places = stretch.start + stretch.span - 1 - _since_start(data, stretch)
    return resampled(data, mirrored(places, data.shape[2]))


def _moved(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    length = data.shape[2]
    least, most = (max(round(share * length), 1) for share in _MOVES)
    size, side = generator.integers(most - least + 1, 1) + least, generator.uniform(1)
    places = torch.arange(length, device=data.device) + size * (2 * (side < 0.5).long() - 1)
    return resampled(data, mirrored(places, length))


def _smoothed(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    length = data.shape[2]
    around = torch.arange(-_SMOOTH, _SMOOTH + 1, device=data.device) * max(length // 64, 1)
    places = (torch.arange(length, device=data.device)[:, None] + around).clamp(0, length - 1)  # (length, 9)
    return data[:, :, places].nanmean(dim=3)


def _amplitude(data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator, sizes: Sizes) -> Tensor:
    mean = torch.where(stretch.cells, data, torch.nan).nanmean(dim=2, keepdim=True)
    factor = _factors(generator, sizes.amplitude, data.shape[1], data)[..., None]
    return mean + factor * (data - mean)


def _since_start(data: Tensor, stretch: Stretch) -> Tensor:
    """``(n, length)``: steps since the stretch began."""
    return torch.arange(data.shape[2], device=data.device) - stretch.start


KINDS: dict[str, Kind] = {
    "spike": _spike,
    "level-shift": _level_shift,
    "trend": _trend,
    "speed": _speed,
    "noise": _noise,
    "flat-line": _flat_line,
    "channel-mix-up": _channel_mix_up,
    "elsewhere": _elsewhere,
    "amplitude": _amplitude,
    "reversed": _reversed,
    "moved": _moved,
    "smoothed": _smoothed,
}

NEED_DONORS = frozenset({"elsewhere"})
"""Kinds that take values of other windows, whatever the number of channels."""
