"""scikit-learn's side of the detector: its method names and its signs, which appear here and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError

from unalike.errors import NotCalibrated, NotFitted
from unalike.thresholds.deciding import decide
from unalike.types import FloatArray, IntArray, Threshold


class DetectorNotFitted(NotFitted, NotFittedError):  # type: ignore[misc]
    """The same for those who catch scikit-learn's error."""


class ScikitLearnBridge(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """`predict`, `decision_function` and `score_samples` from `anomaly_scores` and `threshold_`."""

    def anomaly_scores(self, X: Any) -> FloatArray:
        """``(n,)`` float64, higher = more anomalous."""
        raise NotImplementedError

    def score_samples(self, X: Any) -> FloatArray:
        """``(n,)``, higher = more normal: scikit-learn's sign."""
        return -self.anomaly_scores(X)

    def decision_function(self, X: Any) -> FloatArray:
        """``(n,)``, negative = anomaly: scikit-learn's sign."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> IntArray:
        """``(n,)``: -1 for an anomaly, +1 for a normal sample; without entities, the pooled threshold decides."""
        threshold, scores = self._need_threshold(), self.anomaly_scores(X)
        return np.where(decide(threshold, scores, np.arange(len(scores))).is_anomaly, -1, 1)

    @property
    def offset_(self) -> float:
        """scikit-learn's name for minus the threshold."""
        return -self._need_threshold().threshold_

    def _need_fit(self) -> None:
        if not hasattr(self, "branches_"):
            raise DetectorNotFitted("This Detector is not fitted yet. Call `fit` with normal samples first.")

    def _need_threshold(self) -> Threshold:
        self._need_fit()
        if not hasattr(self, "threshold_"):
            raise NotCalibrated(
                "This Detector is not calibrated yet. Call `calibrate` with normal samples that did not train, or fit "
                "with calibration_fraction above 0."
            )
        threshold: Threshold = self.threshold_
        return threshold

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "branches_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        modality = getattr(self, "modality", None)
        is_table = "table" in (modality, getattr(modality, "name", None))
        tags.input_tags.allow_nan = is_table
        tags.input_tags.two_d_array = is_table
        tags.input_tags.categorical = is_table
        return tags
