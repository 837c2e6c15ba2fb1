"""Runs jobs one after another, each in a process of its own, and writes their rows.

A process per job keeps times and memory honest and lets one crash end one job only. The processes are
forked from a server (multiprocessing's ``forkserver``) that has imported the libraries but has never
computed with them: importing costs once, is in nobody's time, and no thread pool is inherited.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing as mp
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.results import Key, Results, Values
from unalike.types import FloatArray, IntArray

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PRELOAD = ("sklearn.metrics", "sklearn.neighbors", "sklearn.preprocessing", "threadpoolctl")
_SECONDS_TO_END = 10.0
_MAXRSS_PER_MB = 2**20 if sys.platform == "darwin" else 2**10


class Model(Protocol):
    """A detector under test. Making one imports all it needs; `fit` and `score` are timed.

    Methods that differ only in how one fitted detector is read share it: `score` is told which one is
    asked for. One that works in another process may have `costs()`, columns that it measured itself.
    """

    def fit(self, train: Any) -> None: ...

    def score(self, test: Any, method: str) -> FloatArray: ...


Maker = Callable[[int], Model]
"""Makes a model from a seed; a module-level function, so that it can be sent to another process."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process does: some methods, which share one fit, on one split of one data set.

    Parameters
    ----------
    data, protocol, seed, methods
        Name the rows.
    task : callable
        Picklable, ``() -> {method: {column: value}}``, for all of `methods`.
    """

    data: str
    protocol: str
    seed: int
    methods: tuple[str, ...]
    task: Callable[[], Mapping[str, Values]]

    def key(self, method: str) -> Key:
        """Of one of the rows."""
        return Key(self.data, self.protocol, self.seed, method)


class JobFailed(Exception):
    """A job gave no rows; the message says why."""


def run(
    jobs: Sequence[Job], results: Results, *, threads: int, time_limit: float | None = None, preload: Sequence[str] = ()
) -> list[Key]:
    """Run the jobs that have rows missing, in order; write each row as it comes.

    Parameters
    ----------
    jobs : sequence of Job
        Those whose rows are all in `results` are skipped.
    results : Results
        Where rows go.
    threads : int
        For OpenMP, BLAS and torch.
    time_limit : float, optional
        Seconds after which a job is stopped and counts as failed.
    preload : sequence of str
        Modules that the jobs need; they are imported once. What cannot be imported is left to the jobs.

    Returns
    -------
    list of Key
        The rows that are missing because a job failed. Its error has been printed.
    """
    waiting = [job for job in jobs if any(job.key(method) not in results for method in job.methods)]
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs are in the file; {len(waiting)} to run", flush=True)
    use_threads(threads)
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOAD, *preload])
    missing: list[Key] = []
    for number, job in enumerate(waiting, start=1):
        keys = [job.key(method) for method in job.methods if job.key(method) not in results]
        try:
            outcome = _in_own_process(job, threads, time_limit, context)
            for key in keys:
                results.append(key, outcome[key.method])
                print(f"[{number}/{len(waiting)}] {key}: {_shown(outcome[key.method])}", flush=True)
        except JobFailed as error:
            failed = [key for key in keys if key not in results]
            missing += failed
            for key in failed:
                print(f"[{number}/{len(waiting)}] {key}: FAILED: {error}", file=sys.stderr, flush=True)
    return missing


def use_threads(threads: int) -> None:
    """Set the number of threads, for libraries that are loaded and for those that will be."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if "threadpoolctl" in sys.modules:
        sys.modules["threadpoolctl"].threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def measure(model: Model, train: Any, test: Any, labels: IntArray, methods: Sequence[str]) -> dict[str, Values]:
    """Fit once, score with each method: its metrics, seconds and peak memory.

    ``peak_mb`` is by how many MB the highest resident memory of the process, from the start of `fit` to
    the end of this method's `score`, exceeds what it held before `fit` (libraries and data).
    """
    before = _memory_before()
    started = time.perf_counter()
    model.fit(train)
    fit_seconds = time.perf_counter() - started
    scores: dict[str, FloatArray] = {}
    costs: dict[str, dict[str, float]] = {}
    for method in methods:
        started = time.perf_counter()
        scores[method] = model.score(test, method)
        score_seconds = time.perf_counter() - started
        costs[method] = {"fit_s": fit_seconds, "score_s": score_seconds, "peak_mb": max(_peak_mb() - before, 0.0)}
        costs[method].update(getattr(model, "costs", dict)())
    return {method: {**metrics(labels, scores[method]), **costs[method]} for method in methods}


