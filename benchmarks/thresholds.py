"""``python -m benchmarks.thresholds``: which kind of threshold realises the rate that was stated?

Half of the normal samples of a set train, once, by seed. The scores of the other half and of the anomalies are then
fixed, by two kinds of score: ``knn``, the distance to the nearest training sample in standardised columns (raw
pixels for pictures), and for tables ``unalike``, the fused tail scores of our default detector. See `alarm_rates` for
the rest.
The tables are printed anew from the file with ``--show``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from benchmarks import alarm_rates, datasets, harness
from benchmarks.alarm_rates import ENTITY_SIZE, KINDS, Pool
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_markdown, as_text, read
from unalike.types import FloatArray, IntArray

SETS = ("breastw", "cardio", "landsat", "letter", "mammography", "pendigits", "satellite", "wine")
FASHION = ("fashion/0", "fashion/4", "fashion/6")
ALL_FASHION, KDD = "fashion/all", "kdd99"
SCORES = ("knn", "unalike")
EXTRA = ("realised", "low", "high", "recall", "lowest", "highest")
_TRAINING_PICTURES = 1_000
_SEED = 0
_PRELOAD = ("unalike.detector", "unalike.modalities.table", "unalike.modalities.image", "lightning_fabric")


@dataclass(frozen=True)
class Samples:
    """What trains, what is scored, and which of that is an anomaly and of which entity."""

    train: Any
    test: Any
    labels: IntArray
    entities: npt.NDArray[Any] | None = None
    modality: str = "table"


def table_samples(folder: Path, name: str) -> Samples:
    """Half of the normal rows train."""
    X, y = datasets.read(folder / "tables", name)
    return _halved(X, y, None)


def kdd(folder: Path) -> Samples:
    """Connections; an entity is a service. The three categorical columns are left out."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(folder / "mixed" / "kdd99_connections.parquet")
    text = ("protocol_type", "service", "flag", "attack", "anomaly")
    X = np.column_stack([table[name].to_numpy() for name in table.column_names if name not in text])
    return _halved(X.astype(np.float64), table["anomaly"].to_numpy(), table["service"].to_numpy().astype(str))


def fashion(folder: Path, name: str) -> Samples:
    """One class is normal, or all are and a class is an entity; 1,000 pictures (of each class) train."""
    with np.load(folder / "images" / "fashion_mnist" / "fashion_mnist.npz") as file:
        pictures = [(file[f"x_{part}"] / 255.0).astype(np.float32) for part in ("train", "test")]
        classes = [file[f"y_{part}"] for part in ("train", "test")]
    if name == ALL_FASHION:
        first = [np.flatnonzero(classes[0] == one)[:300] for one in range(10)]
        later = [np.flatnonzero(classes[0] == one)[300:1000] for one in range(10)]
        rest = np.concatenate(later)
        test, entities = (
            np.concatenate([pictures[0][rest], pictures[1]]),
            np.concatenate([classes[0][rest], classes[1]]),
        )
        return Samples(pictures[0][np.concatenate(first)], test, np.zeros(len(test), np.int64), entities, "image")
    normal = np.flatnonzero(classes[0] == int(name.removeprefix("fashion/")))
    test = np.concatenate([pictures[0][normal[_TRAINING_PICTURES:]], pictures[1]])
    other = np.concatenate(
        [np.zeros(len(normal) - _TRAINING_PICTURES, dtype=bool), classes[1] != classes[0][normal[0]]]
    )
    return Samples(pictures[0][normal[:_TRAINING_PICTURES]], test, other.astype(np.int64), None, "image")


def load(folder: Path, name: str) -> Samples:
    """By name."""
    if name == KDD:
        return kdd(folder)
    return fashion(folder, name) if name.startswith("fashion/") else table_samples(folder, name)


def scorer_of(score: str, modality: str) -> Any:
    """An untrained model of the kind of score."""
    from benchmarks.digits import PixelFloor
    from benchmarks.ours import Floor
    from unalike import Detector

    if score == "knn":
        return Floor() if modality == "table" else PixelFloor()
    return _Ours(Detector(modality, calibration_fraction=0.0, random_state=_SEED))


def judge(folder: Path, name: str, score: str) -> dict[str, Values]:
    """All rows of one data set and kind of score."""
    samples = load(folder, name)
    started = time.perf_counter()
    model = scorer_of(score, samples.modality)
    model.fit(samples.train)
    fitted = time.perf_counter()
    scores = np.asarray(model.score(samples.test), dtype=np.float64)
    costs = {"fit_s": fitted - started, "score_s": time.perf_counter() - fitted, "peak_mb": math.nan}
    rated = harness.metrics(samples.labels, scores) if samples.labels.any() else dict.fromkeys(_RATED, math.nan)
    return {method: {**rated, **costs, **values} for method, values in _measured(samples, scores).items()}


