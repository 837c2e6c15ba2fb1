"""Any image network of timm: ResNet, ViT, ConvNeXt, EfficientNet and hundreds more."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import image_shape, needs, one_of, whole
from unalike.encoders.convnet import ChannelScale
from unalike.errors import InvalidParameter
from unalike.types import Schema

HUB = "hub"
"""Says that weights may be downloaded."""

Pool = Literal["average", "grid2"]


@dataclass(frozen=True, kw_only=True)
class Timm:
    """Settings of a network of the timm library, without its classifier.

    Parameters
    ----------
    name : str
        As in ``timm.list_models()``; a tag behind a dot names certain weights, as in ``"resnet18.a1_in1k"``.
    weights : str or path, optional
        None: random. ``"hub"``: timm's pretrained ones, *downloaded* on first use. Else a local file of a
        timm model's state dict, ``.safetensors`` or what ``torch.save`` writes; nothing in it is executed.
    layers : tuple of int, optional
        Stages (ResNet and its like, 0 = stem) or blocks (ViT) whose maps make the embedding, concatenated;
        what comes after the last is cut off. Negative ones count from the end. None: the network's own end.
    pool : {"average", "grid2"}
        How maps become a vector: their average, or the averages of their quarters, four times as wide.
        Without `layers`, ``"average"`` is the network's own pooling (the class token of many ViTs) and
        ``"grid2"`` takes the last map.
    size : int, optional
        Images are resized to so many pixels a side first (bilinear, antialiased). None: as they come.
    frozen : bool
        Do not train: no gradient, and always in evaluation mode, batch normalisation's statistics included.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    *Channels.* Any number. Pretrained weights of the first layer are summed over red, green and blue for
    grey images, and repeated and rescaled for other numbers of channels (timm's way).

    *Standardisation.* With weights, the mean and standard deviation that the network was pretrained with,
    averaged over their three channels where images have another number. Without, those of the
    training images (`prepare`).

    *Size.* ViTs and their like are built for the size of the images, and position embeddings of the weights
    are interpolated.
    """

    name: str = "resnet18"
    weights: str | os.PathLike[str] | None = None
    layers: tuple[int, ...] | None = None
    pool: Pool = "average"
    size: int | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", os.fspath(self.weights))
        if self.layers is not None:
            object.__setattr__(self, "layers", _levels(self.layers))
        if self.size is not None:
            whole("size", self.size)
        one_of("pool", self.pool, ("average", "grid2"))
        one_of("frozen", self.frozen, (True, False))

    def blank(self) -> Timm:
        """The same network with random weights, for those of a saved model: reads and downloads nothing."""
        return replace(self, weights=None)

    def build(self, schema: Schema) -> Backbone:
        """The network for images ``(channels, height, width)``; torch's generator draws random weights.

        Raises
        ------
        InvalidParameter
            timm has no such network, weights or layers; the file does not fit; the images are too small.
        MissingExtra
            timm is not installed.
        """
        timm = needs("encoders.Timm", "timm", "image")
        channels, height, width = image_shape("Timm", schema)
        size = (height, width) if self.size is None else (self.size, self.size)
        if min(size) < 1:
            raise InvalidParameter(f"`size` must be given where images vary in size; got {schema.shape}. Try size=224.")
        network = _network(timm, self, channels, size)
        taken = _cut(network, self)
        backbone = Backbone(network, channels, size, taken, self)
        if self.weights is not None:
            backbone.scale.set(*_pretrained_moments(network, channels))
        return backbone


class Backbone(nn.Module):
    """Resize, standardise, run the network, pool: ``(n, channels, height, width) -> (n, width)``.

    Parameters
    ----------
    network : Module
        Of timm.
    channels : int
        Of the images.
    size : (int, int)
        Height and width that the network gets.
    taken : list of int, optional
        Layers whose maps make the embedding; None: what the network returns.
    settings : Timm
        The rest.
    """

    def __init__(
        self, network: nn.Module, channels: int, size: tuple[int, int], taken: list[int] | None, settings: Timm
    ) -> None:
        super().__init__()
        self.scale = ChannelScale(channels)
        self.network = network
        self.size = size
        self.taken = taken
        self.norm = settings.layers is None
        self.cells = 2 if settings.pool == "grid2" else 1
        self.fits_scale = settings.weights is None
        self.frozen = settings.frozen
        if self.frozen:
            network.requires_grad_(False)
            network.eval()
        self.width = self._measured(channels)

    def prepare(self, sample: Tensor) -> None:
        """Learn mean and standard deviation per channel from ``(m, channels, height, width)``, unless pretrained."""
        if self.fits_scale:
            self.scale.fit(sample)

    def train(self, mode: bool = True) -> Backbone:
        """Training mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        if tuple(data.shape[-2:]) != self.size:
            data = functional.interpolate(data, self.size, mode="bilinear", antialias=True, align_corners=False)
        data = self.scale(data)
        if self.taken is None:
            embeddings: Tensor = self.network(data)
            return embeddings
        maps = self.network.forward_intermediates(  # type: ignore[operator]
            data, indices=self.taken, norm=self.norm, intermediates_only=True, output_fmt="NCHW"
        )
        return torch.cat([functional.adaptive_avg_pool2d(part, self.cells).flatten(1) for part in maps], dim=1)

    def _measured(self, channels: int) -> int:
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                width = self(torch.zeros(1, channels, *self.size)).shape[1]
        except (RuntimeError, AssertionError, ValueError) as error:
            raise InvalidParameter(
                f"`size` must be one that the network can take; {type(self.network).__name__} refuses images of "
                f"{self.size[0]}x{self.size[1]}: {error}. Give a larger size=, such as 224."
            ) from error
        self.train(training)
        return int(width)


def _levels(layers: Any) -> tuple[int, ...]:
    if (
        not isinstance(layers, (tuple, list))
        or not layers
        or not all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers)
    ):
        raise InvalidParameter(f"`layers` must be a tuple of one or more whole numbers; got {layers!r}. Try (2, 3).")
    return tuple(layers)


