"""Scoring on many machines: a saved model is mapped over partitions of the data by Ray Data (docs/scaling.md).

Ray starts the workers, brings the work to them, and runs anew what a lost worker had; nothing of that is ours. Each
worker loads the model once and judges partitions by `Detector.detect`, so that the decisions are those of one process.
"""

from unalike.ray.detecting import detect
from unalike.ray.writing import Written, write_decisions

__all__ = ["Written", "detect", "write_decisions"]
