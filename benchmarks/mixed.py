"""``python -m benchmarks.mixed``: a table with categories, which at test time are new or whose cells are missing.

Connections of KDD Cup 99 (10% file): 38 numeric and three categorical columns. Half of the normal rows train, at most
`TRAINED`; 2,000 others calibrate a threshold at a false-alarm rate of 5%, the same for every method; the rest and all
anomalies test. One fit is judged on the test rows as they are (``clean``) and on two copies of them:

- ``unseen``: in a fifth of the rows, normal ones and anomalies alike, one of the three categories is replaced by one
  that nobody has seen;
- ``missing``: a tenth of all cells, drawn at random, is missing.

A second fit leaves out of the training and calibration rows all those of some services; with it the same rows are
judged again (``services``).

Ours gets the frame. ``numbers`` is ours without the three columns. The others get one column per category, numbers
standardised with them, missing cells at the training mean or the most frequent category.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from benchmarks import harness
from benchmarks.peers import PEERS
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_markdown, as_text, read
from unalike.thresholds import Conformal
from unalike.types import FloatArray, IntArray

CATEGORIES = ("protocol_type", "service", "flag")
TRAINED, CALIBRATED, TESTED = 5_000, 2_000, 5_000
"""Normal rows; all anomalies test."""
RATE = 0.05
UNSEEN_ROWS, MISSING_CELLS, LEFT_OUT_ROWS = 0.2, 0.1, 0.05
EXTRA = ("false_alarms", "found")
KINDS = ("clean", "unseen", "missing")
_FILE = "kdd99_connections.parquet"
_PRELOAD = ("unalike.detector", "unalike.modalities.table", "lightning_fabric", "pyod.models.base", "pandas")


@dataclass(frozen=True)
class Parts:
    """One seed's rows: frames of normal rows that train and calibrate, and labelled ones that test."""

    train: pd.DataFrame
    calibration: pd.DataFrame
    test: pd.DataFrame
    labels: IntArray


class Model(Protocol):
    """What is fitted on a frame and scores frames, higher = more anomalous."""

    def fit(self, train: pd.DataFrame) -> None: ...

    def score(self, test: pd.DataFrame) -> FloatArray: ...


class Ours:
    """`Detector` at its defaults, without the columns of `ignore`; all rows train, others calibrate."""

    def __init__(self, ignore: Sequence[str], seed: int) -> None:
        from unalike import Detector
        from unalike.modalities.table import Table

        modality: Any = Table(ignore=ignore)
        self._detector = Detector(modality, calibration_fraction=0.0, random_state=seed)

    def fit(self, train: pd.DataFrame) -> None:
        self._detector.fit(train)

    def score(self, test: pd.DataFrame) -> FloatArray:
        return self._detector.anomaly_scores(test)


class OneHot:
    """A detector on numbers: columns imputed, categories made columns, all standardised."""

    def __init__(self, maker: harness.Maker, seed: int) -> None:
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        categories = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
        numbers = SimpleImputer(keep_empty_features=True)
        columns = ColumnTransformer([("categories", categories, list(CATEGORIES))], remainder=numbers)
        self._columns = make_pipeline(columns, StandardScaler())
        self._model = maker(seed)

    def fit(self, train: pd.DataFrame) -> None:
        self._model.fit(self._columns.fit_transform(train))

    def score(self, test: pd.DataFrame) -> FloatArray:
        return self._model.score(self._columns.transform(test), "")


def _floor(seed: int) -> harness.Model:
    from benchmarks.ours import Floor

    return Floor(standardise=False)  # `OneHot` has done it


METHODS: dict[str, Callable[[int], Model]] = {
    "unalike": partial(Ours, ()),
    "numbers": partial(Ours, CATEGORIES),
    "floor": partial(OneHot, _floor),
    **{name: partial(OneHot, PEERS[name]) for name in ("pyod-knn", "pyod-lof", "pyod-iforest", "pyod-ecod")},
}


def load(folder: Path) -> tuple[pd.DataFrame, IntArray]:
    """The 41 columns, numbers as float64, and ``(n,)`` labels, 1 = anomaly."""
    frame = pd.read_parquet(folder / _FILE)
    labels = frame.pop("anomaly").to_numpy(dtype=np.int64)
    frame = frame.drop(columns="attack")
    numbers = [name for name in frame.columns if name not in CATEGORIES]
    return frame.astype(dict.fromkeys(numbers, np.float64) | dict.fromkeys(CATEGORIES, object)), labels


def split(frame: pd.DataFrame, labels: IntArray, seed: int) -> Parts:
    """Shuffle; the first normal rows train, those at the head of the other half calibrate, the next test."""
    order = np.random.default_rng(seed).permutation(len(labels))
    normal, anomalous = order[labels[order] == 0], order[labels[order] == 1]
    half = len(normal) // 2
    rest = normal[half:]
    test = np.concatenate([rest[CALIBRATED:][:TESTED], anomalous])
    train, calibration, tested = (
        frame.iloc[rows].reset_index(drop=True) for rows in (normal[:half][:TRAINED], rest[:CALIBRATED], test)
    )
    return Parts(train, calibration, tested, labels[test])


