"""The benchmark of explanations of records on records whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import series_planted

VALUES = np.random.default_rng(0).normal(size=(60, 3))


@pytest.mark.parametrize("kind", series_planted.KINDS)
def test_only_the_stretch_of_the_channel_changes(kind: str) -> None:
    before = VALUES.copy()
    made = series_planted.spoilt(VALUES, kind, 1, 20, 5.0, [0])
    assert np.array_equal(before, VALUES)
    changed = np.argwhere(made != VALUES)
    assert set(changed[:, 1].tolist()) == {1}
    assert changed[:, 0].tolist() == list(range(20, 20 + series_planted.length_of(kind)))
    moved = (made - VALUES)[20 : 20 + series_planted.length_of(kind), 1]
    if kind == "noise":
        assert 3.0 < moved.std() < 7.0
    else:
        np.testing.assert_allclose(np.abs(moved), 5.0)
        assert np.ptp(moved) < 1e-12


def test_hits_are_means_and_auroc_compares_before_with_after() -> None:
    rows = [[1.0, 2.0, 1, 0, 0.5, 1, 1, 0.1, 30, 3], [3.0, 2.5, 0, 0, 0.5, 1, 0, 0.1, 50, 5]]
    found = series_planted.summed(rows)
    assert list(found) == list(series_planted.EXTRA)
    assert list(found.values()) == pytest.approx([0.5, 0.5, 0.0, 0.5, 1.0, 0.5, 0.1, 40.0, 4.0])


def test_the_table_means_over_records() -> None:
    line = dict.fromkeys(series_planted.EXTRA, "0.5") | {"data": "a/b", "method": "level/4"}
    _, shown = series_planted.table([line, {**line, "channel": "1.0"}])
    assert shown[:6] == ["level", "4", "2", "0.50", "75%", "50%"]
