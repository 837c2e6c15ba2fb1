"""Random changes that leave a normal sample normal: what contrastive learning contrasts under.

`views.image`, `views.series`, `views.table`, `views.text`: one file per kind of data; `views.textnoise` makes texts
that are *unlike* normal ones. `views.compose`: chains of views, and adapters for any transform of the user's. Names
resolve lazily, so that importing this does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.views import compose, image, series, table, text, textnoise
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
    from unalike.views.spoiltext import SpoilText
    from unalike.views.table import CorruptCells, MaskCells, MixUp, NeighborCells, Noise, standard_table_view
    from unalike.views.text import CropText, DeleteWords, MaskSpan, ReplaceWords, ShuffleWords, standard_text_view
    from unalike.views.textnoise import CharacterNoise, Salad, ShuffleAll, Splice

NAMES = {
    "affine": "unalike.views.image:Affine",
    "character-noise": "unalike.views.textnoise:CharacterNoise",
    "color-jitter": "unalike.views.image:ColorJitter",
    "corrupt-cells": "unalike.views.table:CorruptCells",
    "crop": "unalike.views.warping:Crop",
    "crop-text": "unalike.views.text:CropText",
    "cutout": "unalike.views.image:Cutout",
    "delete-words": "unalike.views.text:DeleteWords",
    "drop-channels": "unalike.views.series:DropChannels",
    "gaussian-blur": "unalike.views.image:GaussianBlur",
    "gaussian-noise": "unalike.views.image:GaussianNoise",
    "grayscale": "unalike.views.image:Grayscale",
    "horizontal-flip": "unalike.views.image:HorizontalFlip",
    "jitter": "unalike.views.series:Jitter",
    "magnitude-warp": "unalike.views.series:MagnitudeWarp",
    "mask-cells": "unalike.views.table:MaskCells",
    "mask-frequencies": "unalike.views.series:MaskFrequencies",
    "mask-span": "unalike.views.text:MaskSpan",
    "mask-steps": "unalike.views.series:MaskSteps",
    "mix-up": "unalike.views.table:MixUp",
    "neighbor-cells": "unalike.views.table:NeighborCells",
    "noise": "unalike.views.table:Noise",
    "permute": "unalike.views.warping:Permute",
    "random-resized-crop": "unalike.views.image:RandomResizedCrop",
    "replace-words": "unalike.views.text:ReplaceWords",
    "rotate": "unalike.views.image:Rotate",
    "salad": "unalike.views.textnoise:Salad",
    "scale": "unalike.views.series:Scale",
    "shift": "unalike.views.warping:Shift",
    "shuffle-all": "unalike.views.textnoise:ShuffleAll",
    "shuffle-words": "unalike.views.text:ShuffleWords",
    "splice": "unalike.views.textnoise:Splice",
    "spoil-text": "unalike.views.spoiltext:SpoilText",
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
    "standard-text": "unalike.views.text:standard_text_view",
}

_FILES = ("compose", "image", "series", "table", "text", "textnoise")

__all__ = [
    "NAMES",
    "Affine",
    "CharacterNoise",
    "ColorJitter",
    "Compose",
    "CorruptCells",
    "Crop",
    "CropText",
    "Cutout",
    "DeleteWords",
    "DropChannels",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "Jitter",
    "MagnitudeWarp",
    "MaskCells",
    "MaskFrequencies",
    "MaskSpan",
    "MaskSteps",
    "MixUp",
    "NeighborCells",
    "Noise",
    "PerBatch",
    "PerSample",
    "Permute",
    "RandomResizedCrop",
    "ReplaceWords",
    "Rotate",
    "Salad",
    "Scale",
    "Shift",
    "ShuffleAll",
    "ShuffleWords",
    "Splice",
    "SpoilText",
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
    "standard_text_view",
    "table",
    "text",
    "textnoise",
]


def __getattr__(name: str) -> Any:
    if name in _FILES:
        return import_module(f"{__name__}.{name}")
    return lookup.exported(__name__, {**NAMES, **_TOOLS}, name)
