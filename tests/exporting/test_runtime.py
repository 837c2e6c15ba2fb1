"""The small distribution that runs exported files: the decisions of unalike, without torch and unalike."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import unalike
import unalike_runtime
from unalike import Branch, Detector, encoders, modalities, scorers, thresholds
from unalike.modalities.windows import mean_over_windows
from unalike.records import Records
from unalike.records.collection import Segment
from unalike_runtime import series as runtime_series
from unalike_runtime import tables as runtime_tables

RATE = thresholds.Conformal(false_alarm_rate=0.1)
SOURCE = Path(unalike_runtime.__file__).parent.parent
KNN = scorers.KNN(k=2, distance="mean")
RUN = """
import json, pickle, sys
for name in ("torch", "unalike", "pandas", "sklearn", "onnx"):
    sys.modules[name] = None
import numpy as np
from unalike_runtime import load
for task in json.load(open(sys.argv[1])):
    found = load(task["model"]).detect(pickle.load(open(task["data"], "rb")))
    np.savez(task["out"], scores=found.scores, p_values=found.p_values, is_anomaly=found.is_anomaly, ids=found.ids)
"""


def rows(n, seed):
    """Columns of all kinds, with gaps."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 3)) * [1, 10, 100], columns=list("abc"))
    table["color"] = rng.choice(["red", "green", "blue"], n)
    table["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 400 * 24, n), unit="h")
    table["took"] = pd.to_timedelta(rng.normal(size=n), unit="h")
    table["risk"] = rng.choice(["low", "middle", "high"], n)
    table.loc[::3, "b"] = np.nan
    return table


def new_rows():
    table = rows(60, 1)
    table.loc[[2, 5], "a"] = np.nan
    table.loc[7, "color"] = None
    table.loc[8, "color"] = "violet"
    table.loc[9, "when"] = pd.NaT
    table.loc[50:, "c"] += 900
    return table


def waves(n, seed):
    rng = np.random.default_rng(seed)
    steps = np.sin(np.arange(n)[:, None] / np.array([3.0, 5.0])) * [1.0, 50.0] + [0.0, 1000.0]
    return steps + rng.normal(size=(n, 2)) * [0.1, 5.0]


def new_waves():
    odd = waves(150, 2)
    odd[60:70, 0] += 2.0
    gaps = waves(97, 3)
    gaps[20:26, 1] = np.nan
    gaps[50:80] = np.nan
    return {"m1": odd, "m2": gaps, "m3": waves(9, 4), "other": waves(40, 5)}


def pictures(n, seed):
    rng = np.random.default_rng(seed)
    return (255 * np.clip(0.5 + 0.1 * rng.normal(size=(n, 8, 8, 1)), 0, 1)).astype(np.uint8)


def fitted_table():
    branches = [
        Branch(name="log", encoder=encoders.RawTable(scaling="signed-log"), scorer=KNN),
        Branch(name="quantile", encoder=encoders.RawTable(scaling="quantile"), scorer=KNN),
        Branch(name="net", encoder=encoders.TableMLP(), scorer="centroid", skip=encoders.RawTable()),
    ]
    table = modalities.Table(ordinal={"risk": ["low", "middle", "high"]})
    return Detector(table, branches=branches, threshold=RATE, random_state=0).fit(rows(200, 0))


def fitted_series():
    branches = [
        Branch(name="windows", encoder=encoders.RawWindow(center=True), scorer=KNN),
        Branch(name="statistics", encoder=encoders.WindowStatistics(), scorer=KNN),
        Branch(name="spectrum", encoder=encoders.WindowSpectrum(), scorer=KNN),
        Branch(name="net", encoder=encoders.WindowCNN(points=24), scorer=KNN),
        Branch(name="each", encoder=encoders.ChannelCNN(features=4), scorer=scorers.PerBlock(KNN, blocks=2)),
    ]
    series = modalities.Series(window=16, stride=4, scale="entity")
    records = {"m1": waves(600, 0), "m2": waves(500, 1) * [3.0, 1.0]}
    return Detector(series, branches=branches, threshold=RATE, random_state=0).fit(records)


def fitted_images():
    return Detector("image", encoder=encoders.Raw(), objective="frozen", scorer="knn", threshold=RATE).fit(
        pictures(80, 0)
    )


def plain(table):
    """Columns as lists, for where there is no pandas."""
    return {
        "a": table["a"].to_numpy(),
        "b": table["b"].to_numpy(),
        "c": table["c"].tolist(),
        "color": [None if pd.isna(value) else value for value in table["color"]],
        "when": [None if pd.isna(value) else value.to_pydatetime() for value in table["when"]],
        "took": [value.to_pytimedelta() for value in table["took"]],
        "risk": table["risk"].tolist(),
    }


@pytest.fixture(scope="module")
def detectors():
    return {"table": fitted_table(), "series": fitted_series(), "image": fitted_images()}


@pytest.fixture(scope="module")
def files(detectors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime")
    return {name: unalike.export(each, folder / f"{name}.onnx") for name, each in detectors.items()}


@pytest.mark.filterwarnings("ignore::unalike.errors.InputWarning")
def test_equal_scores_and_decisions_without_torch_and_unalike(detectors, files, tmp_path):
    images = np.concatenate([pictures(20, 1), pictures(10, 2) // 2])
    table, series = new_rows(), new_waves()
    data = {"table": plain(table), "series": series, "image": images}
    tasks = []
    for name, each in data.items():
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(each))
        out = tmp_path / f"{name}.npz"
        tasks.append({"model": str(files[name]), "data": str(tmp_path / f"{name}.pkl"), "out": str(out)})
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    command = [sys.executable, "-c", RUN, str(tmp_path / "tasks.json")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})  # noqa: S603
    for name, X in {"table": table, "series": series, "image": images}.items():
        found, decisions = np.load(tmp_path / f"{name}.npz"), detectors[name].detect(X)
        np.testing.assert_allclose(found["scores"], decisions.scores, rtol=1e-4, err_msg=name)
        sure = abs(decisions.scores - decisions.threshold) > 1e-4 * decisions.threshold
        assert (found["is_anomaly"] == decisions.is_anomaly)[sure].all(), name
        np.testing.assert_allclose(found["p_values"], decisions.p_values, atol=0.02, err_msg=name)
        assert 0 < decisions.is_anomaly.sum() < len(decisions)


def test_frames_go_as_columns_and_keep_their_index(detectors, files):
    model, table = unalike_runtime.load(files["table"]), new_rows()
    table.index = table.index + 100
    found, decisions = model.detect(table), detectors["table"].detect(table)
    assert (found.ids == decisions.ids).all()
    np.testing.assert_allclose(found.scores, decisions.scores, rtol=1e-4)
    np.testing.assert_array_equal(model.detect(plain(table)).scores, found.scores)


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("a", ["1.5"] * 60, "hold numbers"),
        ("a", [np.inf] * 60, "finite"),
        ("color", [3] * 60, "hold texts"),
        ("when", ["2024-01-01"] * 60, "hold dates"),
        ("when", pd.Timestamp("2024-01-01", tz="UTC"), "no time zone"),
        ("took", [3.0] * 60, "hold durations"),
        ("a", None, "must have the columns"),
    ],
)
def test_other_columns_than_in_training_are_refused(files, column, values, match):
    table = new_rows()
    table = table.drop(columns=column) if values is None else table.assign(**{column: values})
    with pytest.raises(unalike_runtime.InvalidInput, match=match):
        unalike_runtime.load(files["table"]).detect(table)


