"""``python -m benchmarks.labelled``: what a few labelled anomalies give.

Half of the normal rows of a table (at most 2,000) train. Ten anomalies are drawn and taken out of the test part, so
that all methods are tested on the same rows; the detector, at its defaults, learns from none, five or all ten of them.
Two protocols: ``any`` draws them from all anomalies, ``one-kind`` from the largest of three clusters of the anomalies
(k-means on standardised columns) and tests on the others only: labels of one kind must not cost the other kinds. Sets
with fewer than 20 anomalies (or 10 of one kind, or of the others) are left out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import datasets, harness
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_text, read
from unalike.types import FloatArray, IntArray

LABELLED = (0, 5, 10)
PROTOCOLS = ("any", "one-kind")
METHODS = {f"{number} labelled": number for number in LABELLED}
TRAINED, TESTED = 2_000, 5_000
_LEAST = 20
_PRELOAD = ("unalike.detector", "unalike.modalities.table", "lightning_fabric", "sklearn.cluster")


class Told:
    """`Detector` as it comes, told of some anomalies."""

    def __init__(self, anomalies: Any, seed: int) -> None:
        self._anomalies, self._seed = anomalies, seed

    def fit(self, train: Any) -> None:
        from unalike import Detector

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the sets that are too small for 1%
            anomalies = self._anomalies if len(self._anomalies) else None
            self._detector = Detector("table", random_state=self._seed).fit(train, anomalies=anomalies)

    def score(self, test: Any, method: str) -> FloatArray:
        scores: FloatArray = self._detector.anomaly_scores(test)
        return scores


def kinds(rows: FloatArray, normal: FloatArray) -> IntArray:
    """``(n,)`` cluster of each anomalous row, 0 the largest of three."""
    from sklearn.cluster import KMeans

    spread = np.nanstd(normal, axis=0)
    standard = np.nan_to_num((rows - np.nanmean(normal, axis=0)) / np.where(spread > 0.0, spread, 1.0))
    found: IntArray = KMeans(3, n_init=3, random_state=0).fit_predict(np.clip(standard, -20.0, 20.0)).astype(np.int64)
    place = np.argsort(np.argsort(-np.bincount(found, minlength=3), kind="stable"))
    return np.asarray(place[found], dtype=np.int64)


def parts(X: FloatArray, y: IntArray, protocol: str, seed: int) -> tuple[IntArray, IntArray, IntArray] | None:
    """Positions that train, of ten anomalies to tell of, and that test; None where there are too few anomalies."""
    generator = np.random.default_rng(seed)
    normal, anomalous = (generator.permutation(np.flatnonzero(y == kind)) for kind in (0, 1))
    if len(anomalous) < _LEAST:
        return None
    train = normal[: min(len(normal) // 2, TRAINED)]
    told, others = anomalous[: max(LABELLED)], anomalous[max(LABELLED) :]
    if protocol == "one-kind":
        kind = kinds(X[anomalous], X[train])
        told, others = anomalous[kind == 0][: max(LABELLED)], anomalous[kind != 0]
    if min(len(told), len(others)) < max(LABELLED):
        return None
    return train, told, np.concatenate([normal[len(normal) // 2 :][:TESTED], others[:TESTED]])


def judge(folder: Path, name: str, protocol: str, seed: int, method: str) -> dict[str, Values]:
    """The row of one job."""
    X, y = datasets.read(folder, name)
    found = parts(X, y, protocol, seed)
    if found is None:
        raise ValueError(f"{name} has too few anomalies")
    train, told, test = found
    model = Told(X[told[: METHODS[method]]], seed)
    return harness.measure(model, X[train], X[test], y[test], (method,))


def jobs(folder: Path, names: Sequence[str], seeds: Sequence[int]) -> list[harness.Job]:
    """One per seed, set, protocol and number of labelled anomalies, of the sets that have enough."""
    return [
        harness.Job(
            data=name,
            protocol=protocol,
            seed=seed,
            methods=(method,),
            task=partial(judge, folder, name, protocol, seed, method),
        )
        for seed in seeds
        for name in names
        for protocol in PROTOCOLS
        if parts(*datasets.read(folder, name), protocol, seed) is not None
        for method in METHODS
    ]


def table(rows: Sequence[Row], names: Sequence[str]) -> list[list[str]]:
    """Means over the data sets, in percent, and of how many sets each number is."""
    lines = [["labelled from", "method", "AUROC", "AUPRC", "sets", "worst AUROC", "worst AUPRC"]]
    for protocol in PROTOCOLS:
        values = {
            method: {
                name: np.mean([[r.values["auroc"], r.values["auprc"]] for r in of_set], axis=0) * 100
                for name in names
                if (of_set := [r for r in rows if (r.data, r.protocol, r.method) == (name, protocol, method)])
            }
            for method in METHODS
        }
        whole = [name for name in names if all(name in values[method] for method in METHODS)]
        for method in METHODS if whole else ():
            mean = np.mean([values[method][name] for name in whole], axis=0)
            worst = np.min([values[method][name] - values["0 labelled"][name] for name in whole], axis=0)
            numbers = [f"{value:.2f}" for value in mean] + [str(len(whole))] + [f"{value:+.2f}" for value in worst]
            lines.append([protocol, method, *numbers])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelled", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with .npz files")
    parser.add_argument("--sets", type=harness.listed, default=[], help="names, tune or confirm; default: all")
    parser.add_argument("--seeds", type=harness.seeds, default=[0], help="list (0,1,2) or count (3)")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    folder: Path = options.data.resolve()
    names = datasets.choose(datasets.names_in(folder), options.sets)
    with Results(options.out) as results:
        todo = jobs(folder, names, options.seeds)
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    print(f"\n{as_text(table(read(options.out), names))}")
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
