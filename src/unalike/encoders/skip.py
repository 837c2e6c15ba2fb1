"""A connection past what is trained: the embedding, and beside it what an untrained encoder says.

Training for one task takes out of the embedding what that task does not ask for, and an anomaly that differs in just
that falls together with the normal samples (*feature collapse*: van Amersfoort, Smith, Jesson, Key and Gal, "On
feature collapse and deep kernel learning for single forward pass uncertainty", 2021). Residual networks keep distances
in their input (Liu et al., "Simple and principled uncertainty estimation with deterministic deep learning via distance
awareness", NeurIPS 2020); so does an embedding that has its input beside it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from unalike.encoders.checks import positive
from unalike.types import FloatArray


class SkipConnection(nn.Module):
    """``(n, ...) -> (n, encoder.width + skip.width)``: both embeddings, each divided by its spread.

    The spread is the root of the total variance over training samples, so that both count the same in a Euclidean
    distance; that of `skip` is further divided by the root of its weight. Before `measure` both are 1.

    Parameters
    ----------
    encoder, skip : Module
        Encoders of the same samples. `encoder` has been trained; `skip` has not.
    weight : float
        Of `skip` in a squared distance, above 0; `encoder` has 1.

    Raises
    ------
    InvalidParameter
        `weight` is no such number.
    """

    spread: Tensor

    def __init__(self, encoder: nn.Module, skip: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        positive("skip_weight", weight)
        self.weight = weight
        self.encoder = encoder
        self.skip = skip
        self.register_buffer("spread", torch.ones(2, dtype=torch.float64))
        self.width = int(encoder.width) + int(skip.width)  # type: ignore[arg-type]

    def forward(self, data: Tensor) -> Tensor:
        """The two embeddings side by side."""
        first, second = self.encoder(data), self.skip(data)
        return torch.cat([first / self.spread[0].to(first.dtype), second / self.spread[1].to(first.dtype)], dim=1)

    def measure(self, first: FloatArray, second: FloatArray) -> None:
        """Learn the spreads from embeddings ``(m, width)`` of training samples by each, once the weights are final."""
        for place, embeddings in enumerate((first, second)):
            spread = float(np.sqrt(embeddings.var(axis=0, dtype=np.float64).sum()))
            self.spread[place] = spread if spread > 0.0 else 1.0
        self.spread[1] /= math.sqrt(self.weight)
