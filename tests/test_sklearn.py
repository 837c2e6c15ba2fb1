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
    "wants alarms among the very rows of `fit`, at distance 0 from themselves in the memory bank; with a scorer that "
    "remembers no rows, and a rate of 10%, the same check passes, below"
)
EXCUSED = {"check_outliers_fit_predict": NO_ALARM, "check_outliers_train": NO_ALARM}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([Detector("table", training=QUICK)], expected_failed_checks=lambda _: EXCUSED)
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("check", [check_outliers_fit_predict, check_outliers_train])
def test_the_excused_checks_pass_where_no_row_is_remembered(check: Any) -> None:
    threshold = thresholds.Conformal(false_alarm_rate=0.1)
    check("Detector", Detector("table", scorer="mahalanobis", training=QUICK, threshold=threshold))


def test_not_fitted_is_both_errors() -> None:
    with pytest.raises(NotFittedError) as caught:
        Detector().predict([[0.0]])
    assert isinstance(caught.value, NotFitted)
