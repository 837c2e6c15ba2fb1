"""The quick ways of a search against all distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from unalike.scorers import KNN, copies, minima
from unalike.scorers.copies import without_copies
from unalike.scorers.search import Search, Skip

RNG = np.random.default_rng


def banks() -> dict[str, np.ndarray]:
    g = RNG(0)
    plain = g.normal(size=(1200, 7))
    walk = g.normal(size=(1200, 7)).cumsum(axis=0)
    return {
        "plain": plain,
        "single": plain.astype(np.float32),
        "far from 0": (plain + 1e4).astype(np.float32),
        "two clusters": np.concatenate([plain[:600], plain[600:] * 1e-4 + 30.0]),
        "a few far off": plain * np.where(g.random((1200, 1)) < 0.01, 1e5, 1.0),
        "walk": walk.astype(np.float32),
        "neighbours alike": np.repeat(plain[:40], 30, axis=0) + 1e-9 * g.normal(size=(1200, 7)),
        "copies": np.repeat(plain[:40], 30, axis=0).astype(np.float32),
        "few values": g.integers(0, 3, size=(1200, 7)).astype(np.float32),
        "one row": np.repeat(plain[:1], 1200, axis=0),
        "one column": plain[:, :1].astype(np.float32),
        "wide": g.normal(size=(700, 200)).astype(np.float32),
    }


def slow(bank: np.ndarray, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
    distances = cdist(queries.astype(np.float64), bank.astype(np.float64))
    if own is not None:
        distances[own] = np.inf
    nearest = np.sort(distances, axis=1)[:, :k]
    return np.where(np.isinf(nearest), np.nan, nearest)


@pytest.fixture
def by_minima(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows that way was asked for, and how many it was sure of."""
    asked = [0, 0]
    original = Search._by_minima

    def spied(self: Search, lifted: np.ndarray, *arguments: Any) -> Any:
        found = original(self, lifted, *arguments)
        asked[0], asked[1] = asked[0] + len(lifted), asked[1] + int(found[2].sum())
        return found

    monkeypatch.setattr(Search, "_by_minima", spied)
    return asked


@pytest.mark.parametrize("name", banks())
@pytest.mark.parametrize("k", [1, 3, 10])
def test_finds_the_nearest(name: str, k: int, by_minima: list[int]) -> None:
    bank = banks()[name]
    g = RNG(1)
    queries = np.concatenate([bank[::7], bank[::9] + 0.1 * g.normal(size=bank[::9].shape).astype(bank.dtype)])
    queries = np.concatenate([queries, 1e6 * queries[:3]]).astype(bank.dtype)
    distances, positions = Search(bank, metric="euclidean", chunk_mb=64).nearest(queries, k)
    np.testing.assert_allclose(distances, slow(bank, queries, k), rtol=1e-6, atol=1e-12)
    given = np.sqrt(((bank[positions] - queries[:, None].astype(np.float64)) ** 2).sum(axis=2))
    np.testing.assert_allclose(distances, given, rtol=1e-12)
    assert all(len(set(row)) == k for row in positions.tolist())
    if name in ("plain", "single", "walk", "a few far off", "wide", "far from 0"):
        assert by_minima[0] == len(queries)
        assert by_minima[1] > 0.9 * len(queries)


@pytest.mark.parametrize("name", banks())
@pytest.mark.parametrize("each", [1, 12, 100, 400])
def test_passes_over_what_is_skipped(name: str, each: int) -> None:
    bank = banks()[name]
    groups = np.arange(len(bank)) // each
    distances, positions = Search(bank, metric="euclidean", chunk_mb=64).nearest(bank, 3, Skip(groups, groups))
    expected = slow(bank, bank, 3, groups[:, None] == groups)
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-12)
    assert (groups[positions] != groups[:, None])[~np.isnan(distances)].all()


def test_what_skipping_leaves_too_few_of_is_nan() -> None:
    bank = RNG(0).normal(size=(900, 4))
    groups = np.where(np.arange(900) < 898, 0, 1)
    distances, _ = Search(bank, metric="euclidean", chunk_mb=64).nearest(bank[:5], 3, Skip(groups[:5], groups))
    assert np.isnan(distances[:, 2]).all()
    np.testing.assert_allclose(distances[:, :2], slow(bank[898:], bank[:5], 2))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("name", ["single", "copies", "few values", "wide"])
