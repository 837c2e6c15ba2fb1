from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from unalike import Branch, Detector, detecting, errors, modalities, objectives, thresholds, write_report
from unalike.configuration import read_settings
from unalike.report import cautions, charts, scores
from unalike.report.passages import marked

EMPTY = {"meta", "img", "br"}
HOSTILE = '<script>alert("1")</script>'
RAW = [Branch(name="raw", encoder="raw", scorer="knn")]
HALF = thresholds.Conformal(false_alarm_rate=0.1)


class Checked(HTMLParser):
    """Every tag is closed where it must be; collects tags, and texts by the tag that they stand in."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def within(self, tag):
        return [text for where, text in self.texts if where == tag]


def table(n, rng, odd=0):
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["size", "weight", HOSTILE])
    frame["colour"] = rng.choice(["red", "<b>green</b>"], n)
    frame.loc[frame.index[:odd], "weight"] += 9.0
    frame.index = [f"{HOSTILE} {row}" for row in range(n)]
    return frame


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    training = {"training": {"epochs": 2}}
    branches = [
        Branch(name="contrast", encoder="mlp", objective="simclr", scorer="knn"),
        Branch(name="raw", encoder="raw-table", scorer="knn"),
    ]
    train = table(200, rng)
    detector = Detector("table", branches=branches, threshold=HALF, **training).fit(train)
    return detector, train, table(80, rng, odd=8), (np.arange(80) < 8).astype(int)


def written(detector, X, tmp_path, **settings):
    return write_report(detector, X, tmp_path / "page.html", **settings).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(rows, tmp_path_factory):
    detector, train, X, labels = rows
    return written(detector, X, tmp_path_factory.mktemp("report"), labels=labels, training=train)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_a_page_is_whole_and_needs_nothing_else(page):
    found = Checked(page)
    assert not {"script", "link", "iframe", "object"} & {name for name, _ in found.tags}
    assert not re.search(r"https?:|@import|url\(|javascript", page)
    policy = next(attrs["content"] for _, attrs in found.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in page
    targets = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    assert {attrs["href"][1:] for name, attrs in found.tags if name == "a"} == targets


def test_what_comes_from_data_is_escaped(page):
    assert HOSTILE not in page
    assert "<b>green</b>" not in page
    assert any(HOSTILE in text for text in Checked(page).within("summary"))
    assert any(HOSTILE in text for text in Checked(page).within("td"))


def test_a_page_is_written_whole_or_not_at_all(rows, tmp_path, monkeypatch):
    detector, _, X, _ = rows
    (tmp_path / "page.html").write_text("before")
    monkeypatch.setattr("unalike.report.learning.settings", lambda material: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(detector, X, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "before"


def test_one_call_gives_one_page(rows, page, tmp_path):
    detector, train, X, labels = rows
    assert written(detector, X, tmp_path, labels=labels, training=train) == page


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_the_summary_tells_what_detect_and_evaluate_tell(rows, page):
    detector, _, X, labels = rows
    decisions = detector.detect(X)
    text = " ".join(Checked(page).within("li"))
    assert f"{int(decisions.is_anomaly.sum())} of 80 rows are anomalies" in text
    false = decisions.is_anomaly[labels == 0].mean()
    assert f"Of the 72 rows labelled normal, {100 * false:.3g}% (95% interval" in text
    assert "where 10% was asked for" in text
    assert re.search(r"contrast: AUROC \S+ is (NOT )?above its floor", text)
    assert f"trained on {len(detector.split_.train)} rows; {len(detector.calibration_scores_)} normal rows" in text


@pytest.mark.parametrize("rate", [None, 0.2])
def test_one_pass_gives_what_detect_and_branch_scores_give(rows, rate, monkeypatch):
    detector, _, X, _ = rows
    wanted, apart = detector.detect(X, false_alarm_rate=rate), detector.branch_scores(X)
    passes = []
    score_parts = detecting.score_parts
    monkeypatch.setattr(detecting, "score_parts", lambda *given: passes.append(1) or score_parts(*given))
    found, by_branch = detector._detected_by_branch(X, rate)
    assert len(passes) == 1
    pd.testing.assert_frame_equal(found.to_frame(), wanted.to_frame())
    assert (found.threshold, found.false_alarm_rate) == (wanted.threshold, wanted.false_alarm_rate)
    assert list(by_branch) == list(apart) == ["contrast", "contrast (untrained)", "raw"]
    for name, alone in apart.items():
        np.testing.assert_array_equal(by_branch[name], alone)


def test_without_labels_nothing_is_claimed(rows, tmp_path):
    detector, _, X, _ = rows
    text = " ".join(text for _, text in Checked(written(detector, X, tmp_path)).texts)
    assert "cannot be told without labels" in text
    assert "ROC" not in text


def test_the_highest_anomalies_are_shown_with_their_guilty_column(rows, page):
    detector, _, X, _ = rows
    order = np.argsort(-detector.detect(X).scores, kind="stable")
    headings = [text for text in Checked(page).within("summary") if "score" in text]
    assert [re.match(r"(.*): score", text).group(1) for text in headings] == [
        str(X.index[row]) for row in order[:8]
    ] + [str(X.index[row]) for row in order[8 : len(headings)]]
    first = re.search(r'<table class="cells">.*?<tbody>(.*?)</tbody>', page, re.DOTALL).group(1)
    cells = [unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", first)]
    assert cells[:2] == ["weight", f"{X['weight'].iloc[order[0]]:.6g}"]


def test_the_settings_fit_the_same_model_again(rows, page, tmp_path):
    detector, train, X, _ = rows
    told = unescape(re.search(r"<pre>(.*?)</pre>", page, re.DOTALL).group(1))
    (tmp_path / "settings.toml").write_text(told)
    again = Detector(**read_settings(tmp_path / "settings.toml")).fit(train)
    assert np.array_equal(again.anomaly_scores(X), detector.anomaly_scores(X))


def test_copies_and_samples_that_trained_are_told(rows, tmp_path):
    detector, train, _, _ = rows
    text = " ".join(Checked(written(detector, pd.concat([train[:60], train[:20]]), tmp_path)).within("li"))
    assert "80 of these rows trained or calibrated the model" in text
    assert "20 of 80 rows in this data are exact copies" in text


def test_drift_is_told(rows, tmp_path):
    detector, _, X, _ = rows
    moved = X.assign(size=X["size"] + 3.0)
    assert "promise may no longer hold" in written(detector, moved, tmp_path)
    assert "promise may no longer hold" not in written(detector, X, tmp_path)


def test_suspects_among_the_calibration_samples_are_told(rows):
    class Material:
        words, in_time = "rows", False

    material = Material()
    rng = np.random.default_rng(2)
    material.detector = type("D", (), {"calibration_scores_": np.append(rng.exponential(size=300), [40.0, 60.0])})()
    kind, told = cautions._suspects(material)[0]
    assert kind == "note"
    assert told.startswith("2 of 302 calibration rows score far above what the others foretell")
    material.detector.calibration_scores_ = rng.exponential(size=300)
    assert cautions._suspects(material)[0][0] == "good"


# ---- every kind of data ----------------------------------------------------------------------------------------------


def test_images_are_shown_with_heat_maps_beside_training_images(tmp_path):
    rng = np.random.default_rng(2)
    train = rng.normal(0.5, 0.05, (80, 8, 8)).astype(np.float32).clip(0, 1)
    X = rng.normal(0.5, 0.05, (30, 8, 8)).astype(np.float32).clip(0, 1)
    X[:3, 2:6, 2:6] = 1.0
    detector = Detector("image", branches=RAW, threshold=HALF).fit(train)
    found = Checked(written(detector, X, tmp_path, training=train, shown=4))
    sources = [attrs for name, attrs in found.tags if name == "img"]
    shown = min(4, int(detector.detect(X).is_anomaly.sum()))
    assert len(sources) == shown * 5
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in sources)
    assert {attrs["alt"] for attrs in sources} >= {f"image {row}" for row in range(3)}
    named = [text for text in found.within("figcaption") if text.startswith("normal: ")]
    assert all(0 <= int(text.removeprefix("normal: ")) < 80 for text in named)
    assert "nearest to it in the embedding and were judged normal" in written(detector, X, tmp_path)


def test_alarms_of_records_are_shown_with_their_channel(tmp_path):
    rng = np.random.default_rng(3)

    def record(n):
        wave = np.sin(np.arange(n)[:, None] * np.pi / 8 + np.array([0.0, 1.0]))
        return pd.DataFrame(wave + rng.normal(0.0, 0.1, (n, 2)), columns=["cpu", HOSTILE])

    X = record(300)
    X.iloc[120:140, 1] += 4.0
    detector = Detector(modalities.Series(window=16), branches=RAW, threshold=HALF).fit(record(600))
    page = written(detector, X, tmp_path, labels=((np.arange(300) >= 120) & (np.arange(300) < 140)).astype(int))
    found = Checked(page)
    highest = max(detector.detect(X).events(merge=16), key=lambda event: event.score)
    assert any(text.startswith(f"{highest.first} to {highest.last}") for text in found.within("summary"))
    assert HOSTILE not in page
    assert next(text for text in found.within("p") if "of the score" in text).startswith(HOSTILE)
    assert "Nearest normal window from" in page


def test_texts_are_shown_beside_normal_ones(tmp_path):
    rng = np.random.default_rng(4)
    words = ["the", "pump", "valve", "is", "warm", "cold", "today", "again", "motor", "belt"]
    train = [" ".join(rng.choice(words, 8)) for _ in range(60)]
    X = [f"{HOSTILE} {number} zebra quartz" for number in range(2)] + [
        " ".join(rng.choice(words, 8)) for _ in range(20)
    ]
    branches = [Branch(name="lexical", encoder="lexical", scorer="knn")]
    detector = Detector("text", branches=branches, threshold=HALF).fit(train)
    page = written(detector, X, tmp_path, training=train)
    assert HOSTILE not in page
    assert any("zebra" in text for text in [*Checked(page).within("blockquote"), *Checked(page).within("mark")])
    assert sum(text.strip() in train for text in Checked(page).within("blockquote")) >= 2


def test_marked_words_are_escaped_and_do_not_overlap():
    drawn = marked("a <b> & c", [(2, 5, 0.5), (4, 9, 0.2), (6, 7, 0.25)])
    assert drawn == 'a <mark title="50% of the score">&lt;b&gt;</mark> <mark title="25% of the score">&amp;</mark> c'


# ---- charts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3.2, 17.0), (1e-5, 3e-5), (0.0, 9e6), (5.0, 5.0)])
def test_ticks_are_few_round_and_inside(ends):
    found = charts.ticks(*ends)
    assert 1 <= len(found) <= 6
    assert all(ends[0] - 1e-9 <= value <= ends[1] + 1e-9 for value in found)


def test_the_roc_curve_is_that_of_sklearn():
    rng = np.random.default_rng(5)
    truth = rng.random(200) < 0.3
    values = np.round(rng.normal(size=200) + truth, 1)
    false, true, _ = roc_curve(truth, values)
    grid = np.linspace(0.001, 1.0, 77)
    ours = scores._found(np.sort(values[~truth]), np.sort(values[truth]), grid)
    steep = np.array([true[false <= rate].max() for rate in grid])
    assert np.all(ours >= steep - 1e-12)
    assert np.abs(ours - np.interp(grid, false, true)).max() < 1e-9


def test_long_lines_keep_their_peak_and_break_where_nothing_was_measured():
    y = np.zeros(5_000)
    y[3_333], y[1_000] = 7.0, np.nan
    drawn = charts.polylines(np.arange(5_000.0), y)
    assert drawn.count("<polyline") == 2
    assert drawn.count("3333,7") == 1
    assert drawn.count(",") < 1_000


# ---- mistakes --------------------------------------------------------------------------------------------------------


def test_mistakes_are_told_at_the_door(rows, tmp_path):
    detector, _, X, labels = rows
    with pytest.raises(errors.InvalidParameter, match="path"):
        write_report(detector, X, tmp_path / "page.txt")
    with pytest.raises(errors.InvalidParameter, match="shown"):
        write_report(detector, X, tmp_path / "page.html", shown=-1)
    with pytest.raises(errors.InvalidInput, match="labels"):
        write_report(detector, X, tmp_path / "page.html", labels=labels[:-1])
    with pytest.raises(errors.InvalidInput, match="labels"):
        write_report(detector, X, tmp_path / "page.html", labels=labels + 1)
    with pytest.raises(errors.NotFitted):
        write_report(Detector("table"), X, tmp_path / "page.html")
    with pytest.raises(errors.NotCalibrated):
        write_report(
            Detector(
                "table", branches=[Branch(name="raw", encoder="raw-table", scorer="knn")], calibration_fraction=0.0
            ).fit(X),
            X,
            tmp_path / "page.html",
        )
    assert list(tmp_path.iterdir()) == []


def test_settings_that_no_file_holds_are_shown_as_python_tells_them(tmp_path):
    rng = np.random.default_rng(6)

    def objective(encoder):
        return objectives.SimCLR().build(encoder)

    detector = Detector("table", objective=objective, training={"steps": 2}, threshold=HALF).fit(
        rng.normal(size=(90, 3))
    )
    page = written(detector, rng.normal(size=(20, 3)), tmp_path, shown=0)
    assert "These settings cannot be a file" in page
    assert "The highest anomalies" not in page
