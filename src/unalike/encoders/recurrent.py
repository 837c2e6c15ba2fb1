"""Recurrent networks for windows of a time series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from unalike.encoders.checks import one_of, truth, whole
from unalike.encoders.sequence import Pool, WindowEncoder, WindowSettings
from unalike.types import Schema


@dataclass(frozen=True, kw_only=True)
class Recurrent(WindowSettings):
    """Settings of a recurrent network that reads a window step by step.

    Parameters
    ----------
    cell : {"lstm", "gru"}
        What carries the state: Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., "Learning phrase
        representations using RNN encoder-decoder", 2014.
    features : int
        Of the state, and of the embedding, before `pool`.
    layers : int
        Networks on top of each other.
    both_ways : bool
        Whether a second network reads from the end to the start; then there are twice as many features.
    channels, instance_norm, amplitude, missing, pool
        As in `unalike.encoders.sequence.WindowSettings`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    Steps are read one after the other: for windows of hundreds of steps `TCN` takes a fraction of the time.
    """

    cell: Literal["lstm", "gru"] = "lstm"
    features: int = 64
    layers: int = 1
    both_ways: bool = False
    pool: Pool = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("cell", self.cell, ("lstm", "gru"))
        whole("features", self.features)
        whole("layers", self.layers)
        truth("both_ways", self.both_ways)

    def build(self, schema: Schema) -> WindowEncoder:
        """The network for windows ``(channels, length)``; torch's generator draws its weights."""
        body = Reader(self.inputs(schema), self)
        return WindowEncoder(body, self.features * (1 + self.both_ways), schema, self, schema.shape[1])


class Reader(nn.Module):
    """``(n, length, inputs) -> (n, length, features)``.

    Parameters
    ----------
    inputs : int
        Numbers per step.
    settings : Recurrent
        Of the network.
    """

    def __init__(self, inputs: int, settings: Recurrent) -> None:
        super().__init__()
        cell = nn.LSTM if settings.cell == "lstm" else nn.GRU
        self.network = cell(
            inputs, settings.features, settings.layers, batch_first=True, bidirectional=settings.both_ways
        )

    def forward(self, steps: Tensor) -> Tensor:
        """The state after each step."""
        outputs: Tensor = self.network(steps)[0]
        return outputs
