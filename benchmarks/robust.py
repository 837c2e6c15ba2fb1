"""``python -m benchmarks.robust``: what anomalies among the training data cost.

Half of the normal samples train, with a share of anomalies among them that nobody labels; those anomalies are taken
out of the test part. Ours is fitted once as it comes (``unalike``) and once told that up to 5% may be anomalies
(``unalike-5%``); beside them stand nearest neighbours and PyOD's detectors, which calibrate on a fifth of the training
rows in the same way. Recorded are detection and, at stated rates of 1% and 5%, the realised false-alarm rate and the
share of the anomalies that were found.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks import datasets, harness
from benchmarks.ours import Floor
from benchmarks.peers import PEERS
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_text, read
from unalike.thresholds import Conformal
from unalike.types import FloatArray, IntArray

RATES = (0.01, 0.05)
SHARES = (0, 2, 5)
"""Per cent of the training samples that are anomalies."""
LARGEST, LARGEST_OF_IMAGES = 4_000, 1_500
"""Normal samples that train, at most."""
TESTED = 10_000
EXTRA = ("set_aside", "caught", *(f"{kind}_{rate:g}" for rate in RATES for kind in ("false_alarms", "found")))
IMAGES = tuple(f"fashion/{label}" for label in (0, 4, 8))
_PRELOAD = ("unalike.detector", "unalike.modalities.table", "unalike.modalities.image", "lightning_fabric")
_HELD_OUT = 0.2


class Alarm(Protocol):
    """A detector that is fitted and scored once, and remembers what it needs for decisions."""

    aside: IntArray
    calibration: FloatArray
    seen: FloatArray
    """The scores of the test samples."""

    def fit(self, train: Any) -> None: ...

    def score(self, test: Any, method: str) -> FloatArray: ...


class Ours:
    """`Detector` as it comes, but for `expected_anomalies`."""

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed

    def fit(self, train: Any) -> None:
        from unalike import Detector

        modality = "table" if np.ndim(train) == 2 else "image"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the sets that are too small for 1%
            self._detector = Detector(modality, random_state=self._seed, expected_anomalies=self._share).fit(train)
        self.aside: IntArray = self._detector.set_aside_
        self.calibration: FloatArray = self._detector.calibration_scores_

    def score(self, test: Any, method: str) -> FloatArray:
        self.seen: FloatArray = self._detector.anomaly_scores(test)
        return self.seen


class Peer:
    """A peer that is fitted on four fifths of the rows and calibrated on the rest."""

    def __init__(self, make: harness.Maker, method: str, seed: int) -> None:
        self._make, self._method, self._seed = make, method, seed
        self.aside: IntArray = np.empty(0, dtype=np.int64)

    def fit(self, train: Any) -> None:
        rows = np.asarray(train, dtype=np.float64).reshape(len(train), -1)
        order = np.random.default_rng(self._seed).permutation(len(rows))
        held = round(_HELD_OUT * len(rows))
        self._model = self._make(self._seed)
        self._model.fit(rows[order[held:]])
        self.calibration: FloatArray = self._model.score(rows[order[:held]], self._method)

    def score(self, test: Any, method: str) -> FloatArray:
        self.seen: FloatArray = self._model.score(
            np.asarray(test, dtype=np.float64).reshape(len(test), -1), self._method
        )
        return self.seen


def _conformal(calibration: FloatArray, rate: float) -> float:
    """Below ``1 / (n + 1)`` the rate is the finest that the scores can hold."""
    return Conformal(false_alarm_rate=max(rate, 1 / (len(calibration) + 1))).fit(calibration).threshold_


def _floor(seed: int) -> Floor:
    return Floor()


def _peer(name: str, seed: int) -> Alarm:
    return Peer(_floor if name == "floor" else PEERS[name], name, seed)


METHODS: dict[str, Callable[[int], Alarm]] = {
    "unalike": partial(Ours, 0.0),
    "unalike-5%": partial(Ours, 0.05),
    "floor": partial(_peer, "floor"),
    "pyod-knn": partial(_peer, "pyod-knn"),
    "pyod-iforest": partial(_peer, "pyod-iforest"),
    "pyod-lof": partial(_peer, "pyod-lof"),
}


def load(folder: Path, name: str) -> tuple[Any, IntArray]:
    """``X`` and ``y`` (1 = anomaly) of a table, or of ``fashion/CLASS``: Fashion-MNIST's class at 14 x 14 pixels."""
    if not name.startswith("fashion/"):
        return datasets.read(folder / "tables", name)
    with np.load(folder / "images" / "fashion_mnist" / "fashion_mnist.npz") as stored:
        pictures, label = stored["x_train"] / np.float32(255), stored["y_train"]
    pictures = pictures.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return pictures, (label != int(name.removeprefix("fashion/"))).astype(np.int64)


