"""Runs detectors that unalike exported as ONNX, with numpy, onnxruntime and Pillow alone."""

from __future__ import annotations

from unalike_runtime.decisions import Decisions
from unalike_runtime.errors import CannotLoad, InvalidInput, RuntimeRefusal
from unalike_runtime.model import Model, load

__all__ = ["CannotLoad", "Decisions", "InvalidInput", "Model", "RuntimeRefusal", "load"]
