"""``python -m benchmarks.digits``: the wiring on scikit-learn's own digits and breast cancer data.

Ten one-class runs per draw: half of the pictures of one digit train, the rest of all test. Then half of the
benign rows of the breast cancer data, against the other benign and all malignant ones. Beside the scores it is
recorded whether training did anything. These sets are small and easy: they prove the wiring, not the method.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.ours import Default, Floor
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_text, means, read
from benchmarks.tables import clean
from unalike.types import FloatArray, IntArray

CANCER = "breast_cancer"
DIGITS = tuple(f"digits/{digit}" for digit in range(10))
EXTRA = ("first_loss", "last_loss", "moved")
PROTOCOL = "half"
_PRELOAD = ("unalike.detector", "unalike.modalities.image", "unalike.modalities.table", "lightning_fabric")
_WATCHED = ("alignment", "uniformity", "effective_rank", "spread")


class PixelFloor(Floor):
    """Nearest training picture by its raw pixels."""

    def __init__(self) -> None:
        super().__init__(standardise=False)

    def fit(self, train: FloatArray) -> None:
        super().fit(train.reshape(len(train), -1))

    def score(self, test: FloatArray, method: str = "floor") -> FloatArray:
        return super().score(test.reshape(len(test), -1))


def pixel_floor(seed: int) -> Floor:
    return PixelFloor()


def table_floor(seed: int) -> Floor:
    return Floor()


def image_default(seed: int) -> Default:
    return Default("image", seed)


def table_default(seed: int) -> Default:
    return Default("table", seed)


METHODS = ("floor", "untrained-alone", "contrast", "unalike")
_DEFAULT = METHODS[::-1][:3]


def load(name: str) -> tuple[npt.NDArray[Any], IntArray]:
    """``X`` and ``y`` (1 = anomaly) of ``digits/0``... (``(n, 8, 8)`` in [0, 1]) or of the breast cancer data."""
    from sklearn.datasets import load_breast_cancer, load_digits

    if name == CANCER:
        X, benign = load_breast_cancer(return_X_y=True)
        return X, (benign == 0).astype(np.int64)
    digits = load_digits()
    pictures = (digits.images / 16.0).astype(np.float32)
    return pictures, (digits.target != int(name.removeprefix("digits/"))).astype(np.int64)


def judge(name: str, seed: int, maker: harness.Maker, methods: Sequence[str]) -> dict[str, Values]:
    """The rows of one job."""
    X, y = load(name)
    parts = clean(y, seed)
    model = maker(seed)
    measured = harness.measure(model, X[parts.train], X[parts.test], y[parts.test], methods)
    history = model.detector.history_ if isinstance(model, Default) else {}
    return {method: {**values, **learned(history)} for method, values in measured.items()}


def learned(history: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """What training did, from `Detector.history_`: mean first and last loss, and whether every network moved.

    A network moved when what is watched of its embeddings of a fixed probe is no longer what it was before
    the first step. NaN where nothing trains.
    """
    branches = [rows for rows in history.values() if rows]
    losses = [[row["loss"] for row in rows if math.isfinite(row["loss"])] for rows in branches]
    moved = [any(rows[0][name] != rows[-1][name] for name in _WATCHED) for rows in branches]
    return {
        "first_loss": _mean(loss[0] for loss in losses),
        "last_loss": _mean(loss[-1] for loss in losses),
        "moved": float(all(moved)) if moved else math.nan,
    }


def jobs(draws: int) -> list[harness.Job]:
    """Two per draw and data set: the floor, and one fit that is read in three ways."""
    made = []
    for seed in range(draws):
        for name in (*DIGITS, CANCER):
            is_table = name == CANCER
            makers: list[tuple[harness.Maker, tuple[str, ...]]] = [
                (table_floor if is_table else pixel_floor, METHODS[:1]),
                (table_default if is_table else image_default, _DEFAULT),
            ]
            made += [
                harness.Job(
                    data=name,
                    protocol=PROTOCOL,
                    seed=seed,
                    methods=methods,
                    task=partial(judge, name, seed, maker, methods),
                )
                for maker, methods in makers
            ]
    return made


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Mean AUROC side by side, per draw and over all draws."""
    lines = [["data", "draw", *METHODS, "loss fell", "weights moved"]]
    for title, names in (("digits (mean of 10)", DIGITS), ("breast cancer", (CANCER,))):
        mine = [row for row in rows if row.data in names]
        draws = sorted({row.seed for row in mine})
        for draw in [*draws, None]:
            of_draw = [row for row in mine if draw in (None, row.seed)]
            cells = [f"{means(of_draw, method, 'auroc'):.4f}" for method in METHODS]
            lines.append([title, "all" if draw is None else str(draw), *cells, *_training(of_draw)])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digits", description=__doc__)
    parser.add_argument("--draws", type=int, default=3, help="how many random halves (default 3)")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    with Results(options.out, EXTRA) as results:
        missing = harness.run(
            jobs(options.draws), results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD
        )
    print(as_text(table(read(options.out))))
    return harness.exit_status(missing)


def _training(rows: Sequence[Row]) -> list[str]:
    trained = [row.values for row in rows if row.method == "contrast" and "moved" in row.values]
    fell = sum(values["last_loss"] < values["first_loss"] for values in trained)
    moved = sum(values["moved"] == 1.0 for values in trained)
    return [f"{fell} of {len(trained)}", f"{moved} of {len(trained)}"]


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else math.nan


if __name__ == "__main__":
    raise SystemExit(main())
