"""How long a stream takes for one step, and for steps in chunks; ``python -m benchmarks.streaming``.

Synthetic records of 25,000 steps at window 128, one thread. Prints one line per number of channels, and appends it to
``--out``. The figures depend on the machine: compare lines of two versions only where they were measured in turn.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import append_line
from unalike import Detector
from unalike.modalities.series import Series
from unalike.types import FloatArray

_STEPS = 25_000
_CHUNK = 500


def record(channels: int, seed: int) -> FloatArray:
    """``(25000, channels)``: sines of different periods and phases, with noise."""
    generator = np.random.default_rng(seed)
    steps = np.arange(_STEPS)[:, None]
    phases, periods = generator.uniform(0.0, 6.0, channels), generator.uniform(30.0, 120.0, channels)
    waves: FloatArray = np.sin(2.0 * np.pi * steps / periods + phases)
    return waves + 0.1 * generator.normal(size=waves.shape)


def measured(channels: int, pushes: int) -> dict[str, float]:
    """Milliseconds of a push of one step (also on the processor alone), and steps per second in chunks."""
    modality: Any = Series(window=128)
    # How long the networks trained does not change what a step costs.
    detector = Detector(modality, training={"steps": 10}).fit(record(channels, 0))
    steps = record(channels, 1)
    stream = detector.stream()
    stream.push(steps[:_CHUNK])
    walls, processor = [], []
    for step in steps[_CHUNK : _CHUNK + pushes]:
        start, begun = time.perf_counter(), time.process_time()
        stream.push(step)
        walls.append(1000.0 * (time.perf_counter() - start))
        processor.append(1000.0 * (time.process_time() - begun))
    start = time.perf_counter()
    stream.push(steps[_CHUNK + pushes : 2 * _CHUNK + pushes])
    return {
        "median ms": float(np.median(walls)),
        "95% ms": float(np.quantile(walls, 0.95)),
        "processor: median ms": float(np.median(processor)),
        "processor: 5% ms": float(np.quantile(processor, 0.05)),
        "steps/s in chunks": _CHUNK / (time.perf_counter() - start),
    }


def append(path: Path, name: str, channels: int, figures: dict[str, float]) -> None:
    """A line of the results file."""
    row = {"name": name, "channels": channels, **{key: f"{value:.4g}" for key, value in figures.items()}}
    append_line(path, row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 38])
    parser.add_argument("--pushes", type=int, default=400)
    parser.add_argument("--out", type=Path, help="CSV file that lines are appended to")
    parser.add_argument("--name", default="", help="of the version that is measured, in the file")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for channels in chosen.channels:
        figures = measured(channels, chosen.pushes)
        print(f"{channels} channels: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
        if chosen.out is not None:
            append(chosen.out, chosen.name, channels, figures)


if __name__ == "__main__":
    main()
