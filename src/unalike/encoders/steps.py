"""What encoders of windows share: missing cells, and the level and spread of a window.

A window is ``(channels, length)``; NaN is a cell that was not measured.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPREAD = 0.05
"""Added in squares to a window's spread: what varies less than this is flat, and stays so when it is rescaled."""


def measured(data: Tensor) -> Tensor | None:
    """``(n, channels, length)`` bool, or None where no cell is missing; of a graph that is written, never None."""
    missing = data.isnan()
    if torch.compiler.is_compiling():  # a graph is the same for all data
        return ~missing
    return ~missing if missing.any() else None


def moments(data: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and variance ``(n, channels, 1)`` of the measured cells; 0 of a channel without any.

    A channel that is constant in its window has variance 0 to the last bit.
    """
    if seen is None:
        start = data[..., :1]
        apart = data - start
        shift = apart.mean(dim=-1, keepdim=True)
        return start + shift, (apart - shift).square().mean(dim=-1, keepdim=True)
    count = seen.sum(dim=-1, keepdim=True).clamp(min=1)
    start = data.gather(-1, seen.to(torch.uint8).argmax(dim=-1, keepdim=True)).nan_to_num(0.0)
    apart = (data - start).masked_fill(~seen, 0.0)
    shift = apart.sum(dim=-1, keepdim=True) / count
    return start + shift, (apart - shift).masked_fill(~seen, 0.0).square().sum(dim=-1, keepdim=True) / count


def rescaled(data: Tensor, seen: Tensor | None) -> Tensor:
    """``(x - mean) / sqrt(variance + SPREAD**2)`` by the measured cells of each channel of each window; NaN stays."""
    mean, variance = moments(data, seen)
    return (data - mean) / (variance + SPREAD**2).sqrt()


def bridged(data: Tensor, seen: Tensor | None) -> Tensor:
    """Windows whose missing cells lie on lines between the measured ones of their channel.

    Before the first and after the last measured cell its value goes on; a channel without any is 0.
    """
    if seen is None:
        return data
    if torch.compiler.is_compiling():
        return _lines(data.flatten(0, 1), seen.flatten(0, 1)).reshape(data.shape)
    gaps = ~seen.all(dim=-1)  # (n, channels)
    filled = data.clone()
    filled[gaps] = _lines(data[gaps], seen[gaps])
    return filled


def _lines(rows: Tensor, seen: Tensor) -> Tensor:
    """As `bridged`, for ``(r, length)`` rows."""
    length = rows.shape[1]
    steps = torch.arange(length, device=rows.device).expand_as(rows)
    before = _largest_yet(steps.masked_fill(~seen, -1))  # -1: none
    after = -_largest_yet(-steps.masked_fill(~seen, length).flip(1)).flip(1)  # length: none
    left = torch.where(before >= 0, before, after).clamp(max=length - 1)
    right = torch.where(after < length, after, before).clamp(min=0)
    values = rows.nan_to_num(0.0)
    start, end = values.gather(1, left), values.gather(1, right)
    share = (steps - left).to(rows.dtype) / (right - left).clamp(min=1)
    return torch.where(seen, rows, start + (end - start) * share * (right > left))


def _largest_yet(rows: Tensor) -> Tensor:
    """``(r, length)``: of each place the largest value up to it."""
    if not torch.compiler.is_compiling():
        return rows.cummax(dim=1).values
    step = 1
    while step < rows.shape[1]:  # ONNX has no running maximum
        rows = torch.cat([rows[:, :step], torch.maximum(rows[:, step:], rows[:, :-step])], dim=1)
        step *= 2
    return rows
