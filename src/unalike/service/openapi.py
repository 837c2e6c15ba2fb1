"""What the service says of itself in OpenAPI: bodies, answers and examples."""

from __future__ import annotations

from typing import Any

ABOUT = (
    "Finds what is unlike normal samples. Send rows of a table, steps of a series, texts or images; get a score, a "
    "p-value and a decision for each. Higher scores are more anomalous."
)

_DECISIONS = {
    "model": "line3",
    "version": "3f9a01c2b4d5",
    "count": 2,
    "anomalies": 1,
    "threshold": 4.21,
    "false_alarm_rate": 0.01,
    "false_discovery_rate": None,
    "decisions": [
        {"row": 0, "id": 0, "score": 1.37, "p_value": 0.52, "is_anomaly": False},
        {"row": 1, "id": 1, "score": 9.8, "p_value": 0.004, "is_anomaly": True},
    ],
    "skipped": [],
    "warnings": [],
}
_EXPLANATIONS = {
    "model": "line3",
    "version": "3f9a01c2b4d5",
    "count": 1,
    "threshold": 4.21,
    "left_out": 0,
    "explanations": [
        {
            "row": 1,
            "id": "1",
            "score": 9.8,
            "parts": [{"place": "temperature", "share": 0.8, "value": 93.0, "usual": 21.5}],
            "nearest": ["17", "203"],
        }
    ],
    "warnings": [],
}
_EMBEDDINGS = {
    "model": "line3",
    "version": "3f9a01c2b4d5",
    "count": 1,
    "ids": [0],
    "embeddings": [[0.12, -0.7]],
    "warnings": [],
}
_OF_MODEL = {
    "name": "line3",
    "modality": "table",
    "version": "3f9a01c2b4d5",
    "loaded_at": "2026-01-31T12:00:00+00:00",
    "trained_on": 800,
    "calibrated_on": 200,
    "threshold": 4.21,
    "false_alarm_rate": 0.01,
    "inputs": {"columns": [{"name": "temperature", "kind": "number"}], "id": None, "named": True},
    "failure": None,
    "drift": None,
    "waiting": 0,
    "requests": 12,
    "batches": 7,
}
_SAMPLES = {
    "rows of a table": [{"temperature": 21.5, "valve": "open"}, {"temperature": 93.0, "valve": None}],
    "rows of numbers": [[1.0, 2.0], [3.0, None]],
    "steps of a series": [[0.1, 5.0], [0.2, 5.1], [0.1, 4.9]],
    "steps with times": [{"t": "2026-01-31T12:00:00", "cpu": 0.3}, {"t": "2026-01-31T12:05:00", "cpu": 0.4}],
    "records by name": {"host 1": [[0.1], [0.2]], "host 2": [[0.3], [0.1]]},
    "texts": ["The printer is out of paper.", "Please call me back."],
}


def _option(name: str, kind: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": {"type": kind}}


_MODEL_OPTION = _option("model", "string", "Name of the model; needed where several are served.")
_OF_DETECT = [
    _MODEL_OPTION,
    _option("false_alarm_rate", "number", "For this request: share of normal samples that may raise an alarm."),
    _option("false_discovery_rate", "number", "Instead: share of the anomalies found that may be normal."),
    _option("drift", "boolean", "Also test whether these samples, as a whole, still are like the calibration samples."),
    _option("entities", "string", "JSON list: the entity of each sample, for thresholds per entity."),
]
_OF_EXPLAIN = [
    _MODEL_OPTION,
    _option("only", "string", "Rows to explain, such as 3,17; without it the anomalies, highest scores first."),
    _option("most", "integer", "At most so many samples."),
    _option("most_places", "integer", "At most so many causes of each."),
    _option("pictures", "boolean", "With heat maps of images, and of series steps by channels."),
]
_OF_EMBED = [_MODEL_OPTION, _option("branch", "string", "Whose encoder; without it, of the first that was trained.")]


def _body(options: list[dict[str, Any]]) -> dict[str, Any]:
    fields = {one["name"]: {**one["schema"], "description": one["description"]} for one in options}
    in_json = {**fields, "samples": {"description": "A list; of series also an object with a list for each record."}}
    in_json["dtype"] = {"type": "string", "enum": ["float32", "uint8", "uint16"], "description": "Of images in JSON."}
    file = {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "Files, under any name."}
    raw = {"schema": {"type": "string", "format": "binary"}}
    content = {
        "application/json": {
            "schema": {"type": "object", "properties": in_json, "required": ["samples"]},
            "examples": {name: {"value": {"samples": samples}} for name, samples in _SAMPLES.items()},
        },
        "multipart/form-data": {"schema": {"type": "object", "properties": {**fields, "file": file}}},
        "text/csv": raw,
        "application/vnd.apache.parquet": raw,
        "application/x-ndjson": raw,
        "image/png": raw,
        "image/jpeg": raw,
    }
    return {"parameters": options, "requestBody": {"required": True, "content": content}}


def _answers(example: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "The answer.", "content": {"application/json": {"example": example}}}}


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"example": {"detail": detail}}}}
    for status, text, detail in (
        (401, "The key is missing or wrong.", "A key is needed. Send it as a header: Authorization: Bearer KEY."),
        (404, "No model has this name.", "`model` must be one of ['line3']; got 'line4'. Did you mean 'line3'?"),
        (408, "The body did not come in time.", "The body did not come in time. Send less, or faster."),
        (409, "The model cannot decide yet.", "The detector must be calibrated first."),
        (413, "The request is too large.", "A request must hold at most 64 MB; this one holds more. Send it in parts."),
        (415, "The content type is none that can be read.", "The content type must be application/json, …"),
        (422, "The samples or an option cannot be used.", "`samples` must have the columns of `fit`; got none called…"),
        (429, "Too many requests wait; Retry-After says for how long.", "256 requests wait, as many as may."),
        (504, "The answer was not ready in time.", "The answer was not ready within 60 s. Send less, or try later."),
    )
}


def _verb(summary: str, options: list[dict[str, Any]], example: Any) -> dict[str, Any]:
    return {
        "summary": summary,
        "openapi_extra": _body(options),
        "responses": {**_answers(example), **_ERRORS},
        "response_model": None,
    }


DETECT = _verb("Decide which samples are anomalies.", _OF_DETECT, _DECISIONS)
EXPLAIN = _verb("Tell why samples score as they do.", _OF_EXPLAIN, _EXPLANATIONS)
EMBED = _verb("Embeddings of samples.", _OF_EMBED, _EMBEDDINGS)
MODELS = _answers({"models": [_OF_MODEL]})
MODEL = _answers({**_OF_MODEL, "calibration": [0.8, 1.1, 1.4]})
HEALTH = _answers({"status": "ok", "version": "0.1.0", "models": 1, "failed": 0, "drifted": 0})
