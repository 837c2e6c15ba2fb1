from __future__ import annotations

import numpy as np
import pytest

from unalike.data import runs
from unalike.modalities.blocks import split_blocks
from unalike.records import Records, Segment


def records(*lengths: int) -> Records:
    return Records(tuple(Segment(np.zeros((n, 1)), str(number)) for number, n in enumerate(lengths)), ("x0",))


@pytest.mark.parametrize(("n", "window"), [(100, 10), (1000, 10), (1000, 60), (20_000, 32), (700, 116)])
@pytest.mark.parametrize("reference", [0.0, 0.1])
def test_held_out_blocks_have_gaps_on_each_side(n: int, window: int, reference: float) -> None:
    parts = split_blocks(records(n), window, reference, 0.2)
    several = [parts.train, parts.reference, parts.calibration]
    together = np.sort(np.concatenate([*several, parts.gap]))
    assert np.array_equal(together, np.arange(n))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        if len(several[one]) and len(several[other]):
            assert np.abs(several[one][:, None] - several[other]).min() > window
    assert 0.15 * n <= len(parts.calibration) <= 0.21 * n
    assert parts.calibration[-1] == n - 1
    assert len(parts.train) >= 0.3 * n
    if reference:  # scores of padded windows would be compared with
        assert np.bincount(runs(parts.reference)).min() >= window


def test_a_long_record_gives_several_blocks_and_a_short_one_the_last() -> None:
    long = split_blocks(records(20_000), 32, 0.0, 0.2).calibration
    assert (np.diff(long) > 1).sum() == 4
    short = split_blocks(records(200), 20, 0.0, 0.2).calibration
    assert short.tolist() == list(range(160, 200))


def test_records_too_short_for_a_gap_are_held_out_whole() -> None:
    X = records(*[30] * 20)
    parts = split_blocks(X, 20, 0.0, 0.2)
    held = {position // 30 for position in parts.calibration.tolist()}
    assert len(held) == 4
    assert len(parts.calibration) == 120
    assert len(parts.gap) == 0


def test_blocks_do_not_cross_records() -> None:
    X = records(500, 300, 10)
    parts = split_blocks(X, 10, 0.0, 0.2)
    assert len(parts.calibration) == pytest.approx(160, abs=4)
    assert set(range(800, 810)) <= set(parts.train.tolist())


def test_nothing_is_held_out_when_nothing_is_asked_for() -> None:
    parts = split_blocks(records(50), 10, 0.0, 0.0)
    assert len(parts.train) == 50
    assert len(parts.gap) == len(parts.calibration) == 0
