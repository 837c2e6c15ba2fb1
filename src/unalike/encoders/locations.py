"""Embeddings of places: maps of several layers on one grid, and the names of the layers that give them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter

_STEM = "stem"
_MIDDLE_SIDE = 3


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


@contextmanager
def largest_map(network: nn.Module) -> Iterator[list[int]]:
    """What a pass inside the block finds: the size in bytes of the largest tensor that a module gives for one image."""
    largest = [0]

    def look(_: nn.Module, __: Any, given: Any) -> None:
        if isinstance(given, Tensor) and given.ndim:
            largest[0] = max(largest[0], given.numel() * given.element_size() // max(len(given), 1))

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


def middle(network: Any, channels: int, size: tuple[int, int]) -> tuple[list[int], bool]:
    """The layer in the middle of a network, for images of a size, as `numbered` gives layers.

    A vector for a whole image is best taken where one place of the map has come to see about half of the image: the
    first maps of at most 3 rows and columns, or else the smallest. Of several layers with maps of that size (the
    blocks of a ViT all are) it is the one in the middle, or the one before. So the layer is the deeper, the larger the
    images; the last one, which knows the classes of pretraining and little else, is rarely it.

    Parameters
    ----------
    network : Module
        Of timm, with ``forward_intermediates``.
    channels : int
        Of the images.
    size : (int, int)
        Their height and width, as the network will get them.
    """
    all_blocks = bool(_all_blocks(network))
    counted = {"extra_blocks": True} if all_blocks else {}
    training = network.training
    network.eval()
    with torch.no_grad():
        maps = network.forward_intermediates(
            torch.zeros(1, channels, *size), intermediates_only=True, output_fmt="NCHW", **counted
        )
    network.train(training)
    sides = [max(int(part.shape[-2]), int(part.shape[-1])) for part in maps]
    wanted = next((side for side in sides if side <= _MIDDLE_SIDE), min(sides))
    layers = [number for number, side in enumerate(sides) if side == wanted]
    return [layers[(len(layers) - 1) // 2]], all_blocks


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