def jobs(folder: Path, names: Sequence[str]) -> list[harness.Job]:
    """One per data set and kind of score."""
    made = []
    for name in names:
        methods = tuple(_methods(load(folder, name)))
        made += [
            harness.Job(
                data=name, protocol=score, seed=_SEED, methods=methods, task=partial(judge, folder, name, score)
            )
            for score in SCORES
            if score == "knn" or not name.startswith("fashion/")
        ]
    return made


def rate_table(rows: Sequence[Row], score: str, size: int) -> list[list[str]]:
    """By rate and kind: the mean realised rate over data sets, and how many sets lie above or below the stated."""
    lines = [["stated", "kind", "sets", "realised", "95% interval", "lowest", "highest", "above", "below", "recall"]]
    for rate in alarm_rates.RATES:
        for kind in KINDS:
            mine = [row for row in _of(rows, score, kind, rate) if _size(row) == size]
            mine = [row for row in mine if not math.isnan(row.values.get("realised", math.nan))]
            if not mine:
                continue
            found = [row.values["realised"] for row in mine]
            low, high = _interval(found)
            above = sum(row.values["low"] > rate for row in mine)
            below = sum(row.values["high"] < rate for row in mine)
            shown = [f"{np.mean(found):.2%}", f"[{low:.2%}, {high:.2%}]", f"{min(found):.2%}", f"{max(found):.2%}"]
            recall = f"{np.mean([row.values['recall'] for row in mine]):.1%}"
            lines.append([f"{rate:.1%}", kind, str(len(mine)), *shown, str(above), str(below), recall])
    return lines


def held_table(rows: Sequence[Row]) -> list[list[str]]:
    """By kind, over sets, scores, sizes of at least 100 and rates of at least 1%: where the stated rate lies."""
    lines = [["kind", "cells", "above", "held", "below", "within a quarter"]]
    for kind in KINDS:
        mine = [row for row in rows if row.method.split("/")[0] == kind and _size(row) >= 100 and _rate(row) >= 0.01]
        cells = [(row.values, _rate(row)) for row in mine if not math.isnan(row.values.get("realised", math.nan))]
        above = sum(values["low"] > rate for values, rate in cells)
        below = sum(values["high"] < rate for values, rate in cells)
        near = sum(0.75 <= values["realised"] / rate <= 1.25 for values, rate in cells)
        lines.append([kind, *map(str, (len(cells), above, len(cells) - above - below, below, near))])
    return lines


def short_table(rows: Sequence[Row], score: str, size: int) -> list[list[str]]:
    """By kind, per stated rate: mean realised rate, its 95% interval, and sets above / held / below."""
    wanted = [rate for rate in alarm_rates.RATES if rate > 0.001 or size >= 219]
    lines = [["kind", *(f"{rate:.1%}" for rate in wanted)]]
    for kind in KINDS:
        cells = []
        for rate in wanted:
            mine = [row.values for row in _of(rows, score, kind, rate) if _size(row) == size]
            mine = [values for values in mine if not math.isnan(values.get("realised", math.nan))]
            found = [values["realised"] for values in mine]
            low, high = _interval(found)
            above, below = sum(one["low"] > rate for one in mine), sum(one["high"] < rate for one in mine)
            held = f"{above}/{len(mine) - above - below}/{below}"
            cells.append(f"{np.mean(found):.2%} [{max(low, 0.0):.2%}, {high:.2%}] {held}" if mine else "cannot hold")
        lines.append([kind, *cells])
    return lines


def discovery_table(rows: Sequence[Row]) -> list[list[str]]:
    """By score, kind and calibration size: false discovery proportion and power."""
    lines = [["score", "kind", "n", "sets", "false", "95% interval", "highest", "found"]]
    for score in SCORES:
        for kind in alarm_rates.TESTED_KINDS:
            for size in alarm_rates.SIZES[2:]:
                of_kind = _of(rows, score, f"{kind}+bh", alarm_rates.DISCOVERY_RATE)
                mine = [row.values for row in of_kind if _size(row) == size]
                if mine:
                    false = [values["realised"] for values in mine]
                    low, high = _interval(false)
                    shown = [f"{np.mean(false):.1%}", f"[{low:.1%}, {high:.1%}]", f"{max(false):.1%}"]
                    power = f"{np.mean([values['recall'] for values in mine]):.1%}"
                    lines.append([score, kind, str(size), str(len(mine)), *shown, power])
    return lines


