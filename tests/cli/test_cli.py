from __future__ import annotations

import resource
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.cli.parts import CASES, STEPS, read_rows, run

from unalike import __version__, load

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
    for verb in ("fit", "calibrate", "detect", "embed", "evaluate", "inspect", "views", "demo"):
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


def test_a_folder_of_tables_is_one_table(place, tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    frame = pl.read_csv(place / "train.csv")
    frame[:40].write_csv(folder / "0.csv")
    frame[40:].write_csv(folder / "1.tsv", separator="\t")
    output = tmp_path / "m.unalike"
    columns = ["--id", "name", "--ignore", "when", "--groups", "customer"]
    assert run("fit", folder, "-m", "table", "-o", output, *columns, *STEPS) == 0
    expected = load(place / "table.unalike").detect(place / "test.csv")
    np.testing.assert_array_equal(load(output).detect(place / "test.csv").scores, expected.scores)
    test = tmp_path / "test"
    test.mkdir()
    pl.read_csv(place / "test.csv").write_parquet(test / "0.parquet")
    assert run("detect", test, "-m", place / "table.unalike", "-o", tmp_path / "rows.csv") == 0
    assert pl.read_csv(tmp_path / "rows.csv")["score"].to_list() == expected.scores.tolist()
    assert run("evaluate", test, "-m", place / "table.unalike", "--labels", "bad", "-q") == 0


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
    detector = load(place / "image.unalike")
    usual = detector.modality_.branches()[0].training
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


def test_quiet_leaves_the_status_alone_to_tell(place, capsys):
    assert run("detect", place / "test.csv", "-m", place / "table.unalike", "--fail", "-q") == 1
    assert run("evaluate", place / "test.csv", "-m", place / "table.unalike", "--labels", "bad", "-q") == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_a_false_discovery_rate_decides_about_the_call(place, tmp_path, capsys):
    options = ["-m", place / "npz.unalike", "-o", tmp_path / "rows.csv", "--false-discovery-rate", "0.4"]
    assert run("detect", place / "test.npz", *options) == 0
    X = np.load(place / "test.npz")["X"]
    expected = load(place / "npz.unalike").detect(X, false_discovery_rate=0.4).is_anomaly
    assert 0 < expected.sum() < len(X)
    assert pl.read_csv(tmp_path / "rows.csv")["is_anomaly"].to_list() == expected.tolist()
    assert "anomalies at a false discovery rate of 0.4" in capsys.readouterr().out


def test_another_rate_holds_for_one_call(place, tmp_path):
    options = ["-m", place / "table.unalike", "-o", tmp_path / "rows.csv", "--false-alarm-rate", "0.3"]
    assert run("detect", place / "test.csv", *options) == 0
    expected = load(place / "table.unalike").detect(place / "test.csv", false_alarm_rate=0.3).is_anomaly
    assert pl.read_csv(tmp_path / "rows.csv")["is_anomaly"].to_list() == expected.tolist()
