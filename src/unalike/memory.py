"""What a fitted detector keeps of its rows: fingerprints of all, and encoded copies of some.

Fingerprints tell whether a sample has been seen, so that the same one never stands both in the scorers and in the
calibration. Encoded rows are what explanations compare with and what scorers are fitted on again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unalike.data import Split, count, evenly, shared_out, take
from unalike.types import BoolArray, Collection, IntArray, InTime, Modality, Worded

if TYPE_CHECKING:
    from torch import Tensor

MOST_ROWS = 5_000
MOST_CALIBRATION_ROWS = 2_000
_MOST_BYTES = 32 * 2**20
_CHUNK = 1024

Prints = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What is kept.

    Parameters
    ----------
    trained, calibrated : ndarray
        ``(n,)`` uint64 fingerprints of all samples in the scorers (the reference samples too) and of all calibration
        samples.
    absorbed : ndarray
        Fingerprints of calibration samples that are in the scorers too (`scorers.KNN.absorb`).
    seen : int
        How many training samples `rows` stand for.
    rows : ndarray or None
        ``(m, *shape)`` float32: at most 5,000 (and 32 MiB) evenly spaced training samples, as the modality encodes
        them. None where the modality has no `places`: encoded images are images.
    ids : ndarray or None
        ``(m,)`` their names, as text. Of texts, of which no rows are kept, the name of the text that each part is of
        which scorers have learned, in their order.
    absorbed_ids : ndarray or None
        Of texts: likewise of the parts that scorers have absorbed.
    reference, calibration : ndarray or None
        Likewise of the reference samples and of at most 2,000 calibration samples.
    calibration_at : ndarray
        Which of the calibration samples `calibration` holds.
    calibration_groups : ndarray or None
        Their group codes, where there are groups.
    """

    trained: Prints
    calibrated: Prints
    absorbed: Prints
    seen: int
    rows: Rows | None
    ids: npt.NDArray[np.str_] | None
    reference: Rows | None
    calibration: Rows | None
    calibration_at: IntArray
    calibration_groups: IntArray | None
    absorbed_ids: npt.NDArray[np.str_] | None = None

    def bank_ids(self) -> npt.NDArray[np.str_] | None:
        """Of texts: whose parts are the rows of a bank that holds all that scorers were given, in this order."""
        if self.rows is not None or self.ids is None:
            return None
        return self.ids if self.absorbed_ids is None else np.concatenate([self.ids, self.absorbed_ids])

    def in_scorers(self) -> Prints:
        """Fingerprints of all samples in the scorers."""
        return np.concatenate([self.trained, self.absorbed])


def keeps_rows(modality: Modality) -> bool:
    """Whether encoded samples of this modality are kept: those that `Detector.explain` compares with."""
    return hasattr(modality, "places")


def encoded(modality: Modality, X: Collection, positions: IntArray) -> Rows:
    """``(m, *shape)`` float32: the samples of checked `X` at `positions`, each one part; of records, the windows."""
    if isinstance(modality, InTime):
        return modality.tensors(take(modality.cut(X)[0], positions)).numpy()
    chunks = [
        modality.tensors(modality.cut(take(X, positions[start : start + _CHUNK]))[0]).numpy()
        for start in range(0, max(len(positions), 1), _CHUNK)
    ]
    return np.concatenate(chunks).astype(np.float32, copy=False)


def names(modality: Modality, X: Collection, positions: IntArray) -> npt.NDArray[np.str_]:
    """``(m,)`` the ids of some samples, as text; of windows that of the first step, and the entity before it."""
    if not isinstance(modality, InTime):
        return np.array([str(name) for name in modality.ids(X)[positions].tolist()], dtype=np.str_)
    first = modality.cut(X)[1][positions, 0]
    named = zip(modality.timeline(X)[0][first].tolist(), modality.ids(X)[first], strict=True)
    return np.array([f"{entity}: {name}" if entity else str(name) for entity, name in named], dtype=np.str_)


