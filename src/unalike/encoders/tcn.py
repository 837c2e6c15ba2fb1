"""Temporal convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unalike.encoders.checks import one_of, truth, whole
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

_LEVELS_OF_ANY_LENGTH = 6


@dataclass(frozen=True, kw_only=True)
class TCN(WindowSettings):
    """Settings of a temporal convolutional network: residual blocks of two convolutions, further apart in each block.

    Parameters
    ----------
    features : int
        Of each step in each block, and of the embedding, before `pool`.
    kernel : int
        Steps that a convolution sees, 2 or more.
    levels : int, optional
        Blocks; in block ``i`` a convolution sees every ``2**i``-th step. None: as many as it takes to see the whole
        window, and 6 where its length varies.
    causal : bool
        Whether a step sees no later ones, as published; else it sees both sides alike, half as far.
    normalization : {"layer", "batch", "none"}
        As in `SeriesCNN`.
    channels, instance_norm, amplitude, missing, pool
        As in `unalike.encoders.sequence.WindowSettings`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    Not as published: without weight normalisation and dropout.

    References
    ----------
    Bai, Kolter and Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence
    modeling", 2018.
    """

    features: int = 32
    kernel: int = 3
    levels: int | None = None
    causal: bool = False
    normalization: Normalization = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("features", self.features)
        if whole("kernel", self.kernel) < 2:
            raise InvalidParameter(f"`kernel` must be 2 or more; got {self.kernel}. Try 3.")
        if self.levels is not None:
            whole("levels", self.levels)
        truth("causal", self.causal)
        one_of("normalization", self.normalization, NORMALIZATIONS)

    def build(self, schema: Schema) -> WindowEncoder:
        """The network for windows ``(channels, length)``; torch's generator draws its weights."""
        inputs, length = self.inputs(schema), schema.shape[1]
        sizes = [inputs] + [self.features] * self._levels(length)
        blocks = [Block(before, self, 2**level) for level, before in enumerate(sizes[:-1])]
        return WindowEncoder(nn.Sequential(*blocks), self.features, schema, self, length)

    def _levels(self, length: int) -> int:
        if self.levels is not None:
            return self.levels
        if length < 1:
            return _LEVELS_OF_ANY_LENGTH
        levels = 1
        # Two convolutions per block; a centred one reaches half as far.
        while 1 + 2 * (self.kernel - 1) * (2**levels - 1) < length:
            levels += 1
        return levels


class Block(nn.Module):
    """Two convolutions, added to their input: ``(n, length, inputs) -> (n, length, features)``.

    Parameters
    ----------
    inputs : int
        Numbers per step.
    settings : TCN
        Of the network.
    dilation : int
        Of the convolutions.
    """

    def __init__(self, inputs: int, settings: TCN, dilation: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = inputs
        for _ in range(2):
            conv = StepConv(before, settings.features, settings.kernel, dilation=dilation, causal=settings.causal)
            layers += [conv, step_norm(settings.normalization, settings.features), nn.ReLU()]
            before = settings.features
        self.layers = nn.Sequential(*layers)
        self.past = nn.Identity() if inputs == settings.features else nn.Linear(inputs, settings.features)

    def forward(self, steps: Tensor) -> Tensor:
        """The outputs, after a last ReLU."""
        outputs: Tensor = (self.layers(steps) + self.past(steps)).relu()
        return outputs
