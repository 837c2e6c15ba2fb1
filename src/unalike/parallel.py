"""Gather across processes, with gradient. One process is the trivial case.

Training with many processes (`torchrun`) needs negatives from all of them; the gradient must flow
back to the process that made each embedding, or the loss differs from the one of a single process.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _is_distributed() else 1


def gather(values: Tensor) -> Tensor:
    """``(n, ...) -> (world_size * n, ...)``, in order of rank, with gradient.

    Every process must bring the same ``n``.
    """
    if world_size() == 1:
        return values
    gathered: Tensor = _Gather.apply(values)
    return gathered


class _Gather(torch.autograd.Function):
    """torch's own `all_gather` with gradient is deprecated from 2.15 on; its successor is private."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
