"""What an exported file says of itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from unalike import __version__
from unalike.detector import Detector
from unalike.exporting.deciding import Decided
from unalike.exporting.inputs import Input

FORMAT_VERSION = 2
"""Of the graph's inputs, outputs and metadata."""


def describe(model: Any, detector: Detector, source: Input, branches: list[str]) -> None:
    """Write metadata into an ONNX model, as JSON values.

    ``input`` tells a reader how to make of data what is fed to the graph. ``decision``, where samples are joined from
    parts behind the graph, holds the limit and the calibration scores (base64 of little-endian float64).
    """
    rate, threshold = detector.threshold_.false_alarm_rate_, Decided(detector.threshold_)
    described = {
        "unalike_format": FORMAT_VERSION,
        "unalike_version": __version__,
        "modality": detector.modality_.name,
        "shape": list(detector.modality_.schema.shape),
        "branches": branches,
        "threshold": threshold.limit,
        "false_alarm_rate": None if rate is None else float(rate),
        "input": source.described,
    }
    if source.joins:
        scores = np.ascontiguousarray(threshold.calibration.numpy(), dtype="<f8")
        described["decision"] = {
            "plus": threshold.plus,
            "calibration": base64.b64encode(scores.tobytes()).decode("ascii"),
            "least": detector.fusion_.least,
        }
    model.producer_name, model.producer_version = "unalike", __version__
    for name, value in described.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    """Numbers of numpy, which names of columns may be."""
    return value.item() if isinstance(value, np.generic) else str(value)
