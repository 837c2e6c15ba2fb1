"""The one training loop, ignorant of modality and objective."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from unalike.data import evenly
from unalike.embeddings import embed_batch
from unalike.errors import InvalidParameter, TrainingFailed, TrainingWarning
from unalike.objectives.metrics import alignment, effective_rank, spread, uniformity
from unalike.seeding import RowGenerator, derive, numpy_generator
from unalike.types import Batch, IntArray, Training, View

History = list[dict[str, float]]

_PROBE = 256
_SAMPLE = 10_000
_ROWS_OF_HISTORY = 50
_USUAL_EPOCHS = 50
_PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed")
_COLLAPSED_RANK = 1.5
_COLLAPSED_SPREAD = 0.05


@dataclass(frozen=True)
class TrainingRows:
    """The training samples, as the loop sees them.

    Parameters
    ----------
    n : int
        How many there are.
    load : callable
        ``(m,)`` positions to the ``(m, ...)`` tensor of these samples, on the CPU.
    group, time, label : ndarray, optional
        ``(n,)`` each, as in `Batch`.
    """

    n: int
    load: Callable[[IntArray], Tensor]
    group: IntArray | None = None
    time: IntArray | None = None
    label: IntArray | None = None


def train(
    objective: nn.Module,
    rows: TrainingRows,
    view: View,
    settings: Training,
    *,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> History:
    """Train the network inside `objective`; it is changed in place and left on the CPU.

    Parameters
    ----------
    objective : nn.Module
        As `types.Objective`.
    rows : TrainingRows
        Normal samples.
    view : View
        What the objective contrasts under.
    settings : Training
        How long and how fast.
    seed : int
        Draws the order of rows and the views; row ``i``'s views depend on the epoch and on ``i`` only.
    device : torch.device
        Where to compute.
    on_epoch : callable, optional
        Called with each row of the history.

    Returns
    -------
    list of dict
        Rows with ``epoch`` (0 = before training), ``step``, ``loss`` (mean over the epoch), ``learning_rate``,
        ``alignment``, ``uniformity``, ``effective_rank``, ``spread`` (of the embeddings of a fixed probe, in
        two views) and ``rows_per_second``.

    Raises
    ------
    TrainingFailed
        When the loss stops being finite, or no weight moved.
    """
    check(settings)
    if hasattr(objective, "prepare"):
        objective.prepare(rows.load(evenly(rows.n, _SAMPLE)))  # type: ignore[operator]
    encoder = objective.get_submodule("encoder")
    before = _snapshot(encoder)
    loop = _Loop(objective, rows, view, settings, seed, device)
    history = [loop.record(0, math.nan)]
    for epoch in range(1, loop.plan.epochs + 1):
        loop.run(epoch)
        if epoch in loop.plan.recorded:
            history.append(loop.record(epoch, loop.mean_loss(epoch)))
            if on_epoch is not None:
                on_epoch(history[-1])
    objective.to("cpu")
    _check_learned(encoder, before, history, rows.n)
    return history


def total_steps(n: int, settings: Training) -> int:
    """How many optimiser steps training on `n` rows takes."""
    return _Plan.of(n, settings).steps


def settle(own: Training | None, override: Training | Mapping[str, Any] | None) -> Training:
    """The settings to train with.

    Parameters
    ----------
    own : Training, optional
        The branch's; None stands for ``Training()``.
    override : Training or mapping, optional
        The detector's: whole settings, or some fields, which change those of the branch's own.

    Raises
    ------
    InvalidParameter
        When a field is unknown or a setting out of range.
    """
    own = own or Training()
    if override is None or isinstance(override, Training):
        settings = override or own
    elif not isinstance(override, Mapping) or not set(override) <= {field.name for field in fields(own)}:
        raise InvalidParameter(f"`training` must be a Training or a mapping of its fields; got {override!r}.")
    else:
        settings = replace(own, **override)
    check(settings)
    return settings


def check(settings: Training) -> None:
    """Refuse settings that cannot train.

    Raises
    ------
    InvalidParameter
        When a number is out of range or the optimiser is unknown.
    """
    if settings.optimizer not in ("adam", "adamw", "sgd"):
        raise InvalidParameter(f"`optimizer` must be 'adam', 'adamw' or 'sgd'; got {settings.optimizer!r}.")
    if settings.precision not in _PRECISIONS:
        raise InvalidParameter(f"`precision` must be one of {_PRECISIONS}; got {settings.precision!r}.")
    for name in ("epochs", "batch_size", "steps"):
        value = getattr(settings, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 1):
            raise InvalidParameter(f"`{name}` must be a whole number of 1 or more; got {value!r}.")
    rates = (settings.learning_rate, settings.weight_decay, settings.warmup)
    # Written so that NaN fails, too.
    if not (0 < rates[0] < math.inf and 0 <= rates[1] < math.inf and 0 <= rates[2] < 1):
        raise InvalidParameter(
            "`learning_rate` must be above 0, `weight_decay` at least 0 and `warmup` in [0, 1); got "
            f"{settings.learning_rate}, {settings.weight_decay} and {settings.warmup}."
        )


@dataclass(frozen=True)
class _Plan:
    """How many epochs and steps; near-equal batches, so that no row is dropped and none trains alone."""

    n: int
    per_epoch: int
    epochs: int
    steps: int
    warmup_steps: int
    recorded: frozenset[int]

    @staticmethod
    def of(n: int, settings: Training) -> _Plan:
        per_epoch = max(1, round(n / settings.batch_size)) if n >= settings.batch_size else 1
        steps = min(
            math.inf if settings.steps is None else settings.steps,
            math.inf if settings.epochs is None else settings.epochs * per_epoch,
        )
        steps = _USUAL_EPOCHS * per_epoch if math.isinf(steps) else int(steps)
        epochs = math.ceil(steps / per_epoch)
        every = max(1, math.ceil(epochs / _ROWS_OF_HISTORY))
        recorded = frozenset({*range(every, epochs + 1, every), 1, epochs})
        return _Plan(n, per_epoch, epochs, steps, round(settings.warmup * steps), recorded)

    def batches(self, seed: int, epoch: int) -> list[IntArray]:
        order = numpy_generator(seed, "order", epoch).permutation(self.n)
        return [positions.astype(np.int64) for positions in np.array_split(order, self.per_epoch)]

    def rate(self, step: int) -> float:
        """Linear warm-up, then cosine annealing to 0 (Loshchilov and Hutter, SGDR, 2017)."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        share = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


