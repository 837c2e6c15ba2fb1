"""What ``fit`` makes of a settings file and of options."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from tests.cli.parts import run, table

from unalike import Detector, Training, load
from unalike.cli import settings
from unalike.configuration import read_settings
from unalike.modalities import Image, Table
from unalike.scorers import KNN
from unalike.thresholds import Conformal, Fixed, Normal, PerEntity

FILE = """
modality = "table"
calibration_fraction = 0.3
random_state = 4

[threshold]
type = "Conformal"
false_alarm_rate = 0.2

[scorer]
type = "KNN"
k = 5

[training]
epochs = 2
batch_size = 32
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "settings.toml").write_text(FILE)
    return tmp_path / "settings.toml"


def fitted(place, tmp_path, *options, data="train.npz"):
    assert run("fit", place / data, "-o", tmp_path / "m.unalike", "-q", *options) == 0
    return load(tmp_path / "m.unalike")


def test_a_file_gives_the_scores_of_the_constructor(place, tmp_path, config):
    found = fitted(place, tmp_path, "--config", config)
    expected = Detector(**read_settings(config)).fit(place / "train.npz")
    test = np.load(place / "test.npz")["X"]
    np.testing.assert_array_equal(found.detect(test).scores, expected.detect(test).scores)
    assert found.detect(test).threshold == expected.detect(test).threshold
    assert found.get_params(deep=False) == expected.set_params(modality=Table()).get_params(deep=False)


def test_options_win_over_the_file(place, tmp_path, config):
    options = ["--scorer", "centroid", "--objective", "simclr", "--seed", 9, "--steps", 2, "--false-alarm-rate", 0.3]
    found = fitted(place, tmp_path, "--config", config, *options)
    assert (found.scorer, found.objective, found.random_state) == ("centroid", "simclr", 9)
    assert found.calibration_fraction == 0.3
    assert found.training == {"epochs": None, "steps": 2, "batch_size": 32}
    assert found.threshold == Conformal(false_alarm_rate=0.3)
    assert [branch.settings.name for branch in found.branches_] == ["main"]
    assert found.history_["main"][-1]["step"] == 2.0


def test_other_parts_of_the_file_stay(place, tmp_path, config):
    text = FILE.replace("[training]", '[training]\ntype = "Training"')
    config.write_text(text)
    found = fitted(place, tmp_path, "--config", config, "--epochs", 1)
    assert found.training == Training(epochs=1, batch_size=32)
    assert found.scorer == KNN(k=5)


def test_the_kind_of_data_by_option_keeps_the_settings_of_the_same_kind(place, tmp_path, config):
    config.write_text('[modality]\ntype = "Table"\nignore = ["when", "customer"]\n[training]\nsteps = 1\n')
    options = ["-m", "table", "--id", "name", "--ignore", "colour", "--false-alarm-rate", 0.1]
    found = fitted(place, tmp_path, "--config", config, *options, data="train.csv")
    assert found.modality == Table(ignore=("when", "customer", "colour"), id="name")
    config.write_text('modality = "table"\n')
    found = fitted(place, tmp_path, "--config", config, "-m", "image", "--steps", 1, "--false-alarm-rate", 0.2,
                   data="train")  # fmt: skip
    assert found.modality == Image()


def test_settings_printed_fit_the_same_model(place, tmp_path, config, capsys):
    first = fitted(place, tmp_path, "--config", config, "--threshold", "normal", "--false-alarm-rate", 0.01)
    capsys.readouterr()
    assert run("inspect", tmp_path / "m.unalike", "--toml") == 0
    config.write_text(capsys.readouterr().out)
    second = fitted(place, tmp_path, "--config", config)
    assert second.get_params(deep=False) == first.get_params(deep=False)
    assert second.threshold == Normal(false_alarm_rate=0.01)
    test = np.load(place / "test.npz")["X"]
    np.testing.assert_array_equal(second.detect(test).scores, first.detect(test).scores)
    assert second.threshold_.threshold_ == first.threshold_.threshold_


def test_entities_are_no_data_and_get_their_thresholds(tmp_path, capsys):
    frame = table(100, np.random.default_rng(0)).drop(columns=["bad", "when", "name"])
    frame["machine"] = [f"number {number % 2}" for number in range(100)]
    frame.to_csv(tmp_path / "train.csv", index=False)
    options = ["-m", "table", "--entities", "machine", "--groups", "customer", "--steps", 1, "--false-alarm-rate", 0.1]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        found = fitted(tmp_path, tmp_path, *options, data="train.csv")
    assert capsys.readouterr().err.startswith("warning: 2 of 2 entities use the pooled threshold")
    assert found.modality_.columns_ == ["a", "b", "c", "colour"]
    assert found.threshold == PerEntity(each=Conformal(false_alarm_rate=0.1))
    expected = [f"number {row % 2}" for row in found.split_.calibration]
    assert found.calibration_entities_ == expected


