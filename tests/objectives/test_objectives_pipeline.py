"""Objectives inside a `Detector`: by name, with labelled anomalies, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from unalike import Detector, load, save, thresholds
from unalike.objectives import CARLA, CSI, InjectedContrast, MoCo, PaAno, SupCon, TemporalContrast

OBJECTIVES = {
    "csi": CSI(shifts=("rotate-180",), shift_weight=0.5),
    "moco": MoCo(queue=32, momentum=0.9),
    "supcon": SupCon(anomaly_weight=2.0),
}


def pictures(n, seed=0):
    """Bright above, dark below."""
    rng = np.random.default_rng(seed)
    return (np.linspace(1, 0, 8)[:, None] + 0.1 * rng.normal(size=(n, 8, 8))).astype(np.float32)


def fitted(objective, **more):
    training = {"epochs": 2, "batch_size": 16, "steps": None}
    detector = Detector(
        "image",
        objective=objective,
        training=training,
        threshold=thresholds.Conformal(false_alarm_rate=0.2),
        random_state=0,
    )
    return detector.fit(pictures(48), **more)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_trains_by_settings_and_a_saved_model_scores_bit_equal(name, tmp_path):
    detector = fitted(OBJECTIVES[name], anomalies=pictures(5, seed=1)[:, ::-1])
    test = np.concatenate([pictures(6, seed=2), pictures(6, seed=3)[:, ::-1]])
    save(detector, tmp_path / "model.unalike")
    loaded = load(tmp_path / "model.unalike")
    assert np.array_equal(loaded.anomaly_scores(test), detector.anomaly_scores(test))
    assert loaded.get_params()["objective"] == OBJECTIVES[name]


@pytest.mark.filterwarnings("ignore:The shift 'rotate-")
def test_its_own_score_knows_which_shifts_were_dropped_after_loading(tmp_path):
    """On pictures that are alike upside down, half a turn changes nothing and is left out."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(48, 8, 8))
    same = (np.abs(np.linspace(-1, 1, 8))[:, None] + noise).astype(np.float32)
    objective = CSI(shifts=("rotate-90", "rotate-180"))
    training = {"epochs": 2, "batch_size": 16, "steps": None}
    detector = Detector(
        "image", objective=objective, scorer="objective", training=training, calibration_fraction=0.0
    ).fit(same)
    assert detector.branches_[0].judge.encoder.objective.kept == (0, 1)
    save(detector, tmp_path / "model.unalike")
    loaded = load(tmp_path / "model.unalike")
    assert loaded.branches_[0].judge.encoder.objective.kept == (0, 1)
    assert np.array_equal(loaded.anomaly_scores(same), detector.anomaly_scores(same))


class Filters(nn.Module):
    """A network of the user's for windows of two channels; what is missing counts as usual."""

    width = 8

    def __init__(self):
        super().__init__()
        self.filters = nn.Sequential(nn.Conv1d(2, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1))

    def forward(self, data):
        return self.filters(data.nan_to_num()).mean(dim=2)


OF_SERIES = {
    "carla": CARLA(margin=0.3),
    "injected": InjectedContrast(per_window=2, margin_weight=0.5, with_views=True),
    "paano": PaAno(pretext_steps=3),
    "temporal": TemporalContrast(injected=True),
}


def record(n, seed=0):
    steps = np.arange(n)[:, None]
    values = np.sin(steps / 4 + np.array([0.0, 1.0])) + 0.1 * np.random.default_rng(seed).normal(size=(n, 2))
    values[n // 3 : n // 3 + 5, 1] = np.nan
    return values


@pytest.mark.parametrize("name", OF_SERIES)
def test_series_train_by_settings_and_a_saved_model_scores_bit_equal(name, tmp_path):
    training = {"epochs": 3, "batch_size": 16, "steps": None}
    usual = thresholds.Conformal(false_alarm_rate=0.2)
    detector = Detector("series", objective=OF_SERIES[name], encoder=Filters(), training=training, threshold=usual)
    detector.fit(record(520))
    assert detector.branches_[0].history[-1]["step"] > 3
    test = record(200, seed=1)
    save(detector, tmp_path / "model.unalike")
    loaded = load(tmp_path / "model.unalike", encoder=Filters())
    assert np.array_equal(loaded.anomaly_scores(test), detector.anomaly_scores(test))
    assert loaded.get_params()["objective"] == OF_SERIES[name]
