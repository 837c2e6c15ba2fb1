"""Real kills; `benchmarks/resume.py` does the same at random moments."""

from __future__ import annotations

import multiprocessing as mp
import signal
from pathlib import Path
from typing import Any

from tests.training.killed import fit

NEVER = {"step": -1, "write": -1}


def run(folder: Path | None, left: dict[str, int]) -> tuple[Any, int | None]:
    """What the fit sent, and its process' exit code."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killed", "unalike.detector"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=fit, args=(folder, left, sender))
    process.start()
    sender.close()
    try:
        made = receiver.recv()
    except EOFError:
        made = None
    process.join()
    receiver.close()
    return made, process.exitcode


def test_killed_in_a_step_and_in_a_write_and_resumed_it_is_bit_equal(tmp_path: Path) -> None:
    folder = tmp_path / "fit"
    expected, _ = run(None, NEVER)
    for left in ({**NEVER, "step": 7}, {**NEVER, "write": 3}, {**NEVER, "step": 15}):
        made, code = run(folder, left)
        assert made is None
        assert code == -signal.SIGKILL
    assert {place.name for place in folder.iterdir()} >= {"branch-first.safetensors", "branch-second.safetensors"}
    made, code = run(folder, NEVER)
    assert code == 0
    weights, history, scores = made
    assert len(history) == 5
    assert weights == expected[0]
    assert history == expected[1]
    assert scores == expected[2]
