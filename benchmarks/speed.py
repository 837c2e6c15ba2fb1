"""``python -m benchmarks.speed loss``: time and memory of one loss, forward and backward, beside other libraries'.

Every measurement is a process of its own, with its threads set. Contenders take turns, size after size, so that what
else the machine does meets all of them. Of a number of rounds the best counts, of wall-clock and of processor time.
Memory is the largest resident size in the call minus that before it: what the loss needs beside its inputs. A process
that asks for more than ``--memory`` is stopped by the operating system's limit, and its row says so.

Figures depend on the machine; compare within one run. A run that was stopped goes on with the sizes that are missing.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import THREAD_VARIABLES

PARTS = ("loss",)
ELSEWHERE = ("train", "reach", "grow", "start", "detect")
"""Parts with a file of their own, `speed_train` and so on; each has ``--help``."""
COLUMNS = ("contender", "batch", "width", "threads", "seconds", "cpu_seconds", "peak_mb", "loss", "failed")
SIZES = (256, 1024, 4096, 8192, 16384, 32768)
WIDTH, TEMPERATURE = 128, 0.5
OURS, WHOLE, LIGHTLY, METRIC = "unalike", "unalike, whole matrix", "lightly", "pytorch-metric-learning"
CONTENDERS = (OURS, WHOLE, LIGHTLY, METRIC)
_GB, _MB = 2**30, 2**20

Loss = Callable[[Any, Any], Any]


def loss_of(contender: str) -> Loss:
    """NT-Xent of two matrices of projections, as each library makes it."""
    import torch

    if contender == LIGHTLY:
        from lightly.loss import NTXentLoss

        made: Loss = NTXentLoss(temperature=TEMPERATURE)
        return made
    if contender == METRIC:
        from pytorch_metric_learning.losses import NTXentLoss as Paired

        paired = Paired(temperature=TEMPERATURE)
        return lambda first, second: paired(torch.cat((first, second)), torch.arange(len(first)).repeat(2))
    from unalike.objectives import tiled
    from unalike.objectives.losses import nt_xent

    if contender == WHOLE:
        tiled.LARGEST_MATRIX = sys.maxsize
    return lambda first, second: nt_xent(first, second, TEMPERATURE)


def measure(contender: str, batch: int, rounds: int, memory: float) -> dict[str, Any]:
    """One contender at one size, in this process."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    loss = loss_of(contender)
    draws = torch.Generator().manual_seed(0)
    first, second = (torch.randn(batch, WIDTH, generator=draws).requires_grad_() for _ in range(2))
    loss(first[:8], second[:8]).backward()  # the first call of a process loads code
    limit = _status("VmSize") + int(memory * _GB)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, best = _status("VmRSS"), (float("inf"), float("inf"))
    value = torch.zeros(())
    for _ in range(rounds):
        first.grad = second.grad = None
        wall, processor = time.perf_counter(), time.process_time()
        value = loss(first, second)
        value.backward()
        best = (min(best[0], time.perf_counter() - wall), min(best[1], time.process_time() - processor))
    peak = (_status("VmHWM") - before) / _MB
    return {"seconds": best[0], "cpu_seconds": best[1], "peak_mb": peak, "loss": value.item()}


def _status(name: str) -> int:
    """Bytes, from the kernel."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def in_own_process(contender: str, batch: int, threads: int, rounds: int, memory: float) -> dict[str, Any]:
    """The row of one measurement; of one that failed, why."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    command = [sys.executable, "-m", "benchmarks.speed", "measure", contender, str(batch), str(rounds), str(memory)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    about = {"contender": contender, "batch": batch, "width": WIDTH, "threads": threads}
    if ran.returncode == 0:
        return {**about, **json.loads(ran.stdout.splitlines()[-1])}
    told = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else f"status {ran.returncode}"
    short = any(word in ran.stderr for word in ("allocate memory", "MemoryError", "bad_alloc"))
    return {**about, "failed": f"needs more than {memory:g} GB" if short else told}


def run(out: Path, sizes: Sequence[int], contenders: Sequence[str], threads: int, rounds: int, memory: float) -> None:
    """All sizes that the file lacks, smallest first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        _append(out, [COLUMNS])
    with out.open(newline="") as file:
        known = {(row["contender"], int(row["batch"]), int(row["threads"])) for row in csv.DictReader(file)}
    for size in sizes:
        missing = [name for name in contenders if (name, size, threads) not in known]
        rows = [in_own_process(name, size, threads, rounds, memory) for name in missing]
        _append(out, [[_told(row.get(column, "")) for column in COLUMNS] for row in rows])
        for row in rows:
            print(", ".join(f"{name} {_told(value)}" for name, value in row.items()), flush=True)


def _told(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value


def _append(out: Path, rows: Sequence[Sequence[Any]]) -> None:
    with out.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["measure"]:
        contender, batch, rounds, memory = given[1:]
        print(json.dumps(measure(contender, int(batch), int(rounds), float(memory))))
        return
    if given[:1] and given[0] in ELSEWHERE:
        _elsewhere(given[0], given[1:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed_loss.csv"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pairs in a batch")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, default=8.0, help="GB that a loss may take beside its inputs")
    told = parser.parse_args(given)
    run(told.out, told.sizes, told.contenders, told.threads, told.rounds, told.memory)


def _elsewhere(part: str, arguments: Sequence[str]) -> None:
    if part in ("start", "detect"):
        from benchmarks import speed_use

        speed_use.main(part, arguments)
    else:
        importlib.import_module(f"benchmarks.speed_{part}").main(arguments)


if __name__ == "__main__":
    main()