class _Loop:
    """The running state of training: module, optimiser, schedule, and the sums since the last record."""

    def __init__(
        self, objective: nn.Module, rows: TrainingRows, view: View, settings: Training, seed: int, device: torch.device
    ) -> None:
        self.objective, self.rows, self.settings, self.seed = objective, rows, settings, seed
        self.plan = _Plan.of(rows.n, settings)
        self.fabric = Fabric(accelerator=device.type, devices=_devices(device), precision=settings.precision)
        optimizer = _optimizer(objective, settings)
        self.module, self.optimizer = self.fabric.setup(_Step(objective, view), optimizer)
        self.schedule = LambdaLR(optimizer, self.plan.rate)
        self.probe = _Probe(rows.load(evenly(rows.n, _PROBE)), view, seed)
        self.step = 0
        self._restart()

    def run(self, epoch: int) -> None:
        """All steps of one epoch; nothing waits for the device."""
        self.module.train()
        for positions in self.plan.batches(self.seed, epoch)[: self.plan.steps - self.step]:
            loss = self.module(derive(self.seed, "views", epoch), *_tensors(self.rows, positions, self.fabric.device))
            self.fabric.backward(loss)
            if self.settings.gradient_clip is not None:
                self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.settings.gradient_clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.schedule.step()
            if hasattr(self.objective, "after_step"):
                self.objective.after_step()  # type: ignore[operator]
            self.step += 1
            self.losses += loss.detach().double()
            self.steps += 1
            self.seen += len(positions)

    def mean_loss(self, epoch: int) -> float:
        """Mean loss since the last record."""
        mean = float(self.losses) / self.steps
        if not math.isfinite(mean):
            raise TrainingFailed(
                f"The loss must stay finite; it became {mean} in epoch {epoch}. "
                "Lower learning_rate=, or set gradient_clip=1.0."
            )
        return mean

    def record(self, epoch: int, loss: float) -> dict[str, float]:
        """One row of the history."""
        seconds = max(time.perf_counter() - self.started, 1e-9)
        row = {
            "epoch": float(epoch),
            "step": float(self.step),
            "loss": loss,
            "learning_rate": float(self.schedule.get_last_lr()[0]),
            **self.probe.measure(self.objective.get_submodule("encoder"), self.fabric.device),
            "rows_per_second": self.seen / seconds if self.seen else math.nan,
        }
        self._restart()
        return row

    def _restart(self) -> None:
        self.losses = torch.zeros((), device=self.fabric.device, dtype=torch.float64)
        self.steps, self.seen, self.started = 0, 0, time.perf_counter()


