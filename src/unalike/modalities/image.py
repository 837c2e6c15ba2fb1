"""Images: grey, colour, 16-bit or many channels; arrays, files or a folder."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unalike import reading, tabular
from unalike.data import count, evenly, take
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.modalities import nearcopies, tunedimages
from unalike.modalities.imagefiles import (
    Images,
    check_channels,
    check_headers,
    in_order,
    is_data_set,
    listed,
    looked_into,
    name_of,
    opened,
)
from unalike.modalities.pixels import Checked, Layout, as_array, scaled, thumbnails
from unalike.modalities.scale import reach, tell_of_another_scale
from unalike.modalities.tiles import Tiles, check_tile, tiled, whole_boxes, worst
from unalike.plain import is_whole
from unalike.types import Branch, Collection, FloatArray, IntArray, Schema, View
from unalike.views.image import standard_image_view

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST_SIDE = 128
_SEVERAL = 64
_CHUNK = 256
_FEW = 16
_FLOATS = (".tif", ".tiff", ".npy")


@dataclass(kw_only=True)
class Image:
    """Images of one kind.

    A folder, a list of paths, a table with a column of paths, a list of arrays or PIL images, a map-style data set
    (torch's; a label beside the image is not looked at), an NPZ file, or an array ``(n, height, width)``,
    ``(n, height, width, channels)`` or ``(n, channels, height, width)``; docs/images.md tells more. 8-bit values are
    divided by 255 and 16-bit ones by 65,535; any other numbers are taken as they are. Files and PIL images are turned
    upright by their EXIF orientation; palettes and CMYK become colours, and transparency is dropped.

    Parameters
    ----------
    size : (int, int), optional
        Height and width that every image is resized to (bilinear, antialiased). None: that of the training
        images when they agree, else their median; the longer side is at most 128, or 224 with `weights`.
    layout : {"auto", "channels-last", "channels-first"}
        Of arrays with four axes. ``"auto"``: torch tensors have channels first; a numpy array has them where
        there are 1, 3 or 4, last if both ends fit.
    on_error : {"raise", "skip"}
        What becomes of an image that cannot be used: truncated, too large, with other channels. ``"raise"``: an error
        names it. ``"skip"``: it is left out with a warning, and `Decisions.skipped` and `Detector.skipped_` tell which.
    workers : int, optional
        Threads that decode files. None: as many as this process has cores, at most 8. Results do not depend on it.
    tile : int, optional
        Side in pixels of the overlapping square tiles that each image is cut into, for images that are larger than the
        network and hold small things. Each is judged, and the image's score is the highest of its tiles'; `size` is
        then that of tiles, by default `tile` itself. None: images are judged whole.

    network : str
        Of timm (``timm.list_models()``), for the default branches where there are `weights`.
    weights : str or path, optional
        Of the network: a local file of its state dict, whose names may be others where its tensors fit in order
        (`encoders.Timm`), or ``"hub"``: they are *downloaded* on first use. None: a small network is trained from
        scratch, and nothing is read.

    Attributes
    ----------
    channels_ : int
    size_ : (int, int)
    reach_ : float or None
        How far the values of training images go, typically. Later images on another scale are warned of.
    """

    size: tuple[int, int] | None = None
    layout: Layout = "auto"
    on_error: Literal["raise", "skip"] = "raise"
    workers: int | None = None
    tile: int | None = None
    network: str = "tf_efficientnet_lite0"
    weights: str | os.PathLike[str] | None = None

    name = "image"

    def __post_init__(self) -> None:
        if self.weights is not None:
            self.weights = os.fspath(self.weights)
        if self.layout not in ("auto", "channels-last", "channels-first"):
            raise InvalidParameter(
                f"`layout` must be 'auto', 'channels-last' or 'channels-first'; got {self.layout!r}."
            )
        if self.size is not None and not (len(self.size) == 2 and min(self.size) >= 1):
            raise InvalidParameter(f"`size` must be a height and a width of 1 or more; got {self.size!r}.")
        if self.on_error not in ("raise", "skip"):
            raise InvalidParameter(f"`on_error` must be 'raise' or 'skip'; got {self.on_error!r}.")
        check_tile(self.tile)
        if self.workers is not None and not is_whole(self.workers, least=1):
            raise InvalidParameter(f"`workers` must be None or a number of threads of 1 or more; got {self.workers!r}.")

    def check(self, X: Any) -> Collection:
        """List a folder; refuse what holds no images, or leave it out.

        Before `fit`, and with ``on_error="skip"``, every file is read to its end: a fit must not fail at its last
        image. Else the headers of files are looked at.

        Raises
        ------
        InvalidInput
            `X` is empty, of the wrong shape, not numeric or not finite; an array has other channels than in `fit`; a
            file cannot be read.
        """
        images = self._listed(X)
        if count(images) == 0:
            raise InvalidInput("`X` must hold at least one image; got none. Give more.")
        if isinstance(images, Images):
            if self.on_error == "skip" or not hasattr(self, "channels_"):
                images = self._looked_into(images)
            else:
                check_headers(images, self.workers)
        if hasattr(self, "reach_"):
            tell_of_another_scale(self.reach_, reach(self._some(images, _FEW)))
        return images

    def fit(self, X: Collection) -> Image:
        """Learn the number of channels, the size and the scale from training images."""
        images = X if isinstance(X, np.ndarray) else self._looked_into(X if isinstance(X, Images) else listed(X))
        shapes = np.array([images.shape[1:]] if isinstance(images, np.ndarray) else images.shapes)
        self.channels_ = _channels(images, shapes)
        largest = _LARGEST_SIDE if self.weights is None else tunedimages.LARGE
        tile = None if self.tile is None else (self.tile, self.tile)
        height, width = self.size or tile or _typical_size(shapes[:, 1:], largest)
        self.size_ = (int(height), int(width))
        self.reach_ = reach(self._some(images, _SEVERAL))
        return self

    @property
    def schema(self) -> Schema:
        """Shape ``(channels, height, width)``."""
        self._need_fit()
        return Schema((self.channels_, *self.size_))

    def cut(self, X: Collection) -> tuple[Collection, IntArray]:
        """Every image is one part, or its tiles are."""
        if self.tile is None:
            return X, np.arange(count(X))
        tiles = tiled(X, self.tile, self.layout)
        return tiles, tiles.owner

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray:
        """The score of the image, or the highest of its tiles'."""
        return scores if self.tile is None else worst(scores, owner, n)

    def boxes(self, X: Collection) -> IntArray:
        """``(n_parts, 4)``: where each part lies in its image, as the user gave it (`unalike.types.Pictured`)."""
        return whole_boxes(X, self.layout) if self.tile is None else tiled(X, self.tile, self.layout).boxes

    def pixels(self, X: Collection) -> npt.NDArray[Any]:
        """``(channels, height, width)`` of the only image of checked `X`, as the user gave it."""
        return np.asarray(X[0]) if isinstance(X, np.ndarray) else self._pixels(X[0])

    def tensors(self, parts: Collection) -> Tensor:
        """``(n, channels, height, width)`` float32."""
        import torch

        self._need_fit()
        if isinstance(parts, Tiles):
            checked = isinstance(parts.images, np.ndarray)  # its channels are first
            return torch.cat(parts.cut(np.asarray if checked else self._pixels, self._tensor))
        if isinstance(parts, np.ndarray):
            self._check_channels(parts.shape[1], "`X`")
            return _resized(torch.from_numpy(scaled(parts)), self.size_)
        return torch.cat(list(in_order(self._one, list(parts), self.workers)))

    def ids(self, X: Collection) -> npt.NDArray[Any]:
        """Paths, or the places in what was given."""
        if isinstance(X, np.ndarray):
            return np.arange(len(X))
        images = X if isinstance(X, Images) else listed(X)
        return np.array([str(path) for path in images]) if all(map(reading.is_path, images)) else images.rows

    def thumbnails(self, X: Collection) -> FloatArray:
        """``(n, 256)`` of checked images, for `nearcopies`."""
        if isinstance(X, Images) and X.thumbnails is not None:
            return X.thumbnails
        images: Any = X if isinstance(X, np.ndarray) else self._looked_into(X)
        if isinstance(images, Images):
            return self.thumbnails(images)
        chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
        return nearcopies.standardised(np.concatenate([thumbnails(pixels, nearcopies.SIDE) for pixels in chunks]))

    def view(self) -> View:
        """Crops, shifts and turns that fit the size and the channels."""
        return standard_image_view(self.schema.shape)

    def branches(self) -> tuple[Branch, ...]:
        """With weights the middle of the pretrained network, for large images its places; else trained from scratch."""
        return tunedimages.branches(self.schema.shape, self.network, self.weights)

    def state(self) -> dict[str, Any]:
        """Channels, size and scale."""
        self._need_fit()
        return {"channels": self.channels_, "size": list(self.size_), "reach": self.reach_}

    def restore(self, state: dict[str, Any]) -> None:
        """Take saved channels, size and scale."""
        self.channels_ = int(state["channels"])
        self.size_ = (int(state["size"][0]), int(state["size"][1]))
        self.reach_ = state.get("reach")

    def _listed(self, X: Any) -> Images | npt.NDArray[Any]:
        """Images that are read later, or an array of checked shape and channels."""
        if isinstance(X, Images):
            return X
        if reading.is_path(X):
            X = reading.images_at(X)
        elif tabular.has_names(X):
            X = reading.paths_in_table(X)
        if isinstance(X, (list, tuple)) or is_data_set(X):
            return listed(X)
        array = X if isinstance(X, Checked) else as_array(X, self.layout)
        if hasattr(self, "channels_"):
            self._check_channels(array.shape[1], "`X`")
        return array

    def _looked_into(self, images: Images) -> Images:
        if images.shapes is not None:
            return images
        wanted = getattr(self, "channels_", None)
        return looked_into(images, self.layout, self.workers, wanted, skip=self.on_error == "skip")

    def _some(self, images: Collection, at_most: int) -> list[npt.NDArray[Any]]:
        """A few of checked images for their scale; of files only those are read that may hold floats."""
        some = take(images, evenly(count(images), at_most))
        if isinstance(images, np.ndarray):
            return list(some)
        typed = np.zeros((1, 1, 1), dtype=np.uint8)
        known = [reading.is_path(image) and Path(image).suffix.lower() not in _FLOATS for image in some]
        return [typed if is_known else opened(image, self.layout) for image, is_known in zip(some, known, strict=True)]

    def _one(self, image: Any) -> Tensor:
        return self._tensor(self._pixels(image))

    def _pixels(self, image: Any) -> npt.NDArray[Any]:
        pixels: npt.NDArray[Any] = opened(image, self.layout)
        check_channels(pixels.shape[0], self.channels_, image)
        return np.repeat(pixels, 3, axis=0) if pixels.shape[0] < self.channels_ else pixels  # grey is a colour

    def _tensor(self, pixels: npt.NDArray[Any]) -> Tensor:
        import torch

        return _resized(torch.from_numpy(scaled(pixels))[None], self.size_)

    def _check_channels(self, channels: int, what: str) -> None:
        if channels != self.channels_:
            raise InvalidInput(f"{what} must have {self.channels_} channels, as in `fit`; got {channels}. Convert it.")

    def _need_fit(self) -> None:
        if not hasattr(self, "size_"):
            raise NotFitted("`Image` must be fitted first. Call `fit`.")


def _channels(images: Collection, shapes: IntArray) -> int:
    """The one number of channels that all images have; grey ones among coloured are colour."""
    found = Counter(shapes[:, 0].tolist())
    if set(found) == {1, 3}:
        return 3
    usual, _ = found.most_common(1)[0]
    if len(found) > 1:
        odd = int(np.flatnonzero(shapes[:, 0] != usual)[0])
        raise InvalidInput(
            f"`X` must hold images with one number of channels; got {sorted(found)}. Convert them; the first that is "
            f"unlike most is {name_of(images[odd], int(images.rows[odd]))!r}, with {shapes[odd, 0]}."
        )
    return int(usual)


def _typical_size(sizes: IntArray, largest: int) -> tuple[int, int]:
    height, width = np.median(sizes, axis=0)
    shrink = min(1.0, largest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    import torch

    if tuple(images.shape[-2:]) == size:
        return images
    return torch.nn.functional.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
