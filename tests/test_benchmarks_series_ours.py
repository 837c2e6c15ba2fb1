"""benchmarks/series_ours.py: readings of one fitted detector, each scored as the detector scores."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import series_ours
from benchmarks.series_ours import READINGS, SeriesDefault, reading
from benchmarks.series_summary import ABLATIONS
from torch import Tensor, nn

from unalike import Branch, Detector, Training, encoders, scorers, thresholds
from unalike.modalities import Series


class Tiny(nn.Module):
    """The least that can be trained on windows."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 4)

    def forward(self, data: Tensor) -> Tensor:
        return self.linear(data.nan_to_num(0.0).flatten(1)).relu()


RECORD = np.sin(np.arange(260) / 3)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(260, 1))
NEAREST = scorers.KNN(k=3)
RAW = Branch(name="windows", encoder=encoders.RawWindow(), scorer=NEAREST)
STATISTICS = Branch(name="statistics", encoder=encoders.WindowStatistics(), scorer=NEAREST, weight=0.5)
OTHER = Branch(name="other", encoder=encoders.WindowStatistics(), scorer=scorers.KNN(k=1))
NETWORK = Branch(
    name="contrast",
    encoder=Tiny(),
    objective="simclr",
    scorer=NEAREST,
    training=Training(steps=3, batch_size=8),
)


def fitted(*branches: Branch) -> Detector:
    threshold = thresholds.Conformal(false_alarm_rate=0.1)
    return Detector(Series(window=16), branches=branches, threshold=threshold, random_state=0).fit(RECORD)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted(RAW, STATISTICS, OTHER, NETWORK)


def test_readings(detector):
    test = RECORD[:90] + 0.3
    alone = detector.branch_scores(test)
    before = detector.anomaly_scores(test)
    scores = {method: reading(detector, method).anomaly_scores(test) for method in READINGS[:-1]}
    np.testing.assert_array_equal(scores["unalike"], before)
    np.testing.assert_allclose(scores["contrast"], alone["contrast"])
    np.testing.assert_allclose(scores["untrained-alone"], alone["contrast (untrained)"])
    assert not np.array_equal(scores["untrained"], before)
    np.testing.assert_array_equal(detector.anomaly_scores(test), before)
    np.testing.assert_allclose(scores["floor"], fitted(RAW, STATISTICS).anomaly_scores(test))
    np.testing.assert_allclose(scores["no-network"], fitted(RAW, STATISTICS, OTHER).anomaly_scores(test))


def test_a_reading_that_is_not_there(detector):
    with pytest.raises(ValueError, match="no 'contrast' of the branches windows"):
        reading(fitted(RAW), "contrast")
    assert {name for pair in ABLATIONS for name in pair} == set(READINGS[:-1])


def test_alarms_are_the_defaults_alone(detector):
    model = SeriesDefault(seed=0)
    model.detector = detector
    alarms, rate = model.alarms(RECORD[:90], "unalike")
    assert alarms.shape == (90,)
    assert 0 < rate < 1
    assert model.alarms(RECORD[:90], "floor") is None


def test_a_stream_is_told_step_by_step(detector, monkeypatch):
    model = SeriesDefault(seed=0)
    model.detector = detector
    test = RECORD[:90].copy()
    test[50:] += 9
    whole = model.score(test, "stream")
    alarms, _ = model.alarms(test, "stream")
    for chunk in (7, 1):
        monkeypatch.setattr(series_ours, "_CHUNK", chunk)
        np.testing.assert_allclose(model.score(test, "stream"), whole, rtol=1e-5)
        np.testing.assert_array_equal(model.alarms(test, "stream")[0], alarms)
    assert np.ptp(whole[:15]) == 0
    assert not alarms[:50].any()
    assert alarms[60:].all()
    np.testing.assert_allclose(model.score(test[:60], "stream"), whole[:60], rtol=1e-5)
