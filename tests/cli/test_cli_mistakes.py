from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.parts import STEPS, run

from unalike import writing

# ---- mistakes ----------------------------------------------------------------------------------------------------


MISTAKES = {
    "fit nowhere.csv -m table -o m.unalike": "'nowhere.csv', where there is nothing",
    "fit train.csv -m sound -o m.unalike": "`-m` must be one of ['image', 'series', 'table', 'text']",
    "fit train.csv -m table -o nowhere/m.unalike": "Make the folder first",
    "fit train.csv -m table -o m.unalike --ignore wen": "got none called ['wen'] among",
    "fit train -m table -o m.unalike": "'train' must hold tables (.csv, .csv.gz",
    "fit train -m image -o m.unalike --ignore when": "`--ignore` must go with -m table or series; got -m image",
    "fit train -m image -o m.unalike --steps 2 --epochs 2": "both set the length",
    "fit train -m image -o m.unalike --key X": "`--key` names an array of an NPZ file",
    "fit train.npz -m table -o m.unalike --key Z": "must hold the array 'Z'",
    "fit train.npz -m table -o m.unalike --device abacus": "`device` must be 'auto'",
    "fit train.npz -m table -o m.unalike --groups Z": "one of the arrays ['X', 'other']; got 'Z'",
    "fit train.npz -m table -o m.unalike --groups other": "one value per sample, 100; got 200",
    "fit train.npz -o m.unalike": "`-m` must say the kind of data",
    "fit train.npz -m table -o m.unalike --scorer best": "`--scorer` must be one of ['centroid'",
    "fit train.npz -m table -o m.unalike --encoder best": "`--encoder` must be one of ['channel-cnn', 'convnet'",
    "fit train.npz -m table -o m.unalike --objective best": "`--objective` must be one of ['carla', 'channels', 'csi',",
    "fit train.npz -m table -o m.unalike --threshold best": "`--threshold` must be one of",
    "fit train.npz -m table -o m.unalike --threshold fixed": "`--threshold` fixed needs its value",
    "fit train.npz -m table -o m.unalike --config nowhere.toml": "'nowhere.toml', where there is nothing",
    "fit train.npz -m table -o m.unalike --config train.csv": "must be a TOML file; 'train.csv' is not",
    "fit train.npz -m table -o m.unalike --entities Z": "one of the arrays ['X', 'other']; got 'Z'",
    "fit train.npz -m table -o m.unalike --anomalies nowhere.npz": "nowhere.npz",
    "fit train.npz -m table -o m.unalike --checkpoint train": "`checkpoint` must be free",
    "calibrate test.csv -m nowhere.unalike": "nothing at 'nowhere.unalike'",
    "calibrate test.csv -m table.unalike -o nowhere/m.unalike": "Make the folder first",
    "calibrate test.csv -m table.unalike --threshold best": "`--threshold` must be one of",
    "calibrate test.csv -m table.unalike --entities worse": "one of the columns ['a', 'b'",
    "calibrate nowhere.csv -m table.unalike": "'nowhere.csv', where there is nothing",
    "embed test.csv -m table.unalike -o e.txt": "`output` must end in one of ['.npz', '.npy', '.csv', '.parquet']",
    "embed test.csv -m table.unalike -o e.csv --branch best": "`branch` must be one of",
    "detect test.csv -m table.unalike --entities name": "must go with a threshold that takes them",
    "detect test.csv -m table.unalike --false-discovery-rate 0.1 --false-alarm-rate 0.1": "must be alone",
    "detect test.csv -m train.csv": "'train.csv' holds no unalike model",
    "detect test.csv -m table.unalike -o rows.xlsx": "`output` must end in one of",
    "detect train.npz -m table.unalike": "DATA must have named columns",
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


USAGE = ["fat", "fit", "fit train.csv -m table", "fit train.npz -m table -o m.unalike --epochs many", "detect --fial"]


@pytest.mark.parametrize("command", USAGE)
def test_a_mistake_in_the_command_is_status_2(place, monkeypatch, capsys, command):
    monkeypatch.chdir(place)
    assert run(*command.split()) == 2
    assert capsys.readouterr().err


def test_a_full_disk_is_no_alarm(place, tmp_path, monkeypatch, capsys):
    """The system names no file then."""

    def full(table, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_csv", full)
    assert run("detect", place / "test.npz", "-m", place / "npz.unalike", "-o", tmp_path / "rows.csv") == 2
    assert capsys.readouterr().err == "error: No space left on device.\n"


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


@pytest.mark.parametrize("by_entity", [False, True])
def test_a_rate_that_cannot_be_held_leaves_the_earlier_model(place, tmp_path, capsys, by_entity):
    output = tmp_path / "m.unalike"
    output.write_bytes((place / "npz.unalike").read_bytes())
    names = tmp_path / "entities.csv"
    names.write_text("entity\n" + "a\nb\n" * 50)
    options = ["--false-alarm-rate", 0.001, *(["--entities", names] if by_entity else [])]
    assert run("fit", place / "train.npz", "-m", "table", "-o", output, *options) == 2
    printed = capsys.readouterr()
    assert "it needs 999" in printed.err.lower()
    assert "model written" not in printed.out
    assert output.read_bytes() == (place / "npz.unalike").read_bytes()


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
