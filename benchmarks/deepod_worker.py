"""Fits and scores one detector for another process; runs in an environment of its own.

``python -I deepod_worker.py MODULE CLASS SETTINGS`` makes ``CLASS(**SETTINGS)``, SETTINGS being JSON, and answers
requests, one JSON object a line, until its standard input ends:

- ``{"do": "fit", "data": "train.npz"}``;
- ``{"do": "score", "data": "test.npz", "scores": "scores.npz"}``.

An ``.npz`` file holds ``X (n, d)``, or ``scores (n,)``. The answer has the ``seconds`` of that step alone and
``peak_mb``, by how much the highest resident memory since the start of `fit` exceeds what was held before, or an
``error``. Imports are in neither. Nothing of this project is imported: its libraries are not in that environment.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

_MAXRSS_PER_MB = 2**20 if sys.platform == "darwin" else 2**10


def main(module: str, name: str, settings: str) -> int:
    answers = sys.stdout
    sys.stdout = sys.stderr  # what the detector prints is no answer
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, requests), daemon=True).start()
    try:
        detector = getattr(importlib.import_module(module), name)(**json.loads(settings))
        _tell(answers, {"ready": True})
    except Exception as error:
        _tell(answers, {"error": f"{type(error).__name__}: {error}"})
        return 1
    before = 0.0
    while True:
        request = json.loads(requests.get())
        with np.load(request["data"], allow_pickle=False) as file:
            X = file["X"]
        if request["do"] == "fit":
            before = _memory_before()
        _tell(answers, _answer(detector, request, X, before))


def _listen(lines: TextIO, requests: queue.Queue[str]) -> None:
    """Whoever asked may be killed in the middle of a fit: then nobody waits for the answer."""
    for line in lines:
        requests.put(line)
    os._exit(0)


def _answer(detector: Any, request: dict[str, str], X: Any, before: float) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        if request["do"] == "fit":
            detector.fit(X)
            seconds = time.perf_counter() - started
        else:
            scores = detector.decision_function(X)
            seconds = time.perf_counter() - started
            np.savez(request["scores"], scores=np.asarray(scores, dtype=np.float64))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"seconds": seconds, "peak_mb": max(_peak_mb() - before, 0.0)}


def _memory_before() -> float:
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_mb()


def _peak_mb() -> float:
    # On Linux `ru_maxrss` begins at what the process that started this one held.
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_PER_MB


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
