"""Encoders of windows of a time series that have no weights: the values themselves, and statistics of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import series_shape, truth, whole
from unalike.encoders.steps import bridged, measured, moments, rescaled
from unalike.types import Schema

STATISTICS = ("mean", "std", "max", "min", "largest step", "mean step")
"""What `WindowStatistics` gives of each channel, in order."""

_CHUNK = 512
_FLOOR = 0.05
_LARGEST = 20.0


@dataclass(frozen=True, kw_only=True)
class RawWindow:
    """Settings of the encoder that gives a window's values, channel by channel.

    Missing cells say as little as they can: they lie on lines between the measured ones of their channel, before the
    first and after the last its value goes on, and a channel without any is 0, the mean of training.

    Parameters
    ----------
    points : int, optional
        A longer window is averaged to so many points per channel, over equal stretches that overlap by a step where
        the length is no multiple. None: every step is one.
    instance_norm : bool
        Whether each channel of each window is standardised by itself, ``(x - mean) / sqrt(variance + 0.05**2)`` of its
        measured cells: the shape counts, level and amplitude do not.
    center : bool
        Whether the mean of its measured cells is taken from each channel of each window: the level does not count.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    The Euclidean distance of two such windows is that of nearest-neighbour discord search.
    """

    points: int | None = None
    instance_norm: bool = False
    center: bool = False

    def __post_init__(self) -> None:
        truth("center", self.center)
        if self.points is not None:
            whole("points", self.points)
        truth("instance_norm", self.instance_norm)

    def build(self, schema: Schema) -> WindowValues:
        """The encoder for windows ``(channels, length)``."""
        shape = series_shape("RawWindow", schema, fixed=True)
        return WindowValues(*shape, self.points, self.instance_norm, self.center)


@dataclass(frozen=True, kw_only=True)
class WindowStatistics:
    """Settings of the encoder that gives six statistics of each channel of a window.

    The mean, the standard deviation, the largest and the least value, and the largest and the mean absolute difference
    of two steps in a row, each standardised by its mean and standard deviation over the training windows (at least
    0.05, in standard deviations of the channel) and clipped at 20. Only measured cells count; what cannot be said, as
    of a channel without any, is 0, what is usual.

    The embedding ``(n, channels * 6)`` has the statistics of one channel side by side.
    """

    def build(self, schema: Schema) -> ChannelStatistics:
        """The encoder for windows ``(channels, length)``."""
        return ChannelStatistics(series_shape("WindowStatistics", schema)[0])


class WindowValues(nn.Module):
    """``(n, channels, length) -> (n, channels * points)``, channel by channel.

    Parameters
    ----------
    channels, length : int
        Shape of a window.
    points : int, optional
        As in `RawWindow`.
    instance_norm, center : bool
        As in `RawWindow`.
    """

    def __init__(
        self, channels: int, length: int, points: int | None, instance_norm: bool, center: bool = False
    ) -> None:
        super().__init__()
        self.center = center
        self.points = min(points or length, length)
        self.instance_norm = instance_norm
        self.width = channels * self.points

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        seen = measured(data)
        if self.instance_norm:
            data = rescaled(data, seen)
        elif self.center:
            data = data - moments(data, seen)[0]
        values = bridged(data, seen)
        if values.shape[-1] > self.points:
            values = functional.adaptive_avg_pool1d(values, self.points)
        return values.flatten(1)


class ChannelStatistics(nn.Module):
    """``(n, channels, length) -> (n, channels * 6)``; see `WindowStatistics`. Before `prepare`, as they are.

    Parameters
    ----------
    channels : int
        Of a window.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, len(STATISTICS)))
        self.register_buffer("std", torch.ones(channels, len(STATISTICS)))
        self.width = channels * len(STATISTICS)

    def prepare(self, sample: Tensor) -> None:
        """Learn what is usual from training windows ``(m, channels, length)``."""
        values = torch.cat(
            [statistics(part) for part in torch.split(sample.detach(), _CHUNK)]
        ).double()  # (m, channels, 6)
        mean = values.nanmean(dim=0)
        std = (values - mean).square().nanmean(dim=0).sqrt()
        # Of a channel that was never measured nothing is known.
        self.mean.copy_(mean.nan_to_num(0.0))
        self.std.copy_(std.nan_to_num(1.0).clamp(min=_FLOOR))

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        values = (statistics(data) - self.mean) / self.std
        return values.nan_to_num(0.0).clamp(-_LARGEST, _LARGEST).flatten(1)


def statistics(data: Tensor) -> Tensor:
    """``(n, channels, 6)`` `STATISTICS` of windows ``(n, channels, length)``; NaN where there are no cells to tell.

    A step with a missing cell at either end is none. A window of one step has no steps, and they count as 0.
    """
    seen = measured(data)
    mean, variance = moments(data, seen)
    steps = (data[..., 1:] - data[..., :-1]).abs()
    if seen is None:
        largest, least = data.amax(dim=-1), data.amin(dim=-1)
        jump, change = (steps.amax(dim=-1), steps.mean(dim=-1)) if steps.shape[-1] else (0.0 * largest, 0.0 * largest)
    else:
        largest = _largest(data, seen)
        least = -_largest(-data, seen)
        jump, change = _of_steps(steps)
        nothing = ~seen.any(dim=-1, keepdim=True)
        mean, variance = mean.masked_fill(nothing, torch.nan), variance.masked_fill(nothing, torch.nan)
    return torch.stack([mean[..., 0], variance[..., 0].sqrt(), largest, least, jump, change], dim=-1)


def _largest(data: Tensor, seen: Tensor) -> Tensor:
    """``(n, channels)``; NaN without any."""
    largest = data.masked_fill(~seen, -torch.inf).amax(dim=-1)
    return largest.masked_fill(~seen.any(dim=-1), torch.nan)


def _of_steps(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Largest and mean ``(n, channels)`` of ``(n, channels, length - 1)`` with NaN; NaN without any."""
    if steps.shape[-1] == 0:
        none = steps.new_full(steps.shape[:-1], torch.nan)
        return none, none
    return _largest(steps, ~steps.isnan()), steps.nanmean(dim=-1)
