"""A small convolutional network for small images, and what image encoders share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import image_shape, one_of, whole, wholes
from unalike.types import Schema

_CHUNK = 256
_FEWEST_CHANNELS = 4
_SMALLEST_HALVED = 8
"""Pixels: a map that would fall below 4 has no quarters left to tell apart."""


@dataclass(frozen=True, kw_only=True)
class ConvNet:
    """Settings of a stack of 3x3 convolutions for images of 8 to 64 pixels (smaller and larger ones work).

    Per stage: convolution, group normalisation, activation; between two stages the size is halved, but not
    below 4 pixels. The last map is averaged over the cells of a grid, and a linear layer makes the embedding.
    A sample's embedding never depends on the other samples of its batch, not in training either. Images are
    standardised per channel with the mean and the standard deviation of the training data (`prepare`).

    Parameters
    ----------
    channels : tuple of int
        Channels of each stage, 4 or more.
    width : int
        Width of the embedding.
    grid : {1, 2, 3, 4}
        Cells per side that the last map is averaged over: 1 forgets where a thing is, 2 keeps the quarter.
    activation : {"relu", "silu"}
        After each normalisation.
    halving : {"pool", "stride"}
        The size is halved by max pooling before a stage, or by a convolution with stride 2 in the stage before, which
        costs a third.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    width: int = 128
    grid: int = 2
    activation: Literal["relu", "silu"] = "relu"
    halving: Literal["pool", "stride"] = "pool"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", wholes("channels", self.channels, _FEWEST_CHANNELS))
        whole("width", self.width)
        one_of("grid", self.grid, (1, 2, 3, 4))
        one_of("activation", self.activation, ("relu", "silu"))
        one_of("halving", self.halving, ("pool", "stride"))

    def build(self, schema: Schema) -> PooledEncoder:
        """The network for images ``(channels, height, width)``; torch's generator draws its weights."""
        channels, height, width = image_shape("ConvNet", schema)
        activation = nn.SiLU if self.activation == "silu" else nn.ReLU
        stages: list[nn.Module] = []
        before = channels
        for stage, after in enumerate(self.channels):
            small = 0 < min(height, width) < _SMALLEST_HALVED
            if self.halving == "stride":
                step = 1 if small or stage == len(self.channels) - 1 else 2
                stages += [nn.Conv2d(before, after, 3, stride=step, padding=1), group_norm(after), activation()]
                before = after
                height, width = (height, width) if step == 1 else (_halved(height), _halved(width))
                continue
            if stage and not small:
                # ceil_mode: an odd side keeps its last row, and images that vary in size may be tiny.
                stages.append(nn.MaxPool2d(2, ceil_mode=True))
                height, width = _halved(height), _halved(width)
            stages += [nn.Conv2d(before, after, 3, padding=1), group_norm(after), activation()]
            before = after
        head = nn.Linear(before * self.grid**2, self.width)
        body = nn.Sequential(*stages).to(memory_format=torch.channels_last)
        return PooledEncoder(channels, body, head, (height, width), self.width, self.grid, last=True)


