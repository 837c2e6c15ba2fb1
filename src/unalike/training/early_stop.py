"""Early stopping: the loss on rows that do not train, and the best weights so far."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter, TrainingFailed, TrainingWarning
from unalike.seeding import derive, isolated
from unalike.training.modules import load_module, module_state
from unalike.types import IntArray, Training

Loss = Callable[[int, IntArray], Tensor]
"""Seed of the views and ``(m,)`` positions to the scalar loss."""


def warn_of_attraction(objective: nn.Module, settings: Training) -> None:
    """Say that the held-out loss misleads, where labelled anomalies let an objective draw normal samples together.

    Warns
    -----
    TrainingWarning
        The objective says so with an attribute `attracts_normals`, and training would stop early.
    """
    if settings.patience is not None and getattr(objective, "attracts_normals", False):
        warnings.warn(
            "`patience` watches the loss of normal samples alone, in which they repel each other; with labelled "
            "anomalies this objective draws them together, so that training may stop too early. Leave patience=None, "
            "or set attract_normals=False.",
            TrainingWarning,
            stacklevel=3,
        )


class EarlyStop:
    """Watches the held-out loss and keeps the best epoch's weights.

    The draws of the views are the same in every epoch, so that losses compare; nothing is learned from these rows.

    Parameters
    ----------
    held_out : ndarray
        ``(m,)`` positions.
    batch_size, patience : int
        As in `Training`.
    seed : int
        Of the training.
    processes : int
        That share each batch in equal parts; the last rows that make no equal parts are left out.

    Raises
    ------
    InvalidParameter
        When the rows are fewer than the processes.
    """

    def __init__(self, held_out: IntArray, batch_size: int, patience: int, seed: int, processes: int = 1) -> None:
        if len(held_out) < processes:
            raise InvalidParameter(
                f"`held_out` must leave a row for each of {processes} processes; got {len(held_out)}. Hold out more, "
                "start fewer processes, or leave patience=None."
            )
        shared = held_out[: len(held_out) // processes * processes].reshape(-1, processes)
        parts = np.array_split(shared, min(max(1, round(len(held_out) / batch_size)), len(shared)))
        self.batches = [part.reshape(-1) for part in parts]
        self.patience = patience
        self.seed = derive(seed, "held out")
        self.loss = math.nan
        self.best_loss, self.best_epoch, self.waited = math.inf, 0, 0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        """Whether the last `patience` epochs brought no lower loss."""
        return self.waited >= self.patience

    def measure(self, module: nn.Module, loss: Loss) -> None:
        """The loss of the held-out rows, in evaluation mode and without gradient.

        Raises
        ------
        TrainingFailed
            When it is not finite.
        """
        module.eval()
        # An encoder or a view of the user's may draw from the global generators; training must not notice.
        with torch.no_grad(), isolated(self.seed):
            losses = [loss(self.seed, batch).double() * len(batch) for batch in self.batches]
        self.loss = float(torch.stack(losses).sum()) / sum(map(len, self.batches))
        if not math.isfinite(self.loss):
            raise TrainingFailed(
                f"The loss of held-out rows must stay finite; it became {self.loss}. Lower learning_rate=, or set "
                "gradient_clip=1.0."
            )

    def compare(self, epoch: int, objective: nn.Module) -> None:
        """Keep the weights when the loss just measured is the lowest; otherwise wait one epoch longer."""
        if self.loss < self.best_loss:
            self.best_loss, self.best_epoch, self.waited = self.loss, epoch, 0
            self.best_weights = {name: values.clone() for name, values in module_state(objective).items()}
        else:
            self.waited += 1

    def keep_best(self, objective: nn.Module) -> None:
        """Put the best epoch's weights back."""
        load_module(objective, self.best_weights)

    def columns(self) -> dict[str, float]:
        """What the history tells."""
        return {"held_out_loss": self.loss, "best_epoch": float(self.best_epoch)}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        names = ("loss", "best_loss", "best_epoch", "waited", "best_weights")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """From a checkpoint."""
        self.loss, self.best_loss = state["loss"], state["best_loss"]
        self.best_epoch, self.waited = state["best_epoch"], state["waited"]
        self.best_weights = {name: values.to(device) for name, values in state["best_weights"].items()}
