"""From samples to embeddings, in chunks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from unalike.types import FloatArray, IntArray


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
    """
    encoder.eval()
    encoder.to(device)
    chunks = [
        embed_batch(encoder, load(np.arange(start, min(start + chunk, n))), device) for start in range(0, n, chunk)
    ]
    return np.concatenate(chunks)


def embed_batch(encoder: nn.Module, data: Tensor, device: torch.device) -> FloatArray:
    """``(m, ...) -> (m, width)``: embeddings of one batch; the encoder is in evaluation mode on `device`."""
    with torch.inference_mode():
        data = data.to(device, floating_type(encoder)) if data.is_floating_point() else data.to(device)
        embeddings: FloatArray = encoder(data).cpu().numpy()
    return embeddings


def floating_type(module: nn.Module) -> torch.dtype:
    """The precision of the module's floating-point parameters or buffers; float32 when it has none."""
    for values in (*module.parameters(), *module.buffers()):
        if values.is_floating_point():
            return values.dtype
    return torch.float32
