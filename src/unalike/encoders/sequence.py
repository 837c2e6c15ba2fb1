"""What the trained encoders of windows share: what goes in, how steps become one embedding, and its named parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from unalike.encoders.checks import one_of, series_shape, truth
from unalike.encoders.steps import SPREAD, measured, moments
from unalike.types import Schema

Pool = Literal["mean", "mean-max", "last"]


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Settings that `TCN`, `SeriesCNN`, `Recurrent` and `PatchTransformer` share.

    Parameters
    ----------
    channels : {"joint", "independent"}
        One network sees all channels at once; or one network is applied to each channel, and the embedding is
        ``(n, channels * d)``, channel by channel, for `scorers.PerBlock`.
    instance_norm : bool
        Whether each channel of each window is standardised by itself, ``(x - mean) / sqrt(variance + 0.05**2)`` of its
        measured cells.
    amplitude : bool
        Whether the embedding ends in what that takes out, so that a shift of the level is not lost: of each channel the
        mean and the log of ``sqrt(variance + 0.05**2)``, 0 where nothing was measured. The network has no say in it. It
        is the last `amplitude_width` numbers, of the embedding or, with independent channels, of each channel.
    missing : bool
        Whether the network sees for each channel which cells are missing, one more input. Missing cells are 0 in any
        case: the mean of training, or of the window.
    pool : {"mean", "mean-max", "last"}
        What of the network's outputs in time becomes the embedding: their mean; beside it their maximum; the last one.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    channels: Literal["joint", "independent"] = "joint"
    instance_norm: bool = True
    amplitude: bool = True
    missing: bool = False
    pool: Pool = "mean"

    def __post_init__(self) -> None:
        one_of("channels", self.channels, ("joint", "independent"))
        for name in ("instance_norm", "amplitude", "missing"):
            truth(name, getattr(self, name))
        one_of("pool", self.pool, ("mean", "mean-max", "last"))

    def inputs(self, schema: Schema) -> int:
        """Numbers per step that the network sees."""
        channels, _ = series_shape(type(self).__name__, schema)
        return (channels if self.channels == "joint" else 1) * (1 + self.missing)


class WindowEncoder(nn.Module):
    """``(n, channels, length) -> (n, width)``; see `WindowSettings`.

    Parameters
    ----------
    body : Module
        ``(n, length, inputs) -> (n, places, features)``.
    features : int
        Of each place.
    schema : Schema
        Of the windows.
    settings : WindowSettings
        What goes in and what comes out.
    places : int
        The `grid` of `locations`; -1 where the length varies.
    """

    def __init__(self, body: nn.Module, features: int, schema: Schema, settings: WindowSettings, places: int) -> None:
        super().__init__()
        channels = schema.shape[0]
        self.body = body
        self.settings = settings
        self.grid = (places,)
        joint = settings.channels == "joint"
        self.amplitude_width = 2 * (channels if joint else 1) * settings.amplitude
        block = features * (1 + (settings.pool == "mean-max")) + self.amplitude_width
        self.width = block * (1 if joint else channels)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        inputs, amplitude = self._inputs(data)
        outputs = self.body(inputs)  # (n or n * channels, places, features)
        pool = self.settings.pool
        parts = [outputs[:, -1] if pool == "last" else outputs.mean(dim=1)]
        if pool == "mean-max":
            parts.append(outputs.amax(dim=1))
        if amplitude is not None:
            parts.append(amplitude)
        return torch.cat(parts, dim=1).view(len(data), -1)

    def locations(self, data: Tensor) -> Tensor:
        """``(n, places, width)``: the embedding of each place in time, were it alone; the amplitude is the window's.

        With ``pool="mean"`` their mean is the embedding.
        """
        inputs, amplitude = self._inputs(data)
        outputs = self.body(inputs)
        parts = [outputs, outputs] if self.settings.pool == "mean-max" else [outputs]
        if amplitude is not None:
            parts.append(amplitude[:, None].expand(-1, outputs.shape[1], -1))
        places = torch.cat(parts, dim=2)  # (n or n * channels, places, d)
        if self.settings.channels == "joint":
            return places
        return places.view(len(data), data.shape[1], *places.shape[1:]).transpose(1, 2).flatten(2)

    def _inputs(self, data: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the body sees, ``(n or n * channels, length, inputs)``, and the amplitude ``(n or n * channels, a)``."""
        settings, seen = self.settings, measured(data)
        rows = len(data) * (1 if settings.channels == "joint" else data.shape[1])
        amplitude = None
        if settings.instance_norm or settings.amplitude:
            mean, variance = moments(data, seen)
            spread = (variance + SPREAD**2).sqrt()
            if settings.instance_norm:
                data = (data - mean) / spread
            if settings.amplitude:
                log = spread.log() if seen is None else spread.log().masked_fill(~seen.any(dim=2, keepdim=True), 0.0)
                amplitude = torch.cat([mean, log], dim=2).view(rows, -1)
        if seen is not None:
            data = data.masked_fill(~seen, 0.0)
        if settings.missing:
            flags = torch.zeros_like(data) if seen is None else (~seen).to(data.dtype)
            data = torch.stack([data, flags], dim=2)  # (n, channels, 2, length)
        return data.reshape(rows, -1, data.shape[-1]).transpose(1, 2), amplitude


class StepConv(nn.Module):
    """A convolution in time, ``(n, length, inputs) -> (n, ceil(length / stride), outputs)``, for any length.

    Before the first and after the last step their values go on, so that an end is no jump. The steps that a kernel
    sees are put side by side and multiplied once: on a CPU, and for windows of up to some 100 steps, that trains up to
    twice as fast as torch's convolution.

    Parameters
    ----------
    inputs, outputs : int
        Numbers per step.
    kernel, stride, dilation : int
        As of any convolution.
    causal : bool
        Whether an output sees no later steps; else it sees as many before it as after it.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, causal: bool = False
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(kernel * inputs, outputs)
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.causal = causal

    def forward(self, steps: Tensor) -> Tensor:
        """The outputs."""
        length = -(-steps.shape[1] // self.stride)
        reach = (self.kernel - 1) * self.dilation
        total = max((length - 1) * self.stride + reach + 1 - steps.shape[1], 0)
        before = reach if self.causal else total // 2
        after = max(total - before, 0)
        if before or after:
            ends = steps[:, :1].expand(-1, before, -1), steps[:, -1:].expand(-1, after, -1)
            steps = torch.cat([ends[0], steps, ends[1]], dim=1)
        last = (length - 1) * self.stride + 1
        seen = [
            steps[:, start : start + last : self.stride]
            for start in range(0, self.kernel * self.dilation, self.dilation)
        ]
        outputs: Tensor = self.linear(torch.cat(seen, dim=2))
        return outputs


class StepBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``(n, length, features)`` over samples and steps; at inference by running statistics."""

    def forward(self, steps: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(steps.reshape(-1, steps.shape[-1])).view(steps.shape)


Normalization = Literal["layer", "batch", "none"]
NORMALIZATIONS = ("layer", "batch", "none")


def step_norm(kind: Normalization, features: int) -> nn.Module:
    """Of each step alone, of the batch, or none."""
    if kind == "layer":
        return nn.LayerNorm(features)
    return StepBatchNorm(features) if kind == "batch" else nn.Identity()