def entity_table(rows: Sequence[Row]) -> list[list[str]]:
    """One threshold for all against one per entity."""
    lines = [["data", "score", "stated", "threshold", "realised", "lowest entity", "highest entity", "recall"]]
    for row in sorted(rows, key=lambda row: (row.data, row.protocol, _rate(row))):
        if row.method.startswith(("pooled/", "per-entity/")):
            recall = row.values.get("recall", math.nan)
            shown = [f"{row.values[name]:.2%}" for name in ("realised", "lowest", "highest")]
            kind = row.method.split("/")[0]
            found = "" if math.isnan(recall) else f"{recall:.1%}"
            lines.append([row.data, row.protocol, f"{_rate(row):.0%}", kind, *shown, found])
    return lines


def show(path: Path, markdown: bool = False) -> None:
    """All tables of a results file; for docs, in Markdown, the alarm rates in short."""
    rows, form = read(path), as_markdown if markdown else as_text
    print("\ndata sets x scores x sizes of at least 100 x rates of at least 1%: is the realised rate the stated?\n")
    print(form(held_table(rows)))
    for score in SCORES:
        for size in alarm_rates.SIZES:
            print(f"\n{score} scores, {size} calibration samples; units are data sets\n")
            print(form(short_table(rows, score, size) if markdown else rate_table(rows, score, size)))
    print(f"\nBenjamini-Hochberg at {alarm_rates.DISCOVERY_RATE:.0%}: 180 normal samples and 20 anomalies a batch\n")
    print(form(discovery_table(rows)))
    print(f"\none conformal threshold or one per entity, {ENTITY_SIZE} calibration samples in all\n")
    print(form(entity_table(rows)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thresholds", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with tables/, images/ and mixed/")
    parser.add_argument("--sets", type=harness.listed, default=[*SETS, *FASHION, ALL_FASHION, KDD])
    parser.add_argument("--show", action="store_true", help="print the tables of the file, and run nothing")
    parser.add_argument("--markdown", action="store_true", help="tables as in docs/thresholds.md")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    missing = []
    if not options.show:
        if options.data is None:
            parser.error("--data must name a folder, unless --show is given")
        known = [*datasets.names_in(options.data / "tables"), *FASHION, ALL_FASHION, KDD]
        made = jobs(options.data, datasets.choose(known, options.sets))
        with Results(options.out, EXTRA) as results:
            missing = harness.run(
                made, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD
            )
    show(options.out, options.markdown)
    return harness.exit_status(missing)


class _Ours:
    """The default detector as a benchmark model."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def fit(self, train: Any) -> None:
        self._detector.fit(train)

    def score(self, test: Any) -> FloatArray:
        scores: FloatArray = self._detector.anomaly_scores(test)
        return scores


_RATED = ("auroc", "auprc", "f1")


def _halved(X: FloatArray, y: npt.NDArray[Any], entities: npt.NDArray[Any] | None) -> Samples:
    normal = np.random.default_rng(_SEED).permutation(np.flatnonzero(y == 0))
    test = np.concatenate([normal[len(normal) // 2 :], np.flatnonzero(y == 1)])
    named = None if entities is None else entities[test]
    return Samples(X[normal[: len(normal) // 2]], X[test], y[test].astype(np.int64), named)


def _methods(samples: Samples) -> list[str]:
    normal = int((samples.labels == 0).sum())
    if samples.entities is not None:
        return alarm_rates.entity_methods()
    return [*alarm_rates.alarm_methods(normal), *alarm_rates.discovery_methods(normal, len(samples.labels) - normal)]


def _measured(samples: Samples, scores: FloatArray) -> dict[str, dict[str, float]]:
    anomalous = samples.labels == 1
    if samples.entities is None:
        pool = Pool(scores[~anomalous], scores[anomalous])
        return {**alarm_rates.alarms(pool), **alarm_rates.discoveries(pool)}
    entities = samples.entities
    return alarm_rates.by_entity(Pool(scores[~anomalous], scores[anomalous], entities[~anomalous], entities[anomalous]))


def _of(rows: Sequence[Row], score: str, kind: str, rate: float) -> list[Row]:
    return [r for r in rows if r.protocol == score and r.method.split("/")[0] == kind and _rate(r) == rate]


def _size(row: Row) -> int:
    return int(row.method.split("/")[1])


def _rate(row: Row) -> float:
    return float(row.method.split("/")[2])


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """95% t-interval of the mean over data sets."""
    if len(values) < 2:
        return math.nan, math.nan
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return mean - reach, mean + reach


if __name__ == "__main__":
    raise SystemExit(main())
