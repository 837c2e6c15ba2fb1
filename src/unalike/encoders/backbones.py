"""Any image network of timm: ResNet, ViT, ConvNeXt, EfficientNet and hundreds more."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.encoders.checks import image_shape, needs, one_of, whole
from unalike.encoders.convnet import ChannelScale, channels_last
from unalike.encoders.locations import finest, largest_map, middle, numbered, on_one_grid
from unalike.encoders.networks import freeze_all_but, make_network, pretrained_moments
from unalike.errors import InvalidParameter
from unalike.types import Schema

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
    layers : tuple of int or of str, "middle", optional
        Stages (ResNet and its like, 0 = stem) or blocks (ViT) whose maps make the embedding, concatenated;
        what comes after the last is cut off. Negative ones count from the end. Or names: those that timm has for
        them, such as ``"layer2"``, and ``"blocks.3"`` for any block of EfficientNet and its like. ``"middle"``: the
        one that suits vectors for whole images of this size (`unalike.encoders.locations.middle`). None: the
        network's own end.
    pool : {"average", "grid2"}
        How maps become a vector: their average, or the averages of their quarters, four times as wide.
        Without `layers`, ``"average"`` is the network's own pooling (the class token of many ViTs) and
        ``"grid2"`` takes the last map.
    size : int, optional
        Images are resized to so many pixels a side first (bilinear, antialiased). None: as they come.
    frozen : bool
        Do not train: no gradient, and always in evaluation mode, batch normalisation's statistics included.
    trainable : int, optional
        Only so many of the last blocks or stages that are left train, as timm groups their weights; the others are
        frozen, and the statistics of batch normalisation stay as they are in all of them. None: everything trains.
    by_order : bool
        A file whose names are not timm's is taken in the order of its tensors, when the number, the shapes and the
        ends of the names (``weight``, ``running_mean``) of all of them agree. Only for a file of this very network:
        two layers of one shape that change places are not noticed.
    grid : (int, int), optional
        Rows and columns of the places of `Backbone.locations`. None: those of the finest of the `layers`.
    neighborhood : int
        Odd number of places a side that are averaged into one, in each layer; PatchCore has 3, 1 finds more here
        (docs/decisions/0012).

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
    layers: tuple[int, ...] | tuple[str, ...] | Literal["middle"] | None = None
    pool: Pool = "average"
    size: int | None = None
    frozen: bool = False
    trainable: int | None = None
    by_order: bool = False
    grid: tuple[int, int] | None = None
    neighborhood: int = 1

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", os.fspath(self.weights))
        if self.layers is not None:
            object.__setattr__(self, "layers", _levels(self.layers))
        if self.size is not None:
            whole("size", self.size)
        one_of("pool", self.pool, ("average", "grid2"))
        one_of("frozen", self.frozen, (True, False))
        one_of("by_order", self.by_order, (True, False))
        if self.trainable is not None:
            whole("trainable", self.trainable)
            if self.frozen:
                raise InvalidParameter("`trainable` must not be given with frozen=True: then nothing trains.")
        if self.grid is not None:
            object.__setattr__(self, "grid", _grid(self.grid))
        if whole("neighborhood", self.neighborhood) % 2 == 0:
            raise InvalidParameter(f"`neighborhood` must be odd; got {self.neighborhood}. Try 3, or 1 for none.")

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
        weights = None if self.weights is None else os.fspath(self.weights)
        network = make_network(timm, self.name, weights, channels, size, by_order=self.by_order)
        taken, all_blocks = _cut(network, self, channels, size)
        backbone = Backbone(network, channels, size, taken, self, all_blocks)
        if self.weights is not None:
            backbone.scale.set(*pretrained_moments(network, channels))
        return backbone


class Backbone(nn.Module):
    """Resize, standardise, run the network, pool: ``(n, channels, height, width) -> (n, width)``.

    `grid` is ``(rows, columns)`` of the places of `locations`, or None where the settings name no layers.
    `largest_map` is the size in bytes of the largest map that the network makes of one image.

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
    all_blocks : bool
        Whether `taken` counts all blocks of the network, not its stages.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        size: tuple[int, int],
        taken: list[int] | None,
        settings: Timm,
        all_blocks: bool = False,
    ) -> None:
        super().__init__()
        self.scale = ChannelScale(channels)
        self.network = network.to(memory_format=torch.channels_last)
        self.size = size
        self.taken = taken
        self.norm = settings.layers is None
        self.counted = {"extra_blocks": True} if all_blocks else {}
        self.grid = settings.grid
        self.neighborhood = settings.neighborhood
        self.cells = 2 if settings.pool == "grid2" else 1
        self.fits_scale = settings.weights is None
        self.frozen = settings.frozen
        self.fixed_statistics = settings.frozen or settings.trainable is not None
        if self.frozen:
            network.requires_grad_(False)
        elif settings.trainable is not None:
            freeze_all_but(network, settings.trainable)
        if self.fixed_statistics:
            network.eval()
        self.width = self._measured(channels)

    def prepare(self, sample: Tensor) -> None:
        """Learn mean and standard deviation per channel from ``(m, channels, height, width)``, unless pretrained."""
        if self.fits_scale:
            self.scale.fit(sample)

    def train(self, mode: bool = True) -> Backbone:
        """Training mode; a network that is frozen, in part or whole, stays in evaluation mode."""
        super().train(mode)
        if self.fixed_statistics:
            self.network.eval()
        return self

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        if self.taken is None:
            embeddings: Tensor = self.network(self._scaled(data))
            return embeddings
        pooled = [functional.adaptive_avg_pool2d(part, self.cells).flatten(1) for part in self._maps(data)]
        return torch.cat(pooled, dim=1)

    def locations(self, data: Tensor) -> Tensor:
        """Embeddings of places ``(n, rows * columns, d)``, row by row: see `unalike.encoders.locations.on_one_grid`."""
        if self.grid is None:
            raise InvalidParameter(
                "`layers` must name the layers whose places are judged; got None. Try layers=(2, 3)."
            )
        return on_one_grid(self._maps(data), self.grid, self.neighborhood)

    def _scaled(self, data: Tensor) -> Tensor:
        if tuple(data.shape[-2:]) != self.size:
            data = functional.interpolate(data, self.size, mode="bilinear", antialias=True, align_corners=False)
        return channels_last(self.scale(data))

    def _maps(self, data: Tensor) -> list[Tensor]:
        """``(n, c, rows, columns)`` of each taken layer."""
        maps: list[Tensor] = self.network.forward_intermediates(  # type: ignore[operator]
            self._scaled(data),
            indices=self.taken,
            norm=self.norm,
            intermediates_only=True,
            output_fmt="NCHW",
            **self.counted,
        )
        return maps

    def _measured(self, channels: int) -> int:
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                blank = torch.zeros(1, channels, *self.size)
                with largest_map(self.network) as largest:
                    width = self(blank).shape[1]
                self.largest_map = largest[0]
                if self.taken is not None and self.grid is None:
                    self.grid = finest(self._maps(blank))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise InvalidParameter(
                f"`size` must be one that the network can take; {type(self.network).__name__} refuses images of "
                f"{self.size[0]}x{self.size[1]}: {error}. Give a larger size=, such as 224."
            ) from error
        self.train(training)
        return int(width)


