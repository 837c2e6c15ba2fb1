"""``unalike views``: the page is written whole or not at all, and the table is printed."""

from __future__ import annotations

import signal

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from unalike import cli, writing


def run(*arguments):
    """The exit status."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return left.value.code or 0


@pytest.fixture(autouse=True)
def _same_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def place(tmp_path):
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.normal(size=(60, 3)), columns=["a", "b", "c"])
    rows["name"] = [f"row {number}" for number in range(60)]
    rows["when"] = pd.Timestamp("2026-01-01")
    rows["customer"] = np.arange(60) // 2
    rows.to_csv(tmp_path / "rows.csv", index=False)
    np.savez(tmp_path / "rows.npz", X=generator.normal(size=(60, 3)), other=np.zeros((60, 3)))
    (tmp_path / "images").mkdir()
    for number in range(40):
        pixels = generator.integers(90, 110, (8, 8)).astype(np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / "images" / f"{number:02d}.png")
    return tmp_path


COLUMNS = ["--id", "name", "--ignore", "when", "--groups", "customer"]


def test_a_table(place, capsys):
    page = place / "page.html"
    assert run("views", place / "rows.csv", "-m", "table", "-o", page, *COLUMNS, "--samples", 3, "--seed", 1) == 0
    printed, html = capsys.readouterr().out, page.read_text(encoding="utf-8")
    for name in ("corrupt-cells", "shuffle", "shell", "box"):
        assert f"\n{name} " in printed
        assert f"<h2>{name}" in html
    assert f"page written to {page}" in printed
    assert html.count("<summary>row row ") == 3 * 4
    assert "customer" not in html
    again = place / "again.html"
    assert run("views", place / "rows.csv", "-m", "table", "-o", again, *COLUMNS, "--samples", 3, "--seed", 1) == 0
    assert again.read_text(encoding="utf-8") == html


def test_images_and_named_views(place, capsys):
    page = place / "page.html"
    names = ["--views", "rotate", "--views", "gaussian-noise"]
    assert run("views", place / "images", "-m", "image", "--out", page, *names) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:4]] == [
        "rotate", "gaussian-noise", "all together",
    ]  # fmt: skip
    assert page.read_text(encoding="utf-8").count("<img ") == (3 + 1) * 8 * 5  # and the spoiled images of the default


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["rows.csv", "-m", "table", "-o", "page.txt"], ".html"),
        (["rows.csv", "-m", "table", "-o", "nowhere/page.html"], "existing folder"),
        (["rows.csv", "-m", "table", "-o", "page.html", "--ignore", "where"], "where"),
        (["rows.csv", "-m", "smell", "-o", "page.html"], "-m"),
        (["rows.npz", "-m", "table", "-o", "page.html", "--views", "wink"], "wink"),
        (["rows.npz", "-m", "table", "-o", "page.html", "--key", "other"], "copies"),
        (["images", "-m", "image", "-o", "page.html", "--id", "name"], "--id"),
        (["nothing", "-m", "image", "-o", "page.html"], "nothing"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_leaves_the_old_page(place, capsys, monkeypatch, arguments, word):
    monkeypatch.chdir(place)
    (place / "page.html").write_text("old")
    before = sorted(place.iterdir())
    assert run("views", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert word in line
    assert sorted(place.iterdir()) == before
    assert (place / "page.html").read_text() == "old"


def test_a_page_that_cannot_be_written_leaves_the_old_one(place, monkeypatch):
    (place / "page.html").write_text("old")
    before = sorted(place.iterdir())
    monkeypatch.setattr(writing.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full", "disk")))
    assert run("views", place / "rows.npz", "-m", "table", "-o", place / "page.html") == 2
    assert sorted(place.iterdir()) == before
    assert (place / "page.html").read_text() == "old"


def test_few_samples_are_shown_and_nothing_is_measured(place, capsys):
    np.savez(place / "few.npz", X=np.random.default_rng(0).normal(size=(39, 3)))
    page = place / "page.html"
    assert run("views", place / "few.npz", "-m", "table", "-o", page) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["nothing is measured: 39 samples are fewer than 40", f"page written to {page}"]
    assert "too few to measure anything" in page.read_text(encoding="utf-8")
