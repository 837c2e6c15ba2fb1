"""The commands on series: steps, alarms, and labels of steps."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.cli.parts import read_rows, run

from unalike import load, writing
from unalike.alarms import evaluate_alarms, labelled_events

WINDOW = 12
QUICK = ["--encoder", "raw-window", "--objective", "frozen", "--scorer", "knn", "--false-alarm-rate", "0.05", "--quiet"]
RECORD = ["-m", "series", "--time", "when", "--entity", "host", "--ignore", "note", "--window", WINDOW]


def hosts(n, seed=0, start="2024-01-01", names="ab"):
    when = pd.date_range(start, periods=n, freq="5min")
    made = []
    for number, name in enumerate(names):
        noise = np.random.default_rng(seed + 10 * number).normal(size=(n, 2))
        values = np.sin(2 * np.pi * np.arange(n)[:, None] / WINDOW + [0.0, 1.0]) + 0.1 * noise
        made.append(pd.DataFrame(values, columns=["load", "heat"]).assign(when=when, host=name, note="x"))
    return pd.concat(made, ignore_index=True)


def labelled(frame):
    """Two events, one in each record; the second lasts three steps."""
    n = len(frame) // 2
    frame = frame.assign(bad=0)
    for rows in (range(50, 60), range(n + 100, n + 103)):
        frame.loc[rows, "load"] += 4.0
        frame.loc[rows, "bad"] = 1
    return frame


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    train, test = hosts(500), labelled(hosts(360, 3, "2024-03-01"))
    # An index without a name, as pandas writes it into Parquet, is no channel.
    train.set_index(np.random.default_rng(0).permutation(len(train))).to_parquet(folder / "train.parquet")
    test.to_parquet(folder / "test.parquet", index=False)
    test.to_csv(folder / "test.csv", index=False)
    for kind, frame in (("train", train), ("test", test)):
        (folder / kind).mkdir()
        for name, rows in frame.groupby("host"):
            rows.drop(columns="host").to_csv(folder / kind / f"{name}.csv", index=False)
    hosts(200, 5, "2024-02-01").to_parquet(folder / "more.parquet", index=False)
    hosts(200, 7, "2024-02-11").to_parquet(folder / "held.parquet", index=False)
    values = test[test.host == "a"]
    np.savez(folder / "train.npz", X=train[train.host == "a"][["load", "heat"]].to_numpy())
    np.savez(folder / "test.npz", X=values[["load", "heat"]].to_numpy(), y=values.bad.to_numpy(float))
    assert run("fit", folder / "train.parquet", *RECORD, *QUICK, "-o", folder / "m.unalike") == 0
    assert run("fit", folder / "train.npz", "-m", "series", "--window", WINDOW, *QUICK, "-o", folder / "n.unalike") == 0
    return folder


def test_settings_reach_the_modality(place):
    modality = load(place / "m.unalike").modality_
    assert (modality.time, modality.entity, tuple(modality.ignore)) == ("when", "host", ("note",))
    assert modality.learned_.channels == ("load", "heat")
    assert modality.window_ == WINDOW
    assert modality.learned_.clock.step == 300.0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_steps_and_events_are_those_of_the_loaded_model(place, tmp_path, suffix):
    steps, events = tmp_path / f"steps{suffix}", tmp_path / f"events{suffix}"
    options = ["--merge", 4, "--shortest", 3, "--hold", 0.1]
    assert (
        run("detect", place / "test.parquet", "-m", place / "m.unalike", "-o", steps, "--events", events, *options) == 0
    )
    decisions = load(place / "m.unalike").detect(pd.read_parquet(place / "test.parquet"))
    rows = read_rows(steps)
    assert list(rows[0]) == ["entity", "id", "score", "p_value", "is_anomaly"]
    assert [row["entity"] for row in rows] == decisions.entities.tolist()
    assert [row["score"] for row in rows] == decisions.scores.tolist()
    when = pd.to_datetime(pd.Series([row["id"] for row in rows]))
    assert (when.to_numpy() == decisions.ids).all()
    found, alarms = read_rows(events), decisions.events(merge=4, shortest=3, hold=0.1)
    assert list(found[0]) == ["entity", "first", "last", "start", "end", "peak", "score", "p_value"]
    assert [(row["entity"], row["start"], row["end"]) for row in found] == [(a.record, a.start, a.end) for a in alarms]
    assert [str(pd.Timestamp(row["first"])) for row in found] == [str(pd.Timestamp(alarm.first)) for alarm in alarms]
    assert sorted(path.name for path in tmp_path.iterdir()) == [events.name, steps.name]


def test_no_alarm_is_an_empty_file_of_the_same_columns_and_status_0(place, tmp_path, capsys):
    for name, options in (("some", []), ("none", ["--shortest", 300])):
        output = ["--events", tmp_path / f"{name}.parquet", "--fail", *options]
        assert run("detect", place / "test.csv", "-m", place / "m.unalike", *output) == (name == "some")
    some, none = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("some", "none"))
    assert len(some) >= 2
    assert len(none) == 0
    assert none.schema == some.schema
    assert "\n0 alarms: " in capsys.readouterr().out


def test_the_summary_tells_alarms_and_how_many_a_day(place, capsys):
    assert run("detect", place / "test.csv", "-m", place / "m.unalike", "--merge", 30) == 0
    out = capsys.readouterr().out
    decisions = load(place / "m.unalike").detect(place / "test.csv")
    alarms = decisions.events(merge=30)
    # Both hosts run at the same time: 360 steps of 5 minutes are 1.25 days.
    anomalies = int(decisions.is_anomaly.sum())
    assert f"{len(alarms)} alarms: {anomalies} of 720 steps are anomalies at a false-alarm rate of 0.05" in out
    assert f"; {len(alarms) / 1.25:.3g} alarms a day\n" in out
    assert " entity " in out
    assert str(max(alarms, key=lambda alarm: alarm.score).first) in out
    assert run("detect", place / "test.npz", "--key", "X", "-m", place / "n.unalike") == 0
    out = capsys.readouterr().out
    assert "a day" not in out
    assert "entity" not in out


def test_a_folder_holds_one_record_per_file(place, tmp_path):
    own = ["-m", "series", "--time", "when", "--ignore", "note", "--window", WINDOW, "--step", "5min"]
    assert run("fit", place / "train", *own, *QUICK, "-o", tmp_path / "m.unalike") == 0
    expected = load(place / "m.unalike").detect(place / "test.csv")
    assert run("detect", place / "test", "-m", tmp_path / "m.unalike", "-o", tmp_path / "rows.parquet") == 0
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows["entity"].to_list() == expected.entities.tolist()
    assert rows["score"].to_list() == expected.scores.tolist()


# ---- labels ------------------------------------------------------------------------------------------------------


def figures(place, tmp_path, *arguments):
    output = tmp_path / "figures.json"
    assert run("evaluate", *arguments, "-o", output, "-q") == 0
    return json.loads(output.read_text())


def test_evaluate_measures_steps_and_alarms(place, tmp_path, capsys):
    model = place / "m.unalike"
    assert run("evaluate", place / "test.csv", "-m", model, "--labels", "bad", "--merge", 4) == 0
    out = capsys.readouterr().out
    assert "707 normal steps, 13 anomalies" in out
    assert "nan" not in out
    test = pd.read_csv(place / "test.csv")
    decisions = load(model).detect(test)
    truth = labelled_events(test.bad.to_numpy(), decisions.steps, decisions.entities)
    assert [(event.start, event.end) for event in truth] == [(50, 60), (100, 103)]
    expected = evaluate_alarms(decisions.events(merge=4), truth, len(decisions))
    assert 0.0 < expected.share_of_normal < 0.2
    assert expected.share_found == 1.0
    assert str(expected) in out
    found = figures(place, tmp_path, place / "test.csv", "-m", model, "--labels", "bad", "--merge", 4)
    assert found["alarms"] == expected.to_dict()
    assert found["default"]["auroc"] > 0.95
    assert found["default"]["auroc_low"] is None  # no bootstrap over steps that depend on each other


def test_labels_come_from_a_column_of_any_order_an_array_a_file_or_a_folder(place, tmp_path):
    model = ["-m", place / "m.unalike"]
    expected = figures(place, tmp_path, place / "test.csv", *model, "--labels", "bad")
    test = pd.read_csv(place / "test.csv")
    test.sample(frac=1.0, random_state=0).assign(bad=lambda rows: rows.bad.map({0: "fine", 1: "broken"})).to_csv(
        tmp_path / "shuffled.csv", index=False
    )
    words = ["--labels", "bad", "--normal", "fine"]
    test[["bad"]].to_csv(tmp_path / "flags.csv", index=False)
    test.drop(columns="bad").to_csv(tmp_path / "values.csv", index=False)
    others = [
        figures(place, tmp_path, tmp_path / "shuffled.csv", *model, *words),
        figures(place, tmp_path, tmp_path / "values.csv", *model, "--labels", tmp_path / "flags.csv"),
    ]
    own = ["-m", "series", "--time", "when", "--ignore", "note", "--window", WINDOW]
    assert run("fit", place / "train", *own, *QUICK, "-o", tmp_path / "m.unalike") == 0
    others.append(figures(place, tmp_path, place / "test", "-m", tmp_path / "m.unalike", "--labels", "bad"))
    for other in others:
        assert {**other, "data": "", "model": ""} == {**expected, "data": "", "model": ""}
    of_array = figures(place, tmp_path, place / "test.npz", "--key", "X", "-m", place / "n.unalike", "--labels", "y")
    assert (of_array["default"]["n_normal"], of_array["default"]["n_anomalies"]) == (350, 10)
    assert of_array["alarms"]["n_events"] == 1


def test_labels_lie_on_the_grid_of_the_values(place, tmp_path):
    """Two rows in one step are an anomaly when one is; a step without a row is as the one before."""
    test = pd.read_csv(place / "test.csv", parse_dates=["when"])
    extra = test.iloc[[200, 210]].assign(bad=1)
    extra["when"] += pd.Timedelta("20s")
    gaps = test.drop(index=[55, 56, 300])
    pd.concat([gaps, extra]).to_csv(tmp_path / "odd.csv", index=False)
    found = figures(place, tmp_path, tmp_path / "odd.csv", "-m", place / "m.unalike", "--labels", "bad")
    assert (found["default"]["n_normal"], found["default"]["n_anomalies"]) == (705, 15)
    assert found["alarms"]["n_events"] == 4


# ---- the other verbs ---------------------------------------------------------------------------------------------


def test_calibrate_and_update(place, tmp_path, capsys):
    model, new = place / "m.unalike", tmp_path / "new.unalike"
    assert run("calibrate", place / "held.parquet", "-m", model, "-o", new) == 0
    assert "calibrated on 400 steps" in capsys.readouterr().out
    before = len(load(model).calibration_scores_)
    assert run("update", place / "more.parquet", "-m", model, "--into", "calibration", "-o", new) == 0
    assert len(load(new).calibration_scores_) == before + 400
    arguments = ["--into", "scorer", "--calibration", place / "held.parquet", "-o", new]
    assert run("update", place / "more.parquet", "-m", model, *arguments) == 0
    assert "steps in the scorers, 400 calibrate" in capsys.readouterr().out
    assert len(load(new).calibration_scores_) == 400


def test_each_entity_by_its_own_threshold(place, tmp_path, capsys):
    model = tmp_path / "own.unalike"
    rate = ["--false-alarm-rate", 0.1]
    assert run("calibrate", place / "held.parquet", "-m", place / "m.unalike", "-o", model, "--threshold", "per-entity", *rate) == 0  # fmt: skip  # noqa: E501
    assert load(model).threshold_.counts_ == {"a": 200, "b": 200}
    own = load(model).threshold_.own_
    assert set(own) == {"a", "b"}
    capsys.readouterr()
    assert run("inspect", model) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"of each a {own['a'].threshold_:.4g}, b {own['b'].threshold_:.4g}" in lines


def test_embeddings_are_named_by_entity_and_first_step(place, tmp_path):
    assert run("embed", place / "test.csv", "-m", place / "m.unalike", "-o", tmp_path / "e.csv") == 0
    rows = pl.read_csv(tmp_path / "e.csv")
    detector = load(place / "m.unalike")
    records = detector.modality_.check(place / "test.csv")
    _, spans = detector.modality_.cut(records)
    assert rows.columns[:3] == ["entity", "id", "e0"]
    assert rows["entity"].to_list() == detector.modality_.timeline(records)[0][spans[:, 0]].tolist()
    ids = pd.to_datetime(rows["id"].to_list())
    assert (ids.to_numpy() == detector.modality_.ids(records)[spans[:, 0]]).all()
    for suffix in (".npz", ".npy"):
        assert run("embed", place / "test.csv", "-m", place / "m.unalike", "-o", tmp_path / f"e{suffix}", "-q") == 0
    with np.load(tmp_path / "e.npz") as arrays:
        assert arrays["entities"].tolist() == rows["entity"].to_list()
        np.testing.assert_array_equal(arrays["embeddings"], np.load(tmp_path / "e.npy"))


def test_inspect_tells_windows_channels_and_steps(place, capsys):
    assert run("inspect", place / "m.unalike") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == f"kind of data series, 2 channels, windows of {WINDOW} steps"
    assert "channels load, heat" in lines
    assert "time column when" in lines
    assert "entity column host" in lines
    told = next(line for line in lines if line.startswith("step 300 s; "))
    assert "up to 100 steps without a row count as missing" in told
    assert run("inspect", place / "n.unalike") == 0
    assert "step one row; no times are known" in " ".join(capsys.readouterr().out.split())


def test_fit_takes_a_scale_for_each_entity_which_inspect_tells(place, tmp_path, capsys):
    model, own = tmp_path / "m.unalike", [place / "train.parquet", *RECORD, *QUICK]
    assert run("fit", *own, "--scale", "entity", "-o", model) == 0
    assert load(model).modality_.own_.names == ("a", "b")
    assert run("inspect", model) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "scale each of 2 entities its own" in lines
    assert run("fit", *own, "--scale", "host", "-o", model) == 2
    assert "`scale` must be 'together' or 'entity'; got 'host'" in " ".join(capsys.readouterr().err.split())


def test_mistakes_are_told_in_the_words_of_the_command_line(place, tmp_path, capsys):
    own = ["-m", "series", "--time", "when", "--entity", "host", "-o", tmp_path / "m.unalike"]
    assert run("fit", place / "train.parquet", *own) == 2
    assert "leave it out with --ignore 'note'." in capsys.readouterr().err
    np.savez(tmp_path / "x.npz", X=np.zeros((9, 5)))
    assert run("detect", tmp_path / "x.npz", "-m", place / "n.unalike") == 2
    assert "error: DATA must have 2 channels" in capsys.readouterr().err


def test_settings_in_a_file_and_options_over_them(place, tmp_path):
    (tmp_path / "s.toml").write_text(
        'encoder = "raw-window"\nobjective = "frozen"\nthreshold = "quantile"\n'
        '[modality]\ntype = "Series"\ntime = "when"\nentity = "host"\nwindow = 10\nstep = "5min"\nlongest_gap = 7\n'
        'scale = "entity"\nignore = ["note"]\n'
    )
    own = ["--config", tmp_path / "s.toml", "-q", "-o", tmp_path / "m.unalike", "--false-alarm-rate", 0.05]
    assert run("fit", place / "train.parquet", *own, "--window", 14) == 0
    modality = load(tmp_path / "m.unalike").modality_
    assert (modality.window, modality.step, modality.longest_gap) == (14, "5min", 7)
    assert (modality.time, modality.entity, modality.ignore) == ("when", "host", ("note",))
    assert modality.scale == "entity"
    assert run("inspect", tmp_path / "m.unalike", "--toml") == 0


def test_what_inspect_prints_as_toml_fits_the_same_model(place, tmp_path, capsys):
    capsys.readouterr()
    assert run("inspect", place / "m.unalike", "--toml") == 0
    (tmp_path / "s.toml").write_text(capsys.readouterr().out)
    assert run("fit", place / "train.parquet", "--config", tmp_path / "s.toml", "-q", "-o", tmp_path / "m.unalike") == 0
    scores = [load(model).anomaly_scores(place / "test.csv") for model in (place / "m.unalike", tmp_path / "m.unalike")]
    np.testing.assert_array_equal(*scores)


def test_views_are_shown_and_measured(place, tmp_path, capsys):
    own = ["-m", "series", "--time", "when", "--entity", "host", "--ignore", "note", "--window", WINDOW]
    names = ["--views", "jitter", "--views", "shift", "--samples", 2]
    assert run("views", place / "train.parquet", *own, *names, "-o", tmp_path / "page.html") == 0
    printed, html = capsys.readouterr().out, (tmp_path / "page.html").read_text(encoding="utf-8")
    for name in ("jitter", "shift"):
        assert f"\n{name} " in printed
        assert f"<h2>{name}" in html
    assert "<svg" in html


# ---- mistakes ----------------------------------------------------------------------------------------------------

FIT = "fit train.parquet -m series -o x.unalike"
MISTAKES = {
    f"{FIT} --time wen --entity host": "got none called ['wen'] among",
    f"{FIT} --time when": "Column 'host' must hold numbers to be a channel; got texts",
    f"{FIT} --time note --entity host --ignore when": "Column 'note' must hold times such as",
    f"{FIT} --time when --entity host --ignore note --step soon": "`step` must be a number above 0, or a duration",
    f"{FIT} --time when --entity host --entities host": "Name the column of the machines by --entity",
    f"{FIT} --time when --entity host --groups host": "`--groups` must go with samples in any order; got series",
    f"{FIT} --id note": "`--id` must go with -m table or text; got -m series",
    "fit train.parquet -m table -o x.unalike --window 12": "`--window` must go with -m series or text; got -m table",
    "fit train.npz -m series -o x.unalike --time when": "must have named columns",
    "detect test.npz -m m.unalike --key X": "must have named columns",
    "detect test.csv -m m.unalike -o r.csv --events r.csv": "must be different files",
    "detect test.csv -m m.unalike -o r.csv --events r.txt": "`output` must end in one of",
    "detect test.csv -m m.unalike -o r.csv --hold 2": "`hold` must be a p-value above 0",
    "detect test.csv -m m.unalike --entities host": "`--entities` must go with samples in any order",
    "evaluate test.csv -m m.unalike": "`--labels` must say which steps",
    "evaluate test.csv -m m.unalike --labels note": "Name the normal ones by --normal",
    "evaluate test -m n.unalike --labels worse": "`--labels` must be a file or one of the columns",
    "update train.parquet -m m.unalike --into calibration -o x.unalike": "that the detector has not seen",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(place, monkeypatch, capsys, command):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert run(*shlex.split(command)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert MISTAKES[command] in line
    assert line.startswith("error: ")
    assert sorted(place.rglob("*")) == before


def test_options_for_alarms_need_a_model_of_series(place, tmp_path, capsys):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    model = tmp_path / "t.unalike"
    quick = ["--objective", "frozen", "--scorer", "knn", "--false-alarm-rate", 0.1, "-q"]
    assert run("fit", tmp_path / "rows.csv", "-m", "table", "-o", model, *quick) == 0
    for options in (["--merge", 2], ["--events", tmp_path / "e.csv"]):
        assert run("detect", tmp_path / "rows.csv", "-m", model, *options) == 2
        assert f"`{options[0]}` must go with a model of series; got one of table" in capsys.readouterr().err


def test_steps_and_events_are_written_both_or_not_at_all(place, tmp_path, monkeypatch):
    written = writing._write_csv

    def full(table, path):
        if "start" in table.column_names:
            raise OSError(28, "No space left on device")
        written(table, path)

    monkeypatch.setattr(writing, "_write_csv", full)
    (tmp_path / "steps.csv").write_text("old")
    output = ["-o", tmp_path / "steps.csv", "--events", tmp_path / "events.csv"]
    assert run("detect", place / "test.csv", "-m", place / "m.unalike", *output) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["steps.csv"]
    assert (tmp_path / "steps.csv").read_text() == "old"