def part_names(modality: Modality, X: Collection, positions: IntArray) -> npt.NDArray[np.str_]:
    """As `names`, one for each part."""
    return names(modality, X, positions)[modality.cut(take(X, positions))[1]]


def examples(modality: Modality, X: Collection) -> int:
    """How many `encoded` knows: samples, or windows of records."""
    return len(modality.cut(X)[1]) if isinstance(modality, InTime) else count(X)


def kept_positions(modality: Modality, X: Collection, positions: IntArray, most: int) -> IntArray:
    """At most `most` of the `positions` (and 32 MiB of encoded samples), evenly spaced."""
    if len(positions) == 0:
        return positions
    each = encoded(modality, X, positions[:1]).nbytes
    return positions[evenly(len(positions), affordable(each, most))]


def affordable(bytes_each: int, most: int) -> int:
    """How many encoded samples are kept: `most`, or fewer that fit into 32 MiB."""
    return max(min(most, _MOST_BYTES // max(bytes_each, 1)), 1)


def fingerprints(modality: Modality, X: Collection, positions: IntArray) -> Prints:
    """``(m,)`` uint64 of the samples of checked `X` at `positions`: equal for equal encoded samples.

    Nothing of a sample can be read from its fingerprint (64 bits of BLAKE2b, or what the modality makes of it).
    """
    if isinstance(modality, InTime):
        return modality.fingerprints(X)[positions]
    chunks = [
        _prints(modality, take(X, positions[start : start + _CHUNK]), len(positions[start : start + _CHUNK]))
        for start in range(0, len(positions), _CHUNK)
    ]
    return np.concatenate([np.zeros(0, dtype=np.uint64), *chunks])


def _prints(modality: Modality, X: Collection, n: int) -> Prints:
    parts, owner = modality.cut(X)
    return part_fingerprints(lambda at: modality.tensors(take(parts, at)), owner, n)


def part_fingerprints(load: Callable[[IntArray], Tensor], owner: IntArray, n: int) -> Prints:
    """``(n,)`` `fingerprints` of the samples whose parts `load` gives, where they have been read already.

    Parameters
    ----------
    load : callable
        Positions to the ``(m, ...)`` tensor of these parts.
    owner : ndarray
        The number of the sample that each part belongs to.
    n : int
        Number of samples.
    """
    digests = [blake2b(digest_size=8) for _ in range(n)]
    for start in range(0, len(owner), _CHUNK):
        at = np.arange(start, min(start + _CHUNK, len(owner)))
        tensors = load(at).numpy() + np.float32(0.0)  # no negative zeros: they equal positive ones
        for sample, part in zip(owner[at].tolist(), np.ascontiguousarray(tensors), strict=True):
            digests[sample].update(part.tobytes())
    return np.array([int.from_bytes(digest.digest(), "little") for digest in digests], dtype=np.uint64)


def again(prints: Prints, known: Prints) -> BoolArray:
    """``(n,)``: which samples are in `known`, as far as chance does not explain it.

    Where normal samples repeat (whole numbers, categories), new ones equal known ones by chance. Good and Turing
    (Good, "The population frequencies of species", Biometrika 1953) tell how often: as many as samples in `known` are
    not alone. Up to three standard deviations more than that are taken as new.
    """
    found = np.isin(prints, known)
    if len(known) == 0:
        return found
    counts = np.unique(known, return_counts=True)[1]
    chance = 1.0 - float((counts == 1).sum()) / len(known)
    usual = len(prints) * chance
    most = usual + 3.0 * np.sqrt(usual * (1.0 - chance))
    return found if found.sum() > most else np.zeros_like(found)


def memory_of_fit(
    modality: Modality, X: Collection, split: Split, groups: IntArray | None, trained: Prints, absorbed: bool
) -> Memory:
    """What is kept of checked `X` after a fit with this split and ``(n,)`` groups.

    `trained` are the fingerprints of the training and reference samples; `absorbed` tells whether the calibration
    samples are in the scorers too.
    """
    train, reference = split.train, split.reference
    rows_kept = keeps_rows(modality) and not isinstance(modality, InTime)
    kept = kept_positions(modality, X, train, MOST_ROWS) if rows_kept else None
    held = kept_positions(modality, X, reference, MOST_ROWS) if rows_kept else train[:0]
    calibrated = fingerprints(modality, X, split.calibration)
    memory = Memory(
        trained=trained,
        calibrated=calibrated,
        absorbed=calibrated if absorbed else calibrated[:0],
        seen=len(train),
        rows=None if kept is None else encoded(modality, X, kept),
        ids=None if kept is None else names(modality, X, kept),
        reference=encoded(modality, X, held) if len(held) else None,
        calibration=None,
        calibration_at=train[:0],
        calibration_groups=None,
    )
    if isinstance(modality, Worded):
        taken = part_names(modality, X, split.calibration) if absorbed else None
        memory = replace(memory, ids=part_names(modality, X, train), absorbed_ids=taken)
    if isinstance(modality, InTime) and keeps_rows(modality):
        trained_on, compared = take(X, train), take(X, reference)
        seen = examples(modality, trained_on)
        at = kept_positions(modality, trained_on, np.arange(seen), MOST_ROWS)
        rows, ids = encoded(modality, trained_on, at), names(modality, trained_on, at)
        held = kept_positions(modality, compared, np.arange(examples(modality, compared)), MOST_ROWS)
        beside = encoded(modality, compared, held) if len(held) else None
        return replace(memory, rows=rows, ids=ids, seen=seen, reference=beside)
    if len(split.calibration) == 0:
        return memory
    own = None if groups is None else groups[split.calibration]
    return new_calibration(memory, modality, take(X, split.calibration), calibrated, own)


def new_calibration(
    memory: Memory, modality: Modality, X: Collection, prints: Prints, groups: IntArray | None = None
) -> Memory:
    """The memory when checked `X`, with these fingerprints and groups, is what calibrates."""
    memory = replace(memory, calibrated=prints, calibration=None, calibration_at=np.arange(0), calibration_groups=None)
    if not keeps_rows(modality) or isinstance(modality, InTime) or len(prints) == 0:
        return memory
    kept = kept_positions(modality, X, np.arange(len(prints)), MOST_CALIBRATION_ROWS)
    return replace(
        memory,
        calibration=encoded(modality, X, kept),
        calibration_at=kept,
        calibration_groups=None if groups is None else groups[kept],
    )


def more_calibration(
    memory: Memory, modality: Modality, X: Collection, prints: Prints, groups: IntArray | None
) -> Memory:
    """The memory when checked `X` calibrates beside the earlier calibration samples; its groups are other groups."""
    if memory.calibration is None:
        at = len(memory.calibrated)
        more = new_calibration(memory, modality, X, prints, groups)
        calibrated = np.concatenate([memory.calibrated, prints])
        return replace(more, calibrated=calibrated, calibration_at=more.calibration_at + at)
    seen, kept = len(memory.calibrated), len(memory.calibration)
    old, new = shared_out(kept, seen, len(prints), max(MOST_CALIBRATION_ROWS, kept))
    return replace(
        memory,
        calibrated=np.concatenate([memory.calibrated, prints]),
        calibration=np.concatenate([memory.calibration[old], encoded(modality, X, new)]),
        calibration_at=np.concatenate([memory.calibration_at[old], seen + new]),
        calibration_groups=_joined(memory.calibration_groups, kept, groups, len(prints), old, new),
    )


def _joined(
    before: IntArray | None, kept: int, after: IntArray | None, more: int, old: IntArray, new: IntArray
) -> IntArray | None:
    if before is None and after is None:
        return None
    first = np.arange(kept) if before is None else before
    second = np.arange(more) if after is None else after
    return np.concatenate([first[old], (second + int(first.max(initial=-1)) + 1)[new]])