def test_anomalies_and_checkpoints_reach_the_detector(place, tmp_path):
    pd.read_csv(place / "test.csv").tail(4).to_csv(tmp_path / "few.csv", index=False)
    options = ["-m", "table", "--id", "name", "--ignore", "when", "--steps", 2, "--false-alarm-rate", 0.1]
    with_few = ["--anomalies", tmp_path / "few.csv", "--objective", "supcon"]
    without = fitted(place, tmp_path, *options, "--objective", "supcon", data="train.csv")
    found = fitted(place, tmp_path, *options, *with_few, "--checkpoint", tmp_path / "kept", data="train.csv")
    assert any(path.is_file() for path in (tmp_path / "kept").rglob("*"))
    test = place / "test.csv"
    assert found.detect(test).scores.tolist() != without.detect(test).scores.tolist()
    length, threshold = {"epochs": None, "steps": 2}, Conformal(false_alarm_rate=0.1)
    kind = Table(id="name", ignore=("when",))
    expected = Detector(kind, objective="supcon", training=length, threshold=threshold)
    expected.fit(place / "train.csv", anomalies=tmp_path / "few.csv", checkpoint=tmp_path / "kept")
    np.testing.assert_array_equal(found.detect(test).scores, expected.detect(test).scores)


def test_progress_is_told_by_line_when_asked_and_is_not_in_the_model(place, tmp_path, capsys):
    options = ["-m", "table", "-o", tmp_path / "m.unalike", "--steps", 2, "--false-alarm-rate", 0.1]
    assert run("fit", place / "train.npz", *options, "--verbose") == 0
    err = capsys.readouterr().err
    assert "contrast: epoch 1, step 1 of 2, loss " in err
    assert load(tmp_path / "m.unalike").progress is False
    assert run("fit", place / "train.npz", *options) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:`X` must hold samples that:unalike.errors.CalibrationWarning")
def test_a_model_without_a_threshold_says_so(place, tmp_path, config, capsys):
    config.write_text('modality = "table"\ncalibration_fraction = 0.0\n[training]\nsteps = 1\n')
    assert run("fit", place / "train.npz", "--config", config, "-o", tmp_path / "m.unalike") == 0
    assert "no threshold yet" in capsys.readouterr().out
    assert run("detect", place / "test.npz", "-m", tmp_path / "m.unalike") == 2
    options = ["-m", tmp_path / "m.unalike", "--false-alarm-rate", 0.05]
    assert run("calibrate", place / "train.npz", "--key", "X", *options) == 0
    assert run("detect", place / "test.npz", "-m", tmp_path / "m.unalike") == 0


@pytest.mark.parametrize(
    ("configured", "name", "by_entity", "expected"),
    [
        (Conformal(false_alarm_rate=0.2), "normal", False, Normal(false_alarm_rate=0.2)),
        (Conformal(false_alarm_rate=0.2), "normal", True, PerEntity(each=Normal(false_alarm_rate=0.2))),
        (PerEntity(each=Conformal(false_alarm_rate=0.2), least=7), "normal", False, Normal(false_alarm_rate=0.2)),
        (
            PerEntity(each=Conformal(false_alarm_rate=0.2), least=7),
            "normal",
            True,
            PerEntity(each=Normal(false_alarm_rate=0.2), least=7),
        ),
        (
            PerEntity(each=Normal(false_alarm_rate=0.2), least=7),
            "per-entity",
            True,
            PerEntity(each=Conformal(false_alarm_rate=0.2), least=7),
        ),
        (Normal(sigmas=3.0), "gamma", False, "gamma"),
        ("conformal", "gamma", False, "gamma"),
        (Fixed(2.0), "conformal", False, "conformal"),
    ],
)
def test_another_kind_of_threshold_keeps_the_configured_rate(configured, name, by_entity, expected):
    assert settings.threshold(configured, name, None, by_entity=by_entity) == expected


def test_calibrate_with_another_threshold_keeps_the_rate_of_the_model(place, tmp_path):
    np.savez(tmp_path / "new.npz", X=np.random.default_rng(7).normal(size=(60, 4)))
    model = tmp_path / "m.unalike"
    assert run("calibrate", tmp_path / "new.npz", "-m", place / "npz.unalike", "-o", model, "--threshold", "gamma",
               "--key", "X") == 0  # fmt: skip
    assert load(model).threshold_.false_alarm_rate_ == 0.1


def test_columns_left_out_do_not_pile_up():
    kind = settings.modality("table", {"modality": Table(ignore=("a", "b"))}, {"ignore": ["b", "c", "b"]})
    assert kind.ignore == ("a", "b", "c")


def test_progress_of_the_file_is_told_without_a_terminal(place, tmp_path, capsys):
    (tmp_path / "settings.toml").write_text('modality = "table"\nprogress = true\n[training]\nsteps = 3\n')
    options = ["-o", tmp_path / "m.unalike", "--config", tmp_path / "settings.toml"]
    options += ["--false-alarm-rate", 0.1]
    assert run("fit", place / "train.npz", "--key", "X", *options) == 0
    assert "contrast" in capsys.readouterr().err
    assert run("fit", place / "train.npz", "--key", "X", *options, "-q") == 0
    assert "contrast" not in capsys.readouterr().err


def test_anomalies_need_no_ids(place, tmp_path):
    anomalies = table(6, np.random.default_rng(5), shifted=6).drop(columns=["bad"])
    models = []
    for number, frame in enumerate((anomalies, anomalies.drop(columns=["name", "when"]))):
        frame.to_csv(tmp_path / "a.csv", index=False)
        options = ["-m", "table", "--id", "name", "--ignore", "customer", "--ignore", "when", "--objective", "supcon"]
        options += ["--anomalies", tmp_path / "a.csv", "--steps", 2, "--false-alarm-rate", 0.1, "-q"]
        assert run("fit", place / "train.csv", "-o", tmp_path / f"{number}.unalike", *options) == 0
        models.append(load(tmp_path / f"{number}.unalike"))
    first, second = (model.detect(place / "test.csv").scores for model in models)
    np.testing.assert_array_equal(first, second)