def _network(timm: Any, settings: Timm, channels: int, size: tuple[int, int]) -> nn.Module:
    shape: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    try:
        known = _known_pretraining(timm, settings.name)
        if known is not None and known.fixed_input_size:
            shape["img_size"] = size
        if settings.weights is None or settings.weights == HUB:
            network = timm.create_model(settings.name, pretrained=settings.weights == HUB, **shape)
        else:
            network = _from_file(timm, settings.name, Path(settings.weights), known, shape)
    except InvalidParameter:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InvalidParameter(
            f"`name` must be a network that timm can make; {settings.name!r} fails: {error}."
        ) from error
    _check_patches(network, size)
    made: nn.Module = network
    return made


def _known_pretraining(timm: Any, name: str) -> Any:
    """What timm knows of how the network's weights were trained; None when nothing."""
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        near = get_close_matches(plain, timm.list_models(), n=3)
        raise InvalidParameter(f"`name` must be one of timm.list_models(); got {name!r}. Near it are {near or 'none'}.")
    return timm.get_pretrained_cfg(name)


def _from_file(timm: Any, name: str, file: Path, known: Any, shape: dict[str, Any]) -> Any:
    """The network with weights from a local file, which timm adapts to channels and size."""
    state = _read_state(file)
    classifiers = known.classifier if known is not None else None
    for classifier in (classifiers,) if isinstance(classifiers, str) else classifiers or ():
        state = {key: value for key, value in state.items() if not key.startswith(f"{classifier}.")}
    # Without a classifier timm does not loosen its check of the keys.
    overlay = {"state_dict": state, "classifier": None}
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **shape)
    except Exception as error:
        network = timm.create_model(name, **shape)
        raise InvalidParameter(_misfit(name, file, network.state_dict(), state, error)) from error
    # timm keeps what it loaded; every copy of the encoder would hold the weights twice.
    network.pretrained_cfg.pop("state_dict", None)
    return network


def _read_state(file: Path) -> dict[str, Any]:
    from timm.models import load_state_dict

    if not file.is_file():
        raise InvalidParameter(
            f"`weights` must be None, 'hub' or a file; there is none at {str(file)!r}. "
            "Correct the path, or say weights='hub' to download."
        )
    try:
        state = load_state_dict(str(file), weights_only=True)
        tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    except Exception as error:
        raise InvalidParameter(
            f"`weights` must be a file of tensors, .safetensors or of torch.save(model.state_dict(), …); "
            f"{str(file)!r} is refused: {error}."
        ) from error
    if not tensors:
        raise InvalidParameter(f"`weights` must hold tensors; got none in {str(file)!r}. Save model.state_dict().")
    return tensors


def _misfit(name: str, file: Path, wanted: dict[str, Any], found: dict[str, Any], error: Exception) -> str:
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape]
    return (
        f"`weights` must fit {name!r}; {str(file)!r} has {len(missing)} missing keys {missing[:3]}, {len(unexpected)} "
        f"unexpected ones {unexpected[:3]} and {len(shapes)} of another shape. timm says: {str(error)[:200]}. "
        "Give the file of this network."
    )


def _check_patches(network: Any, size: tuple[int, int]) -> None:
    """A network of patches would drop the pixels that fill no patch, without a word."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if patch is None:
        return
    height, width = (patch, patch) if isinstance(patch, int) else patch
    if size[0] % height or size[1] % width:
        raise InvalidParameter(
            f"`size` must be a multiple of the network's patches of {height}x{width}; got {size[0]}x{size[1]}. "
            f"Give size={max(-(-size[0] // height) * height, -(-size[1] // width) * width)}."
        )


def _cut(network: Any, settings: Timm) -> list[int] | None:
    """Drop what no wanted layer needs; the wanted layers, counted from the start."""
    if settings.layers is None and settings.pool == "average":
        return None
    if not hasattr(network, "forward_intermediates"):
        raise InvalidParameter(
            f"`layers` and pool='grid2' must meet a network that gives its maps; {settings.name!r} does not. "
            "Take another, or layers=None with pool='average'."
        )
    layers = settings.layers or (-1,)
    try:
        taken = network.prune_intermediate_layers(list(layers), prune_norm=settings.layers is not None, prune_head=True)
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        raise InvalidParameter(
            f"`layers` must exist in {settings.name!r}, which has {len(network.feature_info)}; got {layers}: {error}."
        ) from error
    return [int(layer) for layer in taken]


def _pretrained_moments(network: Any, channels: int) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(network.pretrained_cfg[name], dtype=torch.float32) for name in ("mean", "std"))
    if len(mean) == channels:
        return mean, std
    return mean.mean().repeat(channels), std.mean().repeat(channels)
