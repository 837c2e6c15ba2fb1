"""Tables whose rows repeat."""

from __future__ import annotations

import numpy as np
import pytest

from unalike import Detector, Training, thresholds


@pytest.mark.filterwarnings("ignore:Branch:unalike.errors.TrainingWarning")
def test_copies_of_normal_rows_raise_no_alarm_one_at_a_time() -> None:
    """The last bits of an embedding differ with the size of the batch; a copy is one all the same."""
    flags = np.random.default_rng(0).integers(0, 2, size=(200, 3)).astype(np.float64)
    detector = Detector("table", training=Training(epochs=1), threshold=thresholds.Conformal(false_alarm_rate=0.05))
    detector.fit(flags)
    assert not detector.calibration_scores_.any()
    one_by_one = [detector.detect(row[None]) for row in np.unique(flags, axis=0)]
    assert not any(decision.is_anomaly[0] for decision in one_by_one)
    assert detector.detect([[0.0, 1.0, 5.0]]).is_anomaly[0]
