"""The network with its optimiser, as Lightning Fabric takes them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from unalike.errors import TrainingFailed
from unalike.parallel import launched
from unalike.seeding import RowGenerator
from unalike.training.chunked import chunked_loss
from unalike.types import Batch, Training, View

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Call:
    """What one forward needs.

    A plain class: Fabric would round the tensors of a collection to the precision of the network, codes of
    categories and pixels included, and stops at frozen dataclasses.

    Parameters
    ----------
    seed : int
        Of the rows' draws.
    batch : Batch
        On the device.
    share : float
        Of the loss in that of the optimiser step.
    """

    def __init__(self, seed: int, batch: Batch, share: float = 1.0) -> None:
        self.seed, self.batch, self.share = seed, batch, share


class Step(nn.Module):
    """One forward per batch: its loss, times its share of the optimiser step.

    Parameters
    ----------
    objective : nn.Module
        As `types.Objective`.
    view : View
        What it contrasts under.
    precision : str
        As in `Training`.
    device : torch.device
        Where it computes.
    chunk_size : int, optional
        As in `Training`; the objective is checked.
    """

    def __init__(
        self, objective: nn.Module, view: View, precision: str, device: torch.device, chunk_size: int | None = None
    ) -> None:
        super().__init__()
        self.objective = objective
        self.view = view
        self.mixed_on = device.type if precision.endswith("mixed") else None
        self.chunk_size = chunk_size

    def forward(self, call: Call) -> Tensor:
        """Scalar loss."""
        view = self.view if self.mixed_on is None else self._exact_view
        generator = RowGenerator(call.seed, call.batch.index)
        if self.chunk_size is None:
            loss: Tensor = self.objective(call.batch, view, generator)
        else:
            loss = chunked_loss(self.objective, call.batch, view, generator, self.chunk_size)
        # Here, where the loss still has the precision of the network.
        return loss if call.share == 1.0 else loss * call.share

    def _exact_view(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """The view in full precision: half of it would blur coordinates and values."""
        with torch.autocast(str(self.mixed_on), enabled=False):
            return self.view(data, generator)


def fabric_on(device: torch.device, precision: str) -> Fabric:
    """Lightning Fabric for one device, or for the processes that torchrun started, which meet here."""
    # Here, because it takes seconds to import, and a model that is loaded only to judge does not need it.
    from lightning_fabric import Fabric

    with _without_notes():
        if launched() > 1:
            fabric = _fabric_of_processes(device.type, precision)
            fabric.launch()
            return fabric
        number: list[int] | int = [device.index or 0] if device.type == "cuda" else 1
        return Fabric(accelerator=device.type, devices=number, precision=precision)  # type: ignore[arg-type]


def _fabric_of_processes(kind: str, precision: str) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    here = int(os.environ.get("LOCAL_WORLD_SIZE", launched()))
    # Buffers are the same in every process by themselves; a queue of negatives is large to send around.
    strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    return Fabric(
        accelerator=kind,
        devices=here,
        num_nodes=launched() // here,
        strategy=strategy,
        plugins=[TorchElasticEnvironment()],
        precision=precision,  # type: ignore[arg-type]
    )


@contextmanager
def _without_notes() -> Iterator[None]:
    """Fabric says on the terminal what it was just told, that precision is mixed."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def build_optimizer(objective: nn.Module, settings: Training) -> Optimizer:
    """The optimiser of all weights that can be trained.

    Raises
    ------
    TrainingFailed
        When there are none.
    """
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
