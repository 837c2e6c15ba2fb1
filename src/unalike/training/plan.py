"""How many epochs and steps, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unalike.errors import InvalidParameter
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
    processes : int
        That share each batch in equal parts: sizes are multiples of it, and fewer rows than it of each epoch's order
        are left over, others each time.
    """

    per_epoch: int
    epochs: int
    steps: int
    warmup_steps: int
    recorded: frozenset[int]
    batch_size: int
    accumulate: int
    processes: int = 1

    @staticmethod
    def of(n: int, settings: Training, processes: int = 1) -> Plan:
        """The plan for training on `n` rows, held-out ones not counted.

        Raises
        ------
        InvalidParameter
            A batch cannot hold a row for each process.
        """
        if min(n, settings.batch_size) < processes:
            raise InvalidParameter(
                f"`batch_size` and the training rows must hold one row for each of {processes} processes; got "
                f"batch_size={settings.batch_size} and {n} rows. Start fewer processes, or give larger batches."
            )
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
        sizes = settings.batch_size, settings.accumulate, processes
        return Plan(per_epoch, epochs, steps, warmup_steps, recorded, *sizes)

    def batches(self, order: IntArray) -> list[list[IntArray]]:
        """``(n,)`` positions in the order of one epoch: per optimiser step the batches of it."""
        return [self._parts(rows.astype(np.int64)) for rows in self._dealt(order, self.per_epoch)]

    def _parts(self, rows: IntArray) -> list[IntArray]:
        if self.accumulate == 1:
            return [rows]
        return self._dealt(rows, max(1, round(len(rows) / self.batch_size)))

    def _dealt(self, rows: IntArray, parts: int) -> list[IntArray]:
        shared = rows[: len(rows) // self.processes * self.processes].reshape(-1, self.processes)
        return [part.reshape(-1) for part in np.array_split(shared, parts)]

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
