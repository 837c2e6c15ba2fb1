"""Attention between patches of a window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unalike.encoders.checks import whole
from unalike.encoders.sequence import WindowEncoder, WindowSettings
from unalike.encoders.tabletransformer import Block
from unalike.errors import InvalidParameter
from unalike.types import Schema

_LONGEST_WAVE = 1e4


@dataclass(frozen=True, kw_only=True)
class PatchTransformer(WindowSettings):
    """Settings of a transformer whose tokens are patches: some steps of a window, side by side.

    With ``channels="independent"`` the patches are of one channel, as published; with ``"joint"`` of all of them.

    Parameters
    ----------
    features : int
        Of a token, and of the embedding, before `pool`; a multiple of `heads`, and even.
    patch : int
        Steps in a patch. A window of fewer is one patch, whose last value goes on.
    stride : int, optional
        Steps from one patch to the next; None: half a patch. After the last step its value goes on for so many.
    blocks, heads : int
        Attention and feed-forward layers; heads of the attention.
    channels, instance_norm, amplitude, missing, pool
        As in `unalike.encoders.sequence.WindowSettings`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    Not as published: places are told by sines and cosines (Vaswani et al., 2017), so that windows may vary in length,
    normalisation comes before each layer, and the feed-forward layers are ReGLU, without dropout.

    References
    ----------
    Nie, Nguyen, Sinthong and Kalagnanam, "A time series is worth 64 words: long-term forecasting with transformers",
    ICLR 2023.
    """

    features: int = 64
    patch: int = 16
    stride: int | None = None
    blocks: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("features", "patch", "blocks", "heads"):
            whole(name, getattr(self, name))
        if self.stride is not None:
            whole("stride", self.stride)
        if self.features % self.heads or self.features % 2:
            raise InvalidParameter(
                f"`features` must be even and a multiple of `heads`; got {self.features} and {self.heads}. Try 64 "
                "and 4."
            )

    def build(self, schema: Schema) -> WindowEncoder:
        """The network for windows ``(channels, length)``; torch's generator draws its weights."""
        body = PatchTokens(self.inputs(schema), self)
        length = schema.shape[1]
        return WindowEncoder(body, self.features, schema, self, body.count(length) if length > 0 else -1)


class PatchTokens(nn.Module):
    """``(n, length, inputs) -> (n, patches, features)``.

    Parameters
    ----------
    inputs : int
        Numbers per step.
    settings : PatchTransformer
        Of the network.
    """

    def __init__(self, inputs: int, settings: PatchTransformer) -> None:
        super().__init__()
        self.patch = settings.patch
        self.stride = settings.stride or max(settings.patch // 2, 1)
        self.tokens = nn.Linear(inputs * settings.patch, settings.features)
        self.layers = nn.ModuleList(
            Block(settings.features, settings.heads, normalized=True) for _ in range(settings.blocks)
        )

    def count(self, length: int) -> int:
        """Patches of a window."""
        return max(length - self.patch, 0) // self.stride + 2 if length > self.patch else 1

    def forward(self, steps: Tensor) -> Tensor:
        """The tokens after the last block."""
        count = self.count(steps.shape[1])
        lacking = (count - 1) * self.stride + self.patch - steps.shape[1]
        if lacking > 0:
            steps = torch.cat([steps, steps[:, -1:].expand(-1, lacking, -1)], dim=1)
        patches = steps.unfold(1, self.patch, self.stride)[:, :count]  # (n, patches, inputs, patch)
        tokens: Tensor = self.tokens(patches.flatten(2))
        tokens = tokens + _places(count, tokens)
        for layer in self.layers:
            tokens = layer(tokens, count)
        return tokens


def _places(count: int, like: Tensor) -> Tensor:
    """``(count, features)``: sines and cosines of each place, in wave lengths from ``2 pi`` to 10,000 times that."""
    half = like.shape[-1] // 2
    rates = torch.exp(-math.log(_LONGEST_WAVE) / half * torch.arange(half, dtype=like.dtype, device=like.device))
    angles = torch.arange(count, dtype=like.dtype, device=like.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
