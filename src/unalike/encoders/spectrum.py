"""The spectrum of a window of series, as an encoder without weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unalike.encoders.checks import series_shape
from unalike.encoders.steps import bridged, measured
from unalike.types import Schema

_LEAST = 0.1
"""Added to an amplitude, in standard deviations of the channel: what is weaker is noise."""


@dataclass(frozen=True, kw_only=True)
class WindowSpectrum:
    """Settings of the encoder that gives the logarithm of each channel's amplitude spectrum.

    ``log(|F(x - mean)| / sqrt(length) + 0.1)`` of the discrete Fourier transform F, without the constant: how much of
    each frequency there is, whenever it comes. Missing cells lie on lines between the measured ones of their channel.

    The embedding is ``(n, channels * (length // 2))``, channel by channel.
    """

    def build(self, schema: Schema) -> Spectrum:
        """The encoder for windows ``(channels, length)``."""
        return Spectrum(*series_shape("WindowSpectrum", schema, fixed=True))


class Spectrum(nn.Module):
    """``(n, channels, length) -> (n, channels * (length // 2))``; see `WindowSpectrum`.

    Parameters
    ----------
    channels, length : int
        Shape of a window.
    """

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.width = channels * max(length // 2, 1)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        if self.length == 1:
            return torch.zeros_like(data).flatten(1)
        values = bridged(data, measured(data))
        apart = values - values.mean(dim=-1, keepdim=True)
        amplitudes = torch.fft.rfft(apart, dim=-1).abs()[..., 1:] / math.sqrt(self.length)
        embeddings: Tensor = (amplitudes + _LEAST).log().flatten(1)
        return embeddings
