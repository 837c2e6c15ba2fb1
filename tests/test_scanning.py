"""Tables larger than memory: folders of files and Arrow datasets."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch

from unalike import Branch, Detector, reading, thresholds
from unalike.data import count, take
from unalike.encoders import RawTable
from unalike.errors import InputWarning, InvalidInput
from unalike.modalities import Table
from unalike.scanning import ArrowRows, of_dataset, open_tables, parts
from unalike.scanning.rows import _Scan
from unalike.scorers import Centroid

N = 1000


def arrow(n: int = N, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01T00:00:00")
    return pa.table(
        {
            "a": pa.array(generator.normal(size=n), mask=generator.random(n) < 0.1),
            "n": generator.integers(0, 100, n),
            "c": generator.choice(["x", "y", "z"], n),
            "when": start + generator.integers(0, 40 * 86400, n).astype("timedelta64[s]"),
            "name": [f"row {number}" for number in range(n)],
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rows of `arrow` in four files of three kinds; ours are small batches, so that they have ends."""
    made = tmp_path / "data"
    (made / "deep").mkdir(parents=True)
    pq.write_table(arrow().slice(0, 300), made / "0.parquet", row_group_size=70)
    pa.csv.write_csv(arrow().slice(300, 250), made / "1.csv")
    with pa.CompressedOutputStream(str(made / "2.csv.gz"), "gzip") as stream:
        pa.csv.write_csv(arrow().slice(550, 150), stream)
    other_order = arrow().slice(700).select(["name", "when", "c", "n", "a"])
    pq.write_table(other_order, made / "deep" / "3.pq", row_group_size=1000)
    (made / "_SUCCESS").touch()
    (made / "notes.txt").touch()
    return made


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCH_ROWS", 64)


def rows(path: Path) -> ArrowRows:
    found = open_tables(path)
    assert found is not None
    return found


def same(found: pa.Table, expected: pa.Table) -> bool:
    """Equal values; of dates, whatever the unit."""
    return found.to_pylist() == expected.to_pylist()


# Rows


def test_a_folder_is_one_table(folder: Path) -> None:
    found = rows(folder)
    assert count(found) == len(found) == N
    assert found.column_names == arrow().column_names
    assert same(found.table(), arrow())
    assert found["c"].to_pylist() == arrow()["c"].to_pylist()


@pytest.mark.parametrize("at", [[], [0], [999, 0, 500], [3, 3, 299, 300, 301], list(range(250, 720, 7)), [64, 63, 65]])
def test_rows_are_taken_as_from_a_table(folder: Path, at: list[int]) -> None:
    positions = np.array(at, dtype=np.int64)
    every_second = np.arange(0, N, 2)
    for X in (rows(folder), of_dataset(ds.dataset(arrow()))):
        taken = take(X, positions)
        assert count(taken) == len(at)
        assert same(taken.table(), arrow().take(positions))
        small = positions[positions < 500]
        assert same(take(take(X, every_second), small).table(), arrow().take(every_second[small]))


def test_reading_in_order_is_one_pass_and_holds_a_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, held = [], []
    for kind in (parts.Parquet, parts.Csv):

        def watched(self: Any, names: Any, start: int, inner: Any = kind.batches) -> Any:
            opened.append(self.name)
            for at, batch in inner(self, names, start):
                held.append(batch.num_rows)
                yield at, batch

        monkeypatch.setattr(kind, "batches", watched)
    X = rows(folder)
    for start in range(0, N, 50):
        block = take(X, np.arange(start, start + 50)).table()
        assert same(block, arrow().slice(start, 50))
    assert len(opened) == 4
    assert sum(held) == N
    opened.clear()
    take(X, np.array([950])).table()
    assert [Path(name).name for name in opened] == ["3.pq"]  # whole files are skipped


def test_only_the_named_columns_are_read(folder: Path) -> None:
    assert rows(folder).select(["n"]).table().column_names == ["n"]
    assert rows(folder).drop_columns(["n", "c"]).column_names == ["a", "when", "name"]


