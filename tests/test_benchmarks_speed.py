"""The benchmark of the loss: what it writes, and that it goes on."""

from __future__ import annotations

import csv

import pytest
from benchmarks import speed


def test_every_size_is_measured_once_and_a_stopped_run_goes_on(tmp_path, monkeypatch):
    asked = []

    def measured(contender, batch, threads, rounds, memory):
        asked.append((contender, batch))
        about = {"contender": contender, "batch": batch, "width": speed.WIDTH, "threads": threads}
        if contender == speed.LIGHTLY and batch == 64:
            return {**about, "failed": f"needs more than {memory:g} GB"}
        return {**about, "seconds": 0.123456789, "cpu_seconds": 0.1, "peak_mb": 2.0, "loss": 1.0}

    monkeypatch.setattr(speed, "in_own_process", measured)
    out = tmp_path / "new" / "speed.csv"
    chosen = ["loss", "--out", str(out), "--contenders", speed.OURS, speed.LIGHTLY, "--sizes"]
    speed.main([*chosen, "32"])
    speed.main([*chosen, "32", "64"])
    assert asked == [(speed.OURS, 32), (speed.LIGHTLY, 32), (speed.OURS, 64), (speed.LIGHTLY, 64)]
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seconds"] for row in rows] == ["0.12346"] * 3 + [""]
    assert rows[-1]["failed"] == "needs more than 8 GB"


def test_all_contenders_make_the_same_loss(monkeypatch):
    import torch

    from unalike.objectives import tiled

    monkeypatch.setattr(tiled, "LARGEST_MATRIX", tiled.LARGEST_MATRIX)  # put back what a contender changes
    draws = torch.Generator().manual_seed(0)
    first, second = torch.randn(9, 4, generator=draws), torch.randn(9, 4, generator=draws)
    values = {name: float(speed.loss_of(name)(first, second)) for name in speed.CONTENDERS}
    assert list(values.values()) == pytest.approx([values[speed.OURS]] * 4, rel=1e-4)
