"""``python -m benchmarks.false_alarms``: are as many normal rows flagged as was stated?

Half of the normal rows of a set train, once. The scores of the other half are then fixed and divided 20 times
at random into 219 calibration rows and the rest (at least 2,000), on which the share of false alarms is counted:
with 219, ``rate * (n + 1)`` is whole for 5% and 10%, so that the conformal rate holds exactly in the mean.
Beside it PyOD's route: KNN with ``contamination`` at the stated rate, whose threshold comes from training scores.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from scipy.stats import t

from benchmarks import datasets, harness
from benchmarks.peers import Peer, knn
from benchmarks.summary import as_text
from unalike.types import BoolArray, FloatArray, IntArray

RATES = (0.05, 0.10)
SPLITS = 20
CALIBRATION_ROWS = 219
LEAST_TEST_ROWS = 2_000
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The false alarms of one split; a line of the file."""

    data: str
    method: str
    stated_rate: float
    split: int
    n_calibration: int
    n_test: int
    realised_rate: float


@dataclass(frozen=True)
class Flags:
    """Of one method and rate: per split, which of its test rows are flagged."""

    method: str
    rate: float
    per_split: list[BoolArray]


def normal_halves(X: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
    """The normal rows, shuffled: a half to train on and the others.

    Raises
    ------
    ValueError
        When the others are too few for calibration and test rows.
    """
    normal = X[y == 0][np.random.default_rng(_SEED).permutation(int((y == 0).sum()))]
    half = len(normal) // 2
    if len(normal) - half < CALIBRATION_ROWS + LEAST_TEST_ROWS:
        raise ValueError(
            f"a set must have {CALIBRATION_ROWS + LEAST_TEST_ROWS} normal rows beside the training half; "
            f"got {len(normal) - half}"
        )
    return normal[:half], normal[half:]


def splits(n: int) -> list[tuple[IntArray, IntArray]]:
    """Positions of the calibration and of the test rows in each split of `n`."""
    orders = [np.random.default_rng([_SEED, number]).permutation(n) for number in range(SPLITS)]
    return [(order[:CALIBRATION_ROWS], order[CALIBRATION_ROWS:]) for order in orders]


def conformal(scores: FloatArray) -> Iterator[Flags]:
    """Our thresholds on fixed `scores` ``(n,)`` of normal rows that did not train."""
    from unalike.thresholds import Conformal

    for rate in RATES:
        per_split = [
            Conformal(false_alarm_rate=rate).fit(scores[calibration]).is_anomaly(scores[test])
            for calibration, test in splits(len(scores))
        ]
        yield Flags("unalike", rate, per_split)


def by_contamination(train: FloatArray, others: FloatArray) -> Iterator[Flags]:
    """PyOD's KNN; it calibrates on its training scores, so the calibration rows go unused."""
    for rate in RATES:
        peer = Peer(knn(contamination=rate), _SEED)
        peer.fit(train)
        flagged = peer.score(others) > peer.threshold()
        yield Flags("pyod-knn", rate, [flagged[test] for _, test in splits(len(others))])


def outcomes(folder: Path, name: str) -> list[Outcome]:
    """All lines of one data set."""
    from unalike import Detector

    train, others = normal_halves(*datasets.read(folder, name))
    detector = Detector("table", calibration_fraction=0.0, random_state=_SEED).fit(train)
    scores = detector.anomaly_scores(others)
    return [
        Outcome(
            data=name,
            method=flags.method,
            stated_rate=flags.rate,
            split=number,
            n_calibration=CALIBRATION_ROWS,
            n_test=len(flagged),
            realised_rate=float(flagged.mean()),
        )
        for flags in [*conformal(scores), *by_contamination(train, others)]
        for number, flagged in enumerate(flags.per_split)
    ]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95% t-interval of it; the interval of equal values is a point."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - reach, mean + reach


def table(lines: Sequence[Outcome]) -> list[list[str]]:
    """Header and one line per data set, method and stated rate."""
    printed = [["data", "method", "stated", "realised", "95% interval", "covers", "splits", "test rows"]]
    for data, method, rate in dict.fromkeys((line.data, line.method, line.stated_rate) for line in lines):
        mine = [line for line in lines if (line.data, line.method, line.stated_rate) == (data, method, rate)]
        mean, low, high = interval([line.realised_rate for line in mine])
        covers = "yes" if low <= rate <= high else "no"
        shown = [f"{rate:.0%}", f"{mean:.2%}", f"[{low:.2%}, {high:.2%}]", covers]
        printed.append([data, method, *shown, str(len(mine)), str(mine[0].n_test)])
    return printed


def write(lines: Sequence[Outcome], path: Path) -> None:
    """The whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Outcome)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(line), "realised_rate": f"{line.realised_rate:.6f}"} for line in lines)
    unfinished.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_alarms", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz files with X and y (1 = anomaly)")
    parser.add_argument("--sets", type=harness.listed, default=["mammography", "landsat"])
    parser.add_argument("--out", type=Path, required=True, help="CSV file, one line per split")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    harness.use_threads(options.threads)
    names = datasets.choose(datasets.names_in(options.data), options.sets)
    lines = [line for name in names for line in outcomes(options.data, name)]
    write(lines, options.out)
    print(as_text(table(lines)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
