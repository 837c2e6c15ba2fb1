"""Random changes that leave a normal sample normal: what contrastive learning contrasts under.

`views.image`, `views.series`, `views.table`: one file per kind of data. `views.compose`: chains of views, and adapters
for any transform of the user's. Names resolve lazily, so that importing this does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.views import compose, image, series, table
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
        SymmetricFlip,
        Translate,
        VerticalFlip,
        standard_image_view,
    )
    from unalike.views.series import (
        Crop,
        DropChannels,
        Jitter,
        MagnitudeWarp,
        MaskFrequencies,
        MaskSteps,
        Permute,
        Scale,
        Shift,
        TimeWarp,
    )
    from unalike.views.table import CorruptCells, MaskCells, MixUp, NeighborCells, Noise, standard_table_view

NAMES = {
    "affine": "unalike.views.image:Affine",
    "color-jitter": "unalike.views.image:ColorJitter",
    "corrupt-cells": "unalike.views.table:CorruptCells",
    "crop": "unalike.views.warping:Crop",
    "cutout": "unalike.views.image:Cutout",
    "drop-channels": "unalike.views.series:DropChannels",
    "gaussian-blur": "unalike.views.image:GaussianBlur",
    "gaussian-noise": "unalike.views.image:GaussianNoise",
    "grayscale": "unalike.views.image:Grayscale",
    "horizontal-flip": "unalike.views.image:HorizontalFlip",
    "jitter": "unalike.views.series:Jitter",
    "magnitude-warp": "unalike.views.series:MagnitudeWarp",
    "mask-cells": "unalike.views.table:MaskCells",
    "mask-frequencies": "unalike.views.series:MaskFrequencies",
    "mask-steps": "unalike.views.series:MaskSteps",
    "mix-up": "unalike.views.table:MixUp",
    "neighbor-cells": "unalike.views.table:NeighborCells",
    "noise": "unalike.views.table:Noise",
    "permute": "unalike.views.warping:Permute",
    "random-resized-crop": "unalike.views.image:RandomResizedCrop",
    "rotate": "unalike.views.image:Rotate",
    "scale": "unalike.views.series:Scale",
    "shift": "unalike.views.warping:Shift",
    "symmetric-flip": "unalike.views.image:SymmetricFlip",
    "time-warp": "unalike.views.warping:TimeWarp",
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

_FILES = ("compose", "image", "series", "table")

__all__ = [
    "NAMES",
    "Affine",
    "ColorJitter",
    "Compose",
    "CorruptCells",
    "Crop",
    "Cutout",
    "DropChannels",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "Jitter",
    "MagnitudeWarp",
    "MaskCells",
    "MaskFrequencies",
    "MaskSteps",
    "MixUp",
    "NeighborCells",
    "Noise",
    "PerBatch",
    "PerSample",
    "Permute",
    "RandomResizedCrop",
    "Rotate",
    "Scale",
    "Shift",
    "SymmetricFlip",
    "TimeWarp",
    "Translate",
    "VerticalFlip",
    "as_view",
    "compose",
    "image",
    "series",
    "standard_image_view",
    "standard_table_view",
    "table",
]


def __getattr__(name: str) -> Any:
    if name in _FILES:
        return import_module(f"{__name__}.{name}")
    return lookup.exported(__name__, {**NAMES, **_TOOLS}, name)
