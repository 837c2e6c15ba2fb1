"""``python -m benchmarks.explain``: does `explain` name the columns that were spoilt?

Half of the normal rows of a table train. In rows of the other half, never the labelled anomalies, known columns are
spoilt: *shifted* up or down by so many standard deviations, or *replaced*, moved towards the cell of another normal row
and on by so many times the difference. How far is set by bisection so that the spoilt rows stand apart from untouched
held-out rows at an AUROC of .7, .9 and .99 by the detector that is to explain them. With m columns spoilt in each row,
the hit rate is the share of them among the m that are named first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import datasets, harness, plantings
from benchmarks.results import Values
from unalike.types import FloatArray, IntArray

HOW = ("shift", "replace")
SPOILT = (1, 2, 3)
TARGETS = (0.7, 0.9, 0.99)
EXTRA = ("reached", "magnitude", "hit", "largest_z", "chance", "explain_s")
_ROWS = 40
_UNTOUCHED = 300
_MOST_NORMAL = 8_000
_STEPS = 12
_LARGEST = 10.0
"""Binary logarithms of the magnitudes that are tried go from minus to plus this."""
_NEAR = 0.015
_SEED = 0
_PRELOAD = ("unalike.detector", "unalike.modalities.table", "lightning_fabric")


@dataclass(frozen=True)
class Rows:
    """Normal rows that train, and held-out ones; those that are spoilt are the first of these."""

    train: FloatArray
    held_out: FloatArray

    @staticmethod
    def of(X: FloatArray, y: IntArray) -> Rows:
        """Of at most 8,000 normal rows half train; at most 300 others are the untouched ones."""
        normal = X[y == 0]
        normal = normal[np.random.default_rng(_SEED).permutation(len(normal))[:_MOST_NORMAL]]
        half = len(normal) // 2
        return Rows(normal[:half], normal[half : half + _UNTOUCHED])


@dataclass(frozen=True)
class Spoil:
    """How each of ``n`` held-out rows is spoilt.

    Parameters
    ----------
    rows : ndarray
        ``(n, d)``.
    columns : ndarray
        ``(n, m)``, columns that vary in training.
    steps : ndarray
        ``(n, m)``: what is added at magnitude 1.
    """

    rows: FloatArray
    columns: IntArray
    steps: FloatArray

    @staticmethod
    def drawn(rows: Rows, how: str, m: int) -> Spoil:
        """Columns, directions and donors by seed."""
        generator = np.random.default_rng([_SEED, HOW.index(how), m])
        some = rows.held_out[:_ROWS]
        spread = rows.train.std(axis=0)
        varying = np.flatnonzero(spread > 0)
        columns = np.stack([generator.permutation(varying)[:m] for _ in some])
        steps = generator.choice([-1.0, 1.0], columns.shape) * spread[columns]
        if how == "replace":
            donors = rows.train[generator.integers(0, len(rows.train), columns.shape), columns]
            towards = donors - np.take_along_axis(some, columns, axis=1)
            steps = np.where(towards != 0.0, towards, steps)
        return Spoil(some, columns, steps)

    def at(self, magnitude: float) -> FloatArray:
        """``(n, d)``: the spoilt rows."""
        spoilt = self.rows.copy()
        cells = np.take_along_axis(self.rows, self.columns, axis=1) + magnitude * self.steps
        np.put_along_axis(spoilt, self.columns, cells, axis=1)
        return spoilt


def magnitude_for(
    target: float, spoil: Spoil, untouched: FloatArray, score: Callable[[FloatArray], FloatArray]
) -> float:
    """By bisection: where the spoilt rows stand apart from `untouched` scores at this AUROC."""
    low, high = -_LARGEST, _LARGEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if auroc(untouched, score(spoil.at(2.0**middle))) < target:
            low = middle
        else:
            high = middle
    return float(2.0**high)


def auroc(untouched: FloatArray, spoilt: FloatArray) -> float:
    """Of spoilt rows against untouched ones."""
    labels = np.concatenate([np.zeros(len(untouched)), np.ones(len(spoilt))])
    return float(roc_auc_score(labels, np.concatenate([untouched, spoilt])))


def hit_rate(named: Sequence[Sequence[int]], columns: IntArray) -> float:
    """Share of the spoilt ``(n, m)`` columns among the first m that are named."""
    m = columns.shape[1]
    hits = [len(set(row[:m]) & set(guilty)) / m for row, guilty in zip(named, columns.tolist(), strict=True)]
    return float(np.mean(hits))


def outcomes(folder: Path, name: str) -> Mapping[str, Values]:
    """All lines of one data set."""
    from unalike import Detector

    rows = Rows.of(*datasets.read(folder, name))
    detector = Detector("table", random_state=_SEED).fit(rows.train)
    untouched = detector.anomaly_scores(rows.held_out)
    varying = int((rows.train.std(axis=0) > 0).sum())
    found: dict[str, Values] = {}
    for method, (how, m, target) in cases().items():
        if varying < m:
            found[method] = _line(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)
            continue
        spoil = Spoil.drawn(rows, how, m)
        magnitude = magnitude_for(target, spoil, untouched, detector.anomaly_scores)
        spoilt = spoil.at(magnitude)
        started = time.perf_counter()
        explained = detector.explain(spoilt, most_places=m)
        seconds = (time.perf_counter() - started) / len(spoilt)
        named = [[int(part.place.removeprefix("x")) for part in one.parts] for one in explained]
        reached = auroc(untouched, detector.anomaly_scores(spoilt))
        hit, z = hit_rate(named, spoil.columns), hit_rate(largest_z(rows.train, spoilt), spoil.columns)
        found[method] = _line(reached, magnitude, hit, z, m / varying, seconds)
    return found


def largest_z(train: FloatArray, rows: FloatArray) -> list[list[int]]:
    """The columns of each row, the one farthest from its training mean, in standard deviations, first."""
    spread = train.std(axis=0)
    z = np.abs(rows - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    order: list[list[int]] = np.argsort(-np.where(spread > 0, z, -1.0), axis=1, kind="stable").tolist()
    return order


def cases() -> dict[str, tuple[str, int, float]]:
    """Name of a line to how, how many columns, and the AUROC that is aimed at."""
    return {f"{how}/{m}/{target:g}": (how, m, target) for how in HOW for m in SPOILT for target in TARGETS}


def _line(*values: float) -> Values:
    empty = dict.fromkeys(("auroc", "auprc", "f1", "fit_s", "score_s", "peak_mb"), math.nan)
    return {**empty, **dict(zip(EXTRA, values, strict=True))}


def table(lines: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Header and a line per half, kind, number of columns and AUROC: means over the data sets that reached it."""
    printed = [["sets", "spoilt", "columns", "AUROC", "data sets", "guilty first", "largest z", "chance", "ms a row"]]
    for half, names in datasets.GROUPS.items():
        mine = [line for line in lines if datasets.short(line["data"]) in names.split()]
        for method, (how, m, target) in cases().items():
            some = [line for line in mine if line["method"] == method and _reached(line, target)]
            if some:
                hit, z, chance, seconds = (
                    float(np.mean([float(line[name]) for line in some]))
                    for name in ("hit", "largest_z", "chance", "explain_s")
                )
                shown = [f"{hit:.1%}", f"{z:.1%}", f"{chance:.1%}", f"{1000 * seconds:.0f}"]
                printed.append([half, how, str(m), f"{target:g}", str(len(some)), *shown])
    return printed


def _reached(line: Mapping[str, str], target: float) -> bool:
    return line["reached"] != "" and abs(float(line["reached"]) - target) <= _NEAR


def main(arguments: Sequence[str] | None = None) -> int:
    parser = plantings.parser("explain", __doc__, "folder of .npz files with X and y (1 = anomaly)")
    parser.add_argument("--sets", type=harness.listed, default=[])
    options = plantings.parsed(parser, arguments)

    def jobs(folder: Path) -> list[harness.Job]:
        return [
            harness.Job(
                data=name,
                protocol="planted",
                seed=_SEED,
                methods=tuple(cases()),
                task=partial(outcomes, folder, name),
            )
            for name in datasets.choose(datasets.names_in(folder), options.sets)
        ]

    return plantings.run(options, jobs, table, extra=EXTRA, preload=_PRELOAD)


if __name__ == "__main__":
    raise SystemExit(main())
