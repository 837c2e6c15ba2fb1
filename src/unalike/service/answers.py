"""What the service answers, as JSON: plain numbers, and null for what is not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unalike.data import evenly
from unalike.decisions import Decisions, Explanation, Part
from unalike.detector import Detector
from unalike.errors import UnalikeError
from unalike.plain import plain
from unalike.service.models import Loaded, Served
from unalike.service.scoring import Explained
from unalike.types import FloatArray, InTime

_MOST_CALIBRATION = 512
_PICTURE = 128
"""Longest side of the pictures of images; larger ones are made smaller."""

Told = Callable[[str], str]


def as_json(value: Any) -> bytes:
    """JSON in UTF-8; floating-point numbers read back equal."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )


def of_decisions(decisions: Decisions, detector: Detector, told: Told) -> dict[str, Any]:
    """Decisions, and of records the alarms that they make.

    Parameters
    ----------
    decisions : Decisions
        Of one request.
    detector : Detector
        That made them.
    told : callable
        A text in the words of the client.
    """
    columns = {name: column.tolist() for name, column in decisions.to_dict().items()}
    columns["id"] = [_id(one, told) for one in columns["id"]]
    rows = decisions.rows.tolist() if decisions.rows is not None else range(len(decisions))
    answer: dict[str, Any] = {
        "count": len(decisions),
        "anomalies": int(decisions.is_anomaly.sum()),
        "threshold": decisions.threshold,
        "false_alarm_rate": decisions.false_alarm_rate,
        "false_discovery_rate": decisions.false_discovery_rate,
        "decisions": [
            {"row": row, **dict(zip(columns, cells, strict=True))}
            for row, *cells in zip(rows, *columns.values(), strict=True)
        ],
        "skipped": [{"row": one.row, "id": told(str(one.id)), "reason": told(one.reason)} for one in decisions.skipped],
    }
    if isinstance(detector.modality_, InTime):
        events = decisions.events().to_dict()
        answer["events"] = [
            dict(zip(events, cells, strict=True)) for cells in zip(*(c.tolist() for c in events.values()), strict=True)
        ]
    return answer


def of_explanations(explained: Explained, pictures: bool, told: Told) -> dict[str, Any]:
    """Explanations; `pictures`: with heat maps, at most 128 pixels or steps on a side."""
    found = zip(explained.explanations, explained.rows, strict=True)
    return {
        "count": len(explained.explanations),
        "threshold": explained.threshold,
        "left_out": explained.left_out,
        "explanations": [_explanation(one, row, pictures, told) for one, row in found],
    }


def _explanation(one: Explanation, row: int | None, pictures: bool, told: Told) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "row": row,
        "id": _id(one.id, told),
        "score": one.score,
        "parts": [_part(part) for part in one.parts],
        "nearest": list(one.nearest),
    }
    if pictures and one.picture is not None and one.picture.ndim == 2:
        answer["picture"] = [[round(value, 5) for value in line] for line in _smaller(one.picture).tolist()]
        answer["mask"] = None if one.mask is None else (_smaller(one.mask.astype(np.float64)) > 0).tolist()
    return answer


def _part(part: Part) -> dict[str, Any]:
    told = {"place": part.place, "share": part.share, "value": part.value, "usual": part.usual}
    where = {name: getattr(part, name) for name in ("at", "without") if getattr(part, name, None) is not None}
    return {**told, **where}


def _smaller(picture: FloatArray) -> FloatArray:
    """The largest value of each block of pixels, so that no peak is lost."""
    step = math.ceil(max(picture.shape) / _PICTURE)
    if step == 1:
        return picture
    height, width = (-(-side // step) for side in picture.shape)
    filled = np.full((height * step, width * step), -np.inf)
    filled[: picture.shape[0], : picture.shape[1]] = picture
    return np.asarray(filled.reshape(height, step, width, step).max(axis=(1, 3)))


def of_model(served: Served) -> dict[str, Any]:
    """What a client should know of a model."""
    loaded, counts = served.current, served.worker.counts
    about = loaded.manifest["summary"]
    return {
        "name": served.name,
        "modality": about["modality"],
        "version": loaded.version,
        "loaded_at": loaded.at.isoformat(timespec="seconds"),
        "trained_on": about["trained_on"],
        "calibrated_on": about["calibrated_on"],
        "threshold": about["threshold"],
        "false_alarm_rate": about["false_alarm_rate"],
        "inputs": _inputs(loaded),
        "failure": served.failure,
        "drift": loaded.recent.drift(),
        "waiting": served.worker.waiting,
        "requests": counts.jobs,
        "batches": counts.batches,
    }


def of_one_model(served: Served) -> dict[str, Any]:
    """As `of_model`, with scores of normal samples, sorted, at most 512 of them: what a threshold is compared with."""
    return {**of_model(served), "calibration": _calibration(served.current.detector)}


def _inputs(loaded: Loaded) -> dict[str, Any]:
    """What samples must look like."""
    modality: Any = loaded.detector.modality_
    if modality.name == "table":
        columns = [{"name": column.name, "kind": column.kind} for column in modality.inputs_]
        return {"columns": columns, "id": modality.id, "named": bool(modality.named_)}
    if modality.name == "series":
        learned = modality.learned_
        return {
            "channels": list(learned.channels),
            "named": bool(learned.named),
            "time": modality.time,
            "entity": modality.entity,
            "window": modality.window_,
        }
    if modality.name == "image":
        return {"channels": modality.channels_, "size": list(modality.size_)}
    return {"column": modality.column, "part": modality.part}


def _calibration(detector: Detector) -> list[float]:
    scores = np.sort(getattr(detector, "calibration_scores_", np.zeros(0)))
    kept: list[float] = scores[evenly(len(scores), _MOST_CALIBRATION)].tolist() if len(scores) else []
    return kept


def of_error(error: Exception, told: Told) -> dict[str, Any]:
    """A teaching message; of what is none of ours, that there is a log."""
    if isinstance(error, UnalikeError):
        return {"detail": told(str(error))}
    return {"detail": "The service failed. Its log tells why."}


def _id(value: Any, told: Told) -> Any:
    return told(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)
