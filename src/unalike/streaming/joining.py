"""Final scores of steps, from the scores of windows as they come: what the batch joins, without the whole record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unalike.types import FloatArray


def _none() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False, slots=True)
class Running:
    """Sums of window scores over the steps of one segment that are not final yet.

    Windows count that begin at a multiple of the stride after the segment's first step, and at its end the last one.

    Parameters
    ----------
    length, stride : int
        Of windows, in steps.
    least : float
        Score of steps that no judged window covers.
    n : int
        Steps of the segment so far.
    total, covered : ndarray
        ``(p,)``: of the last steps the sum of the scores of the windows that cover each, and how many these are.
    last : float
        Score of the window that ends at the last step; NaN where it is not judged.
    """

    length: int
    stride: int
    least: float = 0.0
    n: int = 0
    total: FloatArray = field(default_factory=_none)
    covered: FloatArray = field(default_factory=_none)
    last: float = float("nan")

    def extended(self, ends: FloatArray) -> tuple[Running, FloatArray]:
        """With ``(t,)`` more steps, given the score of the window that ends at each (NaN: not judged).

        Returns
        -------
        running : Running
        final : ndarray
            Scores of the steps that are final now, the next ones after those that were.
        """
        n, first = self.n + len(ends), self.n - len(self.total)
        total, covered = (np.concatenate([kept, np.zeros(len(ends))]) for kept in (self.total, self.covered))
        starts = np.arange(self.n, n) - self.length + 1
        used = np.flatnonzero((starts >= 0) & (starts % self.stride == 0) & ~np.isnan(ends))
        # In the order of the windows, as the batch adds them: sums are equal to the last bit.
        for start, score in zip((starts[used] - first).tolist(), ends[used].tolist(), strict=True):
            total[start : start + self.length] += score
            covered[start : start + self.length] += 1.0
        done = max(_final_before(n, self.length, self.stride) - first, 0)
        kept = replace(self, n=n, total=total[done:], covered=covered[done:], last=float(ends[-1]))
        return kept, _means(total[:done], covered[:done], self.least)

    def closed(self, short: float) -> FloatArray:
        """Scores of the steps that were not final, when the segment ends here.

        Parameters
        ----------
        short : float
            Of a segment shorter than a window: the score of the only window.
        """
        total, covered = self.total.copy(), self.covered.copy()
        aligned = self.n >= self.length and (self.n - self.length) % self.stride == 0
        score = short if self.n < self.length else self.last
        if self.n and not aligned and not np.isnan(score):
            total[-self.length :] += score
            covered[-self.length :] += 1.0
        return _means(total, covered, self.least)

    def state(self) -> dict[str, Any]:
        """What changes as steps come."""
        return {"n": self.n, "total": self.total, "covered": self.covered, "last": np.array([self.last])}

    def restored(self, state: dict[str, Any]) -> Running:
        """With what `state` gave."""
        return replace(self, **{**state, "last": float(state["last"][0])})


def delay_of(length: int, stride: int) -> int:
    """Steps after which a step's score is final at the latest."""
    return length - 1 if stride == 1 else length


def _final_before(n: int, length: int, stride: int) -> int:
    """After `n` steps, those before this one are final, wherever the record will end.

    Its last window may begin at any later step, and it is one more where that is no multiple of the stride.
    """
    last = n - length
    return last + 1 if last >= 0 and last % stride == 0 else last


def _means(total: FloatArray, covered: FloatArray, least: float) -> FloatArray:
    means: FloatArray = np.full(len(total), least)
    return np.divide(total, covered, out=means, where=covered > 0)
