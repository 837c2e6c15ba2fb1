"""Every example of docs/command-line.md runs on files of the demo's names and shapes."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unalike import Detector, cli, demo, save
from unalike.data import take
from unalike.modalities.image import Image
from unalike.modalities.series import Series
from unalike.modalities.table import Table
from unalike.thresholds import Conformal

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\$ unalike (.*)$", PAGE, flags=re.MULTILINE)
(SETTINGS,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's files of a part of its samples; training takes two steps."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "demo").mkdir()
    (folder / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cls in (Image, Series, Table):
            patch.setattr(cls, "branches", _hurried(cls))
        _hosts(400, "2024-01-01").to_parquet("record.parquet")
        _hosts(120, "2024-02-01").assign(bad=np.arange(240) % 120 // 110).to_parquet("live.parquet")
        for case in (demo.digits(), demo.breast_cancer()):
            rows = demo.parted(case.labels, seed=0)
            few = demo.Parted(rows.train[:120], np.concatenate([rows.test[:20], rows.test[-20:]]), rows.calibration)
            demo._write_data(case, folder / "demo", few)
            threshold = Conformal(false_alarm_rate=demo.FALSE_ALARM_RATE)
            detector = Detector(case.modality, threshold=threshold).fit(take(case.X, few.train))
            save(detector, folder / "demo" / f"{case.name}.unalike")
        yield folder
    signal.signal(signal.SIGTERM, before)


def _hosts(n: int, start: str) -> pd.DataFrame:
    """The records of the page: two hosts, a wave of 16 steps."""
    waves = np.sin(np.arange(n)[:, None] / 8 * np.pi + [0.0, 1.0])
    noise = np.random.default_rng(n).normal(0.0, 0.1, (2, n, 2))
    when = pd.date_range(start, periods=n, freq="5min")
    made = [
        pd.DataFrame(waves + noise[number], columns=["cpu", "memory"]).assign(t=when, host=f"host {number}")
        for number in range(2)
    ]
    return pd.concat(made, ignore_index=True)


def _hurried(cls: type) -> object:
    default = cls.branches  # type: ignore[attr-defined]
    return lambda self: tuple(
        branch if branch.training is None else replace(branch, training=replace(branch.training, steps=2))
        for branch in default(self)
    )


@pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")
def test_the_examples_run_in_their_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(EXAMPLES) > 15
    monkeypatch.setattr("unalike.demo.run", lambda *arguments, **settings: None)
    monkeypatch.setattr("unalike.service.running.serve", lambda *arguments, **settings: None)
    for example in EXAMPLES:
        command, _, expected = example.partition("  # status ")
        with pytest.raises(SystemExit) as left:
            cli.main(shlex.split(command))
        assert (left.value.code or 0) == int(expected or 0), command
    for output in re.findall(r"-o (\S+)", "\n".join(EXAMPLES)):
        assert (place / output).is_file(), output


def test_the_page_names_every_command() -> None:
    named = set(re.findall(r"^## (\w+): ", PAGE, flags=re.MULTILINE)) | {"demo"}
    assert named == {command.__name__ for command in cli.COMMANDS}


def test_every_option_of_fit_in_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    table = "".join(re.findall(r"^\| option .*?\n\n", PAGE, flags=re.MULTILINE | re.DOTALL))
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    told = capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z-]+", table))
    assert len(options) > 10
    assert [option for option in options if option not in told] == []
