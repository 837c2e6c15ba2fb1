"""The training samples as the loop sees them, and the batches it draws from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from unalike.data import split
from unalike.errors import InvalidInput, InvalidParameter
from unalike.parallel import share, world_size
from unalike.seeding import numpy_generator
from unalike.training.plan import LARGEST_HELD_OUT
from unalike.types import Batch, IntArray, Training

_NORMAL_PER_ANOMALY = 8


@dataclass(frozen=True)
class TrainingRows:
    """The training samples, as the loop sees them.

    Parameters
    ----------
    n : int
        How many normal ones there are.
    load : callable
        ``(m,)`` positions to the ``(m, ...)`` tensor of these samples, on the CPU.
    group, time, label : ndarray, optional
        ``(n,)`` each, as in `Batch`.
    n_anomalies : int
        How many labelled anomalies there are, at the positions ``n`` to ``n + n_anomalies - 1``. Some of them,
        with label 1, are put behind the normal rows of every batch: one for every 8 of these, at least one.
        Each is a group of its own; their time, which nobody told, is -1.
    """

    n: int
    load: Callable[[IntArray], Tensor]
    group: IntArray | None = None
    time: IntArray | None = None
    label: IntArray | None = None
    n_anomalies: int = 0

    def with_anomalies(self, normal: IntArray, seed: int, epoch: int, number: int) -> IntArray:
        """Positions of the epoch's batch `number`, normal ones first; without labelled anomalies as they are.

        With many processes each gets its part of both; the anomalies are as many for each.
        """
        if not self.n_anomalies:
            return share(normal)
        wanted = max(1, len(normal) // _NORMAL_PER_ANOMALY)
        wanted = -(-wanted // world_size()) * world_size()
        drawn = numpy_generator(seed, "anomalies", epoch, number).choice(
            self.n_anomalies, wanted, replace=wanted > self.n_anomalies
        )
        return np.concatenate([share(normal), share(self.n + drawn)]).astype(np.int64)

    def batch(self, positions: IntArray, device: torch.device, dtype: torch.dtype | None = None) -> Batch:
        """Samples on `device`, in the floating-point type `dtype` where given."""

        def column(values: IntArray | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values[positions]).to(device)

        data = self.load(positions)
        data = data.to(device, dtype if data.is_floating_point() else None, non_blocking=True)
        index = torch.from_numpy(positions).to(device)
        return Batch(data, index, *(column(values) for values in self._columns))

    @cached_property
    def _columns(self) -> tuple[IntArray | None, IntArray | None, IntArray | None]:
        m = self.n_anomalies
        if not m:
            return self.group, self.time, self.label
        label = np.zeros(self.n, dtype=np.int64) if self.label is None else self.label
        return (
            None if self.group is None else np.concatenate([self.group, self.group.max() + 1 + np.arange(m)]),
            None if self.time is None else np.concatenate([self.time, np.full(m, -1, dtype=np.int64)]),
            np.concatenate([label, np.ones(m, dtype=np.int64)]),
        )


def hold_out(rows: TrainingRows, settings: Training, seed: int) -> tuple[IntArray, IntArray]:
    """Positions of normal rows that train, and of those held out for early stopping: none without `patience`.

    Whole groups are held out; with times, the latest rows.

    Raises
    ------
    InvalidParameter
        When the rows are too few for it.
    """
    if settings.patience is None:
        return np.arange(rows.n, dtype=np.int64), np.empty(0, dtype=np.int64)
    by_time = rows.time if rows.group is None else None
    try:
        parts = split(
            rows.n,
            calibration=settings.held_out,
            largest=LARGEST_HELD_OUT,
            generator=numpy_generator(seed, "held out"),
            groups=None if rows.group is None else rows.group.tolist(),
            time=None if by_time is None else by_time.tolist(),
        )
        train, held = parts.train, parts.calibration
    except InvalidInput:
        train = held = np.empty(0, dtype=np.int64)
    if len(train) < 2 or len(held) < 2:
        raise InvalidParameter(
            f"`patience` needs at least 2 rows (of whole groups) to train on and 2 to hold out; of {rows.n} rows "
            f"held_out={settings.held_out} cannot give both. Give more samples, another share, or patience=None."
        )
    return train, held
