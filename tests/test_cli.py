from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image as Pillow

from unalike import __version__, cli, load, modalities, writing
from unalike.evaluation import evaluate

STEPS = ["--steps", "3", "--false-alarm-rate", "0.1", "--quiet"]


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


def _table(n, generator, shifted=0):
    frame = pd.DataFrame(generator.normal(size=(n, 3)), columns=["a", "b", "c"])
    frame["colour"] = generator.choice(["red", "green"], n)
    frame["name"] = [f"row {number}" for number in range(n)]
    frame["when"] = pd.Timestamp("2026-01-01")
    frame["customer"] = np.arange(n) // 2
    frame.loc[n - shifted :, "a"] += 9.0
    frame["bad"] = (np.arange(n) >= n - shifted).astype(int)
    return frame


def _images(folder, n, generator, *, square):
    folder.mkdir(parents=True)
    for number in range(n):
        pixels = generator.integers(90, 110, (8, 8)).astype(np.uint8)
        if square:
            pixels[2:6, 2:6] = 250
        Pillow.fromarray(pixels).save(folder / f"{number:02d}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data and one fitted model of each kind."""
    folder = tmp_path_factory.mktemp("cli")
    generator = np.random.default_rng(0)
    train, test = _table(100, generator).drop(columns="bad"), _table(40, generator, shifted=10)
    train.to_csv(folder / "train.csv", index=False)
    pa.parquet.write_table(pa.csv.read_csv(folder / "train.csv"), folder / "train.parquet")
    test.to_csv(folder / "test.csv", index=False)
    test.to_parquet(folder / "test.parquet", index=False)
    normal, anomalies = generator.normal(size=(130, 4)), generator.normal(9.0, 1.0, (10, 4))
    np.savez(folder / "train.npz", X=normal[:100], other=normal[:100, :2])
    np.savez(folder / "test.npz", X=np.concatenate([normal[100:], anomalies]), y=np.repeat([0.0, 1.0], [30, 10]))
    _images(folder / "train", 60, generator, square=False)
    _images(folder / "test" / "good", 12, generator, square=False)
    _images(folder / "test" / "defect", 6, generator, square=True)
    before = signal.getsignal(signal.SIGTERM)
    columns = ["--id", "name", "--ignore", "when", "--groups", "customer"]
    assert run("fit", folder / "train.csv", "-m", "table", "-o", folder / "table.unalike", *columns, *STEPS) == 0
    assert run("fit", folder / "train.npz", "-m", "table", "-o", folder / "npz.unalike", "--key", "X", *STEPS) == 0
    assert run("fit", folder / "train", "-m", "image", "-o", folder / "image.unalike", "--seed", 5, *STEPS) == 0
    signal.signal(signal.SIGTERM, before)
    return folder


CASES = [("table.unalike", "test.csv"), ("table.unalike", "test.parquet"), ("npz.unalike", "test.npz")]
CASES += [("image.unalike", "test")]


def read_rows(path):
    if path.suffix == ".csv":
        return pl.read_csv(path).to_dicts()
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- start -----------------------------------------------------------------------------------------------------


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from unalike.cli import main\ntry: main(['--help'])\nexcept SystemExit as left: "
        "print([name for name in ('torch', 'sklearn', 'pandas', 'pyarrow', 'numpy') if name in sys.modules], left.code)"
    )
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.stdout.splitlines()[-1] == "[] 0"
    for verb in ("fit", "detect", "evaluate", "inspect", "demo"):
        assert f" {verb} " in done.stdout
    # Processor time: what it takes on a machine that does nothing else.
    assert min(seconds) < 0.5


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"unalike {__version__}\n"


