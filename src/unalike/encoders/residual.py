"""What of a window its usual shapes do not explain: the residual of a principal component analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor, nn

from unalike.data import evenly
from unalike.encoders.checks import one_of, series_shape, truth, whole
from unalike.encoders.steps import bridged, measured
from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.types import FloatArray, Schema

_MOST_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class WindowResidual:
    """Settings of the encoder that gives a window minus its projection on the principal components of training.

    The components are learned from at most 2,000 evenly spaced training windows. The length of the embedding is the
    reconstruction error of the principal component analysis. Missing cells lie on lines between the measured ones
    while a window is projected, and their residual is 0.

    Parameters
    ----------
    variance : float
        Share of the training windows' variance that the components explain, above 0 and below 1.
    most_components : int
        At most so many components, whatever they explain.
    channels : {"joint", "independent"}
        One analysis of all channels together, which knows how they move together, or one of each channel.
    norms : bool
        The embedding is ``(n, channels)``, the length of the residual in each channel, and not the residual itself,
        ``(n, channels * length)`` channel by channel.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Jackson and Mudholkar, "Control procedures for residuals associated with principal component analysis",
    Technometrics 21, 1979.
    """

    variance: float = 0.95
    most_components: int = 64
    channels: Literal["joint", "independent"] = "joint"
    norms: bool = False

    def __post_init__(self) -> None:
        if not is_number(self.variance) or not 0.0 < self.variance < 1.0:
            raise InvalidParameter(f"`variance` must be above 0 and below 1; got {self.variance!r}. Try 0.95.")
        whole("most_components", self.most_components)
        one_of("channels", self.channels, ("joint", "independent"))
        truth("norms", self.norms)

    def build(self, schema: Schema) -> Residual:
        """The encoder for windows ``(channels, length)``."""
        return Residual(*series_shape("WindowResidual", schema, fixed=True), self)


class Residual(nn.Module):
    """``(n, channels, length) -> (n, width)``; before `prepare` no component is known, and a window is its residual.

    Parameters
    ----------
    channels, length : int
        Shape of a window.
    settings : WindowResidual
        What is learned and given.
    """

    centre: Tensor
    components: Tensor

    def __init__(self, channels: int, length: int, settings: WindowResidual) -> None:
        super().__init__()
        self.settings = settings
        self.shape = (channels, length)
        joint = settings.channels == "joint"
        blocks, size = (1, channels * length) if joint else (channels, length)
        most = min(settings.most_components, size)
        self.register_buffer("centre", torch.zeros(blocks, size))
        # The shape is fixed, so that a saved encoder can be rebuilt; components that are not needed are 0.
        self.register_buffer("components", torch.zeros(blocks, most, size))
        self.width = channels if settings.norms else channels * length

    def prepare(self, sample: Tensor) -> None:
        """Learn the components from training windows ``(m, channels, length)``."""
        sample = sample.detach()[torch.from_numpy(evenly(len(sample), _MOST_ROWS))]
        rows = self._blocks(bridged(sample, measured(sample)))  # (m, blocks, size)
        self.centre.copy_(rows.mean(dim=0))
        self.components.zero_()
        for block, centred in enumerate((rows - rows.mean(dim=0)).unbind(dim=1)):
            found = _principal(centred.cpu().numpy(), self.settings.variance, self.components.shape[1])
            self.components[block, : len(found)] = torch.from_numpy(found.copy())

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        seen = measured(data)
        centred = self._blocks(bridged(data, seen)) - self.centre  # (n, blocks, size)
        # In double precision, or the difference of two nearly equal windows would depend on the batch.
        components = self._used()
        explained = torch.einsum("nbk,bks->nbs", torch.einsum("nbs,bks->nbk", centred, components), components)
        residual = (centred - explained).view(-1, *self.shape)
        if seen is not None:
            residual = residual.masked_fill(~seen, 0.0)
        if self.settings.norms:
            residual = residual.square().sum(dim=-1).sqrt()
        embeddings: Tensor = residual.flatten(1).to(data.dtype)
        return embeddings

    def _blocks(self, windows: Tensor) -> Tensor:
        """``(n, blocks, size)`` in double precision."""
        return windows.double().reshape(len(windows), *self.centre.shape)

    def _used(self) -> Tensor:
        """``(blocks, k, size)``: as many as the block with most has."""
        most = int(self.components.any(dim=2).sum(dim=1).max())
        return self.components[:, :most].double()


def _principal(centred: FloatArray, variance: float, most: int) -> FloatArray:
    """``(k, size)`` orthonormal directions that explain this share of the variance of ``(m, size)`` rows."""
    m, size = centred.shape
    dual = m < size  # then the products between rows are fewer than those between columns
    products = centred @ centred.T if dual else centred.T @ centred
    n = len(products)
    values, vectors = eigh(products, subset_by_index=[max(n - most, 0), n - 1])
    explained = np.cumsum(values[::-1])
    count = int((explained < variance * np.trace(products)).sum()) + 1
    kept = values[::-1][:count] > np.finfo(np.float64).eps * n * values[-1]
    directions = vectors[:, ::-1][:, :count][:, kept].T
    if dual:
        directions = directions @ centred / np.sqrt(values[::-1][:count][kept])[:, None]
    return np.asarray(directions)
