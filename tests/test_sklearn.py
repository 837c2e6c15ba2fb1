"""scikit-learn's own checks of an estimator, on `Detector("table")` with a plain numeric array."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from unalike import Detector, Training

EXCUSED: dict[str, str] = {}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [Detector("table", training=Training(steps=3, batch_size=64))], expected_failed_checks=lambda _: EXCUSED
)
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)
