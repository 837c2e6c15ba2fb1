"""``python -m benchmarks.speed grow``: time and memory of fit and detect as the rows of a table grow.

Made-up tables of 32 columns (40 bent surfaces of 16 dimensions with noise, `benchmarks.bank.made`): `rows` normal ones
train, as many new ones are judged, one in a hundred of which is moved off its surface. Each size is a process of its
own, with its threads set. `peak_mb` is the highest resident memory of `fit` and `detect` minus what the process held
before, with libraries and both tables. `auroc` tells that the detector does something, not how good it is.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.results import append_line, read_rows
from benchmarks.summary import as_markdown

COLUMNS = 32
SIZES = (10_000, 100_000, 1_000_000)
DETECTORS = ("default", "neighbours")
FIELDS = ("detector", "rows", "columns", "threads", "part", "seconds", "cpu_seconds", "peak_mb", "auroc")
_MOVED = 0.3


def tables(rows: int) -> tuple[Any, Any, Any]:
    """Rows that train, rows to judge, and which of these are moved."""
    from benchmarks.bank import made

    train, judged = made(rows, COLUMNS, 0), made(rows, COLUMNS, 1)
    labels = np.zeros(rows, dtype=np.int64)
    labels[::100] = 1
    judged[::100] += _MOVED * np.random.default_rng(2).normal(size=judged[::100].shape).astype(np.float32)
    return train, judged, labels


def detector(name: str) -> Any:
    """The default of tables, or the nearest training rows in standardised columns alone."""
    from unalike import Branch, Detector
    from unalike.encoders import RawTable
    from unalike.scorers import KNN

    if name == "default":
        return Detector("table")
    return Detector("table", branches=[Branch(name="neighbours", encoder=RawTable(), scorer=KNN())])


def measure(name: str, rows: int) -> list[dict[str, Any]]:
    """The lines of one size, in this process."""
    train, judged, labels = tables(rows)
    made = detector(name)
    found: dict[str, Any] = {}

    def judge() -> None:
        found["scores"] = made.detect(judged).scores

    lines = []
    before = harness._memory_before()
    for part, step in (("fit", lambda: made.fit(train)), ("detect", judge)):
        wall, processor = time.perf_counter(), time.process_time()
        step()
        lines.append(
            {
                "detector": name,
                "rows": rows,
                "columns": COLUMNS,
                "part": part,
                "seconds": f"{time.perf_counter() - wall:.1f}",
                "cpu_seconds": f"{time.process_time() - processor:.1f}",
                "peak_mb": f"{harness._peak_mb() - before:.0f}",
                "auroc": "" if part == "fit" else f"{harness.metrics(labels, found['scores'])['auroc']:.4f}",
            }
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed grow", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed_grow.csv"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows")
    parser.add_argument("--detectors", nargs="+", default=DETECTORS, choices=DETECTORS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="only print the file, in Markdown")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one is not None:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    if options.show:
        print(as_markdown(list(csv.reader(options.out.read_text().splitlines()))))
        return
    known = {(row["detector"], int(row["rows"])) for row in read_rows(options.out)} if options.out.exists() else set()
    for size in options.sizes:
        for name in options.detectors:
            if (name, size) not in known:
                for line in _in_own_process(name, size, options.threads):
                    append_line(options.out, {field: line.get(field, "") for field in FIELDS})
                    print(line, flush=True)


def _in_own_process(name: str, rows: int, threads: int) -> list[dict[str, Any]]:
    environment = {**os.environ, **dict.fromkeys(harness.THREAD_VARIABLES, str(threads))}
    command = [sys.executable, "-m", "benchmarks.speed_grow", "--one", name, str(rows)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise SystemExit(f"{name} at {rows} rows: status {ran.returncode}\n{ran.stderr[-2000:]}")
    return [{**line, "threads": threads} for line in json.loads(ran.stdout.splitlines()[-1])]


if __name__ == "__main__":
    main()
