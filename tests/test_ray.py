"""Scoring by Ray Data gives the decisions of one process, also when a worker is killed in mid-run."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Picture
from tests.cli.parts import run

import unalike.ray
from unalike import Branch, Detector, load, save, thresholds
from unalike.encoders import Raw, RawTable, RawWindow
from unalike.errors import InvalidInput, InvalidParameter, MissingExtra
from unalike.modalities import Image, Series, Table, Text
from unalike.ray import detecting, scoring, sources
from unalike.scorers import KNN, Centroid

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def workers():
    """A local Ray of two processors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        import ray.data

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()


def rows(n: int, seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(n, 2)) * np.where(generator.random((n, 1)) < 0.1, 6.0, 1.0)
    colour = generator.choice(["red", "blue"], n)
    return pa.table({"a": values[:, 0], "colour": colour, "b": values[:, 1], "name": [f"r{i}" for i in range(n)]})


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A model with a column of ids, one without, and 230 rows in three files."""
    folder = tmp_path_factory.mktemp("ray")
    branch = Branch(name="raw", encoder=RawTable(), scorer=KNN(k=2))
    for name, modality in (("named", Table(id="name")), ("numbered", Table(ignore=["name"]))):
        detector = Detector(modality, branches=[branch], threshold=thresholds.Conformal(false_alarm_rate=0.1))
        save(detector.fit(rows(150, 0)), folder / f"{name}.unalike")
    (folder / "data").mkdir()
    later = rows(230, 1)
    pq.write_table(later.slice(0, 90), folder / "data" / "0.parquet", row_group_size=30)
    later.slice(90, 60).to_pandas().to_csv(folder / "data" / "1.csv", index=False)
    pq.write_table(later.slice(150), folder / "data" / "2.parquet")
    return folder


def equal(found: pa.Table, model: Path, data: object) -> None:
    """The same rows in the same order as `Detector.detect` gives."""
    wanted = load(model).detect(data).to_dict()
    assert found.column_names == list(wanted)
    assert found["id"].to_pylist() == wanted["id"].tolist()
    np.testing.assert_allclose(found["score"].to_numpy(), wanted["score"], rtol=1e-12)
    np.testing.assert_array_equal(found["is_anomaly"].to_numpy(), wanted["is_anomaly"])
    np.testing.assert_array_equal(found["p_value"].to_numpy(), wanted["p_value"])
    assert 0 < wanted["is_anomaly"].sum() < len(wanted["id"])


class Mortal(scoring.Partitions):
    """Its process is killed once, in the middle of the work."""

    marker = ""

    def __call__(self, part: pa.Table) -> pa.Table:
        if part["start"][0].as_py() == 75 and not os.path.exists(self.marker):  # noqa: PTH110
            os.close(os.open(self.marker, os.O_CREAT))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(part)


def test_a_worker_that_is_killed_changes_no_row(workers, place, tmp_path, monkeypatch, capsys):
    killed, out = tmp_path / "killed", tmp_path / "out.parquet"
    monkeypatch.setattr(detecting, "Partitions", type("Dying", (Mortal,), {"marker": str(killed)}))
    monkeypatch.setattr(sources, "_ROWS", {"table": 25})
    model = place / "numbered.unalike"
    assert run("detect", place / "data", "-m", model, "-o", out, "--engine", "ray", "--concurrency", 2, "--fail") == 1
    assert killed.exists()
    table = pq.read_table(out)
    equal(table, model, str(place / "data"))
    assert f"{sum(table['is_anomaly'].to_pylist())} of 230 samples are anomalies" in capsys.readouterr().out


def judged_here(model: Path, data: object, rows: int, **settings: object) -> pa.Table:
    """What workers make of the partitions, without any."""
    import ray

    source = sources.source_of(load(model).modality_, data, rows)
    partitions = scoring.Partitions(scoring.Job(str(model), reading=settings), ray.put(source), ray.put(None))
    return partitions(
        pa.table({"start": [span[0] for span in source.spans], "stop": [span[1] for span in source.spans]})
    )


@pytest.mark.parametrize("form", ["files", "frame", "index"])
def test_names_of_rows(workers, place, form):
    """Of a column, numbers that go on from partition to partition, or of the index of a frame."""
    model = place / ("named.unalike" if form == "files" else "numbered.unalike")
    data = rows(130, 4)
    data = str(place / "data") if form == "files" else data.to_pandas().iloc[30:] if form == "index" else data
    equal(judged_here(model, data, 40), model, data)


def test_a_batch_keeps_its_columns(place):
    batch = rows(60, 2)
    table = scoring.Batches(scoring.Job(str(place / "named.unalike")))(batch)
    assert table.select(batch.column_names).equals(batch)
    found = table.select(["name", *scoring.DECIDED]).rename_columns(["id", *scoring.DECIDED])
    equal(found, place / "named.unalike", batch)


def test_what_a_worker_refuses_is_raised_and_nothing_is_written(workers, tmp_path):
    import ray

    def refuse(part: pa.Table) -> pa.Table:
        if part["id"][0].as_py() < 3:
            return pa.table({"id": [0], "score": [1.0], "p_value": [0.5], "is_anomaly": [False]})
        raise InvalidInput("Column 'a' must be finite; got inf.")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = detecting.in_order(ray.data.from_items([{"id": number} for number in range(4)], override_num_blocks=4))
        found = data.map_batches(refuse, batch_size=1, batch_format="pyarrow")
    with pytest.raises(InvalidInput) as caught:
        unalike.ray.write_decisions(found, tmp_path / "out.parquet")
    assert str(caught.value) == "Column 'a' must be finite; got inf."
    assert list(tmp_path.iterdir()) == []


def test_images_that_cannot_be_read_are_told_in_their_place(workers, tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for number in range(30):
        pixels = generator.integers(90, 110, (8, 8)).astype(np.uint8)
        pixels[2:6, 2:6] += 140 * (number % 7 == 3)
        Picture.fromarray(pixels).save(tmp_path / "data" / f"{number:02d}.png")
    usual = [tmp_path / "data" / f"{number:02d}.png" for number in range(30) if number % 7 != 3]
    detector = Detector(Image(), branches=[Branch(name="raw", encoder=Raw(), scorer=KNN())], calibration_fraction=0.4)
    rate = thresholds.Conformal(false_alarm_rate=0.1)
    save(detector.set_params(threshold=rate).fit(usual), tmp_path / "image.unalike")
    for number in (4, 5, 6, 7, 20):  # 4 to 7 are a whole partition
        (tmp_path / "data" / f"{number:02d}.png").write_bytes(b"no image")
    judged = load(tmp_path / "image.unalike")
    judged.modality_.on_error = "skip"
    with pytest.warns(UserWarning, match="5 of 30"):
        wanted = judged.detect(tmp_path / "data")
    with pytest.warns(UserWarning, match="1 of 4"):
        table = judged_here(tmp_path / "image.unalike", tmp_path / "data", 4, on_error="skip").to_pandas()
    assert table["id"].tolist() == sorted(str(path) for path in (tmp_path / "data").iterdir())
    read = table[table["error"] == ""]
    np.testing.assert_allclose(read["score"], wanted.scores, rtol=1e-6)
    assert read["is_anomaly"].tolist() == wanted.is_anomaly.tolist()
    assert table[table["error"] != ""].index.tolist() == [4, 5, 6, 7, 20]
    assert table["is_anomaly"].isna().sum() == table["score"].isna().sum() == 5


def test_files_of_records_are_partitions(workers, tmp_path):
    """Rows of one machine in two files stay together."""
    generator = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    start = pd.Timestamp("2026-01-01")
    for number, machines in enumerate(("a", "ab", "c", "d")):
        parts = []
        for machine in machines:
            first = 60 * number
            times = start + pd.to_timedelta(np.arange(first, first + 60), unit="min")
            values = np.sin(np.arange(60) / 3) + 0.1 * generator.normal(size=60)
            values[30:33] += 5.0 * (machine == "d")
            parts.append(pd.DataFrame({"t": times, "machine": machine, "x": values}))
        pd.concat(parts).to_parquet(tmp_path / "data" / f"{number}.parquet")
    modality = Series(time="t", entity="machine", window=8)
    train = pd.concat([pd.read_parquet(tmp_path / "data" / f"{number}.parquet") for number in range(3)])
    detector = Detector(modality, branches=[Branch(name="raw", encoder=RawWindow(), scorer=Centroid())])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(detector.fit(train), tmp_path / "series.unalike")
    model, data = tmp_path / "series.unalike", tmp_path / "data"
    assert sources.source_of(load(model).modality_, data, None).spans == [(0, 2), (2, 3), (3, 4)]
    table = judged_here(model, data, 1)
    wanted = load(model).detect(data).to_dict()
    assert table.column_names == list(wanted)
    assert table["entity"].to_pylist() == wanted["entity"].tolist()
    np.testing.assert_array_equal(table["id"].to_numpy(), wanted["id"].astype("datetime64[us]"))
    np.testing.assert_allclose(table["score"].to_numpy(), wanted["score"], rtol=1e-6)
    assert table["is_anomaly"].to_pylist() == wanted["is_anomaly"].tolist()
    with pytest.raises(InvalidParameter, match="whole files are the partitions"):
        unalike.ray.detect(model, train)


def test_what_lies_in_memory_is_cut_too():
    frame = pd.DataFrame({"a": range(10)}, index=range(5, 15))
    source = sources.source_of(Table(), frame, 4)
    assert source.spans == [(0, 4), (4, 8), (8, 10)]
    assert source.part(8, 10).index.tolist() == [13, 14]
    texts = sources.source_of(Text(), ["one", "two", "three"], 2)
    assert [texts.part(*span) for span in texts.spans] == [["one", "two"], ["three"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "`concurrency` must be a whole number of at least 1; got 0"),
        ({"cpus": 1.5}, "`cpus` must be"),
        ({"gpus": -1}, "`gpus` must be"),
        ({"rows": 0}, "`rows` must be"),
        ({"reading": {"on_error": "skip"}}, "for one of table"),
        ({"entities": ["a"]}, "must go with a threshold that takes them"),
        ({"false_alarm_rate": 0.001}, "It needs 999"),
    ],
)
def test_mistakes_are_told_before_any_work(workers, place, options, message):
    with pytest.raises(InvalidParameter, match=message):
        unalike.ray.detect(place / "named.unalike", place / "data", **options)


@pytest.mark.parametrize("modality", [Text(session="s"), Text(window=3)])
def test_texts_that_are_joined_of_rows_are_refused(modality):
    with pytest.raises(InvalidParameter, match="join"):
        sources.source_of(modality, ["one", "two"], None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "spark"], "`--engine` must be one of ['local', 'ray']"),
        (["--concurrency", 2], "must go with --engine ray"),
        (["--engine", "ray"], "must be a .parquet file"),
        (["--engine", "ray", "-o", "out.csv"], "must be a .parquet file"),
        (["--engine", "ray", "-o", "out.parquet", "--false-discovery-rate", 0.1], "must go with --engine local"),
    ],
)
def test_mistakes_on_the_command_line(place, monkeypatch, capsys, options, message):
    monkeypatch.chdir(place)
    assert run("detect", "data", "-m", "named.unalike", *options) == 2
    assert message in capsys.readouterr().err


def test_without_ray_the_extra_is_named(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unalike\[ray\]'"):
        unalike.ray.detect(place / "named.unalike", place / "data")
