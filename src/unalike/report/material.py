"""What a report tells of, measured once: decisions, embeddings, comparison with the floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.comparison import Comparison, compare
from unalike.data import aligned, count, evenly, take
from unalike.decisions import Decisions
from unalike.detector import Detector
from unalike.drift import Drift
from unalike.errors import InvalidInput
from unalike.seeding import resolve_device
from unalike.types import BoolArray, Collection, FloatArray, IntArray, InTime
from unalike.watching import parts_embedded, samples_embedded

MOST_MAPPED = 1_000
_MOST_NEIGHBOURS = 2_000
WORDS = {"table": "rows", "image": "images", "series": "steps", "text": "texts"}


@dataclass(frozen=True, eq=False)
class Pool:
    """Normal samples among which the nearest are looked for.

    Parameters
    ----------
    X : collection
        Checked; all that was given.
    at : ndarray
        ``(p,)`` positions in it.
    embeddings : ndarray
        ``(p, width)``.
    ids : ndarray
        Names of all of `X`.
    of_training : bool
        Whether they are training samples; else those of the data that were judged normal.
    """

    X: Collection
    at: IntArray
    embeddings: FloatArray
    ids: npt.NDArray[Any]
    of_training: bool

    def nearest(self, embedding: FloatArray, most: int, apart: int | None = None) -> IntArray:
        """Positions of the nearest ones, but `apart`."""
        distances: FloatArray = ((self.embeddings - embedding) ** 2).sum(axis=1)
        order: IntArray = self.at[np.argsort(distances, kind="stable")]
        kept: IntArray = order[order != (-1 if apart is None else apart)][:most]
        return kept


@dataclass(frozen=True, eq=False)
class Material:
    """All that the sections are made of.

    Parameters
    ----------
    detector : Detector
        Fitted and calibrated.
    X : collection
        Checked data, ``n`` samples.
    decisions : Decisions
        Of them.
    labels : ndarray or None
        ``(n,)``, 1 for an anomaly.
    training : collection or None
        Checked training data, where the user gave them.
    comparison : Comparison or None
        With the floors, where there are labels.
    by_branch : dict of str to ndarray
        Then ``(n,)`` scores by each branch and floor, as `Detector.branch_scores` gives them.
    mapped : ndarray
        ``(m,)`` positions of the samples (of records: the middle steps of windows) on the map.
    embeddings : ndarray
        ``(m, width)`` theirs.
    pool : Pool or None
        None of records, whose nearest windows the model knows.
    drift : Drift
        Since calibration.
    shown : int
        How many anomalies are shown at most.
    """

    detector: Detector
    X: Collection
    decisions: Decisions
    labels: IntArray | None
    training: Collection | None
    comparison: Comparison | None
    by_branch: Mapping[str, FloatArray]
    mapped: IntArray
    embeddings: FloatArray
    pool: Pool | None
    drift: Drift
    shown: int

    @property
    def modality(self) -> Any:
        """Fitted."""
        return self.detector.modality_

    @property
    def in_time(self) -> bool:
        """Whether samples are steps of records."""
        return isinstance(self.modality, InTime)

    @property
    def words(self) -> str:
        """What samples are called."""
        return WORDS.get(self.modality.name, "samples")

    def highest(self) -> IntArray:
        """Positions of the samples to show: the anomalies that score highest, or what is highest."""
        order = np.argsort(-self.decisions.scores, kind="stable")
        flagged = order[self.decisions.is_anomaly[order]]
        return (flagged if len(flagged) else order[:3])[: self.shown]


def gathered(
    detector: Detector,
    X: Any,
    *,
    labels: Any,
    training: Any,
    entities: Sequence[Any] | None,
    false_alarm_rate: float | None,
    shown: int,
) -> Material:
    """Judge and embed; the parameters are those of `write_report`."""
    modality = detector.modality_
    data = modality.check(X)
    known = None if training is None else modality.check(training)
    flags = _flags(labels, data)
    comparison: Comparison | None = None
    by_branch: dict[str, FloatArray] = {}
    if flags is not None and 0 < flags.sum() < len(flags):
        decisions, by_branch = detector._detected_by_branch(data, false_alarm_rate, entities)
        comparison = compare(decisions, by_branch, flags)
    else:
        decisions = detector.detect(data, entities=entities, false_alarm_rate=false_alarm_rate)
    drift = detector.drift(data, decisions=decisions)
    in_time = isinstance(modality, InTime)
    mapped = _mapped(decisions, 0 if in_time else shown)
    if in_time:
        mapped, embeddings = windows_embedded(detector, data, MOST_MAPPED)
        pool = None
    else:
        embeddings = embedded(detector, data, mapped)
        pool = _pool(detector, data, known, decisions.is_anomaly, mapped, embeddings)
    return Material(
        detector, data, decisions, flags, known, comparison, by_branch, mapped, embeddings, pool, drift, shown
    )


def _flags(labels: Any, X: Collection) -> IntArray | None:
    if labels is None:
        return None
    flags = np.asarray(aligned(labels, X, "labels"))
    if flags.shape != (count(X),) or flags.dtype.kind not in "biuf" or not np.isin(flags, (0, 1)).all():
        raise InvalidInput(
            f"`labels` must be one value per sample, {count(X)}, 1 for an anomaly and 0 for normal; got shape "
            f"{flags.shape} and type {flags.dtype}."
        )
    return flags.astype(np.int64)


def _mapped(decisions: Decisions, shown: int) -> IntArray:
    """Evenly spaced samples, and all that will be shown."""
    order = np.argsort(-decisions.scores, kind="stable")[:shown]
    return np.union1d(evenly(len(decisions), MOST_MAPPED), order)


def embedded(detector: Detector, X: Collection, at: IntArray) -> FloatArray:
    """``(m, width)`` embeddings of the samples at `at` by the branch of `Detector.embed`; the mean over their parts."""
    return samples_embedded(detector.branches_, detector.modality_, X, at, resolve_device(detector.device))


def windows_embedded(detector: Detector, X: Collection, most: int) -> tuple[IntArray, FloatArray]:
    """The middle steps ``(m,)`` of evenly spaced windows of records, and their embeddings ``(m, width)``."""
    parts, spans = detector.modality_.cut(X)
    chosen = evenly(len(spans), most) if len(spans) else np.zeros(0, dtype=np.int64)
    some, device = take(parts, chosen), resolve_device(detector.device)
    made = parts_embedded(detector.branches_, detector.modality_, some, len(chosen), device)
    return spans[chosen].sum(axis=1) // 2, made


def _pool(
    detector: Detector,
    X: Collection,
    training: Collection | None,
    is_anomaly: BoolArray,
    mapped: IntArray,
    embeddings: FloatArray,
) -> Pool | None:
    if training is not None:
        at = evenly(count(training), _MOST_NEIGHBOURS)
        return Pool(training, at, embedded(detector, training, at), detector.modality_.ids(training), True)
    normal = ~is_anomaly[mapped]
    return Pool(X, mapped[normal], embeddings[normal], detector.modality_.ids(X), False) if normal.any() else None
