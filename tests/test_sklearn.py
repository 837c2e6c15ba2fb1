"""scikit-learn's own checks of an estimator, on `Detector("table")` with plain numeric arrays."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import (
    check_outliers_fit_predict,
    check_outliers_train,
    parametrize_with_checks,
)

from unalike import Detector, Training, thresholds
from unalike.errors import NotFitted

QUICK = Training(steps=3, batch_size=64)

NO_ALARM = (
    "wants alarms among the very rows of `fit`: at the default rate of 1% none of the 300 is alarmed, because the "
    "memory bank knows 240 of them; at a rate of 10% the same check passes, below"
)
EXCUSED = {"check_outliers_fit_predict": NO_ALARM, "check_outliers_train": NO_ALARM}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([Detector("table", training=QUICK)], expected_failed_checks=lambda _: EXCUSED)
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("check", [check_outliers_fit_predict, check_outliers_train])
def test_the_excused_checks_pass_at_a_higher_rate(check: Any) -> None:
    check("Detector", Detector("table", training=QUICK, threshold=thresholds.Conformal(false_alarm_rate=0.1)))


def test_not_fitted_is_both_errors() -> None:
    with pytest.raises(NotFittedError) as caught:
        Detector().predict([[0.0]])
    assert isinstance(caught.value, NotFitted)
