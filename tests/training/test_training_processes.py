"""Two gloo processes train as one: one spawn computes everything, the tests compare."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from tests.training.parts import CPU, jitter, named_objective
from torch import Tensor, nn

from unalike import texts
from unalike.encoders.convnet import ConvNet
from unalike.encoders.texttransformer import TextTransformer
from unalike.encoders.tokencontext import TokenContext
from unalike.errors import InvalidParameter, TrainingFailed
from unalike.objectives import MoCo, SupCon
from unalike.objectives.build import build_objective
from unalike.seeding import RowGenerator, isolated
from unalike.training import Checkpoint, TrainingRows, train
from unalike.types import Schema, Training

RANKS, ROWS, ANOMALIES = 2, 40, 6
PATIENCE = 180.0
USUAL = Training(
    steps=10, batch_size=20, optimizer="sgd", precision="64-true", learning_rate=0.05, warmup=0.0, checkpoint_every=0
)

CASES = {
    "simclr": ("simclr", USUAL),
    "moco": (MoCo(queue=32), USUAL),
    "accumulate": ("simclr", replace(USUAL, batch_size=10, accumulate=2, gradient_clip=0.1)),
    "chunks": ("simclr", replace(USUAL, chunk_size=6)),
    "anomalies": (SupCon(), USUAL),
    "patience": ("simclr", replace(USUAL, patience=2, held_out=0.2, optimizer="adam", learning_rate=1e-3)),
}


class Rows:
    """Small images that note who asked for them."""

    def __init__(self, data: Tensor | None = None) -> None:
        self.data = images() if data is None else data
        self.loaded: list[list[int]] = []

    def load(self, positions: np.ndarray) -> Tensor:
        self.loaded.append(positions.tolist())
        return self.data[torch.from_numpy(positions)]


def images() -> Tensor:
    draws = RowGenerator(1, torch.arange(ROWS + ANOMALIES))
    return 0.1 * draws.normal(1, 8, 8) + torch.linspace(0, 1, 8)


def sentences() -> Tensor:
    """Of different lengths, the longest in the second half."""
    words = ("one", "two", "three", "four", "five", "six")
    return texts.encoded([" ".join(words[n % 4 :][: 2 + n % 3] * (1 + n // 15)) for n in range(ROWS)], 80)


class Stopped(Exception):
    pass


TEXTS = {
    "replaced": TextTransformer(vocabulary=300, width=16, layers=1, heads=2, dropout=0.0),
    "token-prediction": TokenContext(),
}
OTHERS = ("icl", "mean-shifted", "spoiled", "defects", *TEXTS)


def other(name: str) -> tuple[nn.Module, Tensor]:
    """What other tests than `test_parallel` do not put on two processes; texts of different lengths."""
    if name not in TEXTS:
        module, data = named_objective(name)
        return module, data
    data = sentences()
    with isolated(0):
        encoder = TEXTS[name].build(Schema((80,), (texts.CODE_POINTS,)))
    encoder.prepare(data)
    return build_objective(name, encoder, 0), data


def train_other(name: str):
    module, data = other(name)
    settings = replace(USUAL, steps=3, batch_size=16)
    with isolated(5):
        train(module, TrainingRows(32, Rows(data).load), jitter, settings, seed=0, device=CPU)
    return {key: values for key, values in module.state_dict().items() if isinstance(values, Tensor)}


def objective_of(objective, batch_norm: bool = False) -> nn.Module:
    with isolated(0):
        encoder = ConvNet(channels=(4,), width=16).build(Schema((1, 8, 8)))
        if batch_norm:
            encoder = nn.Sequential(encoder, nn.BatchNorm1d(16))
            encoder.width = 16
    return build_objective(objective, encoder, 0)


def stopping(module: nn.Module, after: int, stop) -> nn.Module:
    """The objective, which calls `stop` after so many steps."""
    steps = []

    def after_step() -> None:
        steps.append(1)
        if len(steps) == after:
            stop()

    module.after_step = after_step
    return module


def run(name: str, checkpoint: Path | None = None, module: nn.Module | None = None, seed: int = 0):
    objective, settings = CASES[name]
    module = objective_of(objective) if module is None else module
    rows = Rows()
    known = {"n_anomalies": ANOMALIES} if name == "anomalies" else {}
    with isolated(5):
        history = train(
            module,
            TrainingRows(ROWS, rows.load, **known),
            jitter,
            settings,
            seed=seed,
            device=CPU,
            checkpoint=None if checkpoint is None else Checkpoint(checkpoint),
        )
    history = [{key: value for key, value in row.items() if key != "rows_per_second"} for row in history]
    return {"weights": module.state_dict(), "history": history, "loaded": rows.loaded}


def stop_and_resume(folder: Path, first_in: str, resumed_in: str) -> None:
    """Left for the other number of processes to go on."""

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        run("simclr", folder / f"{first_in}-{resumed_in}.safetensors", stopping(objective_of("simclr"), 7, stop))


def refused(seed: int, batch_norm: bool) -> str:
    with pytest.raises(InvalidParameter) as caught:
        run("simclr", module=objective_of("simclr", batch_norm), seed=seed)
    return str(caught.value)


def lose_the_second() -> str:
    """The first process hears of the end of the other."""
    module = stopping(objective_of("simclr"), 3, lambda: os._exit(0) if dist.get_rank() == 1 else None)
    with pytest.raises(TrainingFailed) as caught:
        run("simclr", module=module)
    return str(caught.value)


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "LOCAL_WORLD_SIZE": RANKS}
    os.environ.update({name: str(value) for name, value in place.items()}, TORCHELASTIC_RUN_ID="test")
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS, timeout=timedelta(seconds=PATIENCE)
    )
    here = Path(folder)
    found = {name: run(name) for name in CASES}
    for name in OTHERS:
        try:
            found[name] = {"weights": train_other(name)}
        except Exception as error:
            found[name] = repr(error)
    stop_and_resume(here, "two", "one")
    found["resumed"] = run("simclr", here / "one-two.safetensors")
    found["seeds"] = refused(rank, batch_norm=False)
    found["batch norm"] = refused(0, batch_norm=True)
    torch.save(found, here / f"{rank}.pt")
    del os.environ["TORCHELASTIC_RUN_ID"]
    told = {"no torchrun": refused(0, batch_norm=False)}
    os.environ["TORCHELASTIC_RUN_ID"] = "test"
    dist.barrier()
    told["lost"] = lose_the_second()
    torch.save(told, here / "told.pt")
    os._exit(0)  # the group cannot be ended in order


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("processes")
    stop_and_resume(made, "one", "two")
    context = torch.multiprocessing.spawn(work, args=(str(made),), nprocs=RANKS, join=False)
    until = time.monotonic() + PATIENCE
    try:
        while not context.join(timeout=1.0):
            assert time.monotonic() < until, "the two processes did not end in time"
    finally:
        for process in context.processes:
            process.kill()
    return made


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def assert_same_weights(found: dict, expected: dict) -> None:
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_the_weights_of_one(name: str, ranks: list[dict]) -> None:
    before = objective_of(CASES[name][0]).state_dict()
    alone = run(name)
    assert any(not torch.equal(before[key].double(), values.double()) for key, values in alone["weights"].items())
    for found in ranks:
        assert_same_weights(found[name]["weights"], alone["weights"])
        for row, expected in zip(found[name]["history"], alone["history"], strict=True):
            assert row == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", OTHERS)
def test_losses_over_what_differs_in_number_are_those_of_one_process(name: str, ranks: list[dict]) -> None:
    alone = train_other(name)
    for found in ranks:
        assert_same_weights(found[name]["weights"], alone)


def test_each_process_reads_its_own_rows(ranks: list[dict]) -> None:
    batches = [[rows for rows in found["simclr"]["loaded"] if len(rows) == 10] for found in ranks]
    assert len(batches[0]) == len(batches[1]) == 10
    for first, second in zip(*batches, strict=True):
        assert not set(first) & set(second)
    whole = [rows for rows in run("simclr")["loaded"] if len(rows) == 20]
    assert [first + second for first, second in zip(*batches, strict=True)] == whole


def test_a_training_goes_on_in_another_number_of_processes(folder: Path, ranks: list[dict]) -> None:
    alone = run("simclr")["weights"]
    assert_same_weights(run("simclr", folder / "two-one.safetensors")["weights"], alone)
    for found in ranks:
        assert_same_weights(found["resumed"]["weights"], alone)


def test_what_would_train_different_things_is_refused(folder: Path, ranks: list[dict]) -> None:
    told = torch.load(folder / "told.pt", weights_only=True)
    for found in ranks:
        assert "`random_state`" in found["seeds"]
        assert "batch normalisation" in found["batch norm"]
    assert "torchrun" in told["no torchrun"]


def test_a_lost_process_is_told(folder: Path, ranks: list[dict]) -> None:
    told = torch.load(folder / "told.pt", weights_only=True)
    assert "All 2 processes must stay" in told["lost"]
    assert "checkpoint=" in told["lost"]


def test_too_small_batches_are_refused() -> None:
    from unalike.training.plan import Plan

    with pytest.raises(InvalidParameter, match="one row for each of 3 processes"):
        Plan.of(10, Training(batch_size=2), 3)


@pytest.mark.parametrize("n", [10, 23, 64])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_batches_are_shared_equally_and_few_rows_left_over(n: int, accumulate: int) -> None:
    from unalike.training.plan import Plan

    plan = Plan.of(n, Training(batch_size=8, accumulate=accumulate), 3)
    sizes = [len(batch) for step in plan.batches(np.arange(n)) for batch in step]
    assert all(size % 3 == 0 and size for size in sizes)
    assert n - 3 < sum(sizes) <= n
