"""``python -m benchmarks.series_planted``: does `explain` name the channel and the steps that were spoilt?

The default detector trains on the first 70% of the normal part of a record of several channels. In excerpts of the rest
one channel gets a spike (one step), a shifted level or noise (twenty steps), so many of its standard deviations large.
Asked about the stretch around it, `explain` should name that channel first (``channel``), and the largest share that
its picture gives to this channel should lie at a spoilt step (``step``). Beside them stand naming the channel with the
largest z-score of the stretch, the step of the largest z-score of the spoilt channel, and chance. Channels that hardly
move in training are not spoilt.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import harness, plantings, series_data
from benchmarks.results import Values

if TYPE_CHECKING:
    from unalike.types import FloatArray, IntArray

KINDS = ("spike", "level", "noise")
SIZES = (2.0, 4.0, 8.0)
SETS = ("asd/omi-7", "asd/omi-9", "asd/omi-11", "smd/machine-2-1", "smd/machine-3-3")
EXTRA = (
    "reached",
    "channel",
    "z_channel",
    "channel_chance",
    "step",
    "z_step",
    "step_chance",
    "explain_ms",
    "detect_ms",
)
_SHARE = 0.7
_EXCERPT, _LENGTH, _AROUND = 400, 20, 20
_LEAST_SPREAD = 1e-3
"""Of a channel, as a share of that of the channel that moves most."""
_SEED = 0
_PRELOAD = ("unalike.detector", "unalike.modalities.series", "lightning_fabric")


def spoilt(values: FloatArray, kind: str, channel: int, first: int, by: float, seed: Sequence[int]) -> FloatArray:
    """``(steps, channels)`` with `channel` spoilt from step `first` on; the other channels stay.

    Parameters
    ----------
    values : ndarray
        ``(steps, channels)``; not changed.
    kind : str
        One of `KINDS`.
    channel, first : int
        Where.
    by : float
        How far, in units of the channel.
    seed : sequence of int
        Of the sign and the noise.
    """
    generator = np.random.default_rng(seed)
    sign = float(generator.choice((-1.0, 1.0)))
    made = values.copy()
    stretch = made[first : first + length_of(kind), channel]
    stretch += by * generator.normal(size=len(stretch)) if kind == "noise" else sign * by
    return made


def length_of(kind: str) -> int:
    """Steps that are spoilt."""
    return 1 if kind == "spike" else _LENGTH


def outcomes(folder: Path, name: str, draws: int) -> Mapping[str, Values]:
    """The lines of one record, `draws` excerpts for each kind and size."""
    from unalike import Detector

    normal = series_data.read(folder, name).train
    split = int(_SHARE * len(normal))
    train, held = normal[:split], normal[split:]
    mean, spread = train.mean(axis=0), train.std(axis=0)
    moving = np.flatnonzero((spread > _LEAST_SPREAD * spread.max()) & (spread > 0.0))
    started = time.perf_counter()
    detector = Detector("series", random_state=_SEED).fit(train)
    fit_s = time.perf_counter() - started
    found: dict[str, Values] = {}
    for number, kind in enumerate(KINDS):
        for size in SIZES:
            rows = []
            for draw in range(draws):
                generator = np.random.default_rng([_SEED, number, draw])
                start = int(generator.integers(max(len(held) - _EXCERPT, 0) + 1))
                excerpt, channel = held[start : start + _EXCERPT], int(generator.choice(moving))
                first = len(excerpt) // 2
                made = spoilt(excerpt, kind, channel, first, size * float(spread[channel]), [_SEED, number, draw, 1])
                z = np.abs(made - mean) / np.where(spread > 0.0, spread, 1.0)
                rows.append(_asked(detector, excerpt, made, z, channel, first, length_of(kind)))
            empty = dict.fromkeys(("auroc", "auprc", "f1", "score_s", "peak_mb"), math.nan)
            found[f"{kind}/{size:g}"] = {**empty, "fit_s": fit_s, **summed(rows)}
    return found


def _asked(
    detector: Any, excerpt: FloatArray, made: FloatArray, z: FloatArray, channel: int, first: int, length: int
) -> list[float]:
    """Score of the stretch before and after it was spoilt; hits, chance and milliseconds, in the order of `EXTRA`."""
    stretch = np.arange(first - _AROUND, first + length + _AROUND)
    before = float(detector.anomaly_scores(excerpt)[stretch].max())
    started = time.process_time()
    after = float(detector.detect(made).scores[stretch].max())
    detect_ms = 1000.0 * (time.process_time() - started)
    started = time.process_time()
    (why,) = detector.explain(made, only=stretch)
    explain_ms = 1000.0 * (time.process_time() - started)
    hot = why.picture[:, channel]
    steps = np.arange(_AROUND, _AROUND + length)
    named = bool(why.parts) and why.parts[0].place == f"x{channel}"
    return [
        before,
        after,
        float(named),
        float(int(np.argmax(z[stretch].max(axis=0))) == channel),
        1.0 / made.shape[1],
        float(hot.max() > 0.0 and int(np.argmax(hot)) in steps),
        float(int(np.argmax(z[stretch, channel])) in steps),
        length / len(stretch),
        explain_ms,
        detect_ms,
    ]


def summed(rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """What `EXTRA` names: how far spoilt stretches score above the same ones untouched, as AUROC, and means."""
    values = np.asarray(rows)
    labels: IntArray = np.repeat([0, 1], len(values))
    reached = float(roc_auc_score(labels, np.concatenate([values[:, 0], values[:, 1]])))
    return dict(zip(EXTRA, [reached, *values[:, 2:].mean(axis=0).tolist()], strict=True))


def table(lines: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Header and a line per kind and size: means over the records."""
    printed = [
        ["spoilt by", "deviations", "records", "AUROC", "channel first", "largest z", "chance", "right step",
         "largest z", "chance", "explain ms", "detect ms"]
    ]  # fmt: skip
    for kind in KINDS:
        for size in SIZES:
            mine = [line for line in lines if line["method"] == f"{kind}/{size:g}"]
            if mine:
                means = [float(np.mean([float(line[column]) for line in mine])) for column in EXTRA]
                shown = [f"{means[0]:.2f}", *(f"{mean:.0%}" for mean in means[1:7]), *(f"{ms:.0f}" for ms in means[7:])]
                printed.append([kind, f"{size:g}", str(len(mine)), *shown])
    return printed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = plantings.parser("series_planted", __doc__, "folder of collections: see benchmarks/series_data.py")
    parser.add_argument("--sets", type=harness.listed, default=list(SETS))
    parser.add_argument("--draws", type=int, default=20, help="excerpts for each kind and size")
    options = plantings.parsed(parser, arguments)

    def jobs(folder: Path) -> list[harness.Job]:
        return [
            harness.Job(
                data=name,
                protocol="planted",
                seed=_SEED,
                methods=tuple(f"{kind}/{size:g}" for kind in KINDS for size in SIZES),
                task=partial(outcomes, folder, name, options.draws),
            )
            for name in options.sets
        ]

    return plantings.run(options, jobs, table, extra=EXTRA, preload=_PRELOAD)


if __name__ == "__main__":
    raise SystemExit(main())
