"""``python -m benchmarks.views``: each view on and off, and whether the check without labels foretells it.

A network is trained alone by SimCLR under one view (or composition) and scored by nearest neighbours in its
embedding, beside the same network untrained and raw input. Units are data sets: Fashion-MNIST classes 0, 4, 6 and
8 (14 x 14 pixels; 500 training images of the class; other training images of it against those of the other
classes: the test images stay unseen), three digits of scikit-learn's, and tables. Runs are short (150 steps), and the
network for images has half the channels of the default one, so that all of it takes half an hour on one core; the
figures compare views, and are not the library's best.

Beside each score stands what `unalike.check_views` says of the view on the training samples alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import datasets, digits, harness
from benchmarks.results import Results, Values
from benchmarks.summary import read
from benchmarks.tables import clean
from benchmarks.viewtables import report
from unalike.types import FloatArray, IntArray

if TYPE_CHECKING:
    from unalike import Branch, Detector
    from unalike.types import View

EXTRA = ("unchanged", "moved", "inside", "beyond_95", "beyond_99", "pairs_found")
FASHION = tuple(f"fashion/{number}" for number in (0, 4, 6, 8))
DIGITS = tuple(f"digits/{number}" for number in (2, 5, 8))

_PRELOAD = ("unalike.detector", "unalike.modalities.image", "unalike.modalities.table", "unalike.viewcheck.check")
_STEPS = 150
_BATCH = {"images": 64, "digits": 64, "tables": 128}
_MOST_TRAIN, _MOST_TEST = 500, 500
_MOST_ROWS = 2_000
_PIXELS = (14, 14)

Split = tuple[npt.NDArray[Any], npt.NDArray[Any], IntArray]


def grey_view(**changes: Any) -> View:
    """The default view of grey images with some of its parts changed; ``noise=0`` leaves the noise out."""
    from unalike.views import Affine, Compose, GaussianNoise

    noise = changes.pop("noise", 0.2)
    placing: dict[str, Any] = {"scale": (0.85, 1.0), "ratio": (0.95, 1.05), "degrees": 5.0, "translate": 0.05}
    placing.update(changes)
    members: list[Any] = [Affine(**placing)]
    return Compose((*members, GaussianNoise(scale=(noise, noise), p=1.0)) if noise else tuple(members))


_STILL: dict[str, Any] = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "degrees": 0.0, "translate": 0.0, "noise": 0.0}
_NO_CROP: dict[str, Any] = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}


def image_views() -> dict[str, View]:
    """Name to view."""
    from unalike.views import ColorJitter, Compose, Cutout, Rotate, VerticalFlip

    only: dict[str, dict[str, Any]] = {
        "only crop": {"scale": (0.85, 1.0), "ratio": (0.95, 1.05)},
        "only turn": {"degrees": 5.0},
        "only shift": {"translate": 0.05},
        "only noise": {"noise": 0.2},
    }
    strong = grey_view(
        scale=(0.2, 1.0), ratio=(0.75, 4 / 3), degrees=0.0, translate=0.0, horizontal_flip=0.5, noise=0.0
    )
    return {
        "default": grey_view(),
        "without crop": grey_view(**_NO_CROP),
        "without turn": grey_view(degrees=0.0),
        "without shift": grey_view(translate=0.0),
        "without noise": grey_view(noise=0.0),
        **{name: grey_view(**{**_STILL, **kept}) for name, kept in only.items()},
        "with flip": grey_view(horizontal_flip=0.5),
        "with upside down": Compose((grey_view(), VerticalFlip())),
        "with turn 30": Compose((grey_view(), Rotate(degrees=30.0))),
        "with cutout": Compose((grey_view(), Cutout(p=1.0))),
        "simclr strong": Compose((strong, ColorJitter(brightness=0.4, contrast=0.4, p=0.8))),
    }


def table_views() -> dict[str, View]:
    """Name to view."""
    from unalike.views import Compose
    from unalike.views.table import CorruptCells, MaskCells, MixUp, NeighborCells, Noise

    return {
        "default": CorruptCells(rate=0.3),
        "corrupt 0.1": CorruptCells(rate=0.1),
        "corrupt 0.6": CorruptCells(rate=0.6),
        "mask 0.15": MaskCells(rate=0.15),
        "mask 0.5": MaskCells(rate=0.5),
        "noise 0.05": Noise(scale=0.05),
        "noise 0.2": Noise(scale=0.2),
        "noise 0.5": Noise(scale=0.5),
        "mix-up": MixUp(),
        "neighbor cells": NeighborCells(),
        "corrupt 0.3 + noise 0.05": Compose((CorruptCells(rate=0.3), Noise(scale=0.05))),
    }


def fashion(file: Path, name: str, seed: int) -> Split:
    """Training images, test images, and the labels of these; all from the training part of the file."""
    with np.load(file, allow_pickle=False) as arrays:
        X, y = arrays["x_train"], arrays["y_train"]
    generator = np.random.default_rng(seed)
    own = y == int(name.removeprefix("fashion/"))
    normal = generator.permutation(np.flatnonzero(own))
    others = generator.permutation(np.flatnonzero(~own))[:_MOST_TEST]
    test = np.concatenate([normal[_MOST_TRAIN : _MOST_TRAIN + _MOST_TEST], others])
    return X[normal[:_MOST_TRAIN]], X[test], (~own[test]).astype(np.int64)


def table(folder: Path, name: str, seed: int) -> Split:
    """The clean split, of at most 2,000 normal rows and as many anomalies on each side."""
    X, y = datasets.read(folder, name)
    parts = clean(y, seed)
    train, test = parts.train[:_MOST_ROWS], parts.test
    kept = np.concatenate([test[y[test] == label][:_MOST_ROWS] for label in (0, 1)])
    return X[train], X[kept], y[kept]


def digit(name: str, seed: int) -> Split:
    """Half of the pictures of one digit train."""
    X, y = digits.load(name)
    parts = clean(y, seed)
    return X[parts.train], X[parts.test], y[parts.test]


class Trained:
    """One network trained alone under one view; also read untrained, and raw."""

    def __init__(self, kind: str, view: Any, objective: Any, seed: int) -> None:
        from unalike import Detector

        branches = (_branch(kind, view, objective), _raw(kind))
        modality = _modality(kind)
        self.detector: Detector = Detector(modality, branches=branches, calibration_fraction=0.0, random_state=seed)
        self._scores: dict[str, FloatArray] = {}

    def fit(self, train: Any) -> None:
        self.detector.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        if not self._scores:
            self._scores = self.detector.branch_scores(test)
        return self._scores[{"untrained": "trained (untrained)", "raw": "raw"}.get(method, "trained")]


def judge(load: Callable[[int], Split], kind: str, name: str, seed: int, methods: Sequence[str]) -> dict[str, Values]:
    """The rows of one job: scores, and what the check says of the view."""
    from unalike import objectives
    from unalike.viewcheck import check_views

    train, test, labels = load(seed)
    views = table_views() if kind == "tables" else image_views()
    view = views.get(name)
    objective = objectives.SyntheticContrast() if view is None else objectives.SimCLR(temperature=_temperature(kind))
    measured = harness.measure(Trained(kind, view, objective, seed), train, test, labels, methods)
    nothing = dict.fromkeys(EXTRA, float("nan"))
    found = nothing
    if view is not None:
        row = check_views(train, _modality(kind), views={name: view}, objectives=(), seed=seed)[name]
        found = {column: getattr(row, column) for column in EXTRA}
    return {method: {**values, **(found if method == name else nothing)} for method, values in measured.items()}


def jobs(tables: Path | None, names: Sequence[str], images: Path | None, draws: int) -> list[harness.Job]:
    """One per draw, data set and view."""
    made = []
    for seed in range(draws):
        loads: dict[str, tuple[str, Callable[[int], Split]]] = {}
        if tables is not None:
            loads |= {name: ("tables", partial(table, tables, name)) for name in names}
        if images is not None:
            loads |= {name: ("images", partial(fashion, images, name)) for name in FASHION}
        loads |= {name: ("digits", partial(digit, name)) for name in DIGITS}
        for data, (kind, load) in loads.items():
            for name in [*table_views(), "synthetic negatives"] if kind == "tables" else image_views():
                methods = (name, "untrained", "raw") if name == "default" else (name,)
                task = partial(judge, load, kind, name, seed, methods)
                made.append(harness.Job(data=data, protocol=kind, seed=seed, methods=methods, task=task))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.views", description=__doc__)
    parser.add_argument("--tables", type=Path, help="folder of .npz files with X and y (1 = anomaly)")
    parser.add_argument("--sets", type=harness.listed, default=["tune"], help="names, tune or confirm (default tune)")
    parser.add_argument("--images", type=Path, help="fashion_mnist.npz with x_train and y_train")
    parser.add_argument("--draws", type=int, default=1, help="how many random splits (default 1)")
    parser.add_argument("--show", action="store_true", help="print the tables of the file and run nothing")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    missing: list[Any] = []
    if not options.show:
        folder = options.tables and options.tables.resolve()
        names = datasets.choose(datasets.names_in(folder), options.sets) if folder else []
        todo = jobs(folder, names, options.images and options.images.resolve(), options.draws)
        with Results(options.out, EXTRA) as results:
            missing = harness.run(
                todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD
            )
    print(report(read(options.out)))
    return harness.exit_status(missing)


def _modality(kind: str) -> Any:
    from unalike import modalities

    return {"images": modalities.Image(size=_PIXELS), "digits": modalities.Image(), "tables": modalities.Table()}[kind]


def _temperature(kind: str) -> float:
    """That of the modality's default branch."""
    return 0.5 if kind == "tables" else 0.2


def _branch(kind: str, view: Any, objective: Any) -> Branch:
    from unalike import Branch, Training
    from unalike.encoders import ConvNet, TableMLP
    from unalike.scorers import KNN

    encoder = TableMLP(activation="relu") if kind == "tables" else ConvNet(channels=(8, 16, 32), grid=2)
    training = Training(steps=_STEPS, batch_size=_BATCH[kind])
    return Branch(name="trained", encoder=encoder, objective=objective, scorer=KNN(k=1), views=view, training=training)


def _raw(kind: str) -> Branch:
    from unalike import Branch
    from unalike.encoders import Raw, RawTable
    from unalike.scorers import KNN

    return Branch(name="raw", encoder=RawTable() if kind == "tables" else Raw(), scorer=KNN(k=1))


if __name__ == "__main__":
    raise SystemExit(main())
