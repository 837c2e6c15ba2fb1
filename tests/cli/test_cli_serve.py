"""`unalike serve`: keys, names, and what it refuses before it listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.parts import run

from unalike.service import Keys


def test_a_new_key_is_printed_once_and_kept_as_a_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.txt"
    assert run("serve", "--new-key", "laptop", "--key-file", file) == 0
    key = capsys.readouterr().out.strip()
    assert Keys.read(file).name_of(key) == "laptop"
    assert key not in file.read_text(encoding="utf-8")
    assert run("serve", "--new-key", "laptop", "--key-file", file) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "at least one saved model"),
        (("--new-key", "a"), "--key-file"),
        (("a/x.unalike", "b/x.unalike"), "a name of its own"),
        (("=x.unalike",), "a name of its own"),
        (("x.unalike", "--host", "0.0.0.0"), "--new-key"),  # noqa: S104
        (("x.unalike", "--key-file", "none.txt"), "key_file"),
        (("x.unalike", "--certificate", "c.pem"), "private_key"),
        (("x.unalike", "--time-out", "0"), "time_out"),
        (("missing.unalike",), "missing.unalike"),
    ],
)
def test_what_cannot_be_served_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("serve", *arguments) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_models_are_called_by_their_files_or_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr("unalike.service.running.serve", lambda models, **named: found.update(models=models, **named))
    assert run("serve", "a/line3.unalike", "other=b/line3.unalike", "--batch-wait", "7", "--batch-rows", "1") == 0
    assert {name: str(path) for name, path in found["models"].items()} == {
        "line3": "a/line3.unalike",
        "other": "b/line3.unalike",
    }
    assert found["settings"].batch_wait == pytest.approx(0.007)
    assert found["settings"].batch_rows == 1