def test_files_and_small_data_are_read_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_tables(folder / "1.csv") is None
    monkeypatch.setattr("unalike.scanning.rows.LARGEST_FILE", 100)
    assert same(rows(folder / "1.csv").table(), arrow().slice(300, 250))


def test_types_are_those_that_hold_all_files(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"x": pa.array([1, 2], pa.int8()), "c": pa.array(["a", "b"]).dictionary_encode()}),
        tmp_path / "a.parquet",
    )
    pq.write_table(pa.table({"x": [2.5, None], "c": ["b", None]}), tmp_path / "b.parquet")
    pq.write_table(
        pa.table({"x": pa.array([None, None]), "c": pa.array(["z", "b"], pa.large_string())}), tmp_path / "c.parquet"
    )
    assert rows(tmp_path).table().to_pydict() == {
        "x": [1.0, 2.0, 2.5, None, None, None],
        "c": ["a", "b", "b", None, "z", "b"],
    }


@pytest.mark.parametrize(
    ("first", "last"),
    [("1", "2.5"), ("", "abc"), ("true", "maybe"), ("2024-01-01", "2024-01-01 10:00:00"), ("7", "x"), ("", "3")],
)
def test_types_of_csv_are_those_of_the_whole_file(tmp_path: Path, first: str, last: str) -> None:
    lines = ["x,y", *[f"{first},{'text' * 50}"] * 6000, f"{last},end"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found, whole = rows(tmp_path), reading.read_table(tmp_path / "t.csv")
    assert found.num_rows == 6001
    assert same(take(found, np.array([0, 6000])).table(), whole.take([0, 6000]))


# Errors


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "y": [1], "z": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": ["t"], "z": [1]}), tmp_path / "b.parquet")
    with pytest.raises(
        InvalidInput, match=r"b\.parquet' must have the column 'y', as '.*a\.parquet' has; it has not\. A"
    ):
        Table(ignore=["x"]).check(tmp_path)
    with pytest.raises(
        InvalidInput, match=r"b\.parquet' must hold int64 in column 'x', as '.*a\.parquet' does; got str"
    ):
        Table(ignore=["y"]).check(tmp_path)
    assert count(Table(ignore=["x", "y"]).check(tmp_path)) == 2


@pytest.mark.parametrize(("name", "content"), [("b.csv", b"x\n1,2\n"), ("b.parquet", b"PAR1 no"), ("b.tsv", b"")])
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"{name}' must be a readable (csv|tsv|parquet) file; got an error: \S"):
        open_tables(tmp_path)


