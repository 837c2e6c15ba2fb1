"""``python -m benchmarks.bank``: queries a second of banks by size, and what an approximate one loses.

Queries a second of `scorers.KNN` beside scikit-learn's NearestNeighbors (its own choice of method), faiss's IndexFlatL2
and PyOD's KNN, at banks of 6k, 60k and 600k rows x 128 and x 512, k = 1, one thread, each asked in turn, the quickest
of three. Then the approximate bank beside the exact one: recall@1 and AUROC at 1,000,000 x 128, and on the real table
``skin``. Rows of banks are made up: 40 bent surfaces of 16 dimensions with noise, as embeddings lie; anomalies are
normal rows moved by a random vector. Times are processor time, so that other work on the machine changes them little.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.results import Key, Results
from unalike.types import FloatArray, IntArray

SIZES = (6_000, 60_000, 600_000)
WIDTHS = (128, 512)
LARGE = 1_000_000
COLUMNS = ("queries_s", "build_s", "recall", "share_of_cells")
_NAN = float("nan")
MOST_PYOD = 60_000
"""PyOD's ``fit`` asks for the neighbours of every row of the bank: with more rows it takes hours."""
_INTRINSIC, _HIDDEN, _SURFACES = 16, 64, 40


def made(n: int, width: int, seed: int) -> FloatArray:
    """``(n, width)`` float32 rows; those of all seeds lie on the same surfaces."""
    shape, generator = np.random.default_rng(7), np.random.default_rng(seed)
    axes = shape.normal(size=(_SURFACES, _INTRINSIC, _HIDDEN)).astype(np.float32) / np.sqrt(_INTRINSIC)
    spread = shape.normal(size=(_HIDDEN, width)).astype(np.float32) / np.sqrt(_HIDDEN)
    shift = shape.normal(size=(_SURFACES, _HIDDEN)).astype(np.float32) / 2
    rows = np.empty((n, width), dtype=np.float32)
    for start in range(0, n, 20_000):
        size = min(20_000, n - start)
        kind = generator.integers(0, _SURFACES, size)
        hidden = np.einsum("nk,nkh->nh", generator.normal(size=(size, _INTRINSIC)).astype(np.float32), axes[kind])
        noise = generator.normal(size=(size, width)).astype(np.float32)
        rows[start : start + size] = np.tanh(hidden + shift[kind]) @ spread + 0.05 * noise
    return rows


def ours(how: str) -> Callable[[FloatArray], Any]:
    def build(bank: FloatArray) -> Any:
        from unalike.scorers import KNN

        scorer: Any = KNN(search=how)  # type: ignore[arg-type]
        return scorer.fit(bank, reference=bank[:1]).score

    return build


def sklearn(bank: FloatArray) -> Any:
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=1, n_jobs=1).fit(bank)
    return lambda rows: found.kneighbors(rows)[0][:, 0]


def faiss_flat(bank: FloatArray) -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)
    return lambda rows: np.sqrt(np.maximum(index.search(rows, 1)[0][:, 0], 0.0))


def pyod(bank: FloatArray) -> Any:
    from pyod.models.knn import KNN

    return KNN(n_neighbors=1, n_jobs=1).fit(bank).decision_function


METHODS: dict[str, Callable[[FloatArray], Any]] = {
    "unalike": ours("exact"),
    "unalike-approximate": ours("approximate"),
    "faiss-flat": faiss_flat,
    "sklearn": sklearn,
    "pyod": pyod,
}