class _Step(nn.Module):
    """One forward per step, from plain tensors: Fabric walks through the arguments and stops at frozen dataclasses."""

    def __init__(self, objective: nn.Module, view: View) -> None:
        super().__init__()
        self.objective = objective
        self.view = view

    def forward(
        self, seed: int, data: Tensor, index: Tensor, group: Tensor | None, time: Tensor | None, label: Tensor | None
    ) -> Tensor:
        loss: Tensor = self.objective(Batch(data, index, group, time, label), self.view, RowGenerator(seed, index))
        return loss


class _Probe:
    """A fixed set of samples in two fixed views, on which the embedding is watched."""

    def __init__(self, data: Tensor, view: View, seed: int) -> None:
        generator = RowGenerator(derive(seed, "probe"), torch.arange(len(data)))
        self.pair = torch.cat([view(data, generator), view(data, generator)])

    def measure(self, encoder: nn.Module, device: torch.device) -> dict[str, float]:
        was_training = encoder.training
        encoder.eval()
        embeddings = torch.from_numpy(embed_batch(encoder, self.pair, device)).float()
        encoder.train(was_training)
        if not embeddings.isfinite().all():
            raise TrainingFailed(
                "The embeddings must stay finite; training made NaN or infinity. Lower learning_rate=, or set "
                "gradient_clip=1.0."
            )
        first, second = embeddings.chunk(2)
        return {
            "alignment": float(alignment(first, second)),
            "uniformity": float(uniformity(first)),
            "effective_rank": float(effective_rank(first)),
            "spread": float(spread(first)),
        }


def _devices(device: torch.device) -> list[int] | int:
    return [device.index or 0] if device.type == "cuda" else 1


def _optimizer(objective: nn.Module, settings: Training) -> Optimizer:
    parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    if not parameters:
        raise TrainingFailed(
            "The objective must hold weights that can be trained; it has none. "
            "For a frozen encoder say objective='frozen'."
        )
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
    return (Adam if settings.optimizer == "adam" else AdamW)(parameters, lr=rate, weight_decay=decay)


def _tensors(rows: TrainingRows, positions: IntArray, device: torch.device) -> tuple[Tensor | None, ...]:
    def column(values: IntArray | None) -> Tensor | None:
        return None if values is None else torch.from_numpy(values[positions]).to(device)

    data = rows.load(positions).to(device, non_blocking=True)
    return data, torch.from_numpy(positions).to(device), column(rows.group), column(rows.time), column(rows.label)


def _snapshot(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().cpu().clone() for parameter in module.parameters() if parameter.requires_grad]


def _check_learned(encoder: nn.Module, before: list[Tensor], history: History, n: int) -> None:
    after = _snapshot(encoder)
    if before and all(torch.equal(old, new) for old, new in zip(before, after, strict=True)):
        raise TrainingFailed(
            "Training must move the encoder's weights; not one moved. Raise learning_rate= or the number of "
            "steps, or check that the objective's loss depends on the encoder."
        )
    first, last = history[0], history[-1]
    rank, width = "effective_rank", "spread"
    collapsed = last[rank] < min(_COLLAPSED_RANK, first[rank]) or last[width] < min(_COLLAPSED_SPREAD, first[width])
    if n >= 8 and collapsed:
        warnings.warn(
            f"The embedding collapsed: its effective rank went from {first[rank]:.1f} to {last[rank]:.1f} and its "
            f"spread from {first[width]:.3f} to {last[width]:.3f}. Lower learning_rate=, raise the temperature or the "
            "batch size, or choose views that change less.",
            TrainingWarning,
            stacklevel=2,
        )
