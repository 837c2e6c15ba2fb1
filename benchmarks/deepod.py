"""DeepOD's ICL and NeuTraL as peers, in the environment that ``make .venv-deepod/.ready`` makes.

DeepOD 0.4.1 wants torch < 1.13.1, which cannot stand beside ours. A worker in that environment fits and scores;
arrays go there and back as ``.npz`` files. Both run at DeepOD's defaults, in full length (100 epochs per network),
on the CPU, on at most 10,000 training rows.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Maker
from benchmarks.peers import Peer
from unalike.types import FloatArray

ENVIRONMENT = Path(__file__).parent.parent / ".venv-deepod"
MOST_ROWS = 10_000
_WORKER = Path(__file__).with_name("deepod_worker.py")
_CLASSES = {"deepod-icl": "ICL", "deepod-neutral": "NeuTraL"}


class Elsewhere:
    """A detector with PyOD's `fit` and `decision_function` that lives in another Python.

    Parameters
    ----------
    python : Path
        The interpreter.
    module, name : str
        Where its class is.
    settings : mapping
        The constructor's keywords; JSON can hold them.

    Raises
    ------
    RuntimeError
        When the worker cannot make it, or a step fails there; the message is the worker's.
    """

    def __init__(self, python: Path, module: str, name: str, settings: Mapping[str, Any]) -> None:
        command = [str(python), "-I", str(_WORKER), module, name, json.dumps(dict(settings))]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.costs: dict[str, float] = {}
        try:
            self._answer()
        except RuntimeError:
            self.close()
            raise

    def fit(self, X: FloatArray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            answer = self._ask("fit", X, Path(folder))
        self.costs = {"fit_s": answer["seconds"], "peak_mb": answer["peak_mb"]}

    def decision_function(self, X: FloatArray) -> FloatArray:
        with tempfile.TemporaryDirectory() as folder:
            answer = self._ask("score", X, Path(folder))
            with np.load(Path(folder) / "scores.npz", allow_pickle=False) as file:
                scores: FloatArray = file["scores"]
        self.costs |= {"score_s": answer["seconds"], "peak_mb": answer["peak_mb"]}
        return scores

    def close(self) -> None:
        """End the worker."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, do: str, X: FloatArray, folder: Path) -> dict[str, Any]:
        request = {"do": do, "data": str(folder / "data.npz"), "scores": str(folder / "scores.npz")}
        np.savez(request["data"], X=X)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with exit code {self._process.wait()} (-9: killed, often for memory)")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def missing(methods: Sequence[str]) -> str | None:
    """Why DeepOD's among `methods` cannot run; None when they can, or none is asked for."""
    asked = [method for method in methods if method in _CLASSES]
    if not asked or (ENVIRONMENT / ".ready").exists():
        return None
    return f"{', '.join(asked)} skipped: DeepOD has an environment of its own, {ENVIRONMENT}. Run `make deepod` first."


def _make(name: str, seed: int) -> Peer:
    settings = {"random_state": seed, "device": "cpu", "verbose": 0}
    detector = Elsewhere(ENVIRONMENT / "bin" / "python", "deepod.models", _CLASSES[name], settings)
    return Peer(lambda seed, train: detector, seed, MOST_ROWS)


DEEPOD: dict[str, Maker] = {name: partial(_make, name) for name in _CLASSES}
