"""The scores of the latest samples: do they still look like those that set the threshold?

Requests of single rows are too small to show a drift; what came in lately shows it (`unalike.drift`).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from unalike.decisions import Decisions
from unalike.detector import Detector
from unalike.drift import Seen, compared
from unalike.thresholds.deciding import takes_entities
from unalike.types import InTime

MOST = 1_000
"""Samples that are remembered."""
LEAST = 50
"""Fewer are not compared."""


class Recent:
    """The latest scores of one version of a model.

    Steps of records depend on each other, and thresholds per entity on the mixture of entities: of those nothing is
    remembered.

    Parameters
    ----------
    detector : Detector
        Fitted.
    """

    def __init__(self, detector: Detector) -> None:
        self._calibration = getattr(detector, "calibration_scores_", np.zeros(0))
        threshold = getattr(detector, "threshold_", None)
        self._threshold = None if threshold is None else float(threshold.threshold_)
        self._kept = not isinstance(detector.modality_, InTime) and not takes_entities(threshold)  # type: ignore[arg-type]
        self._scores: deque[float] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def add(self, decisions: Decisions) -> None:
        """Remember the scores of one request."""
        if self._kept:
            with self._lock:
                self._scores.extend(decisions.scores.tolist())

    def drift(self) -> dict[str, Any] | None:
        """What `unalike.drift.Drift.to_dict` tells of them; None where there are too few."""
        with self._lock:
            scores = np.array(self._scores)
        if len(scores) < LEAST or self._threshold is None or not len(self._calibration):
            return None
        before = Seen(self._calibration, self._calibration > self._threshold)
        return compared(Seen(scores, scores > self._threshold), before).to_dict()
