"""The command line on texts: columns, JSONL, folders, logs, what is left out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.cli.parts import read_rows, run

from unalike import load
from unalike.encoders.lexical import Lexical
from unalike.modalities import Text, tunedtexts
from unalike.types import Branch

pytestmark = pytest.mark.filterwarnings("always::unalike.errors.InputWarning")  # they are told, not raised
FEW = ["--false-alarm-rate", "0.2", "-q"]


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """What is tested here is what is read and told: characters and their neighbours are enough to judge by."""
    monkeypatch.setattr(tunedtexts, "branches", lambda model: (Branch(name="raw", encoder="raw", scorer="knn"),))


def sentences(n):
    rng = np.random.default_rng(0)
    words = ["pump", "is", "warm", "today", "泵", "温度", "正常", "👩‍🔧"]
    return [f"ticket {number} says {' '.join(rng.choice(words, 6))}" for number in range(n)]


@pytest.fixture
def tickets(tmp_path):
    path = tmp_path / "tickets.jsonl"
    rows = [
        {"body": text, "title": "t", "nr": f"n{row}", "who": row // 2, "bad": int(row > 36)}
        for row, text in enumerate(sentences(40))
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_a_field_of_jsonl_from_fit_to_inspect(tickets, tmp_path, capsys):
    model, found = tmp_path / "a.unalike", tmp_path / "found.jsonl"
    assert run("fit", tickets, "-m", "text", "-o", model) == 2
    assert "`column` must name the column of the texts" in capsys.readouterr().err
    assert (
        run("fit", tickets, "-m", "text", "--column", "body", "--id", "nr", "--groups", "who", "-o", model, *FEW) == 0
    )
    assert load(model).modality == Text(column="body", id="nr")
    held = np.isin(np.arange(40), load(model).split_.calibration)
    assert (held[::2] == held[1::2]).all()
    assert run("detect", tickets, "-m", model, "-o", found) == 0
    assert [row["id"] for row in read_rows(found)] == [f"n{row}" for row in range(40)]
    (tmp_path / "new.jsonl").write_text(tickets.read_text().replace("ticket", "mail"))
    assert run("calibrate", tmp_path / "new.jsonl", "-m", model, "-q") == 0
    assert len(load(model).calibration_scores_) == 40
    assert run("embed", tickets, "-m", model, "-o", tmp_path / "e.npz", "-q") == 0
    assert np.load(tmp_path / "e.npz")["ids"].tolist() == [f"n{row}" for row in range(40)]
    assert run("evaluate", tickets, "-m", model, "--labels", "bad", "-o", tmp_path / "figures.json", "-q") == 0
    capsys.readouterr()
    assert run("inspect", model) == 0
    told = capsys.readouterr().out
    assert "text, parts of up to 1,000 characters" in told
    assert "32 texts" in told


def test_texts_that_cannot_be_used_stop_a_fit_unless_they_are_skipped(tmp_path, capsys):
    table, model, found = tmp_path / "a.csv", tmp_path / "a.unalike", tmp_path / "found.csv"
    frame = pd.DataFrame({"body": sentences(30)})
    frame.loc[7, "body"] = "  "
    frame.loc[9, "body"] = None
    frame.assign(n=1).to_csv(table, index=False)
    assert run("fit", table, "-m", "text", "-o", model, *FEW) == 2
    assert "Row 7 of DATA must be a text; got an empty one." in capsys.readouterr().err
    assert run("fit", table, "-m", "text", "-o", model, "--on-error", "skip", "--false-alarm-rate", "0.2") == 0
    told = capsys.readouterr()
    assert "2 of 30 texts cannot be used and are left out" in told.err
    assert "2 texts could not be read and are left out:" in told.out
    assert run("detect", table, "-m", model, "-o", found, "--on-error", "raise") == 2
    assert run("detect", table, "-m", model, "-o", found) == 0
    rows = read_rows(found)
    assert [row["id"] for row in rows] == list(range(30))
    assert [row["id"] for row in rows if row["score"] is None] == [7, 9]
    assert "missing" in rows[9]["error"]
    assert run("detect", table, "-m", model, "--workers", "2") == 2
    assert "`--workers` must go with a model of images; got one of text" in capsys.readouterr().err


def test_a_folder_of_files_and_its_subfolders_as_labels(tmp_path):
    for number, text in enumerate(sentences(30)):
        path = tmp_path / "mails" / ("good" if number < 25 else "odd") / f"{number:02d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    model, found = tmp_path / "a.unalike", tmp_path / "found.csv"
    assert run("fit", tmp_path / "mails" / "good", "-m", "text", "-o", model, *FEW) == 0
    assert run("detect", tmp_path / "mails", "-m", model, "-o", found, "-q") == 0
    assert read_rows(found)[-1]["id"] == str(tmp_path / "mails" / "odd" / "29.txt")
    figures = tmp_path / "figures.json"
    assert run("evaluate", tmp_path / "mails", "-m", model, "--normal", "good", "-o", figures, "-q") == 0
    assert json.loads(figures.read_text())


def test_windows_of_masked_log_lines(tmp_path):
    log, model, found = tmp_path / "app.log", tmp_path / "a.unalike", tmp_path / "found.csv"
    log.write_text("".join(f"10.0.0.{row} {'r' * (row // 3 % 30 + 1)} /var/{row} in {row} ms\n" for row in range(90)))
    options = ["--window", "3", "--mask", "log", "--encoding", "utf-8"]
    assert run("fit", log, "-m", "text", "-o", model, *options, "--on-error", "skip", *FEW) == 0
    assert load(model).modality == Text(window=3, mask="log", encoding="utf-8", on_error="skip")
    assert run("detect", log, "-m", model, "-o", found, "-q") == 0
    rows = read_rows(found)
    assert [row["id"] for row in rows[:2]] == ["0-2", "3-5"]
    log.write_text(log.read_text().replace("10.0.0.1", "172.16.0.2"))
    assert run("detect", log, "-m", model, "-o", tmp_path / "again.csv", "-q") == 0
    assert read_rows(tmp_path / "again.csv") == rows


def test_settings_come_from_toml_and_options_go_with_texts_only(tickets, tmp_path, capsys):
    config, model = tmp_path / "a.toml", tmp_path / "a.unalike"
    config.write_text('[modality]\ntype = "modalities.Text"\ncolumn = "title"\npart = 64\nmask = { n = "[0-9]+" }\n')
    assert run("fit", tickets, "--config", config, "--column", "body", "-o", model, *FEW) == 0
    assert load(model).modality == Text(column="body", part=64, mask={"n": "[0-9]+"})
    for option in ("--session", "--mask", "--model"):
        assert run("fit", tickets, "-m", "table", option, "log", "-o", model, *FEW) == 2
        assert f"`{option}` must go with -m text; got -m table" in capsys.readouterr().err


def test_a_page_of_texts_beside_their_views(tickets, tmp_path):
    page = tmp_path / "views.html"
    assert run("views", tickets, "-m", "text", "--column", "body", "--samples", "3", "-o", page) == 0
    html = page.read_text(encoding="utf-8")
    assert html.count("<blockquote>") % (3 * 5) == 0
    assert "<mark>" in html
    assert "泵" in html


def test_explain_tells_words_and_where_they_stand(tickets, tmp_path, capsys, monkeypatch):
    lexical = Branch(name="lexical", encoder=Lexical(width=256), scorer="knn")
    monkeypatch.setattr(tunedtexts, "branches", lambda model: (lexical,))
    model, told = tmp_path / "a.unalike", tmp_path / "why.jsonl"
    options = ["-m", "text", "--column", "body", "--id", "nr", "-o", model]
    assert run("fit", tickets, *options, *FEW) == 0
    new = tmp_path / "new.jsonl"
    new.write_text(tickets.read_text().replace("says", "says casino"))  # what trained scores 0 and has no cause
    texts = {row["nr"]: row["body"] for row in read_rows(new)}
    assert run("explain", new, "-m", model, "-o", told, "--pictures", tmp_path / "why", "--most-places", 2) == 0
    assert "40 samples explained" in capsys.readouterr().out
    rows = read_rows(told)
    names = ["id", "score", "place", "share", "value", "usual", "nearest", "start", "end", "without"]
    assert list(rows[0]) == names
    assert all(texts[row["id"]][int(row["start"]) : int(row["end"])] == row["value"] for row in rows)
    page = (tmp_path / "why" / "texts.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 40
    assert page.count("<mark ") == len(rows)