class PooledEncoder(nn.Module):
    """Standardise, convolve, average over cells, project: ``(n, channels, height, width) -> (n, width)``.

    Parameters
    ----------
    channels : int
        Of the images.
    body : Module
        ``(n, channels, height, width) -> (n, c, *grid)``.
    head : Linear or Identity
        ``(n, c * cells * cells) -> (n, width)``; an Identity needs one cell.
    grid : (int, int)
        Rows and columns of the last map, which are the places of `locations`; -1 where the size varies.
    width : int
        Width of the embedding.
    cells : int
        Cells per side that the last map is averaged over.
    last : bool
        Give the body `channels_last` images; its weights lie so, too.
    """

    def __init__(
        self,
        channels: int,
        body: nn.Module,
        head: nn.Module,
        grid: tuple[int, int],
        width: int,
        cells: int = 1,
        *,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.scale = ChannelScale(channels)
        self.body = body
        self.head = head
        self.grid = grid
        self.width = width
        self.cells = cells
        self.last = last

    def prepare(self, sample: Tensor) -> None:
        """Learn mean and standard deviation per channel from training images ``(m, channels, height, width)``."""
        self.scale.fit(sample)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        maps = self._maps(data)
        pooled = functional.adaptive_avg_pool2d(maps, self.cells)  # (n, c, cells, cells)
        embeddings: Tensor = self.head(pooled.flatten(1))
        return embeddings

    def _maps(self, data: Tensor) -> Tensor:
        """``(n, c, rows, columns)``."""
        data = self.scale(data)
        maps: Tensor = self.body(channels_last(data) if self.last else data)
        return maps

    def locations(self, data: Tensor) -> Tensor:
        """What each place of the last map adds, ``(n, places, width)``, row by row; their mean is the embedding."""
        maps = self._maps(data)
        if not isinstance(self.head, nn.Linear):
            untouched: Tensor = maps.flatten(2).transpose(1, 2)
            return untouched
        shares = _pooling_shares(maps, self.cells)  # (cells², places)
        weight = self.head.weight.view(self.width, maps.shape[1], self.cells**2)
        by_place = torch.einsum("wcq,qp->pcw", weight, shares * shares.shape[1])  # (places, c, width)
        return torch.einsum("ncp,pcw->npw", maps.flatten(2), by_place) + self.head.bias


class ChannelScale(nn.Module):
    """Standardises each channel of images ``(n, channels, height, width)``; does nothing before `fit`.

    Parameters
    ----------
    channels : int
        Of the images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def fit(self, sample: Tensor) -> None:
        """Learn from ``(m, channels, height, width)``; a constant channel is centred only."""
        # Chunks and float64 accumulators: many large images must not be held twice.
        count = sample.numel() / sample.shape[1]
        chunks = torch.split(sample.detach(), _CHUNK)
        sums = [chunk.sum(dim=(0, 2, 3), dtype=torch.float64) for chunk in chunks]
        mean = torch.stack(sums).sum(dim=0) / count  # (channels,)
        squares = [(chunk - mean[:, None, None]).square().sum(dim=(0, 2, 3)) for chunk in chunks]
        std = (torch.stack(squares).sum(dim=0) / count).sqrt()
        constant = std <= 10 * torch.finfo(torch.float64).eps * mean.abs()
        self.set(mean, std.masked_fill(constant, 1.0))

    def set(self, mean: Tensor, std: Tensor) -> None:
        """Take ``(channels,)`` means and standard deviations that are known already."""
        self.mean.copy_(mean[:, None, None])
        self.std.copy_(std[:, None, None])

    def forward(self, data: Tensor) -> Tensor:
        """Standardised images."""
        return (data - self.mean) / self.std


def channels_last(images: Tensor) -> Tensor:
    """The same images with the channels of a pixel side by side in memory, on a CPU.

    Convolutions with few or separate channels are then up to twice as fast there, where their weights lie so, too.
    """
    # Not `contiguous`, which leaves grey images as they are, in both layouts at once.
    return images.clone(memory_format=torch.channels_last) if images.device.type == "cpu" else images


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 8 channels or more per group, where there are so many.

    Wu and He, "Group normalization", ECCV 2018, use 16 channels or more per group. Of a group of one
    channel and a map of one pixel nothing would be left.
    """
    most = max(1, min(32, channels // 8))
    groups = max(count for count in range(1, most + 1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


def _halved(side: int) -> int:
    return side if side < 0 else (side + 1) // 2


def _pooling_shares(maps: Tensor, cells: int) -> Tensor:
    """``(cells², places)``: which share of each cell's average a place has. The cells overlap where they must."""
    rows, columns = maps.shape[-2:]
    one_place = torch.eye(rows * columns, dtype=maps.dtype, device=maps.device).view(-1, 1, rows, columns)
    return functional.adaptive_avg_pool2d(one_place, cells).flatten(1).T
