"""The branches that images are judged by, where the user names none (docs/decisions/0013)."""

from __future__ import annotations

from typing import Any

from unalike.encoders.backbones import Timm
from unalike.encoders.convnet import ConvNet
from unalike.encoders.mirrored import Mirrored
from unalike.encoders.raw import Raw
from unalike.objectives.spoiled import SpoiledContrast
from unalike.scorers.local import LocalKNN
from unalike.scorers.neighbors import KNN
from unalike.scorers.placefusion import PlaceFusion
from unalike.types import Branch, Training, View
from unalike.views.compose import Compose
from unalike.views.image import Affine, GaussianNoise, SymmetricFlip

SMALL_SIDE = 64
"""Images whose longer side is no longer are judged whole; of larger ones the places are."""
LARGE = 224
_STEP = 32
_PATCH_LAYERS = {"tf_efficientnet_lite0": ("blocks.3", "blocks.4", "blocks.5")}
_USUAL_PATCH_LAYERS = (-3, -2)


def branches(shape: tuple[int, ...], network: str, weights: Any) -> tuple[Branch, ...]:
    """The tuned branches.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width of the images.
    network, weights
        As in `modalities.Image`.
    """
    if weights is None:
        return _from_scratch()
    side = max(shape[1:])
    return _small(network, weights, side) if side <= SMALL_SIDE else _large(network, weights)


def view() -> View:
    """What is contrasted with spoiled images from scratch: a little moved and turned, noise, mirrored where it fits."""
    moved = Affine(scale=(0.85, 1.0), ratio=(0.95, 1.05), degrees=5.0, translate=0.05)
    return Compose((moved, SymmetricFlip(), GaussianNoise(scale=(0.0, 0.2), p=1.0)))


def _from_scratch() -> tuple[Branch, ...]:
    """A small network that knows normal images from spoiled ones, and raw pixels."""
    contrast = Branch(
        name="contrast",
        encoder=Mirrored(encoder=ConvNet(channels=(16, 32, 64), halving="stride")),
        objective=SpoiledContrast(per_image=8),
        scorer=LocalKNN(k=5, power=0.25),
        views=view(),
        training=Training(
            epochs=100, steps=1000, batch_size=24, optimizer="adamw", learning_rate=2e-3, weight_decay=1e-4, warmup=0.03
        ),
    )
    return contrast, Branch(name="pixels", encoder=Raw(), scorer=KNN(k=1), weight=0.5)


def _small(network: str, weights: Any, side: int) -> tuple[Branch, ...]:
    """The middle layer of the pretrained network, frozen."""
    size = -(-side // _STEP) * _STEP
    frozen = Timm(name=network, weights=weights, by_order=True, layers="middle", pool="grid2", size=size, frozen=True)
    scorer = LocalKNN(k=10, power=0.35, metric="cosine")
    return (Branch(name="features", encoder=Mirrored(encoder=frozen, rescale=True), scorer=scorer),)


def _large(network: str, weights: Any) -> tuple[Branch, ...]:
    """Places of its middle layers, frozen: a memory bank, and what is usual at each place."""
    layers: Any = _PATCH_LAYERS.get(network, _USUAL_PATCH_LAYERS)
    frozen = Timm(name=network, weights=weights, by_order=True, layers=layers, size=LARGE, frozen=True)
    return (Branch(name="patches", encoder=frozen, scorer=PlaceFusion()),)
