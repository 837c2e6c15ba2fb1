from __future__ import annotations

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow

from unalike import check_views, modalities, views
from unalike.errors import InvalidParameter
from unalike.viewpage import view_page
from unalike.viewpage.lines import Lines

EMPTY = {"meta", "img", "br", "link"}
HOSTILE = '<script>alert("1")</script>'


class Checked(HTMLParser):
    """Every tag is closed where it must be; collects tags, and rows of cells of the tables that show samples."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts, self.marks = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == "mark":
            self.marks.append(data)


def cells(page):
    """Per line of the tables of samples: the texts of its cells."""
    tables = re.findall(r'<table class="cells">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    lines = [line for table in tables for line in re.findall(r"<tr>(.*?)</tr>", table)]
    return [[unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", line)] for line in lines]


@pytest.fixture
def frame():
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"size": generator.normal(12345.678, 9.0, 60).round(2), "zero": generator.integers(0, 2, 60)})
    rows[HOSTILE] = generator.choice(["<b>red</b>", "green"], 60)
    rows["tiny"] = generator.normal(0.0, 1e-7, 60)
    rows.loc[::3, "tiny"] = np.nan
    rows.index = [f"row <{number}>" for number in range(60)]
    return rows


# ---- the file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "image"])
def test_a_page_is_whole_and_needs_nothing_else(kind, frame, zeros):
    page = view_page(frame if kind == "table" else zeros.train, kind, samples=3, views_per_sample=2)
    found = Checked(page)
    names = [name for name, _ in found.tags]
    assert page.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object"} & set(names)
    assert not re.search(r"https?:|@import|url\(|javascript", page)
    assert all(source["src"].startswith("data:image/png;base64,") for name, source in found.tags if name == "img")
    policy = next(attrs["content"] for name, attrs in found.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert any(attrs.get("name") == "viewport" for _, attrs in found.tags)
    assert "prefers-color-scheme: dark" in page
    targets = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    assert {attrs["href"][1:] for name, attrs in found.tags if name == "a"} == targets


def test_one_seed_gives_one_page_and_checks_can_be_given(frame):
    page = view_page(frame, "table", seed=1)
    assert page == view_page(frame, "table", seed=1, checks=check_views(frame, "table", seed=1))
    assert page != view_page(frame, "table", seed=2)


def test_the_page_says_what_the_check_says(frame):
    view = {"far & <away>": lambda row: row + torch.tensor([60.0, 0.0]), "still": views.Noise(scale=0.0)}
    page = view_page(frame.drop(columns=HOSTILE), "table", views=view, objectives=(), samples=2)
    assert page.count("far &amp; &lt;away&gt;</h2>") == page.count('badge off">too strong</span>') // 2 == 1
    assert page.count('badge off">too weak</span>') == 2
    assert page.count("No cell is changed.") == 2
    assert "far & <away>" not in page


def test_few_samples_are_shown_without_figures(frame):
    page = view_page(frame[:39], "table", samples=2)
    assert "fewer than 40" in page
    assert "badge" not in page.partition("<body>")[2]
    assert "fewer than 40" not in view_page(frame[:40], "table", samples=2)


@pytest.mark.parametrize("setting", [{"samples": 0}, {"views_per_sample": 0}, {"samples": True}, {"samples": 1.5}])
def test_counts_are_checked(frame, setting):
    with pytest.raises(InvalidParameter, match=next(iter(setting))):
        view_page(frame, "table", **setting)


# ---- images ----------------------------------------------------------------------------------------------------


def pixels(page):
    sources = re.findall(r"data:image/png;base64,([^\"]+)", page)
    return [np.asarray(Pillow.open(io.BytesIO(base64.b64decode(source)))) for source in sources]


def test_pictures_are_the_samples_and_their_views():
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype(np.uint8)
    page = view_page(images, "image", views=views.HorizontalFlip(p=1.0), objectives=(), samples=9, views_per_sample=2)
    found = pixels(page)
    assert len(found) == 5 * 3
    for row in range(5):
        np.testing.assert_array_equal(found[3 * row], images[row])
        for view in (1, 2):
            np.testing.assert_array_equal(found[3 * row + view], images[row][:, ::-1])


def test_other_values_and_channels_are_shown_on_the_scale_of_the_samples():
    images = np.zeros((3, 5, 4, 4))
    images[:, :, 0] = 30.0
    images[:, :, 1] = -10.0
    page = view_page(images, modalities.Image(layout="channels-first"), views=views.Affine())
    shown = pixels(page)[0]
    assert "mean of the 5 channels" in page
    assert shown[:3].tolist() == [[255] * 4, [0] * 4, [64] * 4]


def test_names_of_files_are_escaped(tmp_path):
    for number in range(3):
        Pillow.fromarray(np.full((4, 4), 50 * number, dtype=np.uint8)).save(tmp_path / f"a'&<b>{number}.png")
    page = view_page(tmp_path, "image", views="rotate")
    Checked(page)
    assert "&lt;b&gt;0.png" in page
    assert "<b>" not in page


# ---- tables ----------------------------------------------------------------------------------------------------


def test_cells_are_in_the_units_of_the_table_and_changed_ones_are_marked(frame):
    page = view_page(frame, "table", views=views.CorruptCells(rate=0.5), objectives=(), samples=60)
    found = Checked(page)
    known = {name: {f"{value:.6g}" for value in frame[name].dropna()} for name in ("size", "zero", "tiny")}
    known[HOSTILE], known["tiny"] = set(frame[HOSTILE]), known["tiny"] | {"missing"}
    # Standardised numbers are kept in single precision: to about seven digits of the largest.
    doubt = {"size": 2e-3, "tiny": 1e-11}
    lines, marked = cells(page), 0
    for name, original, *versions in lines:
        for text in {original, *versions} - known[name]:
            numbers = np.array([float(other) for other in known[name] - {"missing"}])
            assert np.abs(numbers - float(text)).min() < doubt[name]
        marked += sum(version != original for version in versions)
    assert {line[0] for line in lines} == set(frame.columns)
    assert len(found.marks) == marked
    counted = re.findall(r"changed cells ([\d, ]+) of 4", page)
    assert len(counted) == 60
    assert sum(int(count) for line in counted for count in line.split(",")) == marked


def test_what_the_user_named_is_escaped(frame):
    page = view_page(frame, "table", views=views.MaskCells(rate=0.9), samples=10)
    assert "<script" not in page
    assert "<b>red" not in page
    assert "&lt;script&gt;" in page
    assert "row &lt;" in page
    Checked(page)


def test_negatives_of_tables_are_shown(frame):
    page = view_page(frame, "table", samples=2)
    assert re.findall(r"<h2>([^<]*)</h2>", page) == [
        "corrupt-cells", "shuffle (negative)", "shell (negative)", "box (negative)",
    ]  # fmt: skip


def test_a_category_that_training_did_not_see_has_a_name():
    frame = pd.DataFrame({"colour": ["red", "green"] * 25, "n": np.arange(50.0)})
    unseen = view_page(frame, "table", views=lambda row: row * torch.tensor([0.0, 1.0]), objectives=())
    assert "(unseen)" in unseen


def test_wide_rows_are_cut():
    page = view_page(
        np.random.default_rng(0).normal(size=(10, 40)), "table", views=views.Noise(), objectives=(), samples=1
    )
    assert "10 more changed columns are not shown" in page
    assert len(cells(page)) == 30


def test_windows_of_series_are_lines_that_break_where_nothing_was_measured():
    t = np.arange(120)
    values = np.stack([np.sin(t / 3), np.full(120, 5.0)], axis=1) + np.random.default_rng(0).normal(0, 0.1, (120, 2))
    values[::9, 0] = np.nan
    frame = pd.DataFrame(values, columns=["load", HOSTILE]).assign(host=np.repeat(["a", "b"], 60))
    series = modalities.Series(window=20, entity="host")
    page = view_page(frame, series, views={"jitter": views.series.Jitter()}, samples=3, views_per_sample=2)
    found = Checked(page)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("svg") == 2 * 3 * 2 * 2  # each window beside its views, and beside spoilt ones
    assert "nan" not in " ".join(points["points"] for tag, points in found.tags if tag == "polyline")
    assert HOSTILE not in page
    assert HOSTILE in found.texts
    assert len([text for text in found.texts if re.fullmatch(r"window from [ab], \d+", text)]) == 2 * 3
    heights = [
        float(point.split(",")[1]) for tag, line in found.tags if tag == "polyline" for point in line["points"].split()
    ]
    assert min(heights) >= 2.0
    assert max(heights) <= 46.0
    # A sample with missing steps is drawn as one line for each stretch.
    made = series.fit(series.check(frame))
    cells = made.tensors(made.cut(made.check(frame))[0])
    drawn = Lines(cells[:1], ["0"], ["load", "x"]).draw([cells[:1]])
    there = (~cells[0].isnan()).int()
    stretches = int((torch.diff(there, dim=1, prepend=torch.zeros(2, 1)) == 1).sum())
    assert drawn.count("<polyline") == 2 * stretches
    assert "1 more channels are not shown" in Lines(torch.zeros(1, 7, 3), ["0"], list("abcdefg")).draw(
        [torch.zeros(1, 7, 3)]
    )
