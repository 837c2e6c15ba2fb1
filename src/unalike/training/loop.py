"""The loop itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unalike.data import evenly
from unalike.errors import TrainingFailed
from unalike.parallel import is_first, launched, mean, share, world_size
from unalike.seeding import derive, generator_states, numpy_generator, restore_generators
from unalike.training.checkpoints import Checkpoint
from unalike.training.chunked import check_chunks
from unalike.training.early_stop import EarlyStop, warn_of_attraction
from unalike.training.forward import Call, Step, build_optimizer, fabric_on
from unalike.training.identity import identity
from unalike.training.keeper import Keeper
from unalike.training.modules import load_module, module_state
from unalike.training.plan import Plan
from unalike.training.probe import Probe, check_learned, snapshot
from unalike.training.processes import check_alike, check_launch, same_on_all_processes, together
from unalike.training.rows import TrainingRows, hold_out
from unalike.training.settings import settle
from unalike.types import IntArray, Training, View

History = list[dict[str, float]]
OnEpoch = Callable[[dict[str, float]], None]

_SAMPLE = 10_000


def train(
    objective: nn.Module,
    rows: TrainingRows,
    view: View,
    settings: Training,
    *,
    seed: int,
    device: torch.device,
    on_epoch: OnEpoch | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train the network inside `objective`; it is changed in place and left on the CPU.

    Parameters
    ----------
    objective : nn.Module
        As `types.Objective`.
    rows : TrainingRows
        Normal samples, and labelled anomalies where there are any.
    view : View
        What the objective contrasts under.
    settings : Training
        How long and how fast.
    seed : int
        Draws the order of rows and the views; row ``i``'s views depend on the epoch and on ``i`` only.
    device : torch.device
        Where to compute.
    on_epoch : callable, optional
        Called with each row of the history; of an earlier run that is resumed with the last one only.
    checkpoint : Checkpoint, optional
        Written every `Training.checkpoint_every` seconds and at the end; one that is there is gone on from, on the
        CPU bit by bit as if it had never stopped. The global generators, from which a dropout layer draws, are
        then put back as they were: call it inside `seeding.isolated`.

    Returns
    -------
    list of dict
        Rows with ``epoch`` (0 = before training), ``step``, ``loss`` (mean over the epoch), ``learning_rate``,
        ``alignment``, ``uniformity``, ``effective_rank``, ``spread`` (of the embeddings of a fixed probe, in
        two views) and ``rows_per_second``. With early stopping also ``held_out_loss`` and ``best_epoch``, that of
        the lowest one so far; the weights of the last row's `best_epoch` are kept.

    Raises
    ------
    TrainingFailed
        When the loss stops being finite, or no weight moved.
    InvalidParameter
        When a setting cannot train, or the checkpoint is of other data or settings.
    CannotLoad
        When the checkpoint is damaged.

    Warns
    -----
    TrainingWarning
        When early stopping watches a loss that the objective raises on purpose, or the embedding collapsed.
    """
    settings = settle(settings, None, device)
    check_launch()
    on_epoch = on_epoch if is_first() else None
    parts = hold_out(rows, settings, seed)
    if rows.n_anomalies:
        warn_of_attraction(objective, settings)
    if settings.chunk_size is not None:
        check_chunks(objective.train())
    if hasattr(objective, "prepare"):
        objective.prepare(rows.load(parts[0][evenly(len(parts[0]), _SAMPLE)]))  # type: ignore[operator]
    encoder = objective.get_submodule("encoder")
    before = snapshot(encoder)
    made_of = {}
    if checkpoint is not None:
        made_of = identity(objective, rows, view, settings, seed=seed, device=device, made_from=checkpoint.made_from)
    with together(launched()):
        loop = _Loop(objective, rows, parts, view, settings, seed, device)
        keeper = Keeper(loop, checkpoint, made_of, settings.checkpoint_every)
        keeper.resume(on_epoch)
        while not loop.is_over:
            loop.run_epoch(keeper.after_step)
            loop.finish_epoch(on_epoch)
        last = loop.finish()
        keeper.finish()
    objective.to("cpu")
    check_learned(encoder, before, loop.history[0], last, rows.n)
    return loop.history


