"""Gather across processes, with gradient. One process is the trivial case.

Training with many processes (`torchrun`) needs negatives from all of them; the gradient must flow
back to the process that made each embedding, or the loss differs from the one of a single process.
"""

from __future__ import annotations

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
    if not _is_distributed() or world_size() == 1:
        return values
    from torch.distributed.nn.functional import all_gather

    return torch.cat(tuple(all_gather(values)))  # type: ignore[no-untyped-call]


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
