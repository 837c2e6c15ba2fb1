"""From samples to embeddings, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from unalike.room import need_room
from unalike.types import FloatArray, IntArray

_FORWARD_BYTES = 8 * 2**20
"""Of input at a time: networks for large images make maps many times as large, and are quicker in small batches."""
_MAP_BYTES = 20 * 2**20
"""Of the largest map at a time, where the encoder tells (`largest_map`), on a CPU: larger ones fall out of its caches,
and above 32 MiB the C library asks the system for new, zeroed memory each time."""


def embed(
    encoder: nn.Module, load: Callable[[IntArray], Tensor], n: int, *, device: torch.device, chunk: int = 512
) -> FloatArray:
    """Embeddings of `n` samples, made `chunk` at a time without gradient.

    Parameters
    ----------
    encoder : nn.Module
        ``(m, ...) -> (m, width)``; it is put into evaluation mode.
    load : callable
        ``(m,)`` positions to the ``(m, ...)`` tensor of these samples.
    n : int
        Number of samples.
    device : torch.device
        Where to compute.
    chunk : int
        Samples at a time; memory does not grow with `n` but for the result.

    Returns
    -------
    ndarray
        ``(n, width)`` in the precision of the encoder's weights; float32 when it has none.

    Raises
    ------
    NotEnoughMemory
        They would not fit; told after the first chunk.
    """
    ready(encoder, device)
    chunks: list[FloatArray] = []
    for start in range(0, n, chunk):
        chunks.append(embed_batch(encoder, load(np.arange(start, min(start + chunk, n))), device))
        if start == 0:
            _need_room(chunks[0], n)
    return np.concatenate(chunks)


def ready(encoder: nn.Module, device: torch.device) -> nn.Module:
    """The encoder, in evaluation mode on `device`.

    Where it is so already, that is only looked up: putting a network of 250 modules there again took a third of the
    time of judging one image of 224 pixels.
    """
    if any(module.training for module in encoder.modules()):
        encoder.eval()
    values = chain(encoder.parameters(), encoder.buffers())
    if device.type != "cpu" or any(value.device != device for value in values):
        encoder.to(device)
    return encoder


def _need_room(first: FloatArray, n: int) -> None:
    """For all embeddings, in chunks and then side by side, before they are made."""
    need_room(
        2.0 * first.nbytes / len(first) * (n - len(first)),
        f"{n:,} embeddings of width {first.shape[1]}",
        "Give fewer samples, such as Table(most_rows=...) or Series(most_windows=...), or a narrower encoder.",
    )


def embed_batch(encoder: nn.Module, data: Tensor, device: torch.device) -> FloatArray:
    """``(m, ...) -> (m, width)``: embeddings of one batch; the encoder is in evaluation mode on `device`."""
    return _embedded(encoder, encoder, data, device)


def locate_batch(encoder: nn.Module, data: Tensor, device: torch.device) -> FloatArray:
    """``(m, ...) -> (m, places, width)``: as `embed_batch`, by the encoder's ``locations``."""
    locations: Callable[[Tensor], Tensor] = encoder.locations  # type: ignore[assignment]
    return _embedded(encoder, locations, data, device)


@dataclass(frozen=True)
class Located:
    """Embeddings of places, made when they are asked for: an `unalike.types.PlaceEmbeddings`.

    Parameters
    ----------
    encoder : nn.Module
        In evaluation mode on `device`, with a method ``locations``.
    load : callable
        ``(m,)`` positions to the ``(m, ...)`` tensor of these samples.
    n : int
        Number of samples.
    device : torch.device
        Where to compute.
    """

    encoder: nn.Module
    load: Callable[[IntArray], Tensor]
    n: int
    device: torch.device

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, positions: IntArray) -> FloatArray:
        return locate_batch(self.encoder, self.load(positions), self.device)


def _embedded(
    encoder: nn.Module, function: Callable[[Tensor], Tensor], data: Tensor, device: torch.device
) -> FloatArray:
    kind = floating_type(encoder) if data.is_floating_point() else data.dtype
    step = _at_a_time(encoder, data, device)
    with torch.inference_mode():
        made = [function(part.to(device, kind)).cpu() for part in torch.split(data, step)]
    embeddings: FloatArray = (made[0] if len(made) == 1 else torch.cat(made)).numpy()
    return embeddings


def _at_a_time(encoder: nn.Module, data: Tensor, device: torch.device) -> int:
    """Samples of one forward pass."""
    step = _FORWARD_BYTES // max(data[:1].numel() * 4, 1)
    largest = getattr(encoder, "largest_map", 0)
    if largest and device.type == "cpu":
        step = min(step, _MAP_BYTES // largest)
    return max(step, 1)


def floating_type(module: nn.Module) -> torch.dtype:
    """The precision of the module's floating-point parameters or buffers; float32 when it has none."""
    for values in chain(module.parameters(), module.buffers()):
        if values.is_floating_point():
            return values.dtype
    return torch.float32
