from __future__ import annotations

import numpy as np
import pytest

from unalike.progress import show, watched

ROW = {"epoch": 4.0, "step": 3.0, "loss": 1.2345, "effective_rank": 7.25, "spread": 0.5}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rich asks whether it may draw."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("terminal")
def test_the_bar_shows_branch_epoch_loss_and_signs_of_collapse_in_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with show(True, ["contrast-views", "later"]) as on_epoch:
        assert on_epoch is not None
        on_epoch("contrast-views", 10, ROW)
    printed = capsys.readouterr()
    for text in ("contrast-views", "epoch 4", "loss 1.234", "rank 7.2", "spread 0.50", "waits", "━"):
        assert text in printed.err
    assert printed.out == ""


def test_without_a_terminal_there_is_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    with show(True, ["contrast"]) as on_epoch:
        assert on_epoch is not None
        for step in (3, 10):
            on_epoch("contrast", 10, {**ROW, "step": step})
    printed = capsys.readouterr()
    ends = "loss 1.234  rank 7.2  spread 0.50"
    assert printed.err.splitlines() == [
        f"contrast: epoch 4, step 3 of 10, {ends}",
        f"contrast: epoch 4, step 10 of 10, {ends}",
    ]
    assert printed.out == ""


@pytest.mark.parametrize(("progress", "names"), [(False, ["contrast"]), (True, [])])
def test_nothing_is_shown_when_off_or_nothing_trains(
    progress: bool, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with show(progress, names) as on_epoch:
        assert on_epoch is None
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("terminal")
def test_samples_are_counted_and_what_is_loaded_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    data = np.arange(20) * 2
    with watched(True, "scoring", 20, lambda positions: data[positions]) as load:
        parts = [load(np.arange(0, 15)), load(np.arange(15, 20))]
    assert np.concatenate(parts).tolist() == data.tolist()
    err = capsys.readouterr().err
    assert "scoring" in err
    assert "20 of 20" in err


@pytest.mark.parametrize("progress", [False, True])
def test_nothing_is_counted_when_off_or_without_a_terminal(progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def load(positions: np.ndarray) -> int:
        return len(positions)

    with watched(progress, "scoring", 20, load) as watching:
        assert watching is load
    assert capsys.readouterr().err == ""
