"""A small strided convolutional network for windows of a time series."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from unalike.encoders.checks import one_of, wholes
from unalike.encoders.sequence import (
    NORMALIZATIONS,
    Normalization,
    StepConv,
    WindowEncoder,
    WindowSettings,
    step_norm,
)
from unalike.errors import InvalidParameter
from unalike.types import Schema


@dataclass(frozen=True, kw_only=True)
class SeriesCNN(WindowSettings):
    """Settings of a stack of convolutions in time, each followed by a normalisation and a ReLU.

    Parameters
    ----------
    features : tuple of int
        Of each layer; those of the last one are the embedding, before `pool`.
    kernels, strides : tuple of int
        Of each layer, in steps of its input. Windows may have any length; a short one sees its ends go on.
    normalization : {"layer", "batch", "none"}
        Of the features of each step; of each feature over the batch, which trains well where batches are large and
        makes a sample depend on its batch in training only; or none.
    channels, instance_norm, amplitude, missing, pool
        As in `unalike.encoders.sequence.WindowSettings`.

    Raises
    ------
    InvalidParameter
        A setting is out of range, or the tuples are not of one length.
    """

    features: tuple[int, ...] = (48, 64, 64)
    kernels: tuple[int, ...] = (8, 3, 3)
    strides: tuple[int, ...] = (4, 1, 2)
    normalization: Normalization = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("features", "kernels", "strides"):
            object.__setattr__(self, name, wholes(name, getattr(self, name)))
        if not len(self.features) == len(self.kernels) == len(self.strides):
            raise InvalidParameter(
                "`features`, `kernels` and `strides` must have one number per layer; got "
                f"{len(self.features)}, {len(self.kernels)} and {len(self.strides)} numbers."
            )
        one_of("normalization", self.normalization, NORMALIZATIONS)

    def build(self, schema: Schema) -> WindowEncoder:
        """The network for windows ``(channels, length)``; torch's generator draws its weights."""
        layers: list[nn.Module] = []
        before, places = self.inputs(schema), schema.shape[1]
        for after, kernel, stride in zip(self.features, self.kernels, self.strides, strict=True):
            layers += [StepConv(before, after, kernel, stride=stride), step_norm(self.normalization, after), nn.ReLU()]
            before = after
            places = places if places < 0 else -(-places // stride)
        return WindowEncoder(nn.Sequential(*layers), before, schema, self, places)
