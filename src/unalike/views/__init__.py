"""Random changes that leave a normal sample normal: what contrastive learning contrasts under.

`views.image`, `views.table`: one file per kind of data. `views.compose`: chains of views, and adapters for
any transform of the user's. Names resolve lazily, so that importing this does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.views import compose, image, table
    from unalike.views.compose import Compose, PerBatch, PerSample, as_view
    from unalike.views.image import (
        Affine,
        ColorJitter,
        Cutout,
        GaussianBlur,
        GaussianNoise,
        Grayscale,
        HorizontalFlip,
        RandomResizedCrop,
        Rotate,
        Translate,
        VerticalFlip,
        standard_image_view,
    )
    from unalike.views.table import CorruptCells, MaskCells, MixUp, NeighborCells, Noise, standard_table_view

NAMES = {
    "affine": "unalike.views.image:Affine",
    "color-jitter": "unalike.views.image:ColorJitter",
    "corrupt-cells": "unalike.views.table:CorruptCells",
    "cutout": "unalike.views.image:Cutout",
    "gaussian-blur": "unalike.views.image:GaussianBlur",
    "gaussian-noise": "unalike.views.image:GaussianNoise",
    "grayscale": "unalike.views.image:Grayscale",
    "horizontal-flip": "unalike.views.image:HorizontalFlip",
    "mask-cells": "unalike.views.table:MaskCells",
    "mix-up": "unalike.views.table:MixUp",
    "neighbor-cells": "unalike.views.table:NeighborCells",
    "noise": "unalike.views.table:Noise",
    "random-resized-crop": "unalike.views.image:RandomResizedCrop",
    "rotate": "unalike.views.image:Rotate",
    "translate": "unalike.views.image:Translate",
    "vertical-flip": "unalike.views.image:VerticalFlip",
}
"""Views that a string can name; each can be made without arguments."""

_TOOLS = {
    "compose": "unalike.views.compose:Compose",
    "per-batch": "unalike.views.compose:PerBatch",
    "per-sample": "unalike.views.compose:PerSample",
    "as-view": "unalike.views.compose:as_view",
    "standard-image": "unalike.views.image:standard_image_view",
    "standard-table": "unalike.views.table:standard_table_view",
}

_FILES = ("compose", "image", "table")

__all__ = [
    "NAMES",
    "Affine",
    "ColorJitter",
    "Compose",
    "CorruptCells",
    "Cutout",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "MaskCells",
    "MixUp",
    "NeighborCells",
    "Noise",
    "PerBatch",
    "PerSample",
    "RandomResizedCrop",
    "Rotate",
    "Translate",
    "VerticalFlip",
    "as_view",
    "compose",
    "image",
    "standard_image_view",
    "standard_table_view",
    "table",
]


def __getattr__(name: str) -> Any:
    if name in _FILES:
        return import_module(f"{__name__}.{name}")
    return lookup.exported(__name__, {**NAMES, **_TOOLS}, name)
