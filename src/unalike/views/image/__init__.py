"""Views of images: ``(n, channels, height, width)`` floating point, each row drawn for itself on a whole batch.

Valid for grey, RGB, 16-bit and many-channel images, scaled to ``[0, 1]``, standardised or raw: nothing is
clipped unless `clip` says so, strengths are relative to the image itself where a unit would be needed, and
what needs colour leaves images without three channels as they are, or refuses them.
"""

from __future__ import annotations

from unalike.errors import InvalidParameter
from unalike.types import View
from unalike.views.compose import Compose
from unalike.views.image.color import ColorJitter, Grayscale
from unalike.views.image.detail import Cutout, GaussianBlur, GaussianNoise
from unalike.views.image.geometry import (
    Affine,
    HorizontalFlip,
    RandomResizedCrop,
    Rotate,
    SymmetricFlip,
    Translate,
    VerticalFlip,
)

__all__ = [
    "Affine",
    "ColorJitter",
    "Cutout",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "RandomResizedCrop",
    "Rotate",
    "SymmetricFlip",
    "Translate",
    "VerticalFlip",
    "standard_image_view",
]

_BLUR_FROM = 64


def standard_image_view(shape: tuple[int, ...]) -> Compose:
    """What small and middling images are contrasted under by default, after SimCLR (Chen et al., 2020).

    Colour images: crop, flip, colour, grey, and blur from 64 pixels. Others: milder, because shape and place
    are all they show: small crop, turn and shift, and noise; no flip for one channel, where a
    mirrored digit or print is another thing.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, height, width)``, as in the modality's schema.

    Raises
    ------
    InvalidParameter
        When `shape` has not three numbers.
    """
    if len(shape) != 3:
        raise InvalidParameter(f"`shape` must be (channels, height, width); got {shape!r}.")
    channels, *sides = shape
    members: list[View]
    if channels == 3:
        members = [
            Affine(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), horizontal_flip=0.5),
            ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
            Grayscale(p=0.2),
        ]
    else:
        flip = 0.0 if channels == 1 else 0.5
        members = [
            Affine(scale=(0.85, 1.0), ratio=(0.95, 1.05), degrees=5.0, translate=0.05, horizontal_flip=flip),
            GaussianNoise(scale=(0.2, 0.2), p=1.0),
        ]
    if min(sides) >= _BLUR_FROM:
        members.append(GaussianBlur(sigma=(0.1, 2.0), p=0.5))
    return Compose(tuple(members))
