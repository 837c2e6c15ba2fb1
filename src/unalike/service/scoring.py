"""From checked samples of many requests to decisions of each, scored together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unalike.data import count
from unalike.decisions import Decisions, Explanations
from unalike.detector import Detector
from unalike.events import Events
from unalike.judging import score_parts
from unalike.parts import load_parts
from unalike.seeding import resolve_device
from unalike.service.heard import hearing
from unalike.types import Collection, FloatArray, IntArray, InTime

_READ_BEFORE = 64
"""Requests of at most so many parts are read and encoded before their turn; of larger ones memory would grow."""


@dataclass(frozen=True, eq=False)
class Ready:
    """Samples of one request.

    Parameters
    ----------
    X : collection
        Checked.
    load : callable
        Positions to the tensors of these parts.
    owner : ndarray
        As `Modality.cut` says.
    false_alarm_rate, false_discovery_rate : float, optional
        As `Detector.detect`.
    entities : list, optional
        As `Detector.detect`.
    heard : list of str
        Warnings so far.
    """

    X: Collection
    load: Callable[[IntArray], Tensor]
    owner: IntArray
    false_alarm_rate: float | None = None
    false_discovery_rate: float | None = None
    entities: list[Any] | None = None
    heard: list[str] = field(default_factory=list)


def ready(detector: Detector, X: Collection, heard: list[str], **asked: Any) -> Ready:
    """Checked samples, encoded where they are few; many threads may do that at once.

    Parameters
    ----------
    detector : Detector
        Fitted; nothing of it is changed.
    X : collection
        Checked by its modality.
    heard : list of str
        Warnings so far.
    **asked
        The other fields of `Ready`.
    """
    parts, owner = detector.modality_.cut(X)
    load = load_parts(detector.modality_, parts, keep=False)
    if 0 < len(owner) <= _READ_BEFORE:
        encoded = load(np.arange(len(owner)))
        load = _kept(encoded)
    return Ready(X, load, owner, heard=heard, **asked)


def _kept(encoded: Tensor) -> Callable[[IntArray], Tensor]:
    return lambda at: encoded[torch.from_numpy(at)]


@dataclass(frozen=True, eq=False)
class Decided:
    """What `Detector.detect` says, and the warnings that it gave."""

    decisions: Decisions
    heard: list[str]


def decide_together(detector: Detector, several: Sequence[Ready]) -> list[Decided | Exception]:
    """What `Detector.detect` says of each, from one pass; an exception where one cannot be decided."""
    scores = _scores(detector, several)
    return [_decided(detector, one, own) for one, own in zip(several, scores, strict=True)]


def _scores(detector: Detector, several: Sequence[Ready]) -> list[FloatArray]:
    """``(n,)`` scores of the samples of each."""
    judges = {branch.settings.name: branch.judge for branch in detector.branches_}
    ends = np.cumsum([0, *(len(one.owner) for one in several)])
    by_branch = score_parts(judges, _joined(several, ends), int(ends[-1]), resolve_device(detector.device))
    fused = detector.fusion_.score(by_branch)
    return [
        detector._joined(fused[begin:end], _join(detector, one), one.owner)
        for one, begin, end in zip(several, ends[:-1], ends[1:], strict=True)
    ]


def _join(detector: Detector, one: Ready) -> Callable[[FloatArray], FloatArray]:
    return lambda of_parts: detector.modality_.join(of_parts, one.owner, count(one.X))


def _joined(several: Sequence[Ready], ends: IntArray) -> Callable[[IntArray], Tensor]:
    """Loads parts of all of them, which are numbered through."""
    if len(several) == 1:
        return several[0].load

    def load(positions: IntArray) -> Tensor:
        whose = np.searchsorted(ends, positions, side="right") - 1
        # Positions rise, so that those of each request are together and in order.
        return torch.cat([several[one].load(positions[whose == one] - ends[one]) for one in np.unique(whose).tolist()])

    return load


def _decided(detector: Detector, one: Ready, scores: FloatArray) -> Decided | Exception:
    try:
        with hearing() as heard:
            threshold = detector._need_threshold()
            if one.false_alarm_rate is not None:
                threshold = detector._at_rate(threshold, one.false_alarm_rate)
            decisions = detector._decided(one.X, scores, one.owner, threshold, one.entities, one.false_discovery_rate)
        return Decided(decisions, [*one.heard, *(text for text in heard if text not in one.heard)])
    except Exception as error:  # of this request alone
        return error


@dataclass(frozen=True, eq=False)
class Explained:
    """Explanations, and the row of each in what the client gave; None where there is no such row (of records)."""

    explanations: Explanations
    rows: list[int | None]
    threshold: float | None
    left_out: int


def explain(detector: Detector, X: Collection, only: list[int] | None, most: int, most_places: int) -> Explained:
    """What `Detector.explain` says of chosen samples, or of the anomalies with the highest scores, at most `most`.

    Parameters
    ----------
    detector : Detector
        Fitted.
    X : collection
        Checked.
    only : list of int, optional
        Positions; None: the anomalies.
    most, most_places : int
        At most so many samples, and causes of each.
    """
    threshold = getattr(detector, "threshold_", None)
    chosen, left_out = (only[:most], max(len(only) - most, 0)) if only is not None else _highest(detector, X, most)
    found = detector.explain(X, only=chosen, most_places=most_places)
    positions = chosen if isinstance(chosen, list) and not isinstance(detector.modality_, InTime) else None
    rows: list[int | None] = [None] * len(found)
    if positions is not None:
        own = X.rows if hasattr(X, "rows") else np.arange(count(X))
        rows = [int(own[at]) for at in positions]
    return Explained(found, rows, None if threshold is None else float(threshold.threshold_), left_out)


def _highest(detector: Detector, X: Collection, most: int) -> tuple[list[int] | Events, int]:
    decisions = detector.detect(X)
    if isinstance(detector.modality_, InTime):
        events = decisions.events()
        kept = sorted(sorted(range(len(events)), key=lambda at: -events[at].score)[:most])
        return Events(tuple(events[at] for at in kept)), len(events) - len(kept)
    anomalies = np.flatnonzero(decisions.is_anomaly)
    order = anomalies[np.argsort(-decisions.scores[anomalies], kind="stable")]
    return order[:most].tolist(), max(len(order) - most, 0)
