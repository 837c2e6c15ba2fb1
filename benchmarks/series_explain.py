"""``python -m benchmarks.series_explain``: does `explain` name the channels that experts found guilty?

For each labelled segment of the records of SMD and ASD the data tell the guilty channels (``*.interpretation.txt``,
``first-last:channels``, channels from 1). Channels are ranked by their share in `Detector.explain` of the segment,
those without a share behind them in the order of their largest absolute z-score. With k guilty channels, the hit rate
is the share of them among the first k; the mean over segments stands beside that of ranking by the z-score alone and
of chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness, series_data
from benchmarks.results import COLUMNS, KEY, Results, Values, read_rows
from benchmarks.summary import as_text
from unalike.types import FloatArray, IntArray

EXTRA = ("segments", "hit", "z_hit", "chance", "explain_s", "tune")
_PRELOAD = ("unalike.detector", "unalike.modalities.series", "lightning_fabric")

Segments = list[tuple[int, int, IntArray]]


def interpretations(path: Path) -> Segments:
    """First and last step of each segment, and its guilty channels, from 0."""
    segments = []
    for line in path.read_text().split():
        steps, channels = line.split(":")
        first, last = (int(step) for step in steps.split("-"))
        segments.append((first, last, np.array([int(channel) - 1 for channel in channels.split(",")])))
    return segments


def hits(order: IntArray, guilty: IntArray) -> float:
    """Share of the guilty channels among as many that stand first in ``(channels,)`` `order`."""
    return float(np.isin(guilty, order[: len(guilty)]).mean())


def judge(folder: Path, name: str, seed: int, *, tune: bool) -> dict[str, Values]:
    """The row of one record."""
    from unalike import Detector

    series = series_data.read(folder, name)
    segments = [
        (first, min(last, len(series.test) - 1), guilty)
        for first, last, guilty in interpretations(folder / f"{name}.interpretation.txt")
        if first < len(series.test)
    ]
    started = time.perf_counter()
    detector = Detector("series", random_state=seed).fit(series.train)
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    own, other, chance = [], [], []
    for first, last, guilty in segments:
        z = _z_scores(series.train, series.test[first : last + 1])
        (found,) = detector.explain(series.test, only=np.arange(first, last + 1), most_places=series.train.shape[1])
        shares = np.zeros(len(z))
        for part in found.parts:
            shares[int(part.place.removeprefix("x"))] = part.share
        own.append(hits(np.lexsort((-z, -shares)), guilty))
        other.append(hits(np.argsort(-z), guilty))
        chance.append(len(guilty) / len(z))
    seconds = (time.perf_counter() - started) / max(len(segments), 1)
    means = [float(np.mean(several)) for several in (own, other, chance)]
    told = dict(zip(EXTRA, [float(len(segments)), *means, seconds, float(tune)], strict=True))
    return {"unalike": {**dict.fromkeys(COLUMNS[len(KEY) :], float("nan")), "fit_s": fit_seconds, **told}}


def _z_scores(train: FloatArray, segment: FloatArray) -> FloatArray:
    """``(channels,)``: the largest distance from the training mean in training standard deviations."""
    spread = train.std(axis=0)
    apart = np.abs(segment - train.mean(axis=0)) / np.where(spread > 1e-6, spread, 1.0)
    return np.asarray(apart.max(axis=0))


def report(rows: Sequence[Mapping[str, str]]) -> str:
    """Hit rates per record (mean over seeds), and their mean over the records."""
    table: list[tuple[str, ...]] = [("record", "segments", "explain", "largest z-score", "chance", "tune")]
    values: dict[str, list[list[float]]] = {}
    for row in rows:
        values.setdefault(row["data"], []).append([float(row[name]) for name in ("hit", "z_hit", "chance")])
    told = {row["data"]: (row["segments"], row["tune"]) for row in rows}
    means = {name: np.mean(several, axis=0) for name, several in values.items()}
    for name, mean in means.items():
        segments, tune = told[name]
        table.append((name, f"{float(segments):.0f}", *(f"{value:.3f}" for value in mean), f"{float(tune):.0f}"))
    if means:
        table.append(("mean", "", *(f"{value:.3f}" for value in np.mean(list(means.values()), axis=0)), ""))
    return as_text(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series_explain", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of collections: see benchmarks/series_data.py")
    parser.add_argument("--seeds", type=harness.seeds, default=[0], help="list (0,1,2) or count (3)")
    parser.add_argument("--show", action="store_true", help="print the table of the file and run nothing")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.show:
        print(report(read_rows(options.out)))
        return 0
    if options.data is None:
        parser.error("--data is needed to run; --show prints the table of a file")
    folder = options.data.resolve()
    names = series_data.names_in(folder)
    tune = series_data.tune_names(names)
    jobs = [
        harness.Job(
            data=name,
            protocol="multivariate",
            seed=seed,
            methods=("unalike",),
            task=partial(judge, folder, name, seed, tune=name in tune),
        )
        for seed in options.seeds
        for name in names
        if (folder / f"{name}.interpretation.txt").exists()
    ]
    with Results(options.out, EXTRA) as results:
        missing = harness.run(jobs, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    print(report(read_rows(options.out)))
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
