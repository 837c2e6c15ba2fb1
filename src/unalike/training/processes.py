"""Training in several processes: what must hold before it begins, and what is told when one of them is lost.

Every process runs the same program with the same data and settings. Each reads its part of every batch; gradients are
averaged by DDP; draws depend on rows, not on processes; so all end with the same weights, those of one process.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import blake2b

import torch
from torch import nn

from unalike.errors import InvalidParameter, TrainingFailed, UnalikeError
from unalike.parallel import all_equal, launched, world_size
from unalike.training.modules import training_batch_norms
from unalike.types import Training

_LOST = ("connection", "gloo", "nccl", "timed out", "peer", "socket", "process group")


def check_launch() -> None:
    """Refuse processes that torchrun did not start: their losses would see each other, but not their gradients.

    Raises
    ------
    InvalidParameter
        When there are such.
    """
    if world_size() > 1 and launched() == 1:
        raise InvalidParameter(
            f"Training in several processes must be started by torchrun; got a process group of {world_size()} without "
            "it. Start the program with `torchrun --nproc-per-node 2 ...`, or do not make the group."
        )


def check_alike(settings: Training, seed: int, n: int) -> None:
    """Refuse processes that would train different things.

    Raises
    ------
    InvalidParameter
        When seed, number of rows or settings differ.
    """
    told = json.dumps({**asdict(settings), "cache": None})
    digest = int.from_bytes(blake2b(told.encode(), digest_size=7).digest(), "little")
    if not all_equal([seed, n, digest]):
        raise InvalidParameter(
            "All processes must call `fit` with the same data, settings and `random_state`; these differ. Give "
            "random_state= a number, and every process the same program."
        )


def same_on_all_processes(objective: nn.Module, device: torch.device) -> None:
    """Make batch normalisation see the rows of all processes; nothing else looks at other rows outside the loss.

    Raises
    ------
    InvalidParameter
        On the CPU, where torch cannot.
    """
    mixing = training_batch_norms(objective)
    if not mixing:
        return
    if device.type != "cuda":
        raise InvalidParameter(
            "In several processes on the CPU the network must not train batch normalisation, whose statistics would "
            f"be those of a part of the batch; got some in {mixing[:3]}. Use group normalisation, or one process."
        )
    nn.SyncBatchNorm.convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]


@contextmanager
def together(processes: int) -> Iterator[None]:
    """Tells of a lost process in words.

    Raises
    ------
    TrainingFailed
        When another process ended.
    """
    if processes == 1:
        yield
        return
    with warnings.catch_warnings():
        # Whether a parameter takes part may depend on the batch, so that DDP is told to look; then it wonders why.
        warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
        # Its successor sends the buffers around once all the same, and older versions of torch do not know it.
        warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
        try:
            yield
        except UnalikeError:
            raise
        except RuntimeError as error:
            if not any(word in str(error).lower() for word in _LOST):
                raise
            raise TrainingFailed(
                f"All {processes} processes must stay until training ends; one of them ended or cannot be reached "
                f"({str(error).splitlines()[0]}). See its own error; with checkpoint= the same command goes on, also "
                "in another number of processes."
            ) from error
