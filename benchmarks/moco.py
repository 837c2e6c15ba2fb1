"""``python -m benchmarks.moco --data FILE``: does MoCo with a small batch reach SimCLR with a large one?

One class of Fashion-MNIST is normal: some of its training images train, the whole test set tests. What is rated is
the embedding of one network alone, by the distance to the nearest training image in it. All three trainings see the
same number of samples. The pictures are brought to 14 x 14 pixels by the mean of 2 x 2.

The settings below were chosen on classes 2 and 8, with held-out training images as test images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.digits import PixelFloor
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_markdown, as_text, means, read
from unalike.types import FloatArray, IntArray

CLASSES = (0, 4, 6)
EPOCHS = 16
EXTRA = ("samples_seen", "steps")
LARGE, SMALL = 512, 32
PROTOCOL = "one-class"
TRAINING_IMAGES = 1500
_PRELOAD = ("unalike.detector", "unalike.modalities.image", "unalike.objectives.moco", "lightning_fabric")
_SIDE = 14

METHODS = ("pixels", "untrained", "simclr-large", "simclr-small", "moco-small")
REFERENCE = "simclr-large"


class Embedding:
    """The default small network under one objective, and nothing else."""

    def __init__(self, method: str, seed: int) -> None:
        from unalike import Detector
        from unalike.encoders import ConvNet
        from unalike.scorers import KNN
        from unalike.types import Branch

        objective, training = settings(method)
        branch = Branch(
            name="contrast",
            encoder=ConvNet(channels=(16, 32, 64), grid=2),
            objective=objective,
            scorer=KNN(k=1),
            training=training,
        )
        self.detector = Detector("image", branches=[branch], calibration_fraction=0.0, random_state=seed)

    def fit(self, train: Any) -> None:
        self.detector.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        return self.detector.branch_scores(test)["contrast (untrained)" if method == "untrained" else "contrast"]

    def seen(self) -> dict[str, float]:
        """Samples and optimiser steps of the training."""
        n = len(self.detector.split_.train)
        return {"samples_seen": float(EPOCHS * n), "steps": self.detector.history_["contrast"][-1]["step"]}


def settings(method: str) -> tuple[Any, Any]:
    """Objective and training of a method; Adam in all."""
    from unalike.objectives import MoCo, SimCLR
    from unalike.types import Training

    return {
        "simclr-large": (
            SimCLR(temperature=0.2),
            Training(epochs=EPOCHS, batch_size=LARGE, learning_rate=1e-3),
        ),
        "simclr-small": (
            SimCLR(temperature=0.2),
            Training(epochs=EPOCHS, batch_size=SMALL, learning_rate=1e-4),
        ),
        "moco-small": (
            MoCo(),
            Training(epochs=EPOCHS, batch_size=SMALL, learning_rate=1e-4),
        ),
    }[method]


def load(path: Path, normal: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], IntArray]:
    """Training images of the class `normal`, all test images, and which of these are anomalies."""
    with np.load(path, allow_pickle=False) as file:
        own = np.flatnonzero(file["y_train"] == normal)
        chosen = np.random.default_rng(seed).permutation(own)[:TRAINING_IMAGES]
        train, test = file["x_train"][chosen], file["x_test"]
        labels = (file["y_test"] != normal).astype(np.int64)
    return halved(train), halved(test), labels


def halved(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """``(n, 28, 28)`` of 8 bits to ``(n, 14, 14)`` in [0, 1]."""
    blocks = pictures.reshape(-1, _SIDE, pictures.shape[1] // _SIDE, _SIDE, pictures.shape[2] // _SIDE)
    means_of_blocks: npt.NDArray[np.float32] = (blocks.mean(axis=(2, 4)) / 255.0).astype(np.float32)
    return means_of_blocks


def judge(path: Path, normal: int, seed: int, methods: tuple[str, ...]) -> dict[str, Values]:
    """The rows of one fit."""
    train, test, labels = load(path, normal, seed)
    nothing = {"samples_seen": 0.0, "steps": 0.0}
    if methods == ("pixels",):
        rows = harness.measure(PixelFloor(), train, test, labels, methods)
        return {method: {**values, **nothing} for method, values in rows.items()}
    model = Embedding(methods[-1], seed)
    rows = harness.measure(model, train, test, labels, methods)
    return {
        method: {**values, **(nothing if method == "untrained" else model.seen())} for method, values in rows.items()
    }


def jobs(path: Path, classes: Sequence[int], seeds: Sequence[int]) -> list[harness.Job]:
    """One per seed, class and fit; the network before training is read from the fit with the large batch."""
    fits = (("pixels",), ("untrained", "simclr-large"), ("simclr-small",), ("moco-small",))
    return [
        harness.Job(
            data=f"fashion-mnist/{normal}",
            protocol=PROTOCOL,
            seed=seed,
            methods=methods,
            task=partial(judge, path, normal, seed, methods),
        )
        for seed in seeds
        for normal in classes
        for methods in fits
    ]


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Mean AUROC per class and over all, and how far each method is from the large batch."""
    names = sorted({row.data for row in rows})
    lines = [["method", "steps", *names, "mean", f"points over {REFERENCE}", "fit s"]]
    reference = means(rows, REFERENCE, "auroc")
    for method in METHODS:
        mine = [row for row in rows if row.method == method]
        if not mine:
            continue
        cells = [f"{means([row for row in mine if row.data == name], method, 'auroc'):.4f}" for name in names]
        mean = means(mine, method, "auroc")
        steps, seconds = means(mine, method, "steps"), means(mine, method, "fit_s")
        lines.append(
            [method, f"{steps:.0f}", *cells, f"{mean:.4f}", f"{100 * (mean - reference):+.2f}", f"{seconds:.0f}"]
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moco", description=__doc__)
    parser.add_argument("--data", type=Path, help="fashion_mnist.npz: x_train, y_train, x_test, y_test")
    parser.add_argument("--classes", type=harness.listed, default=[*map(str, CLASSES)], help="default 0,4,6")
    parser.add_argument("--seeds", type=harness.seeds, default=[0, 1], help="list (0,1,2) or count (3); default 2")
    parser.add_argument("--summary", action="store_true", help="only print the table of the file, in Markdown")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.summary:
        print(as_markdown(table(read(options.out))))
        return 0
    if options.data is None:
        parser.error("--data must name the file of pictures")
    todo = jobs(options.data.resolve(), [int(name) for name in options.classes], options.seeds)
    with Results(options.out, EXTRA) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    print(as_text(table(read(options.out))))
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