def test_image_files_are_read_as_unalike_reads_them(detectors, files, tmp_path):
    for number, pixels in enumerate(pictures(3, 5)):
        Image.fromarray(pixels[..., 0]).save(tmp_path / f"{number}.png")
    found, decisions = unalike_runtime.load(files["image"]).detect(tmp_path), detectors["image"].detect(tmp_path)
    assert [str(path) for path in found.ids] == [str(path) for path in decisions.ids]
    np.testing.assert_allclose(found.scores, decisions.scores, rtol=1e-4)
    with pytest.raises(unalike_runtime.InvalidInput, match="resize=True"):
        unalike_runtime.load(files["image"]).detect([np.zeros((9, 8), dtype=np.uint8)])
    with pytest.raises(unalike_runtime.InvalidInput, match="uint8"):
        unalike_runtime.load(files["image"]).detect([np.zeros((8, 8), dtype=np.uint16)])


def test_steps_are_joined_as_by_unalike():
    told = {"window": 8, "stride": 3, "channels": ["x"], "center": [0.0], "scale": [1.0], "own": None}
    values = [np.arange(30.0)[:, None], np.full((20, 1), np.nan), np.arange(5.0)[:, None]]
    records = runtime_series.Records(values, ["a", "b", "c"], np.arange(55))
    cut = runtime_series.windows(records, told)
    theirs = Records(tuple(Segment(each, name) for each, name in zip(values, "abc", strict=True)), ("x",))
    series = modalities.Series(window=8, stride=3).fit(theirs)
    windows, spans = series.cut(theirs)
    np.testing.assert_array_equal(cut.spans, spans)
    cells = cut.cells(np.arange(len(cut.start)), told)
    np.testing.assert_array_equal(cells.transpose(0, 2, 1), windows.cells())
    scores = np.random.default_rng(0).gamma(2.0, size=len(spans))
    joined = np.where(mean_over_windows(np.ones(len(spans)), spans, 55) > 0, mean_over_windows(scores, spans, 55), -1.0)
    np.testing.assert_array_equal(runtime_series.of_steps(scores, cut.spans, 55, -1.0), joined)


def test_times_that_are_not_a_step_apart_are_refused():
    told = {"channels": ["x"], "time": "t", "entity": "who", "step": 60.0}
    when = pd.date_range("2024-01-01", periods=6, freq="1min")
    frame = pd.DataFrame({"t": [*when[::-1], *when], "who": ["a"] * 6 + ["b"] * 6, "x": np.arange(12.0)})
    found = runtime_series.records(frame, told)
    assert found.names == ["a", "b"]
    np.testing.assert_array_equal(found.values[0][:, 0], np.arange(6.0)[::-1])
    with pytest.raises(unalike_runtime.InvalidInput, match="apart in time"):
        runtime_series.records(frame.drop(index=8), told)


def test_files_of_others_are_refused(files, tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"nothing")
    for path, match in ((tmp_path / "none.onnx", "which is none"), (tmp_path / "other.onnx", "onnxruntime runs")):
        with pytest.raises(unalike_runtime.CannotLoad, match=match):
            unalike_runtime.load(path)


def test_missing_values_of_every_library_are_missing():
    cells = [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), 1.5]
    assert [runtime_tables.is_missing(value) for value in cells] == [True] * 6 + [False]