def test_folders_without_tables(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must hold tables \(\.csv, .*\); got none\. Give another"):
        Table().check(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(InvalidInput, match=r"at least one row"):
        Table().check(tmp_path)
    with pytest.raises(InvalidInput, match="`path` must exist"):
        Table().check(tmp_path / "none")


def test_data_that_shrink_while_they_are_read(folder: Path) -> None:
    X = rows(folder)
    pq.write_table(arrow().slice(700, 10), folder / "deep" / "3.pq")
    with pytest.raises(InvalidInput, match=r"must stay as they are while they are read; row \d+ of 1000 is gone"):
        X.table()


def test_rows_are_no_images(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must be read as a table; got rows of files\. Use Detector\('table'\)"):
        Detector("image").fit(rows(folder))


# The pipeline


def detector(**settings: Any) -> Detector:
    branch = Branch(name="center", encoder=RawTable(), scorer=Centroid())
    rate = thresholds.Conformal(false_alarm_rate=0.05)
    return Detector(Table(id="name", **settings), branches=[branch], threshold=rate)


def test_folders_give_the_scores_of_the_same_rows_in_memory(folder: Path) -> None:
    in_memory = detector().fit(arrow())
    expected = in_memory.detect(arrow())
    for X in (folder, ds.dataset(arrow())):
        found = detector().fit(X).detect(X)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.p_values, expected.p_values)
        assert found.ids.tolist() == expected.ids.tolist() == arrow()["name"].to_pylist()
    np.testing.assert_array_equal(in_memory.anomaly_scores(folder), expected.scores)


def test_what_trains_is_held_and_what_is_scored_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    inner = _Scan.read

    def watched(self: Any, names: Any, positions: Any) -> Any:
        read.append(len(positions))
        return inner(self, names, positions)

    monkeypatch.setattr(_Scan, "read", watched)
    monkeypatch.setattr("unalike.judging._LARGEST_CHUNK", 1024)
    data = arrow(5000)
    for number in range(5):
        pq.write_table(data.slice(number * 1000, 1000), tmp_path / f"{number}.parquet", row_group_size=300)
    with pytest.warns(
        InputWarning, match=r"Training takes 500 of 5000 samples, one of each of so many equal stretches"
    ):
        fitted = detector(most_rows=500).fit(tmp_path)
    found = fitted.anomaly_scores(tmp_path)
    assert max(read) <= 1024
    positions = np.sort(np.concatenate([fitted.split_.train, fitted.split_.calibration]))
    assert (positions // 10).tolist() == list(range(500))
    assert len(set((positions % 10).tolist())) == 10
    with pytest.warns(InputWarning):
        again = detector(most_rows=500).fit(data)
    np.testing.assert_array_equal(again.anomaly_scores(data), found)


def test_rows_larger_than_what_is_kept_train_in_any_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unalike.parts._KEPT_BYTES", 100)
    contrast = {"encoder": "table-mlp", "scorer": "centroid", "training": {"steps": 3, "batch_size": 64}}
    few = thresholds.Conformal(false_alarm_rate=0.05)
    found = Detector(Table(id="name"), threshold=few, **contrast).fit(folder)
    expected = Detector(Table(id="name"), threshold=few, **contrast).fit(arrow())
    np.testing.assert_array_equal(found.anomaly_scores(folder), expected.anomaly_scores(arrow()))


def test_odd_cells_far_into_the_data_are_named(tmp_path: Path) -> None:
    cells = np.zeros(3000)
    cells[2500] = np.inf
    pq.write_table(pa.table({"x": cells, "y": np.arange(3000.0)}), tmp_path / "t.parquet")
    with pytest.raises(InvalidInput, match="Column 'x' must be finite or missing; got infinity"):
        Detector(Table(), objective="frozen", encoder="raw-table", scorer="centroid").fit(tmp_path)
    texts = tmp_path / "texts"
    texts.mkdir()
    pq.write_table(pa.table({"x": ["t"] * 3, "y": [1.0] * 3}), texts / "t.parquet")
    table = Table(infinite="missing")
    table.fit(table.check(tmp_path / "t.parquet"))
    with pytest.raises(InvalidInput, match="Column 'x' must hold numbers, as in `fit`; got String"):
        table.check(texts)


def test_a_dataset_with_a_filter_and_partitions(tmp_path: Path) -> None:
    data = arrow().append_column("part", pa.array(np.arange(N) % 2))
    ds.write_dataset(data, tmp_path, format="parquet", partitioning=ds.partitioning(pa.schema([("part", pa.int64())])))
    made = ds.dataset(tmp_path, partitioning=ds.partitioning(pa.schema([("part", pa.int64())])))
    filtered = made.filter(ds.field("part") == 1)
    found = of_dataset(filtered)
    assert found.num_rows == 500
    assert sorted(found["name"].to_pylist()) == sorted(data.filter(ds.field("part") == 1)["name"].to_pylist())
    assert found["part"].to_pylist() == [1] * 500
    table = Table(ignore=["name"])
    assert torch.isfinite(table.fit(table.check(filtered)).tensors(table.check(filtered))).all()


def test_a_day_in_one_file_is_the_midnight_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("d\n2024-01-01\n2024-01-02\n")
    (tmp_path / "b.csv").write_text("d\n2024-01-03 12:00:00\n")
    found = rows(tmp_path)["d"].to_pylist()
    assert found == [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 3, 12)]
    pq.write_table(pa.table({"d": pa.array([dt.datetime(2024, 1, 1)], pa.timestamp("s", "UTC"))}), tmp_path / "c.pq")
    with pytest.raises(InvalidInput, match=r"c\.pq' must hold timestamp\[s\] in column 'd'.*; got timestamp\[.*UTC\]"):
        Table().check(tmp_path)
