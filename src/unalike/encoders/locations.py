"""Embeddings of places: maps of several layers on one grid, and the names of the layers that give them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unalike.errors import InvalidParameter

_STEM = "stem"


def on_one_grid(maps: Sequence[Tensor], grid: tuple[int, int], neighborhood: int) -> Tensor:
    """Maps of several layers side by side, place by place.

    As in PatchCore (Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022): each map is
    averaged over neighbourhoods, coarser maps are interpolated (bilinear), finer ones averaged over the cells of the
    grid.

    Parameters
    ----------
    maps : sequence of Tensor
        ``(n, c, rows, columns)`` each.
    grid : (int, int)
        Rows and columns.
    neighborhood : int
        Odd number of places a side that are averaged, fewer at the border; 1: none.

    Returns
    -------
    Tensor
        ``(n, rows * columns, width)``, row by row; the width is the sum of the maps' channels.
    """
    brought = []
    for part in maps:
        if neighborhood > 1:
            part = functional.avg_pool2d(part, neighborhood, 1, neighborhood // 2, count_include_pad=False)
        if tuple(part.shape[-2:]) != grid:
            finer = part.shape[-2] >= grid[0] and part.shape[-1] >= grid[1]
            part = (
                functional.adaptive_avg_pool2d(part, grid)
                if finer
                else functional.interpolate(part, grid, mode="bilinear", align_corners=False)
            )
        brought.append(part)
    return torch.cat(brought, dim=1).flatten(2).transpose(1, 2)


def finest(maps: Sequence[Tensor]) -> tuple[int, int]:
    """Rows and columns of the map with most places."""
    shapes = [(int(part.shape[-2]), int(part.shape[-1])) for part in maps]
    return max(shapes, key=lambda shape: shape[0] * shape[1])


def numbered(network: Any, layers: Sequence[int | str]) -> tuple[list[int], bool]:
    """The layers as numbers that ``network.forward_intermediates`` takes, and whether these count all its blocks.

    Parameters
    ----------
    network : Module
        Of timm.
    layers : sequence of int or str
        Numbers, which come back as they are, or names: those of ``network.feature_info``, such as ``"layer2"``, or
        ``"blocks.3"`` of a network that can give the maps of all its blocks (EfficientNet and its like).

    Raises
    ------
    InvalidParameter
        A name is unknown, or names and numbers are mixed.
    """
    numbers = [layer for layer in layers if isinstance(layer, int)]
    if len(numbers) == len(layers):
        return numbers, False
    known = [str(info["module"]) for info in network.feature_info]
    if all(layer in known for layer in layers):
        return [known.index(str(layer)) for layer in layers], False
    blocks = _all_blocks(network)
    if all(layer in blocks for layer in layers):
        return [blocks.index(str(layer)) for layer in layers], True
    raise InvalidParameter(f"`layers` must be numbers, or names among {blocks or known}; got {tuple(layers)}.")


def _all_blocks(network: Any) -> list[str]:
    """Names of the stem and of all blocks, where the network can give the maps of them all."""
    if "extra_blocks" not in inspect.signature(network.forward_intermediates).parameters:
        return []
    return [_STEM, *(f"blocks.{number}" for number in range(len(network.blocks)))]