def metrics(labels: IntArray, scores: FloatArray) -> dict[str, float]:
    """AUROC, AUPRC (average precision) and F1 when as many rows are flagged as there are anomalies.

    Parameters
    ----------
    labels : ndarray
        ``(n,)``, 1 = anomaly.
    scores : ndarray
        ``(n,)``, higher = more anomalous. Rows that tie for the last flagged places share them, so that
        F1 does not depend on the order of the rows.

    Raises
    ------
    ValueError
        When `scores` has another shape or holds values that are not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != labels.shape:
        raise ValueError(f"there must be one score per test row, {labels.shape}; got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite; {int((~np.isfinite(scores)).sum())} of {len(scores)} are not")
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "auprc": float(average_precision_score(labels, scores)),
        "f1": _f1_at_true_number(labels, scores),
    }


def grouped(methods: Sequence[str], makers: Mapping[str, Maker]) -> list[tuple[Maker, tuple[str, ...]]]:
    """The methods, in order, those that share a maker together: they are scores of one fit."""
    together: dict[Maker, list[str]] = {}
    for method in methods:
        together.setdefault(makers[method], []).append(method)
    return [(maker, tuple(names)) for maker, names in together.items()]


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """``--out``, ``--threads`` and ``--time-limit``, the same in every benchmark."""
    parser.add_argument("--out", type=Path, required=True, help="CSV file; what it already has is skipped")
    parser.add_argument("--threads", type=int, default=2, help="threads of every method (default 2)")
    parser.add_argument("--time-limit", type=float, default=3600.0, help="seconds for one fit and score (default 3600)")


def listed(text: str) -> list[str]:
    """``a,b`` as a list, without doubles."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def seeds(text: str) -> list[int]:
    """``0,1,2`` as it stands (``7,`` is the one seed 7); ``3``, a count, is ``0,1,2``."""
    if "," in text:
        return [int(part) for part in listed(text)]
    return list(range(int(text)))


def exit_status(missing: Sequence[Key]) -> int:
    """1 when rows are missing, and says which."""
    if missing:
        print(f"{len(missing)} rows are missing; the same command tries them again:", file=sys.stderr)
        for key in missing:
            print(f"  {key}", file=sys.stderr)
    return 1 if missing else 0


def _in_own_process(
    job: Job, threads: int, time_limit: float | None, context: mp.context.ForkServerContext
) -> Mapping[str, Values]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, threads, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(time_limit):
            raise JobFailed(f"no result within {time_limit:.0f} s")
        outcome: Mapping[str, Values] | str = receiver.recv()
    except EOFError:
        process.join()
        raise JobFailed(f"its process ended with exit code {process.exitcode} (-9: killed, often for memory)") from None
    else:
        process.join(_SECONDS_TO_END)
    finally:
        process.kill()
        process.join()
        receiver.close()
    if isinstance(outcome, str):
        raise JobFailed(outcome)
    return outcome


def _work(job: Job, threads: int, sender: Connection) -> None:
    gc.freeze()  # a collection would touch, and so copy, every object shared with the server: time and memory
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_threads(threads)
    seed_globals(job.seed)
    try:
        sender.send(job.task())
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


def _end_with_parent() -> None:
    """So that after ``kill -9`` of a run no job goes on computing beside the run that continues it."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def seed_globals(seed: int) -> None:
    """Seed numpy's and torch's global generators: some peers draw from them, and the process is theirs alone."""
    np.random.seed(seed)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _memory_before() -> float:
    """MB that the process holds now; forgets earlier peaks where Linux allows it.

    Elsewhere the highest value so far is given, and a small model that stays below it shows as 0.
    """
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_mb()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_PER_MB


def _f1_at_true_number(labels: IntArray, scores: FloatArray) -> float:
    count = int(labels.sum())
    last = np.sort(scores)[-count]
    above, tied = scores > last, scores == last
    found = labels[above].sum() + (count - above.sum()) * labels[tied].mean()
    return float(found / count)


def _shown(values: Values) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
