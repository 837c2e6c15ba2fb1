"""What may be wrong with the data: copies, anomalies among what was taken for normal, data that have changed."""

from __future__ import annotations

import numpy as np

from unalike.data import count, evenly, skipped
from unalike.memory import again, fingerprints
from unalike.modalities import nearcopies
from unalike.report.material import Material
from unalike.report.summary import item
from unalike.robust import unexplained
from unalike.types import Collection

_MOST_PRINTED = 20_000
_COLLAPSED = 1.5
_MANY = 0.01
_NAMED = 5


def cautions(material: Material) -> str:
    """A list: what was looked for, and what was found."""
    said = [
        *_changed(material),
        *_unread(material),
        *_seen_before(material),
        *_copies(material, material.X, "this data"),
        *(() if material.training is None else _copies(material, material.training, "the training data")),
        *_suspects(material),
        *_backing(material),
        *_collapse(material),
    ]
    return f"<ul class='said'>{''.join(item(*sentence) for sentence in said)}</ul>"


def _changed(material: Material) -> list[tuple[str, str]]:
    drift = material.drift
    return [("bad" if drift.drifted else "note" if np.isnan(drift.p_value) else "good", str(drift))]


def _unread(material: Material) -> list[tuple[str, str]]:
    left_out = skipped(material.X)
    if not left_out:
        return []
    first = "; ".join(f"{sample.id}: {sample.reason}" for sample in left_out[:_NAMED])
    return [("bad", f"{len(left_out)} {material.words} could not be read and are not judged: {first}")]


def _seen_before(material: Material) -> list[tuple[str, str]]:
    memory = getattr(material.detector, "memory_", None)
    if memory is None or count(material.X) > _MOST_PRINTED:
        return []
    prints = fingerprints(material.modality, material.X, np.arange(count(material.X)))
    seen = int(again(prints, np.concatenate([memory.trained, memory.calibrated])).sum())
    if seen == 0:
        return [("good", f"None of these {material.words} trained or calibrated the model.")]
    return [("bad", f"{seen:,} of these {material.words} trained or calibrated the model: their scores are too low, "
                    "and figures that count them look better than the model is.")]  # fmt: skip


def _copies(material: Material, X: Collection, name: str) -> list[tuple[str, str]]:
    if material.in_time or count(X) > _MOST_PRINTED:
        return []
    prints = fingerprints(material.modality, X, np.arange(count(X)))
    equal = len(prints) - len(np.unique(prints))
    if equal > _MANY * len(prints):
        told = f"{equal:,} of {len(prints):,} {material.words} in {name} are exact copies of others."
        return [("bad", f"{told} Copies in training and test flatter a model: give fit(groups=...).")]
    found = nearcopies.look(material.modality.thumbnails(X)) if hasattr(material.modality, "thumbnails") else None
    if found is not None and found.many:
        ids = material.modality.ids(X)[found.example[:2]].tolist()
        told = f"{found.share:.0%} of the images in {name} have a near copy, for example {ids[0]} and {ids[-1]}."
        return [("bad", f"{told} Fit with groups=find_groups(X), so that copies stay on one side of a split.")]
    what = "copies or near copies" if found is not None else "exact copies"
    return [("good", f"No more than a few {what} in {name}.")]


def _suspects(material: Material) -> list[tuple[str, str]]:
    detector, said = material.detector, []
    aside = getattr(detector, "set_aside_", np.zeros(0, dtype=np.int64))
    if len(aside):
        rows = ", ".join(map(str, aside[:_NAMED].tolist()))
        more = "…" if len(aside) > _NAMED else ""
        said.append(("note", f"{len(aside):,} suspected anomalies of the training data were set aside and neither "
                             f"trained nor calibrated: numbers {rows}{more} (counted from 0)."))  # fmt: skip
    scores = np.asarray(getattr(detector, "calibration_scores_", np.zeros(0)))
    odd = int(unexplained(scores[evenly(len(scores), _MOST_PRINTED)], 0.5).sum()) if len(scores) else 0
    if odd and not material.in_time:
        said.append(("note", f"{odd} of {len(scores):,} calibration {material.words} score far above what the others "
                             "foretell. That happens to clean data too, about one time in five; if they are anomalies, "
                             "the threshold is too high. Look at them, or fit with "
                             "expected_anomalies=0.05."))  # fmt: skip
    elif not material.in_time and len(scores):
        said.append(("good", f"No calibration {material.words} stand out from the others as anomalies would."))
    return said


def _backing(material: Material) -> list[tuple[str, str]]:
    rate, n = material.decisions.false_alarm_rate, len(getattr(material.detector, "calibration_scores_", ()))
    if rate is None or n == 0:
        return []
    what = material.words
    if material.in_time:
        n, what = material.detector.calibration_windows_, "windows that do not overlap"
    allowed = rate * n
    if allowed >= 5.0:
        return []
    return [("note", f"The threshold rests on about {max(allowed, 1):.0f} of {n:,} calibration {what}: the rate that "
                     "new data realise may well be twice the one asked for, or half. More calibration data make it "
                     "surer.")]  # fmt: skip


def _collapse(material: Material) -> list[tuple[str, str]]:
    histories = getattr(material.detector, "history_", {})
    fallen = [name for name, rows in histories.items()
              if rows[-1]["effective_rank"] < min(_COLLAPSED, rows[0]["effective_rank"])]  # fmt: skip
    return [("bad", f"The embedding of branch {name} collapsed in training.") for name in fallen]
