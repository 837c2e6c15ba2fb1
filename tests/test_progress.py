from __future__ import annotations

import pytest

from unalike.progress import show

ROW = {"step": 3.0, "loss": 1.2345, "effective_rank": 7.25, "spread": 0.5}


def test_the_bar_shows_branch_loss_and_signs_of_collapse(capsys: pytest.CaptureFixture[str]) -> None:
    with show(True, ["contrast"]) as on_epoch:
        assert on_epoch is not None
        on_epoch("contrast", 10, ROW)
    out = capsys.readouterr().out
    assert all(text in out for text in ("contrast", "loss 1.2345", "rank 7.2", "spread 0.500"))


@pytest.mark.parametrize(("progress", "names"), [(False, ["contrast"]), (True, [])])
def test_nothing_is_shown_when_off_or_nothing_trains(
    progress: bool, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with show(progress, names) as on_epoch:
        assert on_epoch is None
    assert capsys.readouterr().out == ""
