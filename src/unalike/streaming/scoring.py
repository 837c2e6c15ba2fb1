"""Fused scores of windows by the branches of a fitted detector, ready for one window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from unalike.branch import FittedBranch
from unalike.embeddings import embed_batch, ready
from unalike.judging import Judge
from unalike.modalities.windows import Windows, judged
from unalike.records import Records, Segment
from unalike.records.raw import Learned
from unalike.scorers.fusion import Fusion
from unalike.scorers.neighbors import KNN
from unalike.scorers.together import Alone
from unalike.types import FloatArray

_AT_ONCE = 1024


@runtime_checkable
class InWindows(Protocol):
    """What a stream needs of a fitted modality: `modalities.Series`."""

    name: str
    time: str | None
    entity: str | None
    ignore: Sequence[str]
    longest_gap: int
    window_: int
    stride_: int
    learned_: Learned

    def tensors(self, parts: Windows) -> torch.Tensor: ...

    def tell_unknown(self, entities: Sequence[str]) -> None: ...


class Scoring:
    """Scores windows.

    Parameters
    ----------
    modality : InWindows
        Fitted.
    branches : sequence of FittedBranch
        Their encoders are put on the device, for evaluation.
    fusion : Fusion
        Fitted on the scores of these branches.
    device : torch.device
        Where to embed.
    entity : str
        Whose windows they are.
    """

    def __init__(
        self,
        modality: InWindows,
        branches: Sequence[FittedBranch],
        fusion: Fusion,
        device: torch.device,
        entity: str = "",
    ) -> None:
        self.modality, self.fusion, self.device, self.entity = modality, fusion, device, entity
        self.length = modality.window_
        self.judges = {branch.settings.name: branch.judge for branch in branches}
        self._alone = {name: Alone() for name, judge in self.judges.items() if isinstance(judge.scorer, KNN)}
        for judge in self.judges.values():
            ready(judge.encoder, device)

    def ends(self, before: FloatArray, new: FloatArray) -> FloatArray:
        """``(t,)`` score of the window that ends at each new step; NaN where there is none, or too little was measured.

        Parameters
        ----------
        before : ndarray
            ``(b, channels)`` steps of the segment before, those that windows reach.
        new : ndarray
            ``(t, channels)``.
        """
        values = np.concatenate([before, new])
        first = np.arange(len(before), len(values)) - self.length + 1
        scores = np.full(len(new), np.nan)
        full = first >= 0
        full[full] = judged(values, first[full], self.length)
        scores[full] = self._scores(values, first[full])
        return scores

    def short(self, values: FloatArray) -> float:
        """Score of a segment that is shorter than a window; NaN where too little was measured."""
        first = np.array([len(values) - self.length])
        return float(self._scores(values, first)[0]) if judged(values, first, self.length)[0] else float("nan")

    def _scores(self, values: FloatArray, first: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> FloatArray:
        records = Records((Segment(values, self.entity),), self.modality.learned_.channels)
        parts = Windows(records, self.length, np.zeros(len(first), dtype=np.int64), first)
        chunks = [
            self._fused(parts[np.arange(at, min(at + _AT_ONCE, len(first)))]) for at in range(0, len(first), _AT_ONCE)
        ]
        return np.concatenate([np.zeros(0), *chunks])

    def _fused(self, parts: Windows) -> FloatArray:
        data = self.modality.tensors(parts)
        return self.fusion.score({name: self._by(name, judge, data) for name, judge in self.judges.items()})

    def _by(self, name: str, judge: Judge, data: torch.Tensor) -> FloatArray:
        """``(n,)`` scores by one judge; a window that comes alone is searched with less to begin with."""
        embeddings = embed_batch(judge.encoder, data, self.device)
        alone = self._alone.get(name) if len(embeddings) == 1 else None
        scores = None if alone is None else alone.scores([judge.scorer], embeddings)
        return judge.scorer.score(embeddings) if scores is None else scores
