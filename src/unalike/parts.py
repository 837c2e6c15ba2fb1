"""Parts of samples: what is encoded, trained on and scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unalike.data import count, evenly, take
from unalike.types import Collection, IntArray, Modality

_KEPT_BYTES = 512 * 2**20
_SAMPLE = 10_000

Loader = Callable[[IntArray], Tensor]


@dataclass(frozen=True)
class Parts:
    """Parts of samples with what is known of them; `load` makes tensors of some, `owner` is as `Modality.cut` says."""

    n: int
    load: Loader
    owner: IntArray
    group: IntArray | None = None
    time: IntArray | None = None

    def some(self, positions: IntArray) -> Parts:
        """Those at `positions`."""
        group, time = (None if of is None else of[positions] for of in (self.group, self.time))
        return Parts(len(positions), lambda at: self.load(positions[at]), self.owner[positions], group, time)

    def sample(self) -> Tensor:
        """At most 10,000 of them, for what is learned before training: scales, ranges, pools to draw from."""
        return self.load(evenly(self.n, _SAMPLE))


def load_parts(modality: Modality, parts: Collection, *, keep: bool) -> Loader:
    """A function from positions to the tensor of these parts.

    With `keep` the tensors of all parts stay in memory for the many passes of training: up to 512 MB, and those of
    parts that are larger than memory themselves in any case.
    """

    def load(positions: IntArray) -> Tensor:
        return modality.tensors(take(parts, positions))

    n = count(parts)
    if not keep or n == 0:
        return load
    first = load(np.arange(1))
    # What is read in passes cannot be gone through in random order.
    if first.numel() * first.element_size() * n > _KEPT_BYTES and not getattr(parts, "lazy", False):
        return load
    kept = torch.cat([load(np.arange(start, min(start + 512, n))) for start in range(0, n, 512)])
    return lambda positions: kept[torch.from_numpy(positions)]
