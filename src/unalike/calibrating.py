"""Scores of the records of a fit that may calibrate: each window by what was learned of other times.

A few held-out blocks are few windows. So all steps calibrate, those that trained too: the record is divided into
stretches of time, and each is judged by scorers that know the others alone, a window's length away from it ("leave a
window out": Jiang, Barber, Pananjady and Xie, arXiv 2605.30292, 2026; the jackknife+ and CV+ of Barber, Candes, Ramdas
and Tibshirani, Annals of Statistics 2021, with stretches of time as the folds). Only the network is not trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unalike.branch import FittedBranch
from unalike.data import Split, evenly, take
from unalike.embeddings import embed
from unalike.judging import Judge, score_parts
from unalike.modalities.blocks import stretches
from unalike.modalities.windows import ends_of_parts, with_least
from unalike.parts import Loader, load_parts
from unalike.scorers.fusion import Fusion
from unalike.scorers.objective import ObjectiveScore
from unalike.scorers.refill import refilled
from unalike.types import Collection, FloatArray, IntArray, InTime, Modality

_LARGEST_BANK = 5_000
_LEAST_BANK = 3


@dataclass(frozen=True)
class Calibration:
    """Steps that calibrate: their positions, scores and `modalities.windows.at_ends`, ``(m,)`` each."""

    positions: IntArray
    scores: FloatArray
    ends: FloatArray | None


def in_time(
    branches: Sequence[FittedBranch],
    fusion: Fusion,
    modality: Modality,
    X: Collection,
    split: Split,
    held_out: Calibration,
    *,
    clean: bool,
    device: torch.device,
) -> Calibration:
    """All steps of a fit that can calibrate, judged by what was learned of other times.

    Parameters
    ----------
    branches : sequence of FittedBranch
        They stay as they are.
    fusion : Fusion
        Fitted.
    modality : Modality
        Fitted; of samples that are in no order by themselves the held-out ones calibrate.
    X : collection
        Checked; all of it.
    split : Split
        Of `X`.
    held_out : Calibration
        The held-out blocks; they are what calibrates where that gives more steps (records so short that no window of
        other times is left), and where a network's own score, which has seen all that trained, is a branch.
    clean : bool
        Whether the gaps, in which no suspects were looked for, calibrate too.
    device : torch.device
        Where to embed.
    """
    untaught = not any(isinstance(branch.judge.scorer, ObjectiveScore) for branch in branches)
    if not (untaught and isinstance(modality, InTime)):
        return held_out
    positions = np.sort(np.concatenate([split.train, split.gap, split.calibration]))
    records = take(X, positions)
    parts, owner = modality.cut(records)
    begins, window = modality.timing(parts)[0], modality.schema.shape[-1]
    of_parts = by_other_times(branches, fusion, load_parts(modality, parts, keep=False), begins, window, device)
    # A step whose windows were not all judged would be judged by fewer than a new one.
    judged = modality.join(np.isnan(of_parts).astype(np.float64), owner, len(positions)) == 0.0
    judged &= clean | ~np.isin(positions, split.gap)
    if judged.sum() < len(held_out.positions):
        return held_out
    scores = modality.join(np.nan_to_num(of_parts), owner, len(positions))
    scores = with_least(modality, scores, owner, fusion.least)
    ends = ends_of_parts(modality, of_parts, owner, len(positions))
    return Calibration(positions[judged], scores[judged], None if ends is None else ends[judged])


def by_other_times(
    branches: Sequence[FittedBranch],
    fusion: Fusion,
    load: Loader,
    begins: IntArray,
    window: int,
    device: torch.device,
) -> FloatArray:
    """``(n,)`` fused scores of windows by scorers that know other stretches alone; NaN where nothing else is left.

    Parameters
    ----------
    branches, fusion : as in `in_time`
    load : callable
        Positions to the windows as the modality encodes them.
    begins, window : as in `modalities.blocks.stretches`
    device : torch.device
        Where to embed.
    """
    stretch, known = stretches(begins, window)
    rows = evenly(len(begins), _LARGEST_BANK)
    banks = {
        branch.settings.name: embed(branch.judge.encoder, _some(load, rows), len(rows), device=device)
        for branch in branches
    }
    scores = np.full(len(begins), np.nan)
    for number, apart in enumerate(known):
        own, kept = np.flatnonzero(stretch == number), apart[rows]
        if kept.sum() < _LEAST_BANK:
            continue
        judges = {
            branch.settings.name: Judge(
                branch.judge.encoder, refilled(branch.judge.scorer, banks[branch.settings.name][kept])
            )
            for branch in branches
        }
        scores[own] = fusion.score(score_parts(judges, _some(load, own), len(own), device))
    return scores


def _some(load: Loader, positions: IntArray) -> Loader:
    return lambda at: load(positions[at])
