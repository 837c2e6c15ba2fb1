"""``explain`` and ``update``."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tests.cli.parts import read_rows, run, table

from unalike import load

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")


@pytest.fixture
def new_normal(tmp_path):
    """60 rows that the models have not seen."""
    frame = table(60, np.random.default_rng(9))
    frame.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_explain_writes_one_row_per_cause(place, tmp_path, suffix):
    output = tmp_path / f"why{suffix}"
    options = ["--only-anomalies", "-o", output, "--quiet"]
    assert run("explain", place / "test.csv", "-m", place / "table.unalike", *options) == 0
    rows = read_rows(output)
    detector = load(place / "table.unalike")
    found = detector.explain(place / "test.csv", only=detector.detect(place / "test.csv").is_anomaly)
    assert list(rows[0]) == ["id", "score", "place", "share", "value", "usual", "nearest"]
    assert [row["place"] for row in rows] == [part.place for sample in found for part in sample.parts]
    assert [row["share"] for row in rows] == [part.share for sample in found for part in sample.parts]
    # The last ten rows were moved in column a.
    spoilt = {f"row {number}" for number in range(30, 40)}
    first = {sample.id: sample.parts[0].place for sample in found}
    assert spoilt <= set(first)
    assert {first[name] for name in spoilt} == {"a"}


def test_explain_shows_the_highest_without_an_output(place, capsys):
    assert run("explain", place / "test.csv", "-m", place / "table.unalike", "--most-places", 1) == 0
    shown = capsys.readouterr().out
    assert "Highest 10 of 40 samples" in shown
    assert "40 samples explained" in shown
    assert shown.count(" a ") >= 9


@pytest.mark.parametrize("into", ["scorer", "calibration"])
def test_update_is_the_method(place, tmp_path, new_normal, capsys, into):
    output = tmp_path / "m.unalike"
    assert run("update", new_normal, "-m", place / "table.unalike", "--into", into, "-o", output) == 0
    expected = load(place / "table.unalike").update(new_normal, into=into)
    after = load(output)
    np.testing.assert_array_equal(after.calibration_scores_, expected.calibration_scores_)
    np.testing.assert_array_equal(after.anomaly_scores(place / "test.csv"), expected.anomaly_scores(place / "test.csv"))
    assert f"model written to {output}" in capsys.readouterr().out.replace("\n", "")
    assert after.device == load(place / "table.unalike").device


def test_a_refused_update_leaves_the_model_as_it_was(place, tmp_path, capsys):
    model = tmp_path / "m.unalike"
    shutil.copy(place / "table.unalike", model)
    before = model.read_bytes()
    assert run("update", place / "train.csv", "-m", model, "--into", "calibration") == 2
    assert "must hold samples that the detector has not seen" in capsys.readouterr().err
    assert run("update", place / "test.csv", "-m", model, "--into", "nowhere") == 2
    assert "`into` must be 'scorer' or 'calibration'" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_images_take_new_ones_with_calibration_images(place, tmp_path, capsys):
    output = tmp_path / "m.unalike"
    command = ["update", place / "test" / "good", "-m", place / "image.unalike", "--into", "scorer", "-o", output]
    assert run(*command) == 2
    assert "`calibration` must hold the calibration samples" in capsys.readouterr().err
    assert not output.exists()
