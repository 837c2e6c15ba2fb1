"""A bank moved and rescaled to where matrix products of its rows lose least."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from unalike.data import evenly
from unalike.scorers.arrays import unit_rows
from unalike.types import FloatArray, IntArray

# A prepared bank answers single queries many times faster; past this many chunks it would cost too much memory.
KEPT_CHUNKS = 16
# Rows whose median is the centre.
_CENTRED = 512


class Frame:
    """Rows of `bank`, less `centre`, divided by `scale`: the largest deviation of any of its numbers.

    The centre is a median: where most rows lie near each other and a few far off, it is among the most.

    Parameters
    ----------
    bank : ndarray
        ``(m, d)``; kept as it is.
    metric : {"euclidean", "cosine"}
        As in `unalike.scorers.search.Search`.
    numbers : int
        Float64 numbers that working memory holds; 16 times as much memory may be kept.
    """

    def __init__(self, bank: FloatArray, metric: Literal["euclidean", "cosine"], numbers: int) -> None:
        self.bank = bank
        self.metric = metric
        self.width = bank.shape[1] + (metric == "cosine")
        self.most_kept = KEPT_CHUNKS * numbers
        self.keeps = len(bank) * self.width <= 2 * self.most_kept
        self._numbers = numbers
        self._kept: Tensor | None = None
        self.centre = np.median(self.lift(bank[evenly(len(bank), _CENTRED)]), axis=0)
        largest = max(float(np.abs(self.lift(bank[part]) - self.centre).max()) for part in self.blocks())
        self.scale = largest if largest > 0.0 else 1.0

    def lift(self, rows: FloatArray) -> FloatArray:
        """What is compared in Euclidean distance: unit vectors for the cosine."""
        return unit_rows(rows) if self.metric == "cosine" else rows

    def framed(self, lifted: FloatArray) -> FloatArray:
        """``(n, width)`` lifted rows in this frame."""
        return np.asarray((lifted - self.centre) / self.scale)

    def rows(self, positions: IntArray) -> FloatArray:
        """Rows ``(b, width)`` of the bank in its frame, in double precision."""
        return self.framed(self.lift(self.bank[positions]).astype(np.float64))

    def factors(self, part: slice, dtype: torch.dtype) -> Tensor:
        """``(b, width + 1)``: ``(-2 y, |y|^2)`` for rows y of the bank, so that times ``(x, 1)`` each gives
        ``|x - y|^2 - |x|^2``.
        """
        if dtype is not torch.float32 or not self.keeps:
            return self._factors(part, dtype)
        if self._kept is None:
            self._kept = torch.empty(len(self.bank), self.width + 1)
            for block in self.blocks():
                self._kept[block] = self._factors(block, dtype)
        return self._kept[part]

    def blocks(self) -> list[slice]:
        """The whole bank, in parts that fit in a quarter of the memory as float64."""
        step = max(self._numbers // (4 * self.width), 1)
        return [slice(start, start + step) for start in range(0, len(self.bank), step)]

    def error(self, precision: type[np.float32] | type[np.float64]) -> float:
        """A product in this precision is wrong by at most so much times the square of ``|x| + |y|``."""
        return float((8.0 + 4.0 * math.sqrt(self.width)) * np.finfo(precision).eps / 2.0)

    def _factors(self, part: slice, dtype: torch.dtype) -> Tensor:
        lifted = self.lift(self.bank[part])
        if dtype is torch.float64:
            lifted = lifted.astype(np.float64)
        rows = torch.from_numpy(self.framed(lifted)).to(dtype)
        return torch.cat([-2.0 * rows, rows.square().sum(dim=1, keepdim=True)], dim=1)


def with_one(rows: npt.NDArray[Any]) -> Tensor:
    """``(n, width + 1)`` of ``(n, width)``; the last column is 1."""
    return functional.pad(torch.from_numpy(rows), (0, 1), value=1.0)
