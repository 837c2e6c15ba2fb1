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
"""Fewer are not compared, nor compared again: whoever asks for the health of a service each second costs nothing."""


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
        self._fresh = 0  # since they were compared
        self._known: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def add(self, decisions: Decisions) -> None:
        """Remember the scores of one request."""
        if self._kept:
            with self._lock:
                self._scores.extend(decisions.scores.tolist())
                self._fresh += len(decisions)

    def drift(self) -> dict[str, Any] | None:
        """What `unalike.drift.Drift.to_dict` told of them when 50 new ones had come; None where there are too few."""
        if self._threshold is None or not len(self._calibration):
            return None
        with self._lock:
            if self._fresh < LEAST:
                return self._known
            scores, self._fresh = np.array(self._scores), 0
        before = Seen(self._calibration, self._calibration > self._threshold)
        self._known = compared(Seen(scores, scores > self._threshold), before).to_dict()
        return self._known
