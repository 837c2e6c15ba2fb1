"""Images: grey, colour, 16-bit or many channels; arrays, files or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unalike import reading
from unalike.data import count, evenly, take
from unalike.encoders.convnet import ConvNet
from unalike.encoders.raw import Raw
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.modalities.pixels import Checked, Layout, as_array, one_image, scaled
from unalike.modalities.scale import reach, tell_of_another_scale
from unalike.objectives.simclr import SimCLR
from unalike.scorers.neighbors import KNN
from unalike.types import Branch, Collection, FloatArray, IntArray, Schema, Training, View
from unalike.views.image import standard_image_view

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST_SIDE = 128
_SEVERAL = 64
_FEW = 16
_FLOATS = (".tif", ".tiff")


@dataclass(kw_only=True)
class Image:
    """Images of one kind.

    A folder, a list of paths, a list of arrays or PIL images, or an array ``(n, height, width)``,
    ``(n, height, width, channels)`` or ``(n, channels, height, width)``. 8-bit values are divided by 255 and
    16-bit ones by 65,535; any other numbers are taken as they are. Files and PIL images are turned upright by
    their EXIF orientation; palettes become colours, and transparency is dropped.

    Parameters
    ----------
    size : (int, int), optional
        Height and width that every image is resized to (bilinear, antialiased). None: that of the training
        images when they agree, else their median; the longer side is at most 128.
    layout : {"auto", "channels-last", "channels-first"}
        Of arrays with four axes. ``"auto"``: torch tensors have channels first; a numpy array has them where
        there are 1, 3 or 4, last if both ends fit.

    Attributes
    ----------
    channels_ : int
    size_ : (int, int)
    reach_ : float or None
        How far the values of training images go, typically. Later images on another scale are warned of.
    """

    size: tuple[int, int] | None = None
    layout: Layout = "auto"

    name = "image"

    def __post_init__(self) -> None:
        if self.layout not in ("auto", "channels-last", "channels-first"):
            raise InvalidParameter(
                f"`layout` must be 'auto', 'channels-last' or 'channels-first'; got {self.layout!r}."
            )
        if self.size is not None and not (len(self.size) == 2 and min(self.size) >= 1):
            raise InvalidParameter(f"`size` must be a height and a width of 1 or more; got {self.size!r}.")

    def check(self, X: Any) -> Collection:
        """List a folder; refuse what holds no images.

        Raises
        ------
        InvalidInput
            `X` is empty, of the wrong shape, not numeric or not finite; an array has other channels than in `fit`.
        """
        if reading.is_path(X):
            X = reading.read_npz(X) if str(X).lower().endswith(".npz") else reading.image_paths(X)
        if isinstance(X, (list, tuple)):
            images: Collection = list(X)
        else:
            images = X if isinstance(X, Checked) else as_array(X, self.layout)
            if hasattr(self, "channels_"):
                self._check_channels(images.shape[1], "`X`")
        if count(images) == 0:
            raise InvalidInput("`X` must hold at least one image; got none. Give more.")
        if hasattr(self, "reach_"):
            tell_of_another_scale(self.reach_, reach(self._some(images)))
        return images

    def fit(self, X: Collection) -> Image:
        """Learn the number of channels, the size and the scale from training images."""
        several = take(X, evenly(count(X), _SEVERAL))
        several = [image if isinstance(X, np.ndarray) else one_image(image, self.layout) for image in several]
        shapes = [image.shape for image in several]
        channels = {shape[0] for shape in shapes}
        if channels == {1, 3}:
            channels = {3}
        if len(channels) > 1:
            raise InvalidInput(
                f"`X` must hold images with one number of channels; got {sorted(channels)}. Convert them."
            )
        self.channels_ = channels.pop()
        height, width = self.size or _typical_size([shape[1:] for shape in shapes])
        self.size_ = (int(height), int(width))
        self.reach_ = reach(several)
        return self

    @property
    def schema(self) -> Schema:
        """Shape ``(channels, height, width)``."""
        self._need_fit()
        return Schema((self.channels_, *self.size_))

    def cut(self, X: Collection) -> tuple[Collection, IntArray]:
        """Every image is one part."""
        return X, np.arange(count(X))

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray:
        """Every image is one part."""
        return scores

    def tensors(self, parts: Collection) -> Tensor:
        """``(n, channels, height, width)`` float32."""
        import torch

        self._need_fit()
        if isinstance(parts, np.ndarray):
            self._check_channels(parts.shape[1], "`X`")
            return _resized(torch.from_numpy(scaled(parts)), self.size_)
        return torch.cat([self._one(image) for image in parts])

    def ids(self, X: Collection) -> npt.NDArray[Any]:
        """Paths, or row numbers."""
        if isinstance(X, list) and X and all(reading.is_path(image) for image in X):
            return np.array([str(image) for image in X])
        return np.arange(count(X))

    def view(self) -> View:
        """Crops, shifts and turns that fit the size and the channels."""
        return standard_image_view(self.schema.shape)

    def branches(self) -> tuple[Branch, ...]:
        """A small network trained from scratch by SimCLR, and raw pixels."""
        training = Training(epochs=60, steps=600, batch_size=256)
        return (
            Branch(
                name="contrast",
                encoder=ConvNet(channels=(16, 32, 64), grid=2),
                objective=SimCLR(temperature=0.2),
                scorer=KNN(k=1),
                training=training,
            ),
            Branch(name="pixels", encoder=Raw(), scorer=KNN(k=1)),
            Branch(name="pixels-many", encoder=Raw(), scorer=KNN(k=0.025, most_rows=2000)),
        )

    def state(self) -> dict[str, Any]:
        """Channels, size and scale."""
        self._need_fit()
        return {"channels": self.channels_, "size": list(self.size_), "reach": self.reach_}

    def restore(self, state: dict[str, Any]) -> None:
        """Take saved channels, size and scale."""
        self.channels_ = int(state["channels"])
        self.size_ = (int(state["size"][0]), int(state["size"][1]))
        self.reach_ = state.get("reach")

    def _some(self, images: Collection) -> list[npt.NDArray[Any]]:
        """A few of checked images for their scale; of files only those are read that may hold floats."""
        some = take(images, evenly(count(images), _FEW))
        if isinstance(images, np.ndarray):
            return list(some)
        typed = np.zeros((1, 1, 1), dtype=np.uint8)
        known = [reading.is_path(image) and Path(image).suffix.lower() not in _FLOATS for image in some]
        return [
            typed if is_known else one_image(image, self.layout) for image, is_known in zip(some, known, strict=True)
        ]

    def _one(self, image: Any) -> Tensor:
        import torch

        pixels = one_image(image, self.layout)
        if (pixels.shape[0], self.channels_) == (1, 3):
            pixels = np.repeat(pixels, 3, axis=0)  # grey is a colour
        self._check_channels(pixels.shape[0], repr(str(image)) if reading.is_path(image) else "Every image")
        return _resized(torch.from_numpy(scaled(pixels))[None], self.size_)

    def _check_channels(self, channels: int, what: str) -> None:
        if channels != self.channels_:
            raise InvalidInput(f"{what} must have {self.channels_} channels, as in `fit`; got {channels}. Convert it.")

    def _need_fit(self) -> None:
        if not hasattr(self, "size_"):
            raise NotFitted("`Image` must be fitted first. Call `fit`.")


def _typical_size(sizes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    height, width = np.median(np.array(sizes), axis=0)
    shrink = min(1.0, _LARGEST_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    import torch

    if tuple(images.shape[-2:]) == size:
        return images
    return torch.nn.functional.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