class _Loop:
    """The running state of training: module, optimiser, and the sums since the last record."""

    def __init__(
        self,
        objective: nn.Module,
        rows: TrainingRows,
        parts: tuple[IntArray, IntArray],
        view: View,
        settings: Training,
        seed: int,
        device: torch.device,
    ) -> None:
        self.objective, self.rows, self.settings, self.seed = objective, rows, settings, seed
        self.training_rows, held_out = parts
        self.fabric = fabric_on(device, settings.precision)
        self.plan = Plan.of(len(self.training_rows), settings, world_size())
        if world_size() > 1:
            check_alike(settings, seed, rows.n)
            same_on_all_processes(objective.train(), device)
        optimizer = build_optimizer(objective, settings)
        step = Step(objective, view, settings.precision, device, settings.chunk_size)
        self.module, self.optimizer = self.fabric.setup(step, optimizer)
        self.early_stop: EarlyStop | None = None
        if settings.patience is not None:
            self.early_stop = EarlyStop(held_out, settings.batch_size, settings.patience, seed, world_size())
        self.probe = Probe(rows, view, seed)
        self.epoch, self.position, self.step = 1, 0, 0
        self.finished = False
        self._set_rate()
        self._restart()
        self.history: History = []

    def begin(self) -> None:
        """Row 0 of the history."""
        if self.early_stop is not None:
            self.early_stop.measure(self.module, self._held_out_loss)
        self.history = [self._record(0, math.nan)]

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return self.finished or self.epoch > self.plan.epochs

    def run_epoch(self, after_step: Callable[[], None]) -> None:
        """The steps that are left of one epoch; nothing waits for the device."""
        self.module.train()
        order = self.training_rows[numpy_generator(self.seed, "order", self.epoch).permutation(len(self.training_rows))]
        steps = self.plan.batches(order)
        number = sum(map(len, steps[: self.position]))
        for batches in steps[self.position :][: self.plan.steps - self.step]:
            self._optimizer_step(batches, number)
            number += len(batches)
            self.position += 1
            after_step()

    def _optimizer_step(self, batches: list[IntArray], number: int) -> None:
        in_all = sum(map(len, batches))
        for offset, normal in enumerate(batches):
            positions = self.rows.with_anomalies(normal, self.seed, self.epoch, number + offset)
            batch = self.rows.batch(positions, self.fabric.device, self._dtype)
            loss = self.module(Call(derive(self.seed, "views", self.epoch), batch, len(normal) / in_all))
            self.fabric.backward(loss)
            self.losses += mean(loss).double()
        if self.settings.gradient_clip is not None:
            # To ask each time whether the norm is finite would wait for the device; `_mean_loss` asks.
            self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.settings.gradient_clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if hasattr(self.objective, "after_step"):
            self.objective.after_step()  # type: ignore[operator]
        self.step += 1
        self._set_rate()
        self.steps += 1
        self.seen += in_all

    def finish_epoch(self, on_epoch: OnEpoch | None) -> None:
        """Early stopping, history, and on to the next epoch."""
        stopped = False
        if self.early_stop is not None:
            self.early_stop.measure(self.module, self._held_out_loss)
            self.early_stop.compare(self.epoch, self.objective)
            stopped = self.early_stop.is_over
        if stopped or self.epoch in self.plan.recorded:
            self.history.append(self._record(self.epoch, self._mean_loss()))
            if on_epoch is not None:
                on_epoch(self.history[-1])
        self.epoch, self.position = self.epoch + 1, 0
        self.finished = stopped

    def finish(self) -> dict[str, float]:
        """Take the best weights, and tell the signs of what is kept."""
        self.finished = True
        if self.early_stop is None:
            return self.history[-1]
        if self.early_stop.best_weights:
            self.early_stop.keep_best(self.objective)
        return self._signs()

    def state(self) -> dict[str, Any]:
        """Everything on which the rest of training depends; of a finished one, what is kept."""
        common = {
            "finished": self.finished,
            "history": self.history,
            "module": module_state(self.objective),
            "generators": generator_states(),
        }
        if self.finished:
            return common
        return {
            **common,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "early_stop": None if self.early_stop is None else self.early_stop.state(),
            "at": [self.epoch, self.position, self.step],
            "sums": [self.losses, self.steps, self.seen, time.perf_counter() - self.started],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.finished, self.history = state["finished"], state["history"]
        load_module(self.objective, state["module"])
        if not self.finished:
            self.optimizer.load_state_dict(state["optimizer"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            if self.early_stop is not None:
                self.early_stop.restore(state["early_stop"], self.fabric.device)
            self.epoch, self.position, self.step = state["at"]
            self._set_rate()
            losses, steps, seen, seconds = state["sums"]
            self.losses, self.steps, self.seen = losses.to(self.fabric.device), int(steps), int(seen)
            self.started = time.perf_counter() - seconds
        # Last: what is above may draw.
        restore_generators(state["generators"])

    @property
    def _rate(self) -> float:
        """The learning rate of the next step."""
        return self.settings.learning_rate * self.plan.rate(self.step)

    def _set_rate(self) -> None:
        # Not by torch's schedulers: they warn where the loss scaling of half precision skips a step.
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate

    @property
    def _dtype(self) -> torch.dtype | None:
        return torch.float64 if self.settings.precision == "64-true" else None

    def _held_out_loss(self, seed: int, positions: IntArray) -> Tensor:
        batch = self.rows.batch(share(positions), self.fabric.device, self._dtype)
        return mean(self.module(Call(seed, batch, 1.0)))

    def _mean_loss(self) -> float:
        """Mean loss since the last record."""
        mean = float(self.losses) / self.steps
        if not math.isfinite(mean):
            raise TrainingFailed(
                f"The loss must stay finite; it became {mean} in epoch {self.epoch}. "
                "Lower learning_rate=, or set gradient_clip=1.0."
            )
        return mean

    def _record(self, epoch: int, loss: float) -> dict[str, float]:
        """One row of the history."""
        seconds = max(time.perf_counter() - self.started, 1e-9)
        row = {
            "epoch": float(epoch),
            "step": float(self.step),
            "loss": loss,
            "learning_rate": self._rate,
            **self._signs(),
            "rows_per_second": self.seen / seconds if self.seen else math.nan,
            **({} if self.early_stop is None else self.early_stop.columns()),
        }
        self._restart()
        return row

    def _signs(self) -> dict[str, float]:
        return self.probe.measure(self.objective.get_submodule("encoder"), self.fabric.device)

    def _restart(self) -> None:
        self.losses = torch.zeros((), device=self.fabric.device, dtype=torch.float64)
        self.steps, self.seen, self.started = 0, 0, time.perf_counter()