def timed(size: int, width: int, methods: dict[str, Callable[[FloatArray], Any]]) -> dict[str, dict[str, float]]:
    """Processor seconds of each, in turn; a method that does not bear the size says why and is left out."""
    bank, rows = made(size, width, 0), made(1000 if size < 100_000 else 200, width, 1)
    scores: dict[str, Any] = {}
    values: dict[str, dict[str, float]] = {}
    for name, build in methods.items():
        begin = time.process_time()
        scores[name] = build(bank)
        values[name] = {"build_s": time.process_time() - begin, "queries_s": 0.0}
    exact = np.asarray(scores["unalike"](rows))
    for _ in range(3):
        for name, score in scores.items():
            begin = time.process_time()
            found = np.asarray(score(rows))
            values[name]["queries_s"] = max(values[name]["queries_s"], len(rows) / (time.process_time() - begin))
            values[name]["recall"] = float((found <= exact * (1 + 1e-3) + 1e-6).mean())
    return values


def compared(bank: FloatArray, rows: FloatArray, labels: IntArray) -> dict[str, dict[str, float]]:
    """The approximate bank beside the exact one."""
    from unalike.scorers import KNN

    values: dict[str, dict[str, float]] = {}
    exact = None
    for how in ("exact", "approximate"):
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begin = time.process_time()
        scorer: Any = KNN(search=how)
        scorer.fit(bank, reference=bank[:1])
        built = time.process_time()
        scores = scorer.score(rows)
        asked = time.process_time() - built
        exact = scores if exact is None else exact
        normal = labels == 0
        values[how] = {
            **harness.metrics(labels, scores),
            "fit_s": built - begin,
            "score_s": asked,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before,
            "build_s": built - begin,
            "queries_s": len(rows) / asked,
            "recall": float((scores <= exact * (1 + 1e-9))[normal].mean()),
            "share_of_cells": _NAN if scorer.cells_ is None else scorer.cells_.probes / len(scorer.cells_.centres),
        }
    return values


def large() -> dict[str, dict[str, float]]:
    bank, rows, labels = made(LARGE, 128, 0), made(2000, 128, 1), np.repeat([0, 1], 1000)
    noise = np.random.default_rng(3).normal(size=(1000, 128)).astype(np.float32)
    rows[1000:] += 0.06 * noise
    return compared(bank, rows, labels)


def skin(folder: Path) -> dict[str, dict[str, float]]:
    """Half of the normal rows are the bank; the others and the anomalies are asked."""
    with np.load(next(folder.rglob("*skin*.npz"))) as arrays:
        X, y = arrays["X"].astype(np.float64), arrays["y"].astype(np.int64).ravel()
    normal = np.random.default_rng(0).permutation(np.flatnonzero(y == 0))
    train, held = np.split(normal, [len(normal) // 2])
    anomalies = np.flatnonzero(y == 1)
    center, scale = X[train].mean(axis=0), X[train].std(axis=0)
    asked = np.concatenate([held, anomalies])
    return compared((X[train] - center) / scale, (X[asked] - center) / scale, y[asked])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with the table skin")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--large", action="store_true", help="also 1,000,000 x 128")
    options = parser.parse_args()
    harness.use_threads(1)
    blank = dict.fromkeys(("auroc", "auprc", "f1", "fit_s", "score_s", "peak_mb", *COLUMNS), _NAN)
    with Results(options.out, COLUMNS) as results:
        for size in map(int, harness.listed(options.sizes)):
            for width in WIDTHS:
                methods = {name: build for name, build in METHODS.items() if name != "pyod" or size <= MOST_PYOD}
                _keep(results, f"{size}x{width}", partial(timed, size, width, methods), blank)
        if options.data is not None:
            _keep(results, "skin", lambda: skin(options.data), blank)
        if options.large:
            _keep(results, f"{LARGE}x128", large, blank)


def _keep(
    results: Results, data: str, measure: Callable[[], dict[str, dict[str, float]]], blank: dict[str, float]
) -> None:
    if Key(data, "bank", 0, "exact") in results or Key(data, "bank", 0, "unalike") in results:
        return
    for method, values in measure().items():
        results.append(Key(data, "bank", 0, method), {**blank, **values})
        print(data, method, ", ".join(f"{name} {value:.4g}" for name, value in values.items()), flush=True)


if __name__ == "__main__":
    main()
