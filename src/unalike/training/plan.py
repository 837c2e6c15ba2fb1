"""How many epochs and steps, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unalike.types import IntArray, Training

_ROWS_OF_HISTORY = 50
_USUAL_EPOCHS = 50
LARGEST_HELD_OUT = 2000
"""Rows; more do not tell more, and cost a pass per epoch."""


@dataclass(frozen=True)
class Plan:
    """Near-equal steps of near-equal batches, so that no row is dropped and none trains alone.

    Parameters
    ----------
    per_epoch : int
        Optimiser steps of a whole epoch.
    epochs, steps : int
        In all; the last epoch may be cut.
    warmup_steps : int
        In which the rate rises.
    recorded : frozenset of int
        Epochs after which a row of history is written.
    batch_size, accumulate : int
        As in `Training`.
    """

    per_epoch: int
    epochs: int
    steps: int
    warmup_steps: int
    recorded: frozenset[int]
    batch_size: int
    accumulate: int

    @staticmethod
    def of(n: int, settings: Training) -> Plan:
        """The plan for training on `n` rows, held-out ones not counted."""
        rows = settings.batch_size * settings.accumulate
        per_epoch = max(1, round(n / rows)) if n >= rows else 1
        steps = min(
            math.inf if settings.steps is None else settings.steps,
            math.inf if settings.epochs is None else settings.epochs * per_epoch,
        )
        steps = _USUAL_EPOCHS * per_epoch if math.isinf(steps) else int(steps)
        epochs = math.ceil(steps / per_epoch)
        every = max(1, math.ceil(epochs / _ROWS_OF_HISTORY))
        recorded = frozenset({*range(every, epochs + 1, every), 1, epochs})
        warmup_steps = round(settings.warmup * steps)
        return Plan(per_epoch, epochs, steps, warmup_steps, recorded, settings.batch_size, settings.accumulate)

    def batches(self, order: IntArray) -> list[list[IntArray]]:
        """``(n,)`` positions in the order of one epoch: per optimiser step the batches of it."""
        return [self._parts(rows.astype(np.int64)) for rows in np.array_split(order, self.per_epoch)]

    def _parts(self, rows: IntArray) -> list[IntArray]:
        if self.accumulate == 1:
            return [rows]
        return list(np.array_split(rows, max(1, round(len(rows) / self.batch_size))))

    def rate(self, step: int) -> float:
        """Linear warm-up, then cosine annealing to 0 (Loshchilov and Hutter, SGDR, 2017)."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        share = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def total_steps(n: int, settings: Training) -> int:
    """How many optimiser steps training takes at most.

    Parameters
    ----------
    n : int
        Training rows, those that `Training.patience` holds out included. With groups, which are held out whole, the
        number can differ a little.
    settings : Training
        Checked ones.
    """
    held_out = 0 if settings.patience is None else min(round(n * settings.held_out), LARGEST_HELD_OUT)
    return Plan.of(n - held_out, settings).steps
