"""New normal samples into the scorers or the calibration, without training.

Nothing here changes what it is given: every step makes new objects, so that an update that fails leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from unalike.branch import FittedBranch, encoded_scores, fusion_weights
from unalike.data import aligned, count, group_codes, shared_out, take
from unalike.errors import InvalidInput, InvalidParameter, UnalikeWarning, tell
from unalike.fitting import absorbed_scores
from unalike.growing import grown_branches
from unalike.memory import (
    MOST_ROWS,
    Memory,
    Prints,
    affordable,
    again,
    encoded,
    examples,
    fingerprints,
    more_calibration,
    names,
    new_calibration,
    part_names,
)
from unalike.parts import Parts
from unalike.plain import unlearned
from unalike.scorers.fusion import Fusion
from unalike.seeding import resolve_device
from unalike.thresholds import build_threshold
from unalike.thresholds.deciding import takes_entities
from unalike.thresholds.entities import Entity, entity_names
from unalike.types import BoolArray, Collection, FloatArray, IntArray, InTime, Modality, Threshold, Worded
from unalike.watching import Kept, passes_to_watch, watch, watch_parts


class Updatable(Protocol):
    """What an update reads and changes of a fitted `Detector`."""

    modality_: Modality
    branches_: tuple[FittedBranch, ...]
    fusion_: Fusion
    threshold_: Threshold
    calibration_scores_: FloatArray
    calibration_entities_: list[Entity] | None
    memory_: Memory
    watched_: Kept
    threshold: str | Threshold
    device: str

    def _calibration_scores(self, X: Collection) -> tuple[FloatArray, FloatArray | None]: ...

    def _calibrate(
        self,
        threshold: Threshold,
        scores: FloatArray,
        entities: list[Entity] | None,
        ends: FloatArray | None = None,
    ) -> None: ...


def update(
    detector: Updatable,
    X: Any,
    into: str,
    groups: Sequence[Any] | None,
    entities: Sequence[Any] | None,
    calibration: Any,
) -> None:
    """As `Detector.update`; `detector` is a copy that is thrown away when this fails."""
    if into not in ("scorer", "calibration"):
        raise InvalidParameter(f"`into` must be 'scorer' or 'calibration'; got {into!r}.")
    if into == "scorer":
        _into_scorer(detector, X, groups, entities, calibration)
        return
    if calibration is not None:
        raise InvalidParameter("`calibration` must go with into='scorer'; got into='calibration'. Leave it out.")
    _into_calibration(detector, X, groups, entities)


def _into_scorer(
    detector: Updatable,
    X: Any,
    groups: Sequence[Any] | None,
    entities: Sequence[Any] | None,
    calibration: Any,
) -> None:
    modality, memory, device = detector.modality_, memory_of(detector), resolve_device(detector.device)
    X = modality.check(X)
    groups = aligned(groups, X, "groups")
    _need_no_groups(modality, groups)
    _need_calibration(detector, memory, calibration, entities)
    prints = fingerprints(modality, X, np.arange(count(X)))
    if calibration is not None:  # takes the place of the earlier one
        calibration = modality.check(calibration)
        both = again(fingerprints(modality, calibration, np.arange(count(calibration))), prints)
        if both.any():
            raise InvalidInput(f"`calibration` must hold other samples than `X`; {int(both.sum())} are in both.")
        memory = replace(memory, calibrated=prints[:0], absorbed=prints[:0])
    new = _new(modality, X, prints, memory)
    codes = None if groups is None else group_codes(groups, count(X))[new]
    X = take(X, new)
    branches = grown_branches(detector.branches_, memory, modality, X, codes, device)
    references = {branch.settings.name: branch.judge.scorer.reference_scores_ for branch in branches}
    detector.fusion_ = replace(detector.fusion_, weights=fusion_weights(branches)).fit(references)
    detector.branches_ = branches
    detector.memory_ = memory = _remembering(memory, modality, X, prints[new])
    if calibration is not None:
        calibrated_anew(detector, calibration, in_force(detector), entities)
    elif memory.calibration is not None:
        _calibrated_again(detector, memory, torch.from_numpy(memory.calibration), device)


def _calibrated_again(detector: Updatable, memory: Memory, tensors: torch.Tensor, device: torch.device) -> None:
    """The threshold on the scores that the kept calibration samples have by the grown scorers."""
    at, known, groups = memory.calibration_at, detector.calibration_entities_, memory.calibration_groups
    prints = memory.calibrated[at]
    parts = Parts(len(at), lambda rows: tensors[torch.from_numpy(rows)], np.arange(len(at)), groups)
    passes = passes_to_watch(detector.branches_)
    if len(memory.absorbed):
        scores = absorbed_scores(detector.branches_, detector.fusion_, parts, passes=passes, device=device)
    else:
        scores = encoded_scores(detector.branches_, detector.fusion_, tensors, device)
    detector._calibrate(in_force(detector), scores, None if known is None else [known[row] for row in at.tolist()])
    detector.watched_ = watch_parts(detector, parts, scores, passes)
    detector.memory_ = replace(
        memory,
        calibrated=prints,
        absorbed=prints if len(memory.absorbed) else prints[:0],
        calibration_at=np.arange(len(at)),
    )


def _into_calibration(
    detector: Updatable, X: Any, groups: Sequence[Any] | None, entities: Sequence[Any] | None
) -> None:
    modality, memory = detector.modality_, memory_of(detector)
    X = modality.check(X)
    groups, entities = aligned(groups, X, "groups"), aligned(entities, X, "entities")
    _need_no_groups(modality, groups)
    before = getattr(detector, "calibration_scores_", np.zeros(0))
    known = getattr(detector, "calibration_entities_", None)
    if len(before) == 0 or known is not None:
        entities = _entities(modality, X, in_force(detector), entities)
    own = None if entities is None else entity_names(entities, count(X))
    codes = None if groups is None else group_codes(groups, count(X))
    prints = fingerprints(modality, X, np.arange(count(X)))
    new = _new(modality, X, prints, memory)
    if len(before) and (own is None) != (known is None):
        raise InvalidParameter(
            "`entities` must be given for all calibration samples or for none; got them for "
            f"{'the earlier' if own is None else 'the new'} ones only. Calibrate anew to change that."
        )
    joined = None if own is None else [*(known or []), *(own[row] for row in new.tolist())]
    X = take(X, new)
    scores, ends = detector._calibration_scores(X)
    ends = _joined_ends(getattr(detector, "calibration_ends_", None if len(before) else before), ends)
    detector._calibrate(in_force(detector), np.concatenate([before, scores]), joined, ends)
    if len(before) == 0:
        detector.watched_ = watch(detector, X, scores)
    detector.memory_ = more_calibration(memory, modality, X, prints[new], None if codes is None else codes[new])


def _joined_ends(before: FloatArray | None, new: FloatArray | None) -> FloatArray | None:
    return None if before is None or new is None else np.concatenate([before, new])


def calibrated_anew(detector: Updatable, X: Any, threshold: Threshold, entities: Sequence[Any] | None) -> None:
    """Set the threshold on `X` alone; warns when some of it is in the scorers."""
    X = detector.modality_.check(X)
    entities = aligned(entities, X, "entities")
    entities = _entities(detector.modality_, X, threshold, entities)
    own = None if entities is None else entity_names(entities, count(X))
    memory = getattr(detector, "memory_", None)
    if memory is not None:
        prints = fingerprints(detector.modality_, X, np.arange(count(X)))
        warn_if_trained(prints, memory)
        memory = new_calibration(memory, detector.modality_, X, prints)
    scores, ends = detector._calibration_scores(X)
    detector._calibrate(threshold, scores, own, ends)
    detector.watched_ = watch(detector, X, scores)
    if memory is not None:
        detector.memory_ = memory


def in_force(detector: Updatable) -> Threshold:
    """The kind of threshold that decides now, without what it has learned."""
    return build_threshold(unlearned(getattr(detector, "threshold_", detector.threshold)))


def _need_calibration(detector: Updatable, memory: Memory, calibration: Any, entities: Sequence[Any] | None) -> None:
    calibrated = hasattr(detector, "calibration_scores_")
    if calibrated and calibration is None and memory.calibration is None:
        raise InvalidParameter(
            "`calibration` must hold the calibration samples, which the grown scorers score anew: the model keeps none "
            "of this kind of data; got None. Give normal samples that did not train."
        )
    if entities is not None and calibration is None:
        raise InvalidParameter("`entities` must go with `calibration`, whose they are; got none. Leave them out.")


def _need_no_groups(modality: Modality, groups: Sequence[Any] | None) -> None:
    if groups is not None and isinstance(modality, InTime):
        raise InvalidParameter("`groups` must not be given for records, whose steps are in order; leave it out.")


def _entities(
    modality: Modality, X: Collection, threshold: Threshold, given: Sequence[Any] | None
) -> Sequence[Any] | None:
    """The entities that the user gave, or those that records have by themselves, where the threshold takes them."""
    if given is not None or not isinstance(modality, InTime) or not takes_entities(threshold):
        return given
    names: list[Any] = modality.timeline(X)[0].tolist()
    return names


def _new(modality: Modality, X: Collection, prints: Prints, memory: Memory) -> IntArray:
    """Positions of the samples that may be added: those that were not seen, of records in runs that fill a part.

    Raises
    ------
    InvalidInput
        When there are none.
    """
    new = np.flatnonzero(unseen(prints, memory))
    if not isinstance(modality, InTime):
        return new
    whole = modality.whole(X, new)
    if len(whole) == 0:
        raise InvalidInput(
            f"`X` must hold new steps enough for a window; got {len(new)} that the detector has not seen, among others "
            "that it has. Give more at a time."
        )
    if len(whole) < len(new):
        tell(
            f"{len(new) - len(whole)} new steps are left out: beside steps that the detector has seen they are too few "
            "for a window.",
            UnalikeWarning,
        )
    return whole


def _remembering(memory: Memory, modality: Modality, X: Collection, prints: Prints) -> Memory:
    """The memory when checked `X` is in the scorers too."""
    trained = np.concatenate([memory.trained, prints])
    more = examples(modality, X)
    seen = memory.seen + more
    if isinstance(modality, Worded) and memory.ids is not None:  # what was absorbed has left the banks
        ids = np.concatenate([memory.ids, part_names(modality, X, np.arange(more))])
        return replace(memory, trained=trained, seen=seen, ids=ids, absorbed_ids=None)
    if memory.rows is None or memory.ids is None:
        return replace(memory, trained=trained, seen=seen)
    full = memory.seen > len(memory.rows)
    most = len(memory.rows) if full else affordable(memory.rows[:1].nbytes, MOST_ROWS)
    old, new = shared_out(len(memory.rows), memory.seen, more, most)
    return replace(
        memory,
        trained=trained,
        seen=seen,
        rows=np.concatenate([memory.rows[old], encoded(modality, X, new)]),
        ids=np.concatenate([memory.ids[old], names(modality, X, new)]),
    )


def memory_of(detector: Any) -> Memory:
    """What a fitted detector remembers.

    Raises
    ------
    InvalidParameter
        When it was saved before models did.
    """
    memory = getattr(detector, "memory_", None)
    if isinstance(memory, Memory):
        return memory
    raise InvalidParameter(
        "The model must have been fitted by this version of unalike or a later one, to tell which samples it has seen; "
        "it was not. Fit it again."
    )


def absorbing(branches: Sequence[FittedBranch]) -> bool:
    """Whether a scorer has taken the calibration samples in."""
    return any(getattr(branch.judge.scorer, "absorbed_", 0) > 0 for branch in branches)


def warn_if_trained(prints: Prints, memory: Memory) -> None:
    """Calibration samples that trained score too low: more alarms than stated would follow."""
    trained = again(prints, memory.in_scorers())
    if trained.any():
        tell(
            f"`X` must hold samples that are not in the scorers; {int(trained.sum())} of {len(trained)} are, because "
            "they trained or calibrated. They score lower than new normal samples, so that more false alarms than "
            "stated follow. Leave them out."
        )


def unseen(prints: Prints, memory: Memory) -> BoolArray:
    """``(n,)``: which samples are neither in the scorers nor in the calibration, and may be added.

    Raises
    ------
    InvalidInput
        When there is none.

    Warns
    -----
    UnalikeWarning
        When some are left out.
    """
    only_trained = np.setdiff1d(memory.in_scorers(), memory.calibrated)
    known = memory.in_scorers()[np.isin(memory.in_scorers(), only_trained)]
    trained, calibrated = again(prints, known), again(prints, memory.calibrated)
    new = ~(trained | calibrated)
    told = f"{int(trained.sum())} of {len(prints)} are in the scorers and {int(calibrated.sum())} in the calibration"
    if not new.any():
        raise InvalidInput(f"`X` must hold samples that the detector has not seen; {told}. Give new ones.")
    if not new.all():
        tell(f"Samples that the detector has seen are left out: {told}.", UnalikeWarning)
    return new
