"""What a model finds."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Decisions:
    """One row per sample, as unalike's ``Detector.detect`` gives them.

    Parameters
    ----------
    ids : ndarray
        ``(n,)``: paths, values of the id column, or numbers from 0.
    scores : ndarray
        ``(n,)`` float64, higher = more anomalous.
    p_values : ndarray
        ``(n,)``: share of normal samples expected to score as high; NaN where the threshold ranks no scores.
    is_anomaly : ndarray
        ``(n,)`` bool.
    threshold : float
        The largest score that is still normal.
    entities : ndarray or None
        Of series: ``(n,)`` whose record each step is of.
    """

    ids: npt.NDArray[Any]
    scores: FloatArray
    p_values: FloatArray
    is_anomaly: npt.NDArray[np.bool_]
    threshold: float
    entities: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"Decisions({int(self.is_anomaly.sum())} of {len(self)} anomalous, threshold {self.threshold:.4g})"


@dataclass(frozen=True, eq=False, slots=True)
class Rule:
    """How joined scores are decided on, where the graph gives the scores of parts.

    Parameters
    ----------
    limit : float
        The largest score that is still normal.
    plus : float or None
        1 of a conformal threshold, 0 of a quantile; None where there are no p-values.
    calibration : ndarray
        ``(m,)`` sorted scores.
    least : float
        Of what no part covers.
    """

    limit: float
    plus: float | None
    calibration: FloatArray
    least: float

    @staticmethod
    def read(limit: float, told: Mapping[str, Any]) -> Rule:
        """From a file's metadata."""
        scores = np.frombuffer(base64.b64decode(told["calibration"]), dtype="<f8").astype(np.float64)
        return Rule(limit, told["plus"], np.sort(scores), float(told["least"]))

    def decide(self, scores: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """P-values and alarms, ``(n,)`` each."""
        found = ~(scores <= self.limit)
        if self.plus is None:
            return np.full(len(scores), np.nan), found
        n = len(self.calibration)
        at_least = n - np.searchsorted(self.calibration, scores, side="left")
        return np.asarray((self.plus + at_least) / (n + self.plus)), found
