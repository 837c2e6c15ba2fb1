"""Texts as units that can be left out: words, or what a mask has hidden, each with its place in the user's own text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from unalike import texts
from unalike.data import take
from unalike.types import BoolArray, Collection, IntArray, Worded
from unalike.views.wording import pieces, written

Trial = tuple[int, ...]
"""Units that are left out together."""


class Document:
    """One text and its parts.

    Parameters
    ----------
    text : str
        As the user gave it.
    data : Tensor
        ``(p, length)`` code points of its parts.
    starts : sequence of int
        Where each part begins in the text as it is encoded.
    modality : Worded
        Fitted; tells where words of the encoded text lie in `text`.

    Attributes
    ----------
    spans : list of (int, int)
        Of each unit, in their order and none overlapping: ``text[start:end]``.
    parts_of : list of list of int
        The parts that each unit is in; more than one where a cut went through it.
    """

    def __init__(self, text: str, data: Tensor, starts: Sequence[int], modality: Worded) -> None:
        self.text, self.data = text, data
        found: list[tuple[int, int]] = []
        counts = []
        for start, numbers in zip(starts, texts.words(data).numpy(), strict=True):
            edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist()
            own = [(start + a, start + b) for a, b in pairwise(edges) if numbers[a] >= 0]
            counts.append(len(own))
            found += own
        self.spans, unit_of = _units(modality.given_spans(text, found))
        self._unit_of = np.full((len(data), max(counts, default=0)), -1, dtype=np.int64)
        self.parts_of: list[list[int]] = [[] for _ in self.spans]
        at = 0
        for part, many in enumerate(counts):
            self._unit_of[part, :many] = unit_of[at : at + many]
            at += many
            for unit in np.unique(self._unit_of[part, :many]).tolist():
                self.parts_of[unit].append(part)

    def units_in(self, parts: IntArray) -> list[int]:
        """Those of some parts, in their order."""
        units: list[int] = np.unique(self._unit_of[parts]).tolist()
        return [unit for unit in units if unit >= 0]

    def without(self, trials: Sequence[Trial]) -> tuple[Tensor, IntArray, IntArray]:
        """The parts that trials change, without the units of the trial.

        Returns
        -------
        rows : Tensor
            ``(m, length)``. A part of which nothing would be left stays as it is.
        number, part : ndarray
            ``(m,)`` each: of which trial each row is, and of which part.
        """
        pairs = [
            (number, part)
            for number, trial in enumerate(trials)
            for part in sorted({part for unit in trial for part in self.parts_of[unit]})
        ]
        number, part = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        gone = np.zeros((len(trials), len(self.spans)), dtype=np.bool_)
        for row, trial in zip(gone, trials, strict=True):
            row[list(trial)] = True
        return self._written(part, ~gone[number[:, None], self._unit_of[part]]), number, part

    def rest(self, units: Sequence[int], part: int) -> Tensor:
        """``(1, length)``: a part without these units."""
        return self._written(np.array([part]), ~np.isin(self._unit_of[[part]], list(units)))

    @property
    def lone(self) -> bool:
        """Whether it is one word."""
        return len(self.spans) == 1

    def leaves_some(self, units: Sequence[int]) -> bool:
        """Whether a word is left in each of their parts when these are left out."""
        there = (self._unit_of >= 0) & ~np.isin(self._unit_of, list(units))
        return all(bool(there[part].any()) for unit in units for part in self.parts_of[unit])

    def _written(self, part: IntArray, keep: BoolArray) -> Tensor:
        rows = self.data[torch.from_numpy(part)]
        words = pieces(rows)
        return written(words.kept(torch.from_numpy(keep[:, : words.start.shape[1]])), rows)


def documents(modality: Worded, X: Collection) -> list[Document]:
    """All of checked `X`."""
    parts, owner = modality.cut(X)
    made = []
    for at, (text, spans) in enumerate(zip(X, modality.spans(X), strict=True)):
        data = modality.tensors(take(parts, np.flatnonzero(owner == at)))
        made.append(Document(str(text), data, [start for start, _ in spans], modality))
    return made


def _units(spans: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], IntArray]:
    """Spans that overlap, such as those of the words of a mask, as one; and the unit that each span is of."""
    units: list[tuple[int, int]] = []
    of = []
    for start, end in spans:
        if units and start < units[-1][1]:
            units[-1] = (units[-1][0], max(end, units[-1][1]))
        else:
            units.append((start, end))
        of.append(len(units) - 1)
    return units, np.array(of, dtype=np.int64)
