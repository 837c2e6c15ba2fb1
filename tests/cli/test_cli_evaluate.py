from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import LocalOutlierFactor
from tests.cli.parts import run

from unalike import Detector, __version__, load, save
from unalike.cli.summary import _columns, _facts, _thresholds
from unalike.comparison import Comparison
from unalike.evaluation import evaluate
from unalike.persistence import inspect
from unalike.thresholds import Fixed, PerEntity

# ---- evaluate and inspect ----------------------------------------------------------------------------------------


def _labels_of_images(place, folder):
    names = ["good/00.png", "defect/00.png", "good/01.png", str(place / "test" / "defect" / "03.png")]
    pd.DataFrame({"path": names, "label": [0, 1, 0, 1]}).to_csv(folder / "labels.csv", index=False)
    return [place / "test" / name for name in names], [0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["column", "npz", "file", "folders", "named folders", "listed images"])
def test_evaluate_gives_the_figures_of_the_loaded_model_and_of_its_floors(place, tmp_path, kind):
    pd.DataFrame({"bad": np.repeat([0, 1], [30, 10])}).to_parquet(tmp_path / "labels.parquet")
    listed, listed_labels = _labels_of_images(place, tmp_path)
    folders = [*sorted((place / "test" / "good").iterdir()), *sorted((place / "test" / "defect").iterdir())]
    table, halves, images = place / "test.csv", np.repeat([0, 1], [30, 10]), place / "image.unalike"
    model, data, options, X, labels = {
        "column": (place / "table.unalike", table, ["--labels", "bad"], table, halves),
        "npz": (place / "npz.unalike", place / "test.npz", ["--labels", "y"], place / "test.npz", halves),
        "file": (place / "table.unalike", table, ["--labels", tmp_path / "labels.parquet"], table, halves),
        "folders": (images, place / "test", ["--normal", "good"], folders, np.repeat([0, 1], [12, 6])),
        "named folders": (
            images,
            place / "test",
            ["--normal", "good", "--anomaly", "defect"],
            folders,
            np.repeat([0, 1], [12, 6]),
        ),
        "listed images": (images, place / "test", ["--labels", tmp_path / "labels.csv"], listed, listed_labels),
    }[kind]
    assert run("evaluate", data, "-m", model, *options, "-o", tmp_path / "figures.json") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    detector = load(model)
    decisions = detector.detect(X)
    expected = evaluate(decisions.scores, labels, is_anomaly=decisions.is_anomaly, false_alarm_rate=0.1)
    assert figures["default"] == pytest.approx(expected.to_dict())
    assert figures["default"]["realised_rate"] == decisions.is_anomaly[np.asarray(labels) == 0].mean()
    found = figures["trained"] | figures["floors"]
    scores = detector.branch_scores(X)
    assert set(found) == set(scores)
    for name, values in scores.items():
        assert found[name] == pytest.approx(evaluate(values, labels, false_alarm_rate=0.1).to_dict())
    trained = [branch.settings.name for branch in detector.branches_ if branch.history]
    assert sorted(figures["trained"]) == sorted(trained)


def test_evaluate_says_when_training_did_not_help(place, capsys):
    """Trained and untrained networks both find every anomaly of this set."""
    assert run("evaluate", place / "test.npz", "-m", place / "npz.unalike", "--labels", "y") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "30 normal samples, 10 anomalies" in out
    for name in load(place / "npz.unalike").history_:
        sentence = (
            f"{name}: AUROC 1.000 is NOT above its floor, 1.000 by {name} (untrained): training did not help here."
        )
        assert sentence in out
        assert f"floor: {name} (untrained)" in out
    assert "default (all fused): AUROC 1.000 is NOT above its floor" in out
    assert "1.000-1.000" in out


def test_labels_can_be_words(place, tmp_path):
    frame = pd.read_csv(place / "test.csv")
    frame["bad"] = frame["bad"].map({0: "fine", 1: "broken"})
    frame.to_csv(tmp_path / "words.csv", index=False)
    model = ["-m", place / "table.unalike"]
    figures = []
    for number, options in enumerate([["--normal", "fine"], ["--anomaly", "broken"], []]):
        data = place / "test.csv" if number == 2 else tmp_path / "words.csv"
        output = tmp_path / f"{number}.json"
        assert run("evaluate", data, *model, "--labels", "bad", *options, "-o", output) == 0
        figures.append(json.loads(output.read_text())["default"])
    assert figures[0] == figures[1] == figures[2]


def test_inspect_tells_what_the_model_says_of_itself(place, capsys):
    assert run("inspect", place / "image.unalike") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    limit = load(place / "image.unalike").threshold_.threshold_
    assert lines[:4] == [
        "kind of data image, 1 channel, 8 x 8 pixels",
        "trained on 48 images",
        f"threshold Conformal, false-alarm rate 0.1, score above {limit:.4g}",
        "calibrated on 12 images",
    ]
    assert lines[4].startswith(f"versions unalike {__version__}, python")
    assert "branch encoder objective scorer steps weight" in lines
    assert "contrast Mirrored(encoder=ConvNet) SpoiledContrast(spoil=SpoilImage) LocalKNN(k=5) 3 1" in lines
    assert "pixels Raw - KNN(k=1) - 0.5" in lines
    assert len(lines) < 15