def mixed(y: IntArray, percent: int, seed: int, largest: int = LARGEST) -> tuple[IntArray, IntArray]:
    """Positions that train, anomalies among them, and that test.

    At most `largest` normal samples train and about 10,000 samples test. At most half of the anomalies train.
    """
    generator = np.random.default_rng(seed)
    normal, anomalous = (generator.permutation(np.flatnonzero(y == kind)) for kind in (0, 1))
    half = min(len(normal) // 2, largest)
    number = min(round(percent / 100 * half / (1 - percent / 100)), len(anomalous) // 2)
    train = generator.permutation(np.concatenate([normal[:half], anomalous[:number]]))
    return train, np.concatenate([normal[half:][: TESTED // 2], anomalous[number:][: TESTED // 2]])


def judge(folder: Path, name: str, percent: int, seed: int, method: str) -> dict[str, Values]:
    """The row of one job."""
    X, y = load(folder, name)
    train, test = mixed(y, percent, seed, LARGEST if np.ndim(X) == 2 else LARGEST_OF_IMAGES)
    model, labels = METHODS[method](seed), y[test]
    values: dict[str, float] = {**harness.measure(model, X[train], X[test], labels, (method,))[method]}
    values["set_aside"] = len(model.aside) / len(train)
    values["caught"] = float(y[train[model.aside]].sum() / y[train].sum()) if y[train].any() else math.nan
    for rate in RATES:
        alarm = model.seen > _conformal(model.calibration, rate)
        values[f"false_alarms_{rate:g}"] = float(alarm[labels == 0].mean())
        values[f"found_{rate:g}"] = float(alarm[labels == 1].mean())
    return {method: values}


def jobs(folder: Path, names: Sequence[str], seeds: Sequence[int], methods: Sequence[str]) -> list[harness.Job]:
    """One per seed, set, share and method."""
    return [
        harness.Job(
            data=name,
            protocol=f"{percent}%",
            seed=seed,
            methods=(method,),
            task=partial(judge, folder, name, percent, seed, method),
        )
        for seed in seeds
        for name in names
        for percent in SHARES
        for method in methods
    ]


def table(rows: Sequence[Row], names: Sequence[str]) -> list[list[str]]:
    """Means over the data sets that every method finished, one line per method and share."""
    methods = [method for method in METHODS if any(row.method == method for row in rows)]
    cells = {(row.data, row.method, row.protocol) for row in rows}
    wanted = {(method, f"{percent}%") for method in methods for percent in SHARES}
    whole = [name for name in names if all((name, *key) in cells for key in wanted)]
    lines = [["method", "anomalies in training", "AUROC", "AUPRC", *EXTRA]]
    for method in methods:
        for percent in SHARES:
            mine = [r for r in rows if r.method == method and r.protocol == f"{percent}%" and r.data in whole]
            of_set = [[r for r in mine if r.data == name] for name in whole]
            line = [method, f"{percent}%"]
            for column in ("auroc", "auprc", *EXTRA):
                means = [np.mean([r.values.get(column, np.nan) for r in several]) for several in of_set]
                known = [value for value in means if np.isfinite(value)]
                line.append(f"{np.mean(known):.3f}" if known else "-")
            lines.append(line)
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robust", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with tables/*.npz and images/fashion_mnist")
    parser.add_argument("--sets", type=harness.listed, default=[], help="names, tune, confirm or images; default: all")
    known = ", ".join(METHODS).replace("%", "%%")
    parser.add_argument("--methods", type=harness.listed, default=list(METHODS), help=known)
    parser.add_argument("--seeds", type=harness.seeds, default=[0], help="list (0,1,2) or count (3)")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    folder: Path = options.data.resolve()
    of_tables = [name for name in options.sets if name != "images"]
    tables = datasets.choose(datasets.names_in(folder / "tables"), of_tables) if of_tables or not options.sets else []
    images = list(IMAGES) if not options.sets or "images" in options.sets else []
    todo = jobs(folder, [*tables, *images], options.seeds, options.methods)
    with Results(options.out, EXTRA) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    rows = read(options.out)
    for title, names in (("tables", datasets.names_in(folder / "tables")), ("images", IMAGES)):
        print(f"\n{title}\n{as_text(table(rows, names))}")
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