def test_one_row_scores_as_in_a_batch_to_the_last_bit(metric: Any, name: str) -> None:
    bank = banks()[name]
    queries = bank[::11] + RNG(3).normal(size=bank[::11].shape).astype(bank.dtype)
    scorer = KNN(k=3, metric=metric, distance="mean").fit(bank, reference=bank[:1])
    one_by_one = np.concatenate([scorer.score(queries[i : i + 1]) for i in range(len(queries))])
    np.testing.assert_array_equal(one_by_one, scorer.score(queries))


@pytest.mark.parametrize("name", ["single", "two clusters", "few values", "walk"])
def test_the_quick_way_and_the_plain_one_agree_to_the_last_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = banks()[name]
    queries = bank[::5] + np.asarray(0.01 * RNG(2).normal(size=bank[::5].shape), dtype=bank.dtype)
    quick = KNN(k=3).fit(bank)
    monkeypatch.setattr(minima, "_LEAST_GROUP", 10**9)
    monkeypatch.setattr(copies, "_LARGEST_SHARE", 0.0)
    plain = KNN(k=3).fit(bank)
    np.testing.assert_array_equal(quick.reference_scores_, plain.reference_scores_)
    np.testing.assert_array_equal(quick.score(queries), plain.score(queries))


@pytest.mark.parametrize("m", [96 * 4, 1000, 3500])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_near_holds_all_that_can_be_among_the_least(m: int, k: int) -> None:
    g = RNG(m + k)
    values = g.integers(-40, 40, size=(50, m)).astype(np.float32) + g.random((50, m)).astype(np.float32)
    size = minima.group_size(m, k)
    entries = minima.blank(50, m, size)
    entries[:, :m] = torch.from_numpy(values)
    length2 = np.full(50, 50.0)
    near = minima.near(entries, size, k, length2, 1e-9)
    kth = np.sort(values, axis=1)[:, k - 1]
    assert (near.bound >= kth).all()
    for row in range(50):
        expected = np.flatnonzero(values[row] <= near.bound[row])
        found = np.sort(near.columns[near.rows == row])
        assert np.array_equal(found, expected) if near.whole[row] else set(found) <= set(expected)
    assert near.whole.mean() > 0.9
    least, columns = minima.least_in_rows(near, values[near.rows, near.columns].astype(np.float64), k)
    np.testing.assert_array_equal(least, np.sort(values, axis=1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(values, columns, axis=1), least)


def test_groups_are_used_where_they_are_quicker_only() -> None:
    assert minima.group_size(3000, 3) == 31
    assert minima.group_size(100_000, 3) == 32
    assert minima.group_size(200, 1) == 0
    assert minima.group_size(3000, 50) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_are_left_out_but_for_a_few(dtype: Any) -> None:
    g = RNG(0)
    different = g.normal(size=(20, 3)).astype(dtype)
    which = g.integers(0, 20, size=500)
    kept = without_copies(different[which], 4, None)
    assert kept is not None
    np.testing.assert_array_equal(kept, np.sort(kept))
    np.testing.assert_array_equal(np.bincount(which[kept]), np.minimum(np.bincount(which), 4))
    assert without_copies(g.normal(size=(50, 3)).astype(dtype), 4, None) is None


def test_enough_copies_stay_whatever_group_is_passed_over() -> None:
    g = RNG(1)
    which, groups = g.integers(0, 5, size=400), g.choice(12, p=[0.6, *([0.4 / 11] * 11)], size=400)
    bank = g.normal(size=(5, 2))[which]
    kept = without_copies(bank, 3, groups)
    assert kept is not None
    assert len(kept) <= 5 * 2 * 3
    for group in range(12):
        for row in range(5):
            left = (which == row) & (groups != group)
            assert left[kept].sum() >= min(3, left.sum())


def test_rows_of_one_key_that_differ_are_not_taken_for_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = np.repeat(RNG(0).normal(size=(40, 2)), 20, axis=0)
    assert without_copies(bank, 2, None) is not None
    monkeypatch.setattr(copies, "_keys", lambda bank: np.zeros(len(bank), dtype=np.uint64))
    assert without_copies(bank, 2, None) is None
