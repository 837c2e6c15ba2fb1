"""What `Detector.explain` does."""

from __future__ import annotations

from typing import Any, cast

import torch

from unalike.decisions import Explanations
from unalike.errors import InvalidParameter
from unalike.explanation.runs import explain_runs
from unalike.explanation.samples import check_most_places, explain_samples
from unalike.explanation.search import Scores, Setting
from unalike.memory import Memory
from unalike.types import Collection, InTime, Modality, Places, StepModality


def explain(
    modality: Modality,
    memory: Memory,
    X: Collection,
    score: Scores,
    only: Any = None,
    most_places: int = 5,
) -> Explanations:
    """What `Detector.explain` returns.

    Parameters
    ----------
    modality : Modality
        Fitted.
    memory : Memory
        Holds the normal samples.
    X : collection
        Checked samples.
    score : callable
        Encoded samples to scores.
    only : array-like or Events, optional
        Mask ``(n,)`` or positions; of steps of records, also events.
    most_places : int
        Causes per sample.

    Raises
    ------
    InvalidParameter
        `most_places` is no count; the modality knows no places.
    InvalidInput
        `only` is neither a mask nor positions in `X`, nor events in it.
    """
    if not isinstance(modality, Places) or memory.rows is None or memory.ids is None:
        raise InvalidParameter(
            f"`explain` must have places to name, as the columns of a table; {modality.name} samples have none yet. "
            "Look at branch_scores(X), which says by which branch they stand out."
        )
    check_most_places(most_places)
    setting = Setting(modality, torch.from_numpy(memory.rows), memory.ids.tolist(), score, int(most_places))
    if isinstance(modality, InTime):
        return explain_runs(setting, cast(StepModality, modality), X, only)
    return explain_samples(setting, modality, X, only)
