"""What series do with windows of records, as a module that ONNX can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unalike.data import take
from unalike.exporting.inputs import SAMPLES, Input
from unalike.modalities.series import Series
from unalike.records import Records
from unalike.records.collection import Segment
from unalike.seeding import RowGenerator, derive

_LARGEST = 20.0


class Measured(nn.Module):
    """Windows as they were measured, ``(n, length, channels)``, to ``(n, channels, length)`` float32 in deviations."""

    center: Tensor
    scale: Tensor

    def __init__(self, series: Series) -> None:
        super().__init__()
        self.register_buffer("center", torch.from_numpy(np.array(series.center_, dtype=np.float64)))
        self.register_buffer("scale", torch.from_numpy(np.array(series.scale_, dtype=np.float64)))

    def forward(self, windows: Tensor) -> Tensor:
        """As `modalities.Series.tensors`; NaN stays."""
        cells = ((windows - self.center) / self.scale).clamp(-_LARGEST, _LARGEST)
        return cells.to(torch.float32).permute(0, 2, 1)


def of_series(modality: Series) -> Input:
    """The beginning of the graph for fitted series: windows of the fitted length in the units of the user."""
    scale, center = modality.scale_, modality.center_
    shared = replace(modality, scale="together")  # what tells an entity's scale from that of all is not in the graph
    shared.restore({name: part for name, part in modality.state().items() if name != "own"})

    def fed(encoded: Tensor) -> npt.NDArray[Any]:
        return np.asarray(encoded.numpy().astype(np.float64).transpose(0, 2, 1) * scale + center)

    def encoded(windows: npt.NDArray[Any]) -> Tensor:
        learned = modality.learned_
        segments = tuple(Segment(window, str(number)) for number, window in enumerate(windows))
        parts, _ = shared.cut(Records(segments, learned.channels, learned.named))
        return shared.tensors(take(parts, np.arange(len(parts))))

    clock, own = modality.learned_.clock, modality.own_
    described = {
        "channels": [str(name) for name in modality.learned_.channels],
        "named": modality.learned_.named,
        "window": modality.window_,
        "stride": modality.stride_,
        "time": modality.time,
        "entity": modality.entity,
        "step": None if clock is None else clock.step,
        "center": center.tolist(),
        "scale": scale.tolist(),
        "own": None if own is None else {name: _units(own, row) for row, name in enumerate(own.names, start=1)},
    }
    drawn = fed(_drawn(len(center), modality.window_))
    return Input(
        name="windows",
        module=Measured(modality),
        varying=("n",),
        drawn=drawn,
        fed=fed,
        encoded=encoded,
        described=described,
        joins=True,
    )


def _units(own: Any, row: int) -> list[list[float]]:
    return [own.center[row].tolist(), own.scale[row].tolist()]


def _drawn(channels: int, length: int) -> Tensor:
    """``(8, channels, length)``: waves of several frequencies with noise; two windows lack cells."""
    generator = RowGenerator(derive(0, "export"), torch.arange(SAMPLES))
    noise = generator.uniform(channels, length, low=-0.5, high=0.5)
    steps = torch.arange(length, dtype=torch.float32) / length
    speed = torch.arange(1, SAMPLES + 1, dtype=torch.float32)[:, None, None]
    phase = torch.arange(channels, dtype=torch.float32)[None, :, None]
    windows = (2.0 * torch.pi * steps * speed + phase).sin() + noise
    windows[SAMPLES - 2, :, length // 3 : length // 3 + max(length // 8, 1)] = torch.nan
    windows[SAMPLES - 1, 0, : length // 4] = torch.nan
    return windows