def _levels(layers: Any) -> tuple[int, ...] | tuple[str, ...] | Literal["middle"]:
    if layers == "middle":
        return "middle"
    if isinstance(layers, (tuple, list)) and layers:
        if all(isinstance(layer, str) for layer in layers):
            return tuple(layers)
        if all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers):
            return tuple(layers)
    raise InvalidParameter(
        f"`layers` must be a tuple of one or more whole numbers, or of names; got {layers!r}. Try 'middle', or (2, 3)."
    )


def _grid(grid: Any) -> tuple[int, int]:
    if not isinstance(grid, (tuple, list)) or len(grid) != 2:
        raise InvalidParameter(f"`grid` must be rows and columns; got {grid!r}. Try (14, 14).")
    return whole("grid", grid[0]), whole("grid", grid[1])


def _cut(network: Any, settings: Timm, channels: int, size: tuple[int, int]) -> tuple[list[int] | None, bool]:
    """Drop what no wanted layer needs; the wanted layers, counted from the start, and whether all blocks count."""
    if settings.layers is None and settings.pool == "average":
        return None, False
    if not hasattr(network, "forward_intermediates"):
        raise InvalidParameter(
            f"`layers` and pool='grid2' must meet a network that gives its maps; {settings.name!r} does not. "
            "Take another, or layers=None with pool='average'."
        )
    layers = settings.layers or (-1,)
    numbers, all_blocks = middle(network, channels, size) if layers == "middle" else numbered(network, layers)
    counted = {"extra_blocks": True} if all_blocks else {}
    try:
        taken = network.prune_intermediate_layers(
            numbers, prune_norm=settings.layers is not None, prune_head=True, **counted
        )
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        raise InvalidParameter(
            f"`layers` must exist in {settings.name!r}, which has {len(network.feature_info)}; got {layers}: {error}."
        ) from error
    return [int(layer) for layer in taken], all_blocks
