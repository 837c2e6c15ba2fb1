"""``python -m benchmarks.speed start`` and ``... detect``: what a fitted detector costs who uses it.

``start``: each command is a fresh process, in turn; the quickest of ``--rounds`` counts, by the clock and by the
processor. Models are small and fitted beforehand on made-up data; "load, one" reads the file and judges one sample.

``detect``: rows of a table a second, fit on 5,000 x 32 made-up rows, beside PyOD's detectors at their defaults, all in
one process with one thread, in turn. Images a second are in `images_speed`, texts in `texts_speed`.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.summary import as_markdown, as_text
from unalike.writing import whole_file

START = ("command", "seconds", "cpu_seconds", "rounds")
DETECT = ("contender", "rows", "threads", "rows_s", "times", "rows_cpu_s", "times_cpu")
AGAINST = "PyOD KNN"
_ONE = "import unalike, numpy as np; unalike.load({!r}).detect(np.load({!r}, allow_pickle=False)[:{}])"


def commands(folder: Path) -> dict[str, list[str]]:
    """What is started, by name."""
    import unalike
    from unalike import Training

    draws = np.random.default_rng(0)
    made: dict[str, tuple[Any, int]] = {
        "table": (draws.normal(size=(1000, 8)), 1),
        "image": (draws.uniform(size=(200, 28, 28)).astype(np.float32), 1),
        "series": (np.sin(np.arange(3000) / 8)[:, None] + 0.1 * draws.normal(size=(3000, 1)), 200),
    }
    python = [sys.executable, "-c"]
    told = {
        "python alone": [*python, "pass"],
        "import unalike": [*python, "import unalike"],
        "unalike --help": [sys.executable, "-m", "unalike", "--help"],
        "import torch": [*python, "import torch"],
        "import pyod, KNN": [*python, "from pyod.models.knn import KNN"],
    }
    for name, (data, rows) in made.items():
        model, sample = folder / f"{name}.unalike", folder / f"{name}.npy"
        np.save(sample, data)
        unalike.save(unalike.Detector(name, training=Training(steps=2)).fit(data), model)
        told[f"load, one: {name}"] = [*python, _ONE.format(str(model), str(sample), rows)]
    return told


def started(rounds: int) -> list[list[str]]:
    """The lines of ``start``."""
    with tempfile.TemporaryDirectory() as folder:
        told = commands(Path(folder))
        best = dict.fromkeys(told, (float("inf"), float("inf")))
        for _ in range(rounds):
            for name, command in told.items():
                wall, processor = time.perf_counter(), _children()
                subprocess.run(command, check=True, capture_output=True)  # noqa: S603
                spent = time.perf_counter() - wall, _children() - processor
                best[name] = (min(best[name][0], spent[0]), min(best[name][1], spent[1]))
    return [[name, f"{wall:.2f}", f"{processor:.2f}", str(rounds)] for name, (wall, processor) in best.items()]


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def contenders(train: Any) -> dict[str, Callable[[Any], Any]]:
    """Fitted detectors, as functions that judge rows."""
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN

    from unalike import Branch, Detector, encoders, scorers

    near = Branch(name="near", encoder=encoders.RawTable(), scorer=scorers.KNN())
    return {
        AGAINST: KNN(n_jobs=1).fit(train).predict,
        "PyOD IForest": IForest(n_jobs=1, random_state=0).fit(train).predict,
        "unalike, default": Detector("table").fit(train).detect,
        "unalike, neighbours": Detector("table", branches=[near]).fit(train).detect,
    }


def judged(rows: int, rounds: int) -> list[list[str]]:
    """The lines of ``detect``."""
    from benchmarks.bank import made

    train, data = made(5000, 32, 0), made(rows, 32, 1)
    best: dict[str, tuple[float, float]] = {}
    fitted = contenders(train)
    for _ in range(rounds):
        for name, judge in fitted.items():
            wall, processor = time.perf_counter(), time.process_time()
            judge(data)
            rates = rows / (time.perf_counter() - wall), rows / (time.process_time() - processor)
            known = best.get(name, (0.0, 0.0))
            best[name] = (max(known[0], rates[0]), max(known[1], rates[1]))
    reference = best[AGAINST]
    return [
        [name, str(rows), "1", f"{wall:.0f}", f"{wall / reference[0]:.2f}", f"{cpu:.0f}", f"{cpu / reference[1]:.2f}"]
        for name, (wall, cpu) in best.items()
    ]


def main(part: str, arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.speed {part}", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(f"benchmarks/results/speed_{part}.csv"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000, help="to judge, for detect")
    parser.add_argument("--show", action="store_true", help="only print the file, in Markdown")
    options = parser.parse_args(arguments)
    if options.show:
        print(as_markdown(list(csv.reader(options.out.read_text().splitlines()))))
        return
    harness.use_threads(1)
    found = started(options.rounds) if part == "start" else judged(options.rows, options.rounds)
    lines = [list(START if part == "start" else DETECT), *found]
    with whole_file(options.out) as path, path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    print(as_text(lines))
