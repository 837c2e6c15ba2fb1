"""A fit that kills its own process at a chosen moment, to be run in a process of its own."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unalike import Branch, Detector, Training
from unalike.objectives.losses import nt_xent
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch, View

LEFT = {"step": -1, "write": -1}
"""How many optimiser steps and writes are left to this process; below 0 no end."""


def count_down(what: str) -> None:
    LEFT[what] -= 1
    if LEFT[what] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


class Counted(nn.Module):
    """SimCLR that counts its steps."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def after_step(self) -> None:
        count_down("step")

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        return nt_xent(*(self.encoder(views(batch.data, generator)) for _ in range(2)))


class Dropped(nn.Module):
    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 8))

    def forward(self, data: Tensor) -> Tensor:
        return self.layers(data[..., 0])


def fit(folder: Path | None, left: dict[str, int], sender: Connection) -> None:
    torch.set_num_threads(1)
    LEFT.update(left)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if LEFT["write"] == 1:
            os.ftruncate(descriptor, 999)
        count_down("write")
        real(descriptor)

    os.fsync = fsync
    with isolated(4):
        encoder = Dropped()
    branches = [Branch(name=name, encoder=encoder, objective=Counted) for name in ("first", "second")]
    training = Training(epochs=4, batch_size=16, checkpoint_every=0.0, learning_rate=1e-2)
    X = np.random.default_rng(0).normal(size=(60, 4))
    detector = Detector("table", branches=branches, training=training, calibration_fraction=0)
    detector.fit(X, checkpoint=folder)
    history = [repr([row[name] for name in ("epoch", "step", "loss", "spread")]) for row in detector.history_["second"]]
    weights = [values.numpy().tobytes() for b in detector.branches_ for values in b.judge.encoder.state_dict().values()]
    sender.send((weights, history, detector.anomaly_scores(X).tobytes()))
