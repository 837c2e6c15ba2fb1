"""``python -m benchmarks.negatives``: which kind of negatives helps where.

One network alone is trained by each kind, with the same views, steps and batches, and rated by the distance to the
nearest training sample in its embedding; ``untrained`` is the network before training. Real data of three modalities,
whole detectors nowhere. Nothing was chosen on these data but the settings that `benchmarks.moco` and
`benchmarks.methods` had.

| method | negatives |
|---|---|
| plain | all other samples of the batch (`SimCLR`) |
| hard-0.5, hard-1 | the same, similar ones weigh more (`SimCLR(hardness=)`) |
| triplet | all others, by a margin (`Triplet`) |
| labels | ten labelled anomalies count four times, normal samples attract each other (`SupCon`) |
| plain-labels | the ten are samples like any other (`SimCLR`) |
| in-time | windows that overlap in time are none of each other (`TemporalContrast`); series only |
| groups | near-copies are none of each other (`SimCLR(across_groups=True)`) |

Protocols: ``one-class`` as the data are; ``copies`` has every training sample three times, two of them changed a little
(an image moved by a pixel, numbers by 2% of their spread), as cameras and sensors give them: for plain and groups.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import datasets, harness, moco, series_data, tables
from benchmarks.ours import UNTRAINED
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_markdown, as_text, means, read
from unalike.types import FloatArray, IntArray

CLASSES = (0, 4, 6)
TABLES = ("6_cardio", "30_satellite", "40_vowels", "23_mammography")
SERIES = ("ucr/ECG2", "nab/realKnownCause/nyc_taxi", "asd/omi-7")
METHODS = ("plain", "hard-0.5", "hard-1", "triplet", "labels", "plain-labels", "in-time", "groups")
ONE_CLASS, COPIES = "one-class", "copies"
_MODALITIES = ("table", "image", "series")
LABELLED, TRAINED, TESTED = 10, 1_000, 3_000
_PRELOAD = ("unalike.detector", "unalike.modalities.image", "unalike.modalities.table", "lightning_fabric")


class Embedding:
    """One network under one kind of negatives."""

    def __init__(self, modality: str, method: str, seed: int, anomalies: Any, groups: IntArray | None) -> None:
        from unalike import Detector
        from unalike.scorers import KNN
        from unalike.types import Branch

        encoder, view, training = parts(modality)
        branch = Branch(
            name="one", encoder=encoder, objective=objective(method), scorer=KNN(k=1), views=view, training=training
        )
        self.detector = Detector(modality, branches=[branch], calibration_fraction=0.0, random_state=seed)
        self.anomalies = anomalies if method.endswith("labels") else None
        self.groups = groups

    def fit(self, train: Any) -> None:
        groups = None if self.groups is None else self.groups.tolist()
        self.detector.fit(train, anomalies=self.anomalies, groups=groups)

    def score(self, test: Any, method: str) -> FloatArray:
        return self.detector.branch_scores(test)["one" + UNTRAINED if method == "untrained" else "one"]


def objective(method: str) -> Any:
    """The settings of a method in `METHODS`."""
    from unalike.objectives import SimCLR, SupCon, TemporalContrast, Triplet

    return {
        "hard-0.5": SimCLR(temperature=0.2, hardness=0.5),
        "hard-1": SimCLR(temperature=0.2, hardness=1.0),
        "triplet": Triplet(),
        "labels": SupCon(temperature=0.2),
        "in-time": TemporalContrast(temperature=0.2, neighbor=0.0),
        "groups": SimCLR(temperature=0.2, across_groups=True),
    }.get(method, SimCLR(temperature=0.2))


def parts(modality: str) -> tuple[Any, Any, Any]:
    """Encoder, view (None: the modality's own) and training."""
    from unalike.encoders import ConvNet, TableMLP, WindowCNN
    from unalike.modalities import tunedseries
    from unalike.types import Training

    if modality == "image":
        return ConvNet(channels=(16, 32, 64), grid=2), None, Training(steps=60, batch_size=128, learning_rate=1e-3)
    if modality == "table":
        return TableMLP(), None, Training(steps=200, batch_size=128, optimizer="adamw", warmup=0.0)
    return WindowCNN(), tunedseries.view(), Training(steps=100, batch_size=64, optimizer="adamw", learning_rate=1e-3)


def images(path: Path, name: str, seed: int) -> tuple[Any, Any, IntArray, Any]:
    """Training images of a class, test images with labels, ten training images of other classes."""
    normal = int(name.rpartition("/")[2])
    train, test, labels = moco.load(path, normal, seed)
    with np.load(path, allow_pickle=False) as file:
        others = np.random.default_rng(seed).permutation(np.flatnonzero(file["y_train"] != normal))[:LABELLED]
        anomalies = moco.halved(file["x_train"][others])
    kept = np.random.default_rng(seed).permutation(len(test))[:TESTED]
    return train[:TRAINED], test[kept], labels[kept], anomalies


def rows(folder: Path, name: str, seed: int) -> tuple[Any, Any, IntArray, Any]:
    """Half of the normal rows train; ten anomalies are taken out of the test part."""
    X, y = datasets.read(folder, name)
    split = tables.clean(y, seed)
    odd = split.test[y[split.test] == 1][:LABELLED]
    test = split.test[~np.isin(split.test, odd)][:TESTED]
    return X[split.train][: 2 * TRAINED], X[test], y[test], X[odd]


def copies(train: Any, modality: str, seed: int) -> tuple[Any, IntArray]:
    """Every sample three times, and which belong together."""
    draws = np.random.default_rng(seed)
    if modality == "image":
        changed = [train, np.roll(train, 1, axis=1), np.roll(train, 1, axis=2)]
    else:
        spread = 0.02 * np.nanstd(train, axis=0)
        changed = [train, *(train + spread * draws.normal(size=train.shape) for _ in range(2))]
    return np.concatenate(changed), np.tile(np.arange(len(train)), 3)


def judge(folder: Path, name: str, protocol: str, seed: int, methods: tuple[str, ...]) -> dict[str, Values]:
    """The lines of one fit."""
    modality = modality_of(name)
    anomalies, groups = None, None
    if modality == "series":
        record = series_data.read(folder, name)
        train, test, labels = record.train, record.test, record.label
    else:
        train, test, labels, anomalies = (images if modality == "image" else rows)(folder, name, seed)
    if protocol == COPIES:
        train, groups = copies(train[: len(train) // 3], modality, seed)
    model = Embedding(modality, methods[-1], seed, anomalies, groups)
    return harness.measure(model, train, test, labels, methods)


def modality_of(name: str) -> str:
    """Of a set, by its name."""
    if name.startswith("fashion"):
        return "image"
    return "series" if "/" in name else "table"


def jobs(folder: Path, modalities: Sequence[str], seeds: Sequence[int]) -> list[harness.Job]:
    """One per seed, set and fit."""
    names = {
        "table": (folder / "tables", TABLES),
        "series": (folder / "series", SERIES),
        "image": (folder / "images/fashion_mnist/fashion_mnist.npz", [f"fashion-mnist/{n}" for n in CLASSES]),
    }
    todo = []
    for seed in seeds:
        for modality in modalities:
            place, members = names[modality]
            for name in members:
                for protocol, method in fits(modality):
                    told = ("untrained", method) if method == "plain" else (method,)
                    task = partial(judge, place, name, protocol, seed, told)
                    todo.append(harness.Job(data=name, protocol=protocol, seed=seed, methods=told, task=task))
    return todo


def fits(modality: str) -> list[tuple[str, str]]:
    """Protocols and methods that a modality has."""
    if modality == "series":
        return [(ONE_CLASS, method) for method in METHODS if method not in ("labels", "plain-labels", "groups")]
    own = [(ONE_CLASS, method) for method in METHODS if method not in ("in-time", "groups")]
    return [*own, (COPIES, "plain"), (COPIES, "groups")]


def table(found: Sequence[Row]) -> list[list[str]]:
    """Mean AUROC by modality, and the points over plain; over the sets that all methods finished."""
    lines = [["method", "protocol", *(f"{name}s" if name != "series" else name for name in _MODALITIES)]]
    for protocol in (ONE_CLASS, COPIES):
        parts = [_shared(found, modality, protocol) for modality in _MODALITIES]
        for method in ("untrained", *METHODS):
            cells = [_points(part, method) for part in parts]
            if any(cells):
                lines.append([method, protocol, *cells])
    return lines


def _shared(found: Sequence[Row], modality: str, protocol: str) -> list[Row]:
    mine = [row for row in found if modality_of(row.data) == modality and row.protocol == protocol]
    methods = {row.method for row in mine}
    sets = [{row.data for row in mine if row.method == method} for method in methods]
    return [row for row in mine if row.data in set.intersection(*sets)]


def _points(rows: Sequence[Row], method: str) -> str:
    if not any(row.method == method for row in rows):
        return ""
    mean, plain = means(rows, method, "auroc"), means(rows, "plain", "auroc")
    return f"{100 * mean:.1f} ({100 * (mean - plain):+.1f})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.negatives", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with tables, series and images/fashion_mnist")
    parser.add_argument("--modalities", type=harness.listed, default=["table", "series", "image"])
    parser.add_argument("--seeds", type=harness.seeds, default=[0])
    parser.add_argument("--summary", action="store_true", help="only print the table of the file, in Markdown")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.summary:
        print(as_markdown(table(read(options.out))))
        return 0
    if options.data is None:
        parser.error("--data must name the folder of the data")
    todo = jobs(options.data.resolve(), options.modalities, options.seeds)
    with Results(options.out) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    print(as_text(table(read(options.out))))
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
