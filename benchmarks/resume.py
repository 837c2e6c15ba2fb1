"""Kills real fits with SIGKILL at random moments, goes on from their checkpoints, and compares bit by bit.

Per case one process fits without checkpoints and is never killed. Then fits with a checkpoint folder are killed,
each after a random time, and started again, until one comes to its end: a round. Its weights, histories and scores
must equal those of the first process in every bit. Rounds follow until there were enough kills.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing as mp
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from benchmarks.harness import use_threads
from unalike import Branch, Detector, Training, encoders, objectives
from unalike.types import FloatArray
from unalike.writing import whole_file

_SECONDS_OF_A_FIT = 600.0
_PRELOAD = ["benchmarks.harness", "sklearn.datasets", "unalike.detector", "torch.optim"]
_COLUMNS = ("case", "round", "kill", "after_s", "on_disk", "equal")

Outcome = dict[str, bytes]


class Dropped(nn.Module):
    """A small encoder with what is hard to bring back: dropout, which draws from torch's generator, and statistics."""

    width = 32

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
            nn.Flatten(), nn.LazyLinear(self.width),
        )  # fmt: skip
        self.layers(torch.zeros(2, 1, 8, 8))

    def forward(self, data: Tensor) -> Tensor:
        """``(n, 1, 8, 8) -> (n, 32)``."""
        embeddings: Tensor = self.layers(data)
        return embeddings


@dataclass(frozen=True)
class Case:
    """A detector and the samples that it learns from and scores."""

    detector: Callable[[], Detector]
    samples: Callable[[], tuple[FloatArray, FloatArray]]


def tumours() -> tuple[FloatArray, FloatArray]:
    X, y = load_breast_cancer(return_X_y=True)
    return X[y == 1], X


def zeros() -> tuple[FloatArray, FloatArray]:
    digits = load_digits()
    return digits.images[digits.target == 0] / 16.0, digits.images / 16.0


def table() -> Detector:
    return Detector("table", training={"checkpoint_every": 0.05})


def table_all() -> Detector:
    training = Training(
        epochs=30, batch_size=32, accumulate=4, patience=10, precision="bf16-mixed", gradient_clip=1.0,
        optimizer="adamw", checkpoint_every=0.05,
    )  # fmt: skip
    return Detector("table", training=training)


def images() -> Detector:
    branch = Branch(
        name="moco", encoder=encoders.ConvNet(channels=(8, 16)), objective=objectives.MoCo(queue=256),
        training=Training(epochs=40, batch_size=32, checkpoint_every=0.05),
    )  # fmt: skip
    return Detector("image", branches=[branch])


def images_dropout() -> Detector:
    torch.manual_seed(0)  # the user's weights
    branches = [
        Branch(name=name, encoder=Dropped(), objective="simclr", training=training)
        for name, training in (
            ("first", Training(epochs=20, batch_size=32, checkpoint_every=0.05)),
            ("second", Training(epochs=20, batch_size=32, checkpoint_every=0.0, optimizer="sgd", learning_rate=0.05)),
        )
    ]
    return Detector("image", branches=branches)


CASES = {
    "table": Case(table, tumours),
    "table-all": Case(table_all, tumours),
    "image-moco": Case(images, zeros),
    "image-dropout": Case(images_dropout, zeros),
}


def outcome(detector: Detector, X: FloatArray) -> Outcome:
    """All that a fit made, as bytes: weights, histories without what a clock measured, scores, threshold."""
    made: Outcome = {}
    for branch in detector.branches_:
        name = branch.settings.name
        for key, values in branch.judge.encoder.state_dict().items():
            made[f"{name} weights {key}"] = values.contiguous().numpy().tobytes()
        rows = [{key: value for key, value in row.items() if key != "rows_per_second"} for row in branch.history]
        made[f"{name} history"] = json.dumps(rows).encode()
        made[f"{name} reference scores"] = np.ascontiguousarray(branch.judge.scorer.reference_scores_).tobytes()
    made["scores"] = detector.anomaly_scores(X).tobytes()
    made["calibration scores"] = detector.calibration_scores_.tobytes()
    return made


def fit(case: str, folder: Path | None, sender: Connection) -> None:
    """In a process of its own: say when it begins, fit, send what was made."""
    use_threads(1)
    train, test = CASES[case].samples()
    detector = CASES[case].detector()
    sender.send(None)
    sender.send(outcome(detector.fit(train, checkpoint=folder), test))


def run(case: str, folder: Path | None, kill_after: float | None) -> Outcome | None:
    """What a fit made; None when it was killed before its end.

    Raises
    ------
    RuntimeError
        When it failed of itself, or took too long.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=fit, args=(case, folder, sender))
    process.start()
    sender.close()
    try:
        receiver.recv()
        if not receiver.poll(_SECONDS_OF_A_FIT if kill_after is None else kill_after):
            if kill_after is None:
                raise RuntimeError(f"{case}: no end within {_SECONDS_OF_A_FIT:.0f} s")
            return None
        made: Outcome = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{case}: the fit failed") from None
    else:
        return made
    finally:
        process.kill()  # SIGKILL
        process.join()
        receiver.close()


def on_disk(folder: Path) -> str:
    """Where the checkpoints stand, in words."""
    states = []
    for path in sorted(folder.glob("branch-*.safetensors")):
        with safetensors.safe_open(path, "np") as file:
            state: dict[str, Any] = dict(json.loads(file.metadata()["unalike"])["state"]["dict"])
        name = path.stem.removeprefix("branch-")
        states.append(f"{name} finished" if state["finished"] else f"{name} step {state['at'][2]}")
    return "; ".join(states) or "nothing"


def differences(made: Outcome, expected: Outcome) -> list[str]:
    return sorted(name for name in {*made, *expected} if made.get(name) != expected.get(name))


def rounds(case: str, kills: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One row per kill."""
    started = time.perf_counter()
    expected = run(case, None, None)
    if expected is None:
        raise RuntimeError(f"{case}: the first fit was killed")
    seconds = time.perf_counter() - started
    print(f"{case}: {seconds:.1f} s without a kill, {len(expected)} things to compare", flush=True)
    killed = number = 0
    while killed < kills:
        number += 1
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "fit"
            while True:
                after = float(rng.uniform(0.0, 0.5 * seconds)) if killed < kills else None
                made = run(case, folder, after)
                if made is not None:
                    break
                killed += 1
                row = {"case": case, "round": number, "kill": killed, "after_s": f"{after:.3f}"}
                rows.append({**row, "on_disk": on_disk(folder)})
                print(f"{case} kill {killed} after {after:.2f} s; on disk: {rows[-1]['on_disk']}", flush=True)
        different = differences(made, expected)
        print(f"{case} round {number}: {'EQUAL' if not different else f'DIFFERENT: {different}'}", flush=True)
        yield from ({**row, "equal": int(not different)} for row in rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {list(CASES)}")
    parser.add_argument("--kills", type=int, default=20, help="per case (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (default 0)")
    parser.add_argument("--out", type=Path, required=True, help="CSV file; replaced")
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(chosen.seed)
    use_threads(1)
    rows = [row for case in chosen.cases.split(",") for row in rounds(case, chosen.kills, rng)]
    text = io.StringIO()
    lines = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    with whole_file(chosen.out) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    equal = sum(row["equal"] for row in rows)
    print(f"{len(rows)} kills; {equal} of them in rounds that ended equal in every bit", flush=True)
    return 0 if equal == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
