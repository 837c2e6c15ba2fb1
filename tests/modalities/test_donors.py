"""Missing cells filled from the nearest training row."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import KNNImputer

from unalike import Detector
from unalike.encoders.raw import RawTable
from unalike.errors import InvalidParameter
from unalike.modalities import donors
from unalike.modalities.donors import Donors
from unalike.modalities.table import Table
from unalike.scorers import KNN
from unalike.types import Branch

CODED = [False, False, True, False, True]


def rows(n, seed, coded=CODED):
    rng = np.random.default_rng(seed)
    columns = [rng.integers(1, 4, n) if code else rng.normal(size=n) for code in coded]
    return np.stack(columns, axis=1).astype(np.float32).astype(np.float64)


def with_gaps(values, share, seed, usual=None):
    missing = np.random.default_rng(seed).random(values.shape) < share
    if usual is not None:
        missing &= ~usual
    return np.where(missing, 0.0, values), missing


def test_numbers_are_filled_as_by_scikit_learn():
    train = rows(200, 0, [False] * 6)
    lent = Donors.among(train, np.zeros(train.shape, dtype=bool))
    values, missing = with_gaps(rows(300, 1, [False] * 6), 0.15, 2)
    filled, left = lent.fill(values, missing, [False] * 6)
    expected = KNNImputer(n_neighbors=1).fit(train).transform(np.where(missing, np.nan, values))
    whole = missing.sum(axis=1) <= 3
    assert (missing.any(axis=1) & whole).sum() > 100
    np.testing.assert_allclose(filled[whole], expected[whole], atol=1e-12)
    assert not left[whole].any()


def nearest(lent, value, gap, coded):
    """A slow twin: the first donor at the smallest distance."""
    best, found = np.inf, -1
    for number, (given, absent) in enumerate(zip(lent.values, lent.missing, strict=True)):
        apart = 0.0
        for column, code in enumerate(coded):
            if gap[column] and lent.usual[column]:
                continue
            if gap[column] or absent[column]:
                apart += float(gap[column] != absent[column])
            else:
                difference = value[column] - float(given[column])
                apart += float(difference != 0) if code else difference**2
        if apart < best:
            best, found = apart, number
    return found


def test_categories_and_gaps_of_the_training_rows_count_in_the_distance():
    usual = np.array([True, True, True, False, False])
    lent = Donors.among(*with_gaps(rows(60, 0), 0.3, 1, usual))
    assert lent.usual.tolist() == usual.tolist()
    values, missing = with_gaps(rows(80, 2), 0.25, 3)
    filled, left = lent.fill(values, missing, CODED)
    for row in range(len(values)):
        gaps = missing[row] & usual
        if gaps.sum() == 1:
            donor = nearest(lent, values[row], missing[row], CODED)
            assert filled[row][gaps] == lent.values[donor][gaps]
            assert left[row].tolist() == (missing[row] & ~usual).tolist()
        elif gaps.any():
            assert left[row].tolist() == missing[row].tolist()
    assert np.array_equal(filled[~missing], values[~missing])


def test_a_row_is_filled_alone_as_among_others(monkeypatch):
    lent = Donors.among(rows(500, 0), np.zeros((500, 5), dtype=bool))
    values, missing = with_gaps(rows(90, 1), 0.2, 2)
    together = lent.fill(values, missing, CODED)
    alone = [lent.fill(values[[row]], missing[[row]], CODED) for row in range(90)]
    assert np.array_equal(together[0], np.concatenate([filled for filled, _ in alone]))
    assert np.array_equal(together[1], np.concatenate([left for _, left in alone]))
    monkeypatch.setattr(donors, "_CHUNK", 7)
    assert np.array_equal(lent.fill(values, missing, CODED)[0], together[0])


def test_of_equal_donors_the_first_lends_and_too_little_to_go_by_is_left():
    lent = Donors.among(np.array([[1.0, 5.0, 2.0], [1.0, 6.0, 2.0]]), np.zeros((2, 3), dtype=bool))
    values = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
    missing = np.array([[False, True, False], [True, True, False]])
    filled, left = lent.fill(values, missing, [False] * 3)
    assert filled.tolist() == [[1, 5, 2], [0, 0, 2]]
    assert left.tolist() == [[False] * 3, [True, True, False]]


def test_wide_tables_keep_fewer_donors_and_those_without_a_whole_row_fill_nothing():
    assert len(Donors.among(np.zeros((3_000, 2)), np.zeros((3_000, 2), dtype=bool)).values) == 2_000
    assert len(Donors.among(np.zeros((300, 5_000)), np.zeros((300, 5_000), dtype=bool)).values) == 100
    seldom = np.eye(200, dtype=bool)  # every row lacks one cell, every column one of 200
    values, missing = np.zeros((1, 200)), np.arange(200)[None] == 3
    assert Donors.among(np.zeros((200, 200)), seldom).fill(values, missing, [False] * 200)[1].sum() == 1


def test_only_columns_that_training_seldom_missed_are_filled():
    X = rows(400, 0, [False] * 4)
    X[:3, 0] = np.nan  # below 1%
    X[:5, 1] = np.nan  # above
    test = rows(4, 1, [False] * 4)
    np.fill_diagonal(test, np.nan)
    filled = Table().fit(X).tensors(test)[..., 1]
    assert filled.tolist() == [[0] * 4, [0, 1, 0, 0], [0] * 4, [0] * 4]
    flagged = Table(missing="flag").fit(X).tensors(test)[..., 1]
    assert flagged.tolist() == np.eye(4).tolist()
    assert Table().fit(X).tensors(X)[:, 0, 1].sum() == 0


def test_a_table_saved_without_donors_fills_nothing():
    X = rows(50, 0, [False] * 3)
    state = {name: part for name, part in Table().fit(X).state().items() if name not in Donors.among(X, X > 9).state()}
    table = Table()
    table.restore(state)
    assert table.tensors(np.array([[np.nan, 0.0, 0.0]]))[0, :, 1].tolist() == [1, 0, 0]


def test_another_way_with_gaps_is_refused():
    with pytest.raises(InvalidParameter, match="`missing` must be 'fill' or 'flag'; got 'drop'"):
        Table(missing="drop")


@pytest.mark.parametrize(("way", "low", "high"), [("fill", 0.0, 0.15), ("flag", 0.7, 1.0)])
def test_gaps_alone_raise_no_alarm(way, low, high):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_200, 2)) @ rng.normal(size=(2, 12)) + 0.05 * rng.normal(size=(1_200, 12))
    branch = Branch(name="nearest", encoder=RawTable(), scorer=KNN(k=1))
    detector = Detector(Table(missing=way), branches=[branch], threshold="conformal").fit(X[:800])
    test = np.where(rng.random((400, 12)) < 0.1, np.nan, X[800:])
    assert low <= detector.detect(test, false_alarm_rate=0.05).is_anomaly.mean() <= high
