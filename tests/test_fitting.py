"""Labelled anomalies on their way to training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unalike import Detector, modalities
from unalike.errors import InvalidInput

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")


def test_anomalies_need_no_column_that_names_them() -> None:
    generator = np.random.default_rng(0)
    X = pd.DataFrame(generator.normal(size=(60, 3)), columns=["a", "b", "c"]).assign(
        name=[f"row {n}" for n in range(60)]
    )
    anomalies = pd.DataFrame(generator.normal(5.0, 1.0, (6, 3)), columns=["a", "b", "c"])
    scores = []
    for given in (anomalies, anomalies.assign(name="the same")):
        detector = Detector(modalities.Table(id="name"), objective="supcon", training={"steps": 3})
        scores.append(detector.fit(X, anomalies=given).anomaly_scores(X))
        assert detector.modality_.id == "name"
        with pytest.raises(InvalidInput, match="name"):
            detector.detect(anomalies)
    np.testing.assert_array_equal(*scores)
    with pytest.raises(InvalidInput, match=r"`anomalies` must be of the same kind.*\['c'\]"):
        detector.fit(X, anomalies=anomalies.drop(columns="c"))