def test_inspect_names_the_columns_by_kind(place, capsys):
    assert run("inspect", place / "table.unalike") == 0
    out = capsys.readouterr().out
    assert "columns        3 numbers: a, b, c  " in out
    assert "               1 category: colour  " in out
    assert max(map(len, out.splitlines())) <= 120


def test_inspect_gives_everything_as_json(place, capsys):
    assert run("inspect", place / "image.unalike", "--json") == 0
    assert json.loads(capsys.readouterr().out) == inspect(place / "image.unalike")
    assert run("inspect", place / "image.unalike", "--json", "--toml") == 2
    assert "Give one." in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")
def test_inspect_of_entities_of_no_threshold_and_of_older_models(place, tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(100, 12))
    detector = Detector("table", objective="frozen", scorer=LocalOutlierFactor(novelty=True), calibration_fraction=0)
    save(detector.fit(X), tmp_path / "m.unalike")
    assert run("inspect", tmp_path / "m.unalike") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "columns 12 numbers: x0, x1, x2, x3, x4, x5, x6, x7 and 4 more threshold none yet: run unalike" in out
    assert "sklearn.neighbors._lof:LocalOutlierFactor - 1" in out
    detector.set_params(threshold=PerEntity(Fixed(3.0), least=40), calibration_fraction=0.5)
    manifest = inspect(save(detector.fit(X, entities=["a"] * 97 + ["b"] * 3), tmp_path / "m.unalike"))
    assert ("threshold", "PerEntity, one each for 1 of 2 entities, no false-alarm rate promised, score above 3") in (
        _facts(manifest)
    )
    assert ("of each", "a 3, b 3") in _facts(manifest)
    many = {f"host{number}": float(number) for number in range(11)}
    assert _thresholds(many)[0][1].endswith("host6 6, host7 7 and 3 more")
    state = {"columns": ["a", "b"], "levels": [[], ["x"]]}
    assert _columns(state) == [("columns", "1 number: a"), ("", "1 category: b")]


@pytest.mark.filterwarnings("ignore:`X` must hold samples that:unalike.errors.CalibrationWarning")
def test_evaluate_judges_each_entity_by_its_own_threshold(place, tmp_path):
    folder, model = place / "test", tmp_path / "model.unalike"
    images = [*sorted((folder / "good").iterdir()), *sorted((folder / "defect").iterdir())]
    cameras = [number % 2 for number in range(len(images))]
    pd.DataFrame({"path": [str(path) for path in images], "camera": cameras}).to_csv(
        tmp_path / "cameras.csv", index=False
    )
    train = sorted((place / "train").iterdir())
    pd.DataFrame({"path": [str(path) for path in train], "camera": np.arange(len(train)) % 2}).to_csv(
        tmp_path / "train.csv", index=False
    )
    by_camera = ["--entities", tmp_path / "train.csv", "--false-alarm-rate", 0.1]
    assert run("calibrate", place / "train", "-m", place / "image.unalike", "-o", model, *by_camera) == 0
    options = ["-m", model, "--normal", "good", "--entities", tmp_path / "cameras.csv"]
    assert run("evaluate", folder, "-o", tmp_path / "figures.json", *options) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["default"]
    decisions = load(model).detect(images, entities=cameras)
    assert figures["realised_rate"] == decisions.is_anomaly[:12].mean()
    assert load(model).threshold_.counts_ == {0: 30, 1: 30}


def test_the_title_of_the_highest_anomalies_stands_on_one_line(place, capsys):
    assert run("detect", place / "test.npz", "--key", "X", "-m", place / "npz.unalike", "--false-alarm-rate", 0.9) == 0
    first, second = (line.strip() for line in capsys.readouterr().out.splitlines()[:2])
    assert first.startswith("Highest 10 of ")
    assert first.endswith(" anomalies")
    assert second.startswith("┏")


def test_what_is_above_its_floor_looks_so():
    labels = np.repeat([0, 1], [500, 500])
    scores = np.concatenate([np.arange(500.0), np.arange(500.0) + 300.3])
    lower = scores.copy()
    lower[500] -= 20
    default, floor = (evaluate(each, labels, false_alarm_rate=0.1) for each in (scores, lower))
    (sentence,) = Comparison(default, {}, {"raw": floor}).sentences()
    above, below = (f"{each.auroc.value:.4f}" for each in (default, floor))
    assert above[:5] == below[:5]
    assert above > below
    assert sentence == f"default (all fused): AUROC {above} is above its floor, {below} by raw."
