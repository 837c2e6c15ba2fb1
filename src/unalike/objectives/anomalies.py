"""Anomalies put into normal windows of series, as negatives: where they lie, of which kind, and that they are some."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives.kinds import KINDS, NEED_DONORS, Sizes, Stretch, signed_sizes
from unalike.objectives.pairs import make_plain
from unalike.seeding import RowGenerator, derive

_LEAST_UNIT = 0.1
_POOL_WINDOWS = 1_000
_POOL_VALUES = 2**24
"""64 MiB in float32."""


@dataclass(frozen=True, kw_only=True)
class InjectAnomalies:
    """Put an anomaly into a random stretch of every window.

    Each window gets one of `kinds`, drawn with equal chance, in a random non-empty subset of its channels. What is
    missing (NaN) stays missing. Where an anomaly would hardly be seen, as a flat line in a window that is flat, the
    stretch gets a level shift instead, so that no negative equals its window; only one that is wholly missing does.

    It has the form of a view, and `prepare` gives it windows to draw from.

    Parameters
    ----------
    kinds : tuple of str
        Any of ``"spike"`` (a few steps far off), ``"level-shift"``, ``"trend"`` (a ramp), ``"speed"`` (the stretch
        runs faster or slower), ``"noise"``, ``"flat-line"`` (the first value is held), ``"channel-mix-up"`` (values
        of another channel; of another window where there is one channel), ``"elsewhere"`` (a stretch of another
        window, which joins where it begins), ``"amplitude"`` (scaled about the stretch's mean), ``"reversed"`` (it
        runs backwards), ``"moved"`` (what was a little before or after) and ``"smoothed"`` (a moving average).
    length : (float, float)
        Range of the stretch's length as a share of the window's, above 0 and at most 1; one step at least. Lengths
        and sizes are log-uniform.
    channels : (float, float)
        Range of the share of the channels, in ``[0, 1]``; one channel at least.
    spike_steps : int
        Longest spike in steps, or a twentieth of the window where that is more.
    unit : {"window", "channel"}
        What sizes are in: standard deviations of the channel in the window itself (at least a tenth of the next), or
        in all of training.
    spike_size : (float, float)
        Range of a spike's size, above 0.
    shift_size : (float, float)
        Range of the size of a level shift and of a trend at its end; not below `least_change`.
    noise_size : (float, float)
        Range of the noise's standard deviation, above 0.
    speed : (float, float)
        Range of the factor by which a stretch runs faster or, as often, slower; above 1.
    amplitude : (float, float)
        Range of the factor by which a stretch is larger or, as often, smaller; above 1.
    least_change : float
        An anomaly of which no value moved so far becomes a level shift; above 0.
    pool : Tensor, optional
        ``(m, channels, length)``, windows to draw from; set by `prepare`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    NotFitted
        When called before `prepare` on data whose kinds need windows to draw from.
    InvalidInput
        When called on what are no windows, or on others than it was prepared with.

    References
    ----------
    The idea of negatives by injection: Darban et al., "CARLA: self-supervised contrastive representation learning for
    time series anomaly detection", Pattern Recognition 157, 2025. The kinds are more, and the sizes ours.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    length: tuple[float, float] = (0.06, 0.56)
    channels: tuple[float, float] = (0.0, 1.0)
    spike_steps: int = 3
    unit: Literal["window", "channel"] = "window"
    spike_size: tuple[float, float] = (0.8, 6.0)
    shift_size: tuple[float, float] = (0.4, 3.0)
    noise_size: tuple[float, float] = (0.24, 1.8)
    speed: tuple[float, float] = (1.4, 2.5)
    amplitude: tuple[float, float] = (1.5, 3.0)
    least_change: float = 0.1
    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("kinds", *_RANGES):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        make_plain(self)
        if not isinstance(self.kinds, tuple) or not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InvalidParameter(f"`kinds` must be some of {tuple(KINDS)}; got {self.kinds!r}. Leave it out for all.")
        for name, (least, most, open_below) in _RANGES.items():
            _check_range(name, getattr(self, name), least, most, open_below)
        if not isinstance(self.spike_steps, int) or isinstance(self.spike_steps, bool) or self.spike_steps < 1:
            raise InvalidParameter(
                f"`spike_steps` must be a whole number of 1 or more; got {self.spike_steps!r}. Try 3."
            )
        if self.unit not in ("window", "channel"):
            raise InvalidParameter(f"`unit` must be 'window' or 'channel'; got {self.unit!r}.")
        if not (isinstance(self.least_change, (int, float)) and 0.0 < self.least_change <= self.shift_size[0]):
            raise InvalidParameter(
                f"`least_change` must be above 0 and at most the least `shift_size`, {self.shift_size[0]:g}; got "
                f"{self.least_change!r}. Lower it, or raise shift_size."
            )

    def prepare(self, sample: Tensor) -> InjectAnomalies:
        """A copy that draws from `sample`, ``(m, channels, length)`` training windows, of which it keeps up to 1,000.

        Fewer when windows are large, so that no more than 64 MiB are kept.
        """
        check_windows("sample", sample)
        most = min(_POOL_WINDOWS, max(1, _POOL_VALUES // math.prod(sample.shape[1:])))
        count = min(len(sample), most)
        kept = torch.arange(count, device=sample.device) * len(sample) // count
        return replace(self, pool=sample[kept].detach().clone())

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, channels, length)``: every window with an anomaly in it."""
        check_windows("data", data)
        pool = self._donors(data)
        kind = generator.integers(len(self.kinds))  # (n,)
        # Rows of one kind draw together, and each as much as its kind needs: from a stream of the row's own.
        own = RowGenerator(derive(0, "inject-anomalies"), generator.integers(2**62))
        longest = max(self.spike_steps, data.shape[2] // 20)
        spike = kind == self.kinds.index("spike") if "spike" in self.kinds else torch.zeros_like(kind, dtype=torch.bool)
        stretch = _stretch(data, own, self.length, self.channels, spike[:, None], longest)
        donors = data if pool is None else pool[own.integers(len(pool))]
        if self.unit == "channel":
            return torch.where(stretch.cells, self._made(kind, data, donors, stretch, own), data)
        unit = spread(data).clamp(min=_LEAST_UNIT)  # (n, channels, 1)
        return torch.where(stretch.cells, self._made(kind, data / unit, donors / unit, stretch, own) * unit, data)

    def _made(self, kind: Tensor, data: Tensor, donors: Tensor, stretch: Stretch, generator: RowGenerator) -> Tensor:
        sizes = Sizes(self.spike_size, self.shift_size, self.noise_size, self.speed, self.amplitude)
        shift = signed_sizes(generator, self.shift_size, data)
        made = data.clone()
        for number, name in enumerate(self.kinds):
            rows = (kind == number).nonzero()[:, 0]
            if len(rows):
                made[rows] = KINDS[name](data[rows], donors[rows], stretch.rows(rows), generator.rows(rows), sizes)
        made = torch.where(stretch.cells & ~made.isnan() & ~data.isnan(), made, data)
        weak = (made - data).abs().nan_to_num(0.0).flatten(1).amax(dim=1) < self.least_change
        return torch.where(weak[:, None, None], torch.where(stretch.cells, data + shift, data), made)

    def _donors(self, data: Tensor) -> Tensor | None:
        wanted = NEED_DONORS | ({"channel-mix-up"} if data.shape[1] == 1 else set())
        if not wanted & set(self.kinds):
            return None
        if self.pool is None:
            raise NotFitted(
                f"`InjectAnomalies` must know windows to draw from for {sorted(wanted & set(self.kinds))}; it has "
                "none. Call it.prepare(windows), as `Detector.fit` does, or leave these kinds out."
            )
        if self.pool.shape[1:] != data.shape[1:]:
            raise InvalidInput(
                f"`data` must be windows of the shape that `InjectAnomalies` was prepared with, "
                f"{tuple(self.pool.shape[1:])}; got {tuple(data.shape[1:])}. Prepare it with windows of this kind."
            )
        return self.pool.to(data)


def spread(data: Tensor) -> Tensor:
    """``(n, channels, 1)``: the standard deviation of the measured values of each channel of each window; 0 of none."""
    apart = data - data.nanmean(dim=2, keepdim=True)
    return apart.square().nanmean(dim=2, keepdim=True).sqrt().nan_to_num(0.0)


def check_windows(name: str, data: Tensor) -> None:
    """Refuse what is no batch of windows of series.

    Raises
    ------
    InvalidInput
        When `data` is not ``(n, channels, length)`` floating point with a window, a channel and a step at least.
    """
    if data.ndim != 3 or 0 in data.shape or not data.is_floating_point():
        raise InvalidInput(
            f"`{name}` must be windows of series, (n, channels, length), in floating point; got shape "
            f"{tuple(data.shape)} of {data.dtype}. This objective is for series; others take SimCLR."
        )


def _stretch(
    data: Tensor,
    generator: RowGenerator,
    length: tuple[float, float],
    channels: tuple[float, float],
    spike: Tensor,
    longest_spike: int,
) -> Stretch:
    """Where the anomaly of each window lies: cells with values, at least one where the window has any."""
    whole = data.shape[2]
    share, place, part = generator.uniform(3).chunk(3, dim=1)  # (n, 1) each
    low, high = length
    # Of steps as many as the longest window holds; of a share at least one step.
    span = (whole * low * (high / low) ** share).round().clamp(1, whole).long()
    span = torch.where(spike, (1 + share * longest_spike).long().clamp(max=whole), span)
    start = (place * (whole - span + 1)).long()  # (n, 1)
    step = torch.arange(whole, device=data.device)
    inside = (step >= start) & (step < start + span)  # (n, length)
    known = ~data.isnan()
    eligible = (inside[:, None] & known).any(dim=2)  # (n, channels)
    draw = generator.uniform(data.shape[1])
    least = draw.masked_fill(~eligible, math.inf).amin(dim=1, keepdim=True)
    chosen = eligible & ((draw < channels[0] + (channels[1] - channels[0]) * part) | (draw == least))
    cells = inside[:, None] & chosen[..., None]  # (n, channels, length)
    nothing = ~cells.flatten(1).any(dim=1)
    return Stretch(cells=cells | nothing[:, None, None], start=start, span=span)


_RANGES = {
    "length": (0.0, 1.0, True),
    "channels": (0.0, 1.0, False),
    "spike_size": (0.0, math.inf, True),
    "shift_size": (0.0, math.inf, True),
    "noise_size": (0.0, math.inf, True),
    "speed": (1.0, math.inf, True),
    "amplitude": (1.0, math.inf, True),
}
"""Least, most, and whether the least itself is out of range."""


def _check_range(name: str, ends: object, least: float, most: float, open_below: bool) -> None:
    pair = isinstance(ends, tuple) and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends)
    low, high = ends if isinstance(ends, tuple) and pair else (math.nan, math.nan)
    if not (least <= low <= high <= most and high < math.inf) or (open_below and low == least):
        above = f"above {least:g}" if open_below else f"from {least:g} on"
        upto = "" if most == math.inf else f", at most {most:g}"
        raise InvalidParameter(f"`{name}` must be two numbers in rising order, {above}{upto}; got {ends!r}.")
