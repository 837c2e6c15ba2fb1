"""A small convolutional network that looks at each channel of a window alone, with the same weights for all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unalike.encoders.checks import series_shape, whole
from unalike.encoders.steps import bridged, measured
from unalike.types import Schema


@dataclass(frozen=True, kw_only=True)
class ChannelCNN:
    """Settings of a network that is shared by all channels.

    Values go in as ``sign(x) log(1 + |x|)``, so that a channel far outside of its usual range does not drown what is
    within. Two convolutions follow; the embedding of a channel is the mean and the largest value of each feature over
    the window. Missing cells lie on lines between the measured ones.

    The embedding ``(n, channels * 2 * features)`` has the numbers of one channel side by side, for
    `unalike.scorers.PerBlock`.

    Parameters
    ----------
    features : int
        Of each convolution.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    features: int = 32

    def __post_init__(self) -> None:
        whole("features", self.features)

    def build(self, schema: Schema) -> ChannelConvolutions:
        """The encoder for windows ``(channels, length)``."""
        return ChannelConvolutions(series_shape("ChannelCNN", schema)[0], self.features)


class ChannelConvolutions(nn.Module):
    """``(n, channels, length) -> (n, channels * channel_width)``; see `ChannelCNN`.

    Parameters
    ----------
    channels, features : int
        Of a window, and of each convolution.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.channel_width = 2 * features
        self.width = channels * self.channel_width
        self.layers = nn.Sequential(
            nn.Conv1d(1, features, 5, padding=2),
            nn.LeakyReLU(),
            nn.Conv1d(features, features, 3, padding=1),
            nn.LeakyReLU(),
        )

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        return self.of_channels(data.flatten(0, 1)).reshape(data.shape[0], -1)

    def of_channels(self, rows: Tensor) -> Tensor:
        """``(m, channel_width)``: of windows of one channel each, ``(m, length)``."""
        values = bridged(rows[:, None], measured(rows[:, None]))
        features = self.layers(values.sign() * values.abs().log1p())
        return torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)
