"""A small convolutional network over windows of one record, which sees level and amplitude and shape apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import series_shape, whole
from unalike.encoders.steps import bridged, measured, rescaled
from unalike.types import Schema

_LARGEST, _LARGEST_RESCALED = 6.0, 10.0


@dataclass(frozen=True, kw_only=True)
class WindowCNN:
    """Settings of a network of three convolutions over a window brought to a fixed number of points.

    Two planes per channel go in: the window as it is, clipped at 6 standard deviations of training, and the window
    standardised by itself, ``(x - mean) / sqrt(variance + 0.05**2)``, clipped at 10. So a shift of the level is seen
    in the first, and a change of shape in the second however small the window's amplitude is. Missing cells lie on
    lines between the measured ones. The embedding is the mean and the largest value of each feature over the window.

    Parameters
    ----------
    points : int
        To which windows of any length are brought by linear interpolation, at least 8.
    width : int
        Features of the last convolutions; the embedding is twice as wide.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    points: int = 64
    width: int = 48

    def __post_init__(self) -> None:
        whole("points", self.points, least=8)
        whole("width", self.width)

    def build(self, schema: Schema) -> WindowConvolutions:
        """The encoder for windows ``(channels, length)``."""
        return WindowConvolutions(series_shape("WindowCNN", schema)[0], self.points, self.width)


class WindowConvolutions(nn.Module):
    """``(n, channels, length) -> (n, 2 * features)``; see `WindowCNN`.

    Parameters
    ----------
    channels : int
        Of a window.
    points, features : int
        `points` and `width` of `WindowCNN`.
    """

    def __init__(self, channels: int, points: int, features: int) -> None:
        super().__init__()
        self.points = points
        self.width = 2 * features
        first = max(2 * features // 3, 1)
        self.layers = nn.Sequential(
            nn.Conv1d(2 * channels, first, 7, 2, 3),
            nn.BatchNorm1d(first),
            nn.ReLU(),
            nn.Conv1d(first, features, 5, 2, 2),
            nn.BatchNorm1d(features),
            nn.ReLU(),
            nn.Conv1d(features, features, 3, 1, 1),
            nn.BatchNorm1d(features),
            nn.ReLU(),
        )

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        features = self.layers(self._planes(data))
        return torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)

    def _planes(self, data: Tensor) -> Tensor:
        """``(n, 2 * channels, points)``."""
        seen = measured(data)
        values = bridged(data, seen)
        if values.shape[-1] != self.points:
            values = functional.interpolate(values, self.points, mode="linear", align_corners=True)
        own = rescaled(values, None).clamp(-_LARGEST_RESCALED, _LARGEST_RESCALED)
        return torch.cat([values.clamp(-_LARGEST, _LARGEST), own], dim=1)
