from __future__ import annotations

import numpy as np
import pytest

from unalike.modalities.windows import cut, mean_over_windows
from unalike.records import Records, Segment


def records(*lengths: int, channels: int = 2, entities: bool = False) -> Records:
    rng = np.random.default_rng(0)
    segments = [
        Segment(rng.normal(size=(n, channels)), entity=str(number) if entities else "", start=1000 * number)
        for number, n in enumerate(lengths)
    ]
    return Records(tuple(segments), tuple(f"x{channel}" for channel in range(channels)))


@pytest.mark.parametrize("stride", [1, 3, 7, 20])
def test_windows_are_slices_of_their_segment(stride: int) -> None:
    X = records(30, 8, 41)
    windows = cut(X, 8, stride)
    rows = np.concatenate([segment.values for segment in X.segments])
    for cells, (first, end) in zip(windows.cells(), windows.spans(), strict=True):
        assert np.array_equal(cells, rows[first:end].T)


@pytest.mark.parametrize("stride", [1, 3, 7, 20])
def test_every_step_is_in_a_window_and_no_window_crosses_two_segments(stride: int) -> None:
    X = records(30, 8, 41)
    spans = cut(X, 8, stride).spans()
    covered = np.zeros(len(X), dtype=bool)
    owner = np.repeat(np.arange(3), [30, 8, 41])
    for first, end in spans:
        covered[first:end] = True
        assert end - first == 8
        assert owner[first] == owner[end - 1]
    if stride <= 8:
        assert covered.all()


def test_a_short_record_is_one_window_with_nothing_before_it() -> None:
    X = records(5)
    windows = cut(X, 8, 2)
    assert windows.spans().tolist() == [[0, 5]]
    cells = windows.cells()[0]
    assert np.isnan(cells[:, :3]).all()
    assert np.array_equal(cells[:, 3:], X.segments[0].values.T)


def test_a_window_of_which_less_than_half_was_measured_is_left_out() -> None:
    X = records(40, channels=1)
    X.segments[0].values[10:25] = np.nan
    spans = cut(X, 8, 1).spans()
    seen = [np.mean(~np.isnan(X.segments[0].values[first:end])) for first, end in spans]
    assert min(seen) == 0.5
    assert len(spans) == sum(np.mean(~np.isnan(X.segments[0].values[t : t + 8])) >= 0.5 for t in range(33))


@pytest.mark.parametrize("stride", [1, 3])
def test_a_steps_score_is_the_mean_of_the_windows_that_cover_it(stride: int) -> None:
    X = records(30, 8, 41, 3)
    spans = cut(X, 8, stride).spans()
    scores = np.random.default_rng(1).normal(size=len(spans))
    found = mean_over_windows(scores, spans, len(X))
    for step in range(len(X)):
        covering = scores[(spans[:, 0] <= step) & (step < spans[:, 1])]
        assert found[step] == pytest.approx(covering.mean(), abs=1e-12)


def test_a_step_scores_the_same_whatever_else_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    X = records(300)
    spans = cut(X, 8, 3).spans()
    scores = np.random.default_rng(1).normal(size=len(spans))
    whole = mean_over_windows(scores, spans, 300)
    part = mean_over_windows(scores[spans[:, 1] <= 120], spans[spans[:, 1] <= 120], 120)
    assert np.array_equal(whole[:100], part[:100])
    monkeypatch.setattr("unalike.modalities.windows._CELLS_AT_ONCE", 20)
    assert np.array_equal(whole, mean_over_windows(scores, spans, 300))


def test_a_step_that_no_window_covers_scores_zero() -> None:
    assert mean_over_windows(np.array([2.0]), np.array([[1, 3]]), 4).tolist() == [0.0, 2.0, 2.0, 0.0]
    assert mean_over_windows(np.zeros(0), np.zeros((0, 2), dtype=np.int64), 2).tolist() == [0.0, 0.0]


def test_windows_overlap_exactly_when_their_times_are_less_than_a_window_apart() -> None:
    X = records(30, 20, 41, entities=True)
    windows = cut(X, 8, 5)
    spans, times = windows.spans(), windows.times()
    for one in range(len(spans)):
        for other in range(len(spans)):
            overlap = min(spans[one, 1], spans[other, 1]) > max(spans[one, 0], spans[other, 0])
            assert overlap == (abs(times[one] - times[other]) < 8)


def test_taking_steps_gives_runs_as_segments() -> None:
    X = records(10, 10, entities=True)
    part = X[np.array([2, 3, 4, 8, 9, 10, 11, 15])]
    assert [(s.entity, s.start, len(s)) for s in part.segments] == [
        ("0", 2, 3),
        ("0", 8, 2),
        ("1", 1000, 2),
        ("1", 1005, 1),
    ]
    assert len(part) == 8
    assert np.array_equal(part.segments[1].values, X.segments[0].values[8:10])
    assert len(X[np.zeros(0, dtype=np.int64)]) == 0