# ---- fit and detect ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "data"), CASES)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_written_rows_are_the_decisions_of_the_loaded_model(place, tmp_path, model, data, suffix):
    output = tmp_path / f"rows{suffix}"
    assert run("detect", place / data, "-m", place / model, "-o", output) == 0
    decisions = load(place / model).detect(place / data)
    rows = read_rows(output)
    assert [list(row) for row in rows] == [["id", "score", "p_value", "is_anomaly"]] * len(decisions)
    assert [row["id"] for row in rows] == decisions.ids.tolist()
    assert [row["score"] for row in rows] == decisions.scores.tolist()
    assert [row["p_value"] for row in rows] == decisions.p_values.tolist()
    assert [row["is_anomaly"] for row in rows] == decisions.is_anomaly.tolist()
    assert decisions.is_anomaly.sum() >= 6
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_ids_are_names_that_the_user_knows(place):
    assert load(place / "table.unalike").detect(place / "test.csv").ids[3] == "row 3"
    assert load(place / "image.unalike").detect(place / "test").ids[0] == str(place / "test" / "defect" / "00.png")


def test_one_table_gives_one_model_from_csv_and_parquet(place, tmp_path):
    columns = ["--id", "name", "--ignore", "when", "--groups", "customer"]
    assert run("fit", place / "train.parquet", "-m", "table", "-o", tmp_path / "m.unalike", *columns, *STEPS) == 0
    expected = load(place / "table.unalike").detect(place / "test.csv")
    np.testing.assert_array_equal(load(tmp_path / "m.unalike").detect(place / "test.csv").scores, expected.scores)


def test_columns_that_are_no_data_are_left_out_and_groups_stay_together(place):
    detector = load(place / "table.unalike")
    assert detector.modality_.columns_ == ["a", "b", "c", "colour"]
    customers = np.arange(100) // 2
    parts = [set(customers[part]) for part in (detector.split_.train, detector.split_.calibration)]
    assert parts[0] & parts[1] == set()
    assert len(detector.split_.calibration) == 20


def test_a_key_names_the_array(place, tmp_path):
    assert load(place / "npz.unalike").modality_.schema.shape == (4, 2)
    assert run("fit", place / "train.npz", "-m", "table", "-o", tmp_path / "m.unalike", "--key", "other", *STEPS) == 0
    assert load(tmp_path / "m.unalike").modality_.schema.shape == (2, 2)


def test_the_length_is_all_that_steps_and_epochs_change(place, tmp_path):
    usual = modalities.Image().branches()[0].training
    detector = load(place / "image.unalike")
    assert detector.branches_[0].settings.training == replace(usual, steps=3, epochs=None)
    assert detector.random_state == 5
    output = tmp_path / "m.unalike"
    assert run("fit", place / "train", "-m", "image", "-o", output, "--epochs", 2, "--false-alarm-rate", 0.2, "-q") == 0
    assert load(output).branches_[0].settings.training == replace(usual, epochs=2, steps=None)


