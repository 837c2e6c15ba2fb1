from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from unalike import writing
from unalike.errors import InvalidParameter

COLUMNS = {
    "id": np.array(["a,b.png", 'quote".png', "zwölf\nlines.png"]),
    "score": np.array([0.1 + 0.2, 1e-300, np.pi * 1e10]),
    "p_value": np.array([np.nan, 1 / 3, 1.0]),
    "is_anomaly": np.array([True, False, True]),
}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill_and_fail(path, failure):
    with writing.whole_file(path) as temporary:
        temporary.write_text("half")
        raise failure


def read(path):
    if path.suffix == ".csv":
        return pd.DataFrame(pl.read_csv(path).to_dicts())
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


@pytest.mark.parametrize("suffix", writing.RESULT_SUFFIXES)
def test_rows_read_back_equal(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    writing.write_rows(COLUMNS, path)
    frame = read(path)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["id"].tolist() == COLUMNS["id"].tolist()
    np.testing.assert_array_equal(frame["score"].to_numpy(float), COLUMNS["score"])
    np.testing.assert_array_equal(frame["p_value"].to_numpy(float), COLUMNS["p_value"])
    assert frame["is_anomaly"].tolist() == [True, False, True]
    assert names(tmp_path) == [path.name]


def test_a_missing_value_is_null_and_not_the_word_nan(tmp_path):
    for suffix in writing.RESULT_SUFFIXES:
        writing.write_rows(COLUMNS, tmp_path / f"rows{suffix}")
    assert "nan" not in (tmp_path / "rows.csv").read_text().lower()
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])["p_value"] is None
    assert pq.read_table(tmp_path / "rows.parquet")["p_value"].null_count == 1


def test_flags_are_booleans_to_other_readers(tmp_path):
    writing.write_rows(COLUMNS, tmp_path / "rows.csv")
    assert pl.read_csv(tmp_path / "rows.csv")["is_anomaly"].to_list() == [True, False, True]


def test_ids_of_any_kind_are_written(tmp_path):
    strange = np.empty(2, dtype=object)
    strange[:] = [("a", 1), "caf\udce9.png"]
    for suffix in writing.RESULT_SUFFIXES:
        path = tmp_path / f"rows{suffix}"
        writing.write_rows({"id": strange}, path)
        assert read(path)["id"].tolist() == ["('a', 1)", "caf\\udce9.png"]
    days = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[s]")
    writing.write_rows({"id": days}, tmp_path / "days.jsonl")
    assert read(tmp_path / "days.jsonl")["id"].tolist() == ["2026-01-01 00:00:00", "2026-01-02 00:00:00"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_no_file_and_the_old_one_as_it_was(tmp_path, failure):
    old = tmp_path / "old.csv"
    old.write_text("as it was")
    for path in (old, tmp_path / "new.csv"):
        with pytest.raises(failure):
            fill_and_fail(path, failure)
    assert names(tmp_path) == ["old.csv"]
    assert old.read_text() == "as it was"


def test_a_failing_writer_leaves_nothing(tmp_path, monkeypatch):
    def fail(table, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(writing, "_write_parquet", fail)
    with pytest.raises(OSError, match="disk full"):
        writing.write_rows(COLUMNS, tmp_path / "rows.parquet")
    assert names(tmp_path) == []


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    with writing.whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_link_keeps_pointing_at_the_file(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    writing.write_rows(COLUMNS, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read(tmp_path / "real.csv")) == 3


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    writing.write_rows(COLUMNS, tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_unusable_paths_are_refused(tmp_path):
    with pytest.raises(InvalidParameter, match=r"must end in one of .*'\.jsonl'.*; got 'rows\.xlsx'"):
        writing.result_path("rows.xlsx")
    with pytest.raises(InvalidParameter, match="Make the folder first"):
        writing.result_path(tmp_path / "nowhere" / "rows.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidParameter, match="Name a file in it"):
        writing.result_path(tmp_path / "folder.csv")


def test_json_is_plain(tmp_path):
    value = {"rate": np.float64(0.5), "rows": np.arange(3), "none": float("nan"), "flag": np.bool_(True), "n": (1, 2)}
    writing.write_json(value, tmp_path / "value.json")
    assert json.loads((tmp_path / "value.json").read_text()) == {
        "rate": 0.5,
        "rows": [0, 1, 2],
        "none": None,
        "flag": True,
        "n": [1, 2],
    }
