"""What processes that train together tell each other: gather with gradient, means. One is the trivial case.

Training with many processes (`torchrun`) needs negatives from all of them; the gradient must flow
back to the process that made each embedding, or the loss differs from the one of a single process.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
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


def launched() -> int:
    """How many processes torchrun started for this program; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if _by_torchrun() else 1


def is_first() -> bool:
    """Whether this is the one process that writes and prints: rank 0, also before the processes have met."""
    return (rank() if _is_distributed() or not _by_torchrun() else int(os.environ.get("RANK", "0"))) == 0


def share(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The equal part of this process of ``(n,)`` rows, of which all processes together have all; `n` is a multiple."""
    size = len(rows) // world_size()
    return rows[rank() * size :][:size]


def mean(values: Tensor) -> Tensor:
    """The mean over the processes, without gradient."""
    total = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(total)
        total /= world_size()
    return total


def largest(number: int) -> int:
    """The largest of the numbers that the processes bring."""
    if world_size() == 1:
        return number
    return int(gather(_on_device([number])).max())


def mean_count(count: int | Tensor) -> Tensor:
    """How many values a process has in the mean, where numbers differ; of none at all, what makes their mean 0.

    Each process divides its own sum by it: then the mean over the processes is that over all values.
    """
    return mean(torch.as_tensor(count, dtype=torch.float32)).clamp_min(1.0 / world_size())


def all_equal(numbers: list[int]) -> bool:
    """Whether every process brings the same whole numbers, as many as the others."""
    if world_size() == 1:
        return True
    own = _on_device(numbers)
    everyone = gather(own[None])
    return bool((everyone == own).all())


def _on_device(numbers: list[int]) -> Tensor:
    """Where the processes can send it."""
    return torch.tensor(numbers, dtype=torch.int64, device="cuda" if dist.get_backend() == "nccl" else "cpu")


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


def _by_torchrun() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched()


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
