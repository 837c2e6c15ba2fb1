"""Scorers that learn more samples, their encoders as they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from unalike.branch import FittedBranch
from unalike.data import count, one_of_each_stretch, shared_out, take
from unalike.errors import InvalidParameter
from unalike.judging import Judge, fit_beside_background, for_scorer
from unalike.memory import MOST_ROWS, Memory, Rows
from unalike.modalities.windows import check_some
from unalike.parts import Parts, load_parts
from unalike.passes import Passes
from unalike.plain import unlearned
from unalike.seeding import numpy_generator
from unalike.types import Collection, IntArray, InTime, Modality, Scorer


def grown_branches(
    branches: Sequence[FittedBranch],
    memory: Memory,
    modality: Modality,
    X: Collection,
    groups: IntArray | None,
    device: torch.device,
) -> tuple[FittedBranch, ...]:
    """The branches with scorers that know checked `X` too; encoders stay.

    A scorer with a method ``add(embeddings, reference, groups)`` takes the new rows; another is fitted again on the
    encoded training samples of the memory and on new ones in proportion.

    Raises
    ------
    InvalidParameter
        When a scorer can do neither.
    InvalidInput
        When records make no window.
    """
    parts, owner = modality.cut(X)
    if isinstance(modality, InTime):  # parts that overlap must not vouch for each other
        check_some(owner, count(X))
        parts, owner = _thinned(parts, owner, getattr(modality, "share_", 1.0))
        codes: IntArray | None = modality.timing(parts)[1]
    else:
        codes = None if groups is None else groups[owner]
    new = Parts(len(owner), load_parts(modality, parts, keep=True), owner, codes)
    grow = _Grow(memory, new, device, Passes.over([branch.judge.encoder for branch in branches]))
    return tuple(
        replace(
            branch,
            judge=grow.judge(branch.judge, branch.settings.name),
            untrained=None if branch.untrained is None else grow.judge(branch.untrained, branch.settings.name),
        )
        for branch in branches
    )


def _thinned(parts: Collection, owner: IntArray, share: float) -> tuple[Collection, IntArray]:
    """As many of the windows as training took of its own: else new times would weigh more than those of training."""
    most = max(round(share * len(owner)), 1)
    if most >= len(owner):
        return parts, owner
    kept = one_of_each_stretch(len(owner), most, numpy_generator(0, "parts"))
    return take(parts, kept), owner[kept]


class _Grow:
    """Adds the same new parts to one judge after the other."""

    def __init__(self, memory: Memory, new: Parts, device: torch.device, passes: Passes) -> None:
        self.memory = memory
        self.new = new
        self.device = device
        self.passes = passes
        self.rows, self.reference = _parts_of(memory.rows), _parts_of(memory.reference)

    def judge(self, judge: Judge, branch: str) -> Judge:
        embeddings = self._given(judge, self.new)
        held = None if self.reference is None else self._given(judge, self.reference)
        if hasattr(judge.scorer, "add"):
            added: Scorer = copy.deepcopy(judge.scorer).add(embeddings, held, self.new.group)
            return replace(judge, scorer=added)
        if self.rows is None:
            raise InvalidParameter(
                f"The scorer {type(judge.scorer).__name__} of branch {branch!r} must be fitted again to take new "
                "samples, and the model keeps no training samples of this kind of data. Fit the detector again, or "
                "switch the branch off."
            )
        old, at = shared_out(self.rows.n, self.memory.seen, len(embeddings), MOST_ROWS)
        joined = np.concatenate([self._given(judge, self.rows)[old], embeddings[at]])
        fit = fit_beside_background(unlearned(judge.scorer), judge.encoder, branch, self.device, self.passes)
        return replace(judge, scorer=fit(joined, held, None))

    def _given(self, judge: Judge, parts: Parts) -> Any:
        return for_scorer(judge.encoder, judge.scorer, parts, self.device, self.passes)


def _parts_of(rows: Rows | None) -> Parts | None:
    """Kept rows, each a part."""
    if rows is None:
        return None
    tensors = torch.from_numpy(rows)
    return Parts(len(rows), lambda at: tensors[torch.from_numpy(at)], np.arange(len(rows)))
