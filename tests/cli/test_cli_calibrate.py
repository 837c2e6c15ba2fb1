"""``calibrate`` and ``embed``."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.cli.parts import run, table

from unalike import load, save, writing
from unalike.thresholds import Conformal, PerEntity, Quantile


@pytest.fixture
def new_normal(tmp_path):
    """150 normal rows that did not train, of two machines."""
    frame = table(150, np.random.default_rng(9))
    frame["machine"] = np.where(np.arange(150) < 120, "press", "lathe")
    frame.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def test_calibrate_is_the_method_and_trains_nothing(place, tmp_path, new_normal, capsys):
    output = tmp_path / "m.unalike"
    assert run("calibrate", new_normal, "-m", place / "table.unalike", "-o", output, "--false-alarm-rate", 0.05) == 0
    before, after = load(place / "table.unalike"), load(output)
    expected = before.calibrate(new_normal, threshold=Conformal(false_alarm_rate=0.05)).detect(place / "test.csv")
    found = after.detect(place / "test.csv")
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.is_anomaly, expected.is_anomaly)
    assert (found.threshold, found.false_alarm_rate) == (expected.threshold, 0.05)
    # The settings follow, so that calibrating again or printing them tells the same.
    assert after.threshold == Conformal(false_alarm_rate=0.05)
    assert (after.device, after.progress) == (before.device, before.progress)
    assert f"calibrated on 150 samples with Conformal\nfalse-alarm rate: 0.05 (score above {found.threshold:.4g})" in (
        capsys.readouterr().out
    )


def test_without_an_output_the_model_is_replaced(place, tmp_path, new_normal):
    model = tmp_path / "m.unalike"
    shutil.copy(place / "table.unalike", model)
    assert run("calibrate", new_normal, "-m", model, "--threshold", "quantile", "--quiet") == 0
    assert isinstance(load(model).threshold_, Quantile)
    assert len(load(model).calibration_scores_) == 150
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.unalike", "new.csv"]


def test_a_rate_alone_keeps_the_kind(place, tmp_path, new_normal):
    model = tmp_path / "m.unalike"
    assert run("calibrate", new_normal, "-m", place / "table.unalike", "-o", model, "--threshold", "quantile") == 0
    assert run("calibrate", new_normal, "-m", model, "--false-alarm-rate", 0.2) == 0
    assert load(model).threshold_ == Quantile(false_alarm_rate=0.2)


@pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")
def test_entities_make_a_threshold_for_each(place, tmp_path, new_normal):
    model, rows = tmp_path / "m.unalike", tmp_path / "rows.csv"
    options = ["-o", model, "--entities", "machine", "--false-alarm-rate", 0.1]
    assert run("calibrate", new_normal, "-m", place / "table.unalike", *options) == 0
    detector = load(model)
    assert detector.threshold == PerEntity(each=Conformal(false_alarm_rate=0.1))
    assert detector.threshold_.counts_ == {"press": 120, "lathe": 30}
    assert run("detect", new_normal, "-m", model, "--entities", "machine", "-o", rows) == 0
    machines = pd.read_csv(new_normal)["machine"].tolist()
    expected = detector.detect(new_normal, entities=machines)
    assert pl.read_csv(rows)["is_anomaly"].to_list() == expected.is_anomaly.tolist()
    assert expected.is_anomaly.tolist() != detector.detect(new_normal).is_anomaly.tolist()
    assert run("calibrate", new_normal, "-m", model, "-o", model, "--entities", "engine") == 2


@pytest.mark.parametrize("failure", ["rate", "file", "interrupted", "read only"])
def test_a_calibration_that_fails_leaves_the_model(place, tmp_path, new_normal, monkeypatch, failure):
    model, options, status = tmp_path / "m.unalike", [], 2
    shutil.copy(place / "table.unalike", model)
    if failure == "rate":
        options = ["--false-alarm-rate", 0.0001]
    elif failure == "file":
        new_normal.write_text("a,b\n1,2\n")
    elif failure == "interrupted":
        status = 130
        monkeypatch.setattr("unalike.persistence.containers.whole_file", _interrupted)
    else:
        monkeypatch.setattr("unalike.writing.secrets.token_hex", _denied)
    before = sorted(tmp_path.iterdir()), model.read_bytes()
    assert run("calibrate", new_normal, "-m", model, *options) == status
    assert (sorted(tmp_path.iterdir()), model.read_bytes()) == before


def _interrupted(path):
    raise KeyboardInterrupt


def _denied(length):
    raise PermissionError(13, "Permission denied", "m.unalike")


def test_a_model_that_is_a_folder_is_calibrated_in_place(place, tmp_path, new_normal):
    save(load(place / "table.unalike"), tmp_path / "model")
    assert run("calibrate", new_normal, "-m", tmp_path / "model", "--false-alarm-rate", 0.3) == 0
    assert load(tmp_path / "model").threshold_.false_alarm_rate_ == 0.3


# ---- embed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", writing.EMBEDDING_SUFFIXES)
@pytest.mark.parametrize(("model", "data"), [("table.unalike", "test.csv"), ("image.unalike", "test")])
def test_embeddings_on_disk_are_those_of_the_model(place, tmp_path, model, data, suffix, capsys):
    output = tmp_path / f"e{suffix}"
    assert run("embed", place / data, "-m", place / model, "-o", output) == 0
    detector = load(place / model)
    expected, ids = detector.embed(place / data), detector.detect(place / data).ids
    if suffix == ".npy":
        found = np.load(output)
    elif suffix == ".npz":
        with np.load(output) as arrays:
            assert arrays["ids"].tolist() == ids.tolist()
            found = arrays["embeddings"]
    else:
        frame = pl.read_csv(output) if suffix == ".csv" else pl.read_parquet(output)
        assert frame.columns == ["id", *(f"e{number}" for number in range(expected.shape[1]))]
        assert frame["id"].to_list() == ids.tolist()
        found = frame.drop("id").to_numpy()
    np.testing.assert_array_equal(np.asarray(found, expected.dtype), expected)
    n, width = expected.shape
    assert capsys.readouterr().out == f"{n} embeddings of width {width} written to {output}\n"
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_a_branch_can_be_named(place, tmp_path, capsys):
    options = ["-m", place / "npz.unalike", "-o", tmp_path / "e.npy", "--key", "X", "-q"]
    assert run("embed", place / "test.npz", *options, "--branch", "nearest-log") == 0
    assert capsys.readouterr().out == ""
    detector = load(place / "npz.unalike")
    data = np.load(place / "test.npz")["X"]
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), detector.embed(data, branch="nearest-log"))
    assert run("embed", place / "test.npz", *options, "--branch", "nobody") == 2
    assert "`branch` must be one of" in capsys.readouterr().err
