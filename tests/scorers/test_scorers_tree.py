"""The tree's candidates against all distances, and a search with it against one without."""

from __future__ import annotations

import numpy as np
import pytest

from unalike.scorers import tree
from unalike.scorers.search import Search, Skip
from unalike.scorers.tree import ProjectedTree

RNG = np.random.default_rng


def surface(g: np.random.Generator, n: int, width: int = 40, stretch: float = 1.0) -> np.ndarray:
    """Rows near a surface of two dimensions in many, with a little noise off it."""
    plane = g.normal(size=(n, 2)) * stretch
    bends = np.tanh(plane @ RNG(7).normal(size=(2, width)))
    return np.asarray(bends + 0.01 * g.normal(size=(n, width)))


def grown(bank: np.ndarray) -> ProjectedTree | None:
    return tree.grow(lambda at: bank[at], *bank.shape, 10**8)


def search(bank: np.ndarray, metric: str = "euclidean", *, with_tree: bool = True) -> Search:
    made = Search(bank, metric=metric, chunk_mb=1)  # type: ignore[arg-type]
    if not with_tree:
        made._grown = True
    return made


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("stretch", [1.0, 4.0])
def test_a_tree_changes_no_bit(metric: str, k: int, stretch: float) -> None:
    g = RNG(0)
    bank = surface(g, 8000)
    bank[::7] = bank[1::7][: len(bank[::7])]  # copies tie
    queries = np.concatenate([surface(g, 300, stretch=stretch), bank[:50], bank[:50] + 20.0 * g.normal(size=(50, 40))])
    fast, slow = search(bank, metric), search(bank, metric, with_tree=False)
    expected = slow.nearest(queries, k)
    distances, positions = fast.nearest(queries, k)
    assert fast._tree is not None
    np.testing.assert_array_equal(distances, expected[0])
    once = np.diff(distances, axis=1, prepend=-1.0, append=np.inf)[:, :-1] > 0.0
    if k == 1:
        same = (bank[positions] == bank[expected[1]]).all(axis=-1)
        assert same[once].all()
    groups = np.arange(8000) // 3
    own = Skip(groups[::40], groups)
    np.testing.assert_array_equal(fast.nearest(bank[::40], k, own)[0], slow.nearest(bank[::40], k, own)[0])


def test_most_rows_never_meet_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    g = RNG(1)
    bank, queries = surface(g, 8000), surface(g, 1000)
    met = []
    original = Search._by_product

    def spied(self: Search, lifted: np.ndarray, k: int, skip: object, precision: object) -> object:
        met.append(len(lifted))
        return original(self, lifted, k, skip, precision)  # type: ignore[arg-type]

    monkeypatch.setattr(Search, "_by_product", spied)
    search(bank).nearest(queries, 1)
    assert sum(met) < 50


@pytest.mark.parametrize("width", [1, 3, 40])
def test_the_bound_holds_for_all_other_rows(width: int) -> None:
    g = RNG(2)
    bank, queries = surface(g, 6000, width), surface(g, 200, width, stretch=3.0)
    made = grown(bank)
    assert made is not None
    for reach in (made.reach, np.inf):
        positions, bound, found = made.nearest(queries, 5, reach)
        for row, at, least, seen in zip(queries, positions, bound, found, strict=True):
            distances = np.sqrt(((bank - row) ** 2).sum(axis=1))
            assert np.delete(distances, at[seen]).min() >= least * (1 - 1e-12)


def test_rows_that_fill_their_dimensions_get_no_tree() -> None:
    assert grown(RNG(3).normal(size=(6000, 20))) is None


def test_equal_rows_get_no_tree_and_are_found() -> None:
    bank = np.full((6000, 3), 2.0)
    assert grown(bank) is None
    bank[1::2] = 5.0
    distances, _ = search(bank).nearest(np.array([[2.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), 2)
    np.testing.assert_array_equal(distances, [[1.0, 1.0], [0.0, 0.0]])


def test_small_and_wide_banks_and_those_beyond_memory_get_no_tree() -> None:
    bank = surface(RNG(4), 6000)
    assert grown(bank) is not None
    assert grown(bank[: tree._LEAST_ROWS - 1]) is None
    assert tree.grow(lambda at: bank[at], 6000, tree._WIDEST + 1, 10**8) is None
    assert tree.grow(lambda at: bank[at], 6000, 40, 6000 * 15) is None


def test_rows_are_asked_for_a_few_at_a_time() -> None:
    bank, asked = surface(RNG(5), 6000), []

    def rows(at: np.ndarray) -> np.ndarray:
        asked.append(len(at))
        return bank[at]

    assert tree.grow(rows, 6000, 40, 64 * 40 * 500) is not None
    assert max(asked) == 500
    assert sum(asked) == 6500


def test_far_rows_are_looked_for_only_where_that_is_cheap() -> None:
    g = RNG(6)
    bends = g.normal(size=(3, 12))
    bank, near = (np.tanh(g.normal(size=(n, 3)) @ bends) for n in (20_000, 100))
    made = grown(bank)
    assert made is not None
    far = near + 2.0 * g.normal(size=near.shape)
    assert made.sees_little(near, made.nearest(near, 4, np.inf)[1])
    assert not made.sees_little(far, made.nearest(far, 4, np.inf)[1])


@pytest.mark.parametrize("size", [1e20, 1e100, 1e200, 1.7e308])
def test_rows_beyond_all_squares_are_left_to_the_product(size: float) -> None:
    bank = surface(RNG(8), 6000, 3)
    fast, slow = search(bank), search(bank, with_tree=False)
    queries = np.array([[size, 0.0, 0.0], [-size, size, 0.0], [0.1, 0.0, 0.0]])
    np.testing.assert_array_equal(fast.nearest(queries, 2)[0], slow.nearest(queries, 2)[0])


def test_a_row_alone_is_found_as_in_a_batch() -> None:
    g = RNG(9)
    bank = surface(g, 6000)
    queries = np.concatenate([surface(g, 60), 5.0 * g.normal(size=(20, 40))])
    made = search(bank)
    one_by_one = np.concatenate([made.nearest(queries[i : i + 1], 3)[0] for i in range(len(queries))])
    np.testing.assert_array_equal(one_by_one, made.nearest(queries, 3)[0])
