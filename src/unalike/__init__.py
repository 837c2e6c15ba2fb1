"""unalike: learn by contrast what normal samples have in common; score, calibrate and explain what is unlike them.

Importing this package does not import torch: every name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unalike import encoders, errors, modalities, objectives, scorers, thresholds, views
    from unalike.decisions import Decisions, Explanation, Explanations
    from unalike.detector import Detector
    from unalike.drift import Drift
    from unalike.evaluation import Evaluation, evaluate
    from unalike.events import Event, Events
    from unalike.exporting import export
    from unalike.modalities.grouping import find_groups
    from unalike.persistence import load, save
    from unalike.report import write_report
    from unalike.streaming import Stream
    from unalike.types import Branch, Training
    from unalike.viewcheck import ViewCheck, ViewChecks, check_views

__version__ = "0.1.0"

_MODULES = ("encoders", "errors", "modalities", "objectives", "scorers", "thresholds", "views")
_NAMES = {
    "Branch": "unalike.types",
    "Decisions": "unalike.decisions",
    "Detector": "unalike.detector",
    "Drift": "unalike.drift",
    "Evaluation": "unalike.evaluation",
    "Event": "unalike.events",
    "Events": "unalike.events",
    "Explanation": "unalike.decisions",
    "Explanations": "unalike.decisions",
    "Stream": "unalike.streaming",
    "Training": "unalike.types",
    "ViewCheck": "unalike.viewcheck",
    "ViewChecks": "unalike.viewcheck",
    "check_views": "unalike.viewcheck",
    "evaluate": "unalike.evaluation",
    "find_groups": "unalike.modalities.grouping",
    "export": "unalike.exporting",
    "load": "unalike.persistence",
    "save": "unalike.persistence",
    "write_report": "unalike.report",
}

__all__ = [
    "Branch",
    "Decisions",
    "Detector",
    "Drift",
    "Evaluation",
    "Event",
    "Events",
    "Explanation",
    "Explanations",
    "Stream",
    "Training",
    "ViewCheck",
    "ViewChecks",
    "check_views",
    "encoders",
    "errors",
    "evaluate",
    "export",
    "find_groups",
    "load",
    "modalities",
    "objectives",
    "save",
    "scorers",
    "thresholds",
    "views",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"unalike.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'unalike' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