def test_groups_of_images_come_from_a_table_of_paths(place, tmp_path):
    names = [f"{number:02d}.png" for number in range(60)]
    groups = pd.DataFrame({"path": names[::-1], "part": [f"part {number // 12}" for number in range(60)][::-1]})
    groups.to_csv(tmp_path / "groups.csv", index=False)
    output = tmp_path / "m.unalike"
    options = ["--steps", 2, "--false-alarm-rate", 0.2, "--groups", tmp_path / "groups.csv"]
    assert run("fit", place / "train", "-m", "image", "-o", output, *options) == 0
    held_out = load(output).split_.calibration
    assert len(set(held_out // 12)) == 1
    assert len(held_out) == 12
    groups[1:].to_csv(tmp_path / "groups.csv", index=False)
    assert run("fit", place / "train", "-m", "image", "-o", output, *options) == 2


def test_fit_tells_what_it_did(place, tmp_path, capsys):
    output = tmp_path / "m.unalike"
    assert run("fit", place / "train.npz", "-m", "table", "-o", output, *STEPS[:-1]) == 0
    printed = capsys.readouterr()
    assert "trained on 80 samples, held out 20" in printed.out
    histories = load(output).history_
    assert histories
    for name, rows in histories.items():
        ends = f"{rows[1]['loss']:.4f} in the first epoch, {rows[-1]['loss']:.4f} in the last"
        assert f"loss of {name}: {ends}" in printed.out
    assert "false-alarm rate: 0.1" in printed.out
    assert f"model written to {output}" in printed.out
    assert printed.err == ""
    assert run("fit", place / "train.npz", "-m", "table", "-o", output, *STEPS) == 0
    assert capsys.readouterr().out == ""


def test_too_few_samples_for_the_usual_rate_are_one_line_of_warning(place, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run("fit", place / "train.npz", "-m", "table", "-o", tmp_path / "m.unalike", "--steps", 2, "-q") == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: A false-alarm rate of 0.01 needs at least 99 calibration samples; got 20.")
    assert err.count("\n") == 1


def test_without_output_the_highest_anomalies_are_shown(place, capsys):
    assert run("detect", place / "test.csv", "-m", place / "table.unalike") == 0
    out = capsys.readouterr().out
    decisions = load(place / "table.unalike").detect(place / "test.csv")
    found = int(decisions.is_anomaly.sum())
    assert f"{found} of 40 samples are anomalies at a false-alarm rate of 0.1" in out
    shown = np.argsort(-decisions.scores, kind="stable")[: min(found, 10)]
    places = [out.index(f" {decisions.ids[row]} ") for row in shown]
    assert places == sorted(places)
    assert out.count("row ") == len(shown)


def test_fail_tells_an_alarm_by_the_exit_status(place, tmp_path):
    pl.read_csv(place / "train.csv").head(5).write_csv(tmp_path / "quiet.csv")
    assert run("detect", place / "test.csv", "-m", place / "table.unalike", "--fail") == 1
    assert run("detect", place / "test.csv", "-m", place / "table.unalike") == 0
    rate = ["--false-alarm-rate", "0.05"]
    assert not load(place / "table.unalike").detect(tmp_path / "quiet.csv", false_alarm_rate=0.05).is_anomaly.any()
    assert run("detect", tmp_path / "quiet.csv", "-m", place / "table.unalike", "--fail", *rate) == 0


def test_another_rate_holds_for_one_call(place, tmp_path):
    options = ["-m", place / "table.unalike", "-o", tmp_path / "rows.csv", "--false-alarm-rate", "0.3"]
    assert run("detect", place / "test.csv", *options) == 0
    expected = load(place / "table.unalike").detect(place / "test.csv", false_alarm_rate=0.3).is_anomaly
    assert pl.read_csv(tmp_path / "rows.csv")["is_anomaly"].to_list() == expected.tolist()


# ---- mistakes ----------------------------------------------------------------------------------------------------


MISTAKES = {
    "fit nowhere.csv -m table -o m.unalike": "'nowhere.csv', where there is nothing",
    "fit train.csv -m sound -o m.unalike": "`-m` must be one of ['image', 'table']",
    "fit train.csv -m table -o nowhere/m.unalike": "Make the folder first",
    "fit train.csv -m table -o m.unalike": "Column 'when' must hold numbers",
    "fit train -m table -o m.unalike": "A table must be a file",
    "fit train -m image -o m.unalike --ignore when": "`--ignore` and `--id` name columns of a table",
    "fit train -m image -o m.unalike --steps 2 --epochs 2": "both set the length",
    "fit train -m image -o m.unalike --key X": "`--key` names an array of an NPZ file",
    "fit train.npz -m table -o m.unalike --key Z": "must hold the array 'Z'",
    "fit train.npz -m table -o m.unalike --device abacus": "`device` must be 'auto'",
    "fit train.npz -m table -o m.unalike --groups Z": "one of the arrays ['X', 'other']; got 'Z'",
    "fit train.npz -m table -o m.unalike --groups other": "one value per sample, 100; got 200",
    "detect test.csv -m train.csv": "'train.csv' holds no unalike model",
    "detect test.csv -m table.unalike -o rows.xlsx": "`output` must end in one of",
    "detect train.npz -m table.unalike": "`X` must have named columns",
    "detect test.csv -m npz.unalike": "expecting 4 features",
    "detect test.csv -m table.unalike --false-alarm-rate 0.001": "got 0.001. It needs 999",
    "evaluate test.csv -m table.unalike": "`--labels` must say which samples",
    "evaluate test.csv -m table.unalike --labels worse": "one of the columns ['a', 'b'",
    "evaluate test.csv -m table.unalike --labels colour": "Name the normal ones by --normal",
    "evaluate test.csv -m table.unalike --labels colour --normal red --anomaly blue": "['green'] in neither or both",
    "evaluate test.csv -m table.unalike --labels colour --anomaly blue": "got none called ['colour']",
    "evaluate test.csv -m table.unalike --labels when --anomaly never": "`labels` must hold normal samples (0) and",
    "inspect nowhere.unalike": "nothing at 'nowhere.unalike'",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(place, monkeypatch, capsys, command):
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    assert run(*command.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert MISTAKES[command] in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert sorted(place.iterdir()) == before


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(place):
    code = "import sys; from unalike.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "inspect", "nowhere.unalike"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_rate_that_cannot_be_held_keeps_the_model_and_says_so(place, tmp_path, capsys):
    output = tmp_path / "m.unalike"
    options = ["--steps", 2, "--false-alarm-rate", 0.001, "--quiet"]
    assert run("fit", place / "train.npz", "-m", "table", "-o", output, *options) == 2
    assert "it needs 999" in capsys.readouterr().err.lower()
    assert run("detect", place / "test.npz", "-m", output, "--false-alarm-rate", "0.1") == 0


def test_a_bug_keeps_its_traceback_and_is_no_alarm(place, monkeypatch, capsys):
    def broken(*arguments, **settings):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("unalike.detector.Detector.detect", broken)
    assert run("detect", place / "test.npz", "-m", place / "npz.unalike", "--fail") == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("ZeroDivisionError: a bug\n")


# ---- whole or not at all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "status"), [(KeyboardInterrupt, 130), (PermissionError(13, "No", "rows"), 2)])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_what_goes_wrong_while_writing_leaves_the_old_file(place, tmp_path, monkeypatch, suffix, failure, status):
    def half(table, path):
        path.write_text("half")
        raise failure

    monkeypatch.setattr(writing, f"_write_{suffix[1:]}", half)
    old, new = tmp_path / f"old{suffix}", tmp_path / f"new{suffix}"
    old.write_text("as it was")
    for output in (old, new):
        assert run("detect", place / "test.npz", "-m", place / "npz.unalike", "-o", output) == status
    assert old.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [old]


def test_an_interrupted_fit_leaves_the_old_model(place, tmp_path, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    output = tmp_path / "m.unalike"
    output.write_bytes((place / "npz.unalike").read_bytes())
    monkeypatch.setattr("unalike.fitting.fit_branch", interrupted)
    assert run("fit", place / "train.npz", "-m", "table", "-o", output, *STEPS) == 130
    assert output.read_bytes() == (place / "npz.unalike").read_bytes()
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_removes_the_half_written_file(tmp_path, number, status):
    code = (
        "import signal, sys, time; from unalike import cli, writing\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "@cli.app.command()\n"
        "def wait():\n"
        f"    with writing.whole_file({str(tmp_path / 'rows.csv')!r}) as temporary:\n"
        "        temporary.write_text('half'); time.sleep(60)\n"
        "cli.main(['wait'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code])  # noqa: S603
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.iterdir())
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == status
    assert list(tmp_path.iterdir()) == []


# ---- evaluate and inspect ----------------------------------------------------------------------------------------


def _labels_of_images(place, folder):
    names = ["good/00.png", "defect/00.png", "good/01.png", str(place / "test" / "defect" / "03.png")]
    pd.DataFrame({"path": names, "label": [0, 1, 0, 1]}).to_csv(folder / "labels.csv", index=False)
    return [place / "test" / name for name in names], [0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["column", "npz", "file", "folders", "named folders", "listed images"])
def test_evaluate_gives_the_figures_of_the_loaded_model_and_of_its_floors(place, tmp_path, kind):
    pd.DataFrame({"bad": np.repeat([0, 1], [30, 10])}).to_parquet(tmp_path / "labels.parquet")
    listed, listed_labels = _labels_of_images(place, tmp_path)
    folders = [*sorted((place / "test" / "good").iterdir()), *sorted((place / "test" / "defect").iterdir())]
    table, halves, images = place / "test.csv", np.repeat([0, 1], [30, 10]), place / "image.unalike"
    model, data, options, X, labels = {
        "column": (place / "table.unalike", table, ["--labels", "bad"], table, halves),
        "npz": (place / "npz.unalike", place / "test.npz", ["--labels", "y"], place / "test.npz", halves),
        "file": (place / "table.unalike", table, ["--labels", tmp_path / "labels.parquet"], table, halves),
        "folders": (images, place / "test", ["--normal", "good"], folders, np.repeat([0, 1], [12, 6])),
        "named folders": (
            images,
            place / "test",
            ["--normal", "good", "--anomaly", "defect"],
            folders,
            np.repeat([0, 1], [12, 6]),
        ),
        "listed images": (images, place / "test", ["--labels", tmp_path / "labels.csv"], listed, listed_labels),
    }[kind]
    assert run("evaluate", data, "-m", model, *options, "-o", tmp_path / "figures.json") == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    detector = load(model)
    decisions = detector.detect(X)
    expected = evaluate(decisions.scores, labels, is_anomaly=decisions.is_anomaly, false_alarm_rate=0.1)
    assert figures["default"] == pytest.approx(expected.to_dict())
    assert figures["default"]["realised_rate"] == decisions.is_anomaly[np.asarray(labels) == 0].mean()
    found = figures["trained"] | figures["floors"]
    scores = detector.branch_scores(X)
    assert set(found) == set(scores)
    for name, values in scores.items():
        assert found[name] == pytest.approx(evaluate(values, labels, false_alarm_rate=0.1).to_dict())
    trained = [branch.settings.name for branch in detector.branches_ if branch.history]
    assert sorted(figures["trained"]) == sorted(trained)


def test_evaluate_says_when_training_did_not_help(place, capsys):
    """Trained and untrained networks both find every anomaly of this set."""
    assert run("evaluate", place / "test.npz", "-m", place / "npz.unalike", "--labels", "y") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "30 normal samples, 10 anomalies" in out
    for name in load(place / "npz.unalike").history_:
        sentence = (
            f"{name}: AUROC 1.000 is NOT above its floor, 1.000 by {name} (untrained): training did not help here."
        )
        assert sentence in out
        assert f"floor: {name} (untrained)" in out
    assert "default (all fused): AUROC 1.000 is NOT above its floor" in out
    assert "1.000-1.000" in out


def test_labels_can_be_words(place, tmp_path):
    frame = pd.read_csv(place / "test.csv")
    frame["bad"] = frame["bad"].map({0: "fine", 1: "broken"})
    frame.to_csv(tmp_path / "words.csv", index=False)
    model = ["-m", place / "table.unalike"]
    figures = []
    for number, options in enumerate([["--normal", "fine"], ["--anomaly", "broken"], []]):
        data = place / "test.csv" if number == 2 else tmp_path / "words.csv"
        output = tmp_path / f"{number}.json"
        assert run("evaluate", data, *model, "--labels", "bad", *options, "-o", output) == 0
        figures.append(json.loads(output.read_text())["default"])
    assert figures[0] == figures[1] == figures[2]


def test_inspect_tells_what_the_model_says_of_itself(place, capsys):
    assert run("inspect", place / "image.unalike") == 0
    out = " ".join(capsys.readouterr().out.split())
    history = load(place / "image.unalike").history_["contrast"]
    assert "image detector for samples of shape (1, 8, 8)" in out
    assert "trained on 48 samples, calibrated on 12" in out
    assert "branch contrast" in out
    assert "branch pixels, 0 weights, counts 1 in the fusion" in out
    assert "steps=3" in out
    assert f"{history[1]['loss']:.4f} in the first epoch, {history[-1]['loss']:.4f} in the last" in out
    assert f"unalike {__version__}, python" in out
