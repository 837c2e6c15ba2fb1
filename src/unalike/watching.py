"""What a detector keeps of its calibration samples to watch for drift, and how new data are compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from unalike.branch import FittedBranch, named_branch
from unalike.data import count, evenly, take
from unalike.decisions import Decisions
from unalike.drift import MOST_EMBEDDED, Drift, Seen, compared, lag, stretched
from unalike.judging import embed_parts
from unalike.parts import Parts, load_parts
from unalike.passes import Passes
from unalike.seeding import resolve_device
from unalike.thresholds.deciding import takes_entities
from unalike.thresholds.entities import Entity
from unalike.types import BoolArray, Collection, FloatArray, IntArray, InTime, Modality, Threshold

_MOST_BYTES = 2 * 2**20


class Watched(Protocol):
    """What of a calibrated `Detector` tells whether data have changed."""

    modality_: Modality
    branches_: tuple[FittedBranch, ...]
    threshold_: Threshold
    calibration_scores_: FloatArray
    calibration_entities_: list[Entity] | None
    device: str


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Embeddings ``(m, width)`` float32 of some samples (of records: windows far apart) and their scores ``(m,)``."""

    embeddings: FloatArray
    scores: FloatArray


def kept(
    branches: Sequence[FittedBranch],
    modality: Modality,
    X: Collection,
    scores: FloatArray,
    apart: int,
    device: torch.device,
) -> Kept:
    """What is kept of checked `X` with ``(n,)`` scores: at most 500 evenly spaced samples and 2 MiB.

    Parameters
    ----------
    branches : sequence of FittedBranch
        The embeddings are those of `Detector.embed`.
    modality : Modality
        Fitted.
    X : collection
        Checked samples.
    scores : ndarray
        Theirs.
    apart : int
        Of records: steps from the beginning of one window to that of the next, at least.
    device : torch.device
        Where to embed.
    """
    if isinstance(modality, InTime):
        parts, spans = modality.cut(X)
        at = _apart(spans[:, 0], apart) if len(spans) else np.zeros(0, dtype=np.int64)
        at = at[evenly(len(at), MOST_EMBEDDED)] if len(at) else at
        sums = np.append(0.0, np.cumsum(scores))
        means = (sums[spans[at, 1]] - sums[spans[at, 0]]) / (spans[at, 1] - spans[at, 0])
        made = parts_embedded(branches, modality, take(parts, at), len(at), device)
    else:
        at = evenly(count(X), MOST_EMBEDDED) if count(X) else np.zeros(0, dtype=np.int64)
        made, means = samples_embedded(branches, modality, X, at, device), scores[at]
    return _affordable(made, means)


def watch(detector: Watched, X: Collection, scores: FloatArray) -> Kept:
    """What is kept of checked calibration samples `X` with ``(n,)`` scores; the detector has been calibrated."""
    device = resolve_device(detector.device)
    return kept(detector.branches_, detector.modality_, X, scores, _steps_apart(detector), device)


def passes_to_watch(branches: Sequence[FittedBranch]) -> Passes:
    """Passes of which the embeddings that are watched are kept, beside those that several branches share."""
    return Passes.over([*(branch.judge.encoder for branch in branches), named_branch(branches, None).judge.encoder])


def watch_parts(detector: Watched, parts: Parts, scores: FloatArray, passes: Passes) -> Kept:
    """As `watch`, of the parts of ``n`` samples with ``(n,)`` scores; what these passes have embedded is taken."""
    encoder = named_branch(detector.branches_, None).judge.encoder
    made = _means(passes.embed(encoder, parts, resolve_device(detector.device)), parts.owner, len(scores))
    at = evenly(len(scores), MOST_EMBEDDED)
    return _affordable(made[at], scores[at])


def _steps_apart(detector: Watched) -> int:
    modality = detector.modality_
    return lag(detector.calibration_scores_, int(modality.schema.shape[-1])) if isinstance(modality, InTime) else 1


def _affordable(embeddings: FloatArray, scores: FloatArray) -> Kept:
    few = evenly(len(scores), max(_MOST_BYTES // max(4 * embeddings.shape[1], 1), 1)) if len(scores) else slice(0)
    return Kept(embeddings[few].astype(np.float32), scores[few])


def samples_embedded(
    branches: Sequence[FittedBranch], modality: Modality, X: Collection, at: IntArray, device: torch.device
) -> FloatArray:
    """``(m, width)`` float64: embeddings of the samples of checked `X` at `at`, the mean over their parts."""
    parts, owner = modality.cut(take(X, at))
    return _means(parts_embedded(branches, modality, parts, len(owner), device), owner, len(at))


def _means(of_parts: FloatArray, owner: IntArray, n: int) -> FloatArray:
    """``(n, width)`` float64 mean over the parts of each sample."""
    sums = np.zeros((n, of_parts.shape[1]))
    np.add.at(sums, owner, of_parts)
    return np.asarray(sums / np.bincount(owner, minlength=n)[:, None])


def parts_embedded(
    branches: Sequence[FittedBranch], modality: Modality, parts: Collection, n: int, device: torch.device
) -> FloatArray:
    """``(n, width)`` float64: embeddings of parts by the branch that `Detector.embed` takes."""
    if n == 0:
        return np.zeros((0, 1))
    judge = named_branch(branches, None).judge
    return embed_parts(judge, load_parts(modality, parts, keep=False), n, device).astype(np.float64)


def drift_of(detector: Watched, X: Collection, decisions: Decisions, allowed_anomalies: float) -> Drift:
    """What `Detector.drift` returns, of checked `X` and the decisions about it."""
    modality, threshold = detector.modality_, detector.threshold_
    scores = detector.calibration_scores_
    by_entity = takes_entities(threshold) and detector.calibration_entities_ is not None
    if by_entity and takes_entities(threshold):
        flagged = threshold.is_anomaly(scores, detector.calibration_entities_)
    else:
        flagged = scores > decisions.threshold
    before: Kept | None = getattr(detector, "watched_", None)
    apart = _steps_apart(detector)
    new_scores, new_flagged = decisions.scores, decisions.is_anomaly
    now = None
    if before is not None and not by_entity and len(new_scores):
        device = resolve_device(detector.device)
        now = kept(detector.branches_, modality, X, decisions.scores, apart, device)
    if isinstance(modality, InTime):
        scores, flagged = stretched(scores, flagged, apart)
        new_scores, new_flagged = stretched(new_scores, new_flagged, apart)
    return compared(
        _seen(new_scores, new_flagged, now),
        _seen(scores, flagged, before),
        allowed_anomalies=allowed_anomalies,
        scored=not by_entity,
    )


def _seen(scores: FloatArray, flagged: BoolArray, some: Kept | None) -> Seen:
    if some is None:
        return Seen(scores, flagged)
    return Seen(scores, flagged, some.embeddings, some.scores)


def _apart(starts: IntArray, least: int) -> IntArray:
    """Positions of rising `starts` of which each is at least `least` after the one before."""
    chosen, last = [], None
    for number, start in enumerate(starts.tolist()):
        if last is None or start - last >= least:
            chosen.append(number)
            last = start
    return np.array(chosen, dtype=np.int64)