def without_services(parts: Parts, seed: int) -> Parts:
    """Training and calibration rows without some services: drawn until they have a twentieth of the training rows.

    A service that has more than that alone, or fewer than ten rows, is not drawn.
    """
    counts = parts.train["service"].value_counts()
    most = LEFT_OUT_ROWS * len(parts.train)
    candidates = sorted(counts.index[(counts >= 10) & (counts <= most)])
    drawn = np.random.default_rng([seed, 1]).permutation(candidates)
    chosen = drawn[: int(np.searchsorted(counts[drawn].cumsum().to_numpy(), most)) + 1]
    kept = [part[~part["service"].isin(chosen)].reset_index(drop=True) for part in (parts.train, parts.calibration)]
    return replace(parts, train=kept[0], calibration=kept[1])


def altered(test: pd.DataFrame, kind: str, seed: int) -> pd.DataFrame:
    """The test rows of one of `KINDS`."""
    generator = np.random.default_rng([seed, 2])
    test = test.copy()
    if kind == "unseen":
        hit = generator.random(len(test)) < UNSEEN_ROWS
        column = generator.integers(len(CATEGORIES), size=len(test))
        for position, name in enumerate(CATEGORIES):
            test.loc[hit & (column == position), name] = "never seen"
    elif kind == "missing":
        gone = generator.random(test.shape) < MISSING_CELLS
        test = test.mask(gone, None)
    return test


def judge(folder: Path, protocol: str, seed: int, method: str) -> dict[str, Values]:
    """All rows of one fit."""
    parts = split(*load(folder), seed)
    if protocol == "services":
        parts = without_services(parts, seed)
    tests = {kind: altered(parts.test, kind, seed) for kind in kinds(protocol)}
    model = METHODS[method](seed)
    started = time.perf_counter()
    model.fit(parts.train)
    fit_seconds = time.perf_counter() - started
    threshold = Conformal(false_alarm_rate=RATE).fit(model.score(parts.calibration)).threshold_
    rows: dict[str, Values] = {}
    for kind, test in tests.items():
        started = time.perf_counter()
        scores = model.score(test)
        costs = {"fit_s": fit_seconds, "score_s": time.perf_counter() - started, "peak_mb": math.nan}
        alarm, normal = scores > threshold, parts.labels == 0
        decided = {"false_alarms": float(alarm[normal].mean()), "found": float(alarm[~normal].mean())}
        rows[f"{method}/{kind}"] = {**harness.metrics(parts.labels, scores), **costs, **decided}
    return rows


def kinds(protocol: str) -> tuple[str, ...]:
    """The tests of a fit."""
    return KINDS if protocol == "half" else ("clean",)


def jobs(folder: Path, seeds: Sequence[int], methods: Sequence[str]) -> list[harness.Job]:
    """Two fits per seed and method."""
    return [
        harness.Job(
            data="kdd99",
            protocol=protocol,
            seed=seed,
            methods=tuple(f"{method}/{kind}" for kind in kinds(protocol)),
            task=partial(judge, folder, protocol, seed, method),
        )
        for seed in seeds
        for protocol in ("half", "services")
        for method in methods
    ]


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Means over the seeds, one line per test and method; in brackets by how much they differ from ``clean``."""
    lines = [["test rows", "method", "AUROC", "AUPRC", "false alarms at 5%", "found at 5%", "seconds"]]
    for protocol, kind in (*(("half", kind) for kind in KINDS), ("services", "clean")):
        for method in METHODS:
            mine = _of(rows, protocol, f"{method}/{kind}")
            clean = _of(rows, "half", f"{method}/clean")
            if mine and clean:
                shown = [_cell(mine, clean, column) for column in ("auroc", "auprc", *EXTRA)]
                seconds = np.mean([row.values["fit_s"] + row.values["score_s"] for row in mine])
                lines.append([kind if protocol == "half" else protocol, method, *shown, f"{seconds:.1f}"])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixed", description=__doc__)
    parser.add_argument("--data", type=Path, help=f"folder of {_FILE}")
    parser.add_argument("--methods", type=harness.listed, default=list(METHODS), help=", ".join(METHODS))
    parser.add_argument("--seeds", type=harness.seeds, default=[1, 2, 3], help="list (1,2,3) or count (3)")
    parser.add_argument("--markdown", action="store_true", help="the table for a README")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    missing = []
    if options.data is not None:
        todo = jobs(options.data.resolve(), options.seeds, options.methods)
        with Results(options.out, EXTRA) as results:
            missing = harness.run(
                todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD
            )
    print((as_markdown if options.markdown else as_text)(table(read(options.out))))
    return harness.exit_status(missing)


def _cell(rows: Sequence[Row], clean: Sequence[Row], column: str) -> str:
    mean, before = (100 * np.mean([row.values[column] for row in several]) for several in (rows, clean))
    return f"{mean:.2f}" if rows == clean else f"{mean:.2f} ({mean - before:+.2f})"


def _of(rows: Sequence[Row], protocol: str, method: str) -> list[Row]:
    return [row for row in rows if row.protocol == protocol and row.method == method]


if __name__ == "__main__":
    raise SystemExit(main())
