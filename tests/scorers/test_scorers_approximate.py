"""The approximate search of large banks, beside the exact one."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace

import numpy as np
import pytest

from unalike.errors import InputWarning, InvalidInput, InvalidParameter, MissingExtra
from unalike.persistence.codec import Packer, Unpacker
from unalike.scorers import KNN, searching
from unalike.scorers.approximate import LEAST_RECALL

pytest.importorskip("faiss")

WIDTH = 24


def rows(n: int, seed: int) -> np.ndarray:
    """Of 30 groups, each a surface of 4 dimensions."""
    shapes, generator = np.random.default_rng(0), np.random.default_rng(seed)
    axes, centres = shapes.normal(size=(30, 4, WIDTH)), 3 * shapes.normal(size=(30, WIDTH))
    kind = generator.integers(0, 30, n)
    made = np.einsum("nk,nkd->nd", generator.normal(size=(n, 4)), axes[kind]) + centres[kind]
    return (made + 0.05 * generator.normal(size=(n, WIDTH))).astype(np.float32)


BANK, LATER = rows(6000, 1), rows(500, 2)


@pytest.fixture(scope="module")
def fitted() -> KNN:
    return KNN(search="approximate").fit(BANK)


def test_what_is_found_is_exact_and_nearly_all_is_found(fitted: KNN) -> None:
    exact = KNN(search="exact").fit(BANK)
    assert exact.cells_ is None
    assert fitted.cells_ is not None
    assert fitted.cells_.probes < len(fitted.cells_.centres) / 4
    assert fitted.cells_.recall >= LEAST_RECALL
    found, wanted = fitted.score(LATER), exact.score(LATER)
    assert (found >= wanted).all()
    assert (found == wanted).mean() > 0.95
    assert (fitted.reference_scores_ >= exact.reference_scores_).all()
    assert (fitted.reference_scores_ == exact.reference_scores_).mean() > 0.95
    distances, positions = fitted.neighbors(LATER, 3)
    apart = np.linalg.norm(BANK[positions].astype(np.float64) - LATER[:, None].astype(np.float64), axis=2)
    np.testing.assert_allclose(distances, apart, rtol=1e-12)
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize("settings", [{"k": 5, "distance": "mean"}, {"metric": "cosine"}, {"k": 0.01}, {"k": 700}])
def test_other_neighbours_and_the_cosine(settings: dict) -> None:
    found = KNN(search="approximate", **settings).fit(BANK, LATER[:50]).score(LATER)
    wanted = KNN(search="exact", **settings).fit(BANK, LATER[:50]).score(LATER)
    assert (found >= wanted * (1 - 1e-12)).all()
    assert np.median(found / wanted) == pytest.approx(1.0, abs=0.01)


def test_a_row_scores_alone_as_in_a_batch(fitted: KNN) -> None:
    alone = np.concatenate([fitted.score(row[None]) for row in LATER[:100]])
    np.testing.assert_array_equal(alone, fitted.score(LATER)[:100])
    np.testing.assert_array_equal(fitted.score(LATER[3:40]), fitted.score(LATER)[3:40])


def test_the_same_rows_give_the_same_cells(fitted: KNN) -> None:
    again = KNN(search="approximate").fit(BANK)
    assert fitted.cells_ is not None
    assert again.cells_ is not None
    for name, value in vars(fitted.cells_).items():
        np.testing.assert_array_equal(getattr(again.cells_, name), value)


def stored(scorer: KNN) -> KNN:
    packer = Packer()
    packed = packer.state(scorer.state(), "scorer")
    fresh = replace(scorer)
    fresh.restore(Unpacker(packer.arrays, packer.blobs).value(packed))
    return fresh


def test_a_saved_bank_scores_the_same_to_the_bit(fitted: KNN) -> None:
    np.testing.assert_array_equal(stored(fitted).score(LATER), fitted.score(LATER))
    np.testing.assert_array_equal(copy.deepcopy(fitted).score(LATER), fitted.score(LATER))
    absorbing = copy.deepcopy(fitted)
    absorbing.absorb(LATER[:20])
    np.testing.assert_array_equal(stored(absorbing).score(LATER), absorbing.score(LATER))


@pytest.mark.parametrize("name", ["owner", "codes", "centres", "words", "probes"])
def test_cells_that_do_not_fit_are_refused(fitted: KNN, name: str) -> None:
    state = fitted.state()
    value = state["cells"][name]
    state["cells"][name] = 10**6 if name == "probes" else value[:-1] if name != "owner" else value + 10**6
    with pytest.raises(InvalidInput, match="must fit a bank of 6000 rows"):
        replace(fitted).restore(state)


def test_absorbed_rows_are_found_for_certain(fitted: KNN) -> None:
    """And leave the way in which the others are found as it is, so that no score rises."""
    absorbing = copy.deepcopy(fitted)
    scores = absorbing.absorb(LATER[:200])
    np.testing.assert_array_equal(absorbing.score(LATER[:200]), 0.0)
    beside = KNN(search="exact").fit(LATER[:200])
    own = beside.nearest_others(np.arange(200), 1)[0][:, 0]
    np.testing.assert_array_equal(scores, np.minimum(fitted.score(LATER[:200]), own))
    np.testing.assert_array_equal(
        absorbing.score(LATER[200:]), np.minimum(fitted.score(LATER[200:]), beside.score(LATER[200:]))
    )
    added = absorbing.add(rows(300, 3))
    assert len(added.bank_) == 6300
    assert added.cells_ is not None
    assert len(added.cells_.owner) == 6300


def test_rows_of_ones_own_group_do_not_count() -> None:
    """Also where they are all that lies near: then everything is searched."""
    groups = np.repeat(np.arange(6), 1000)
    near = BANK[np.argsort(BANK[:, 0], kind="stable")]
    found = KNN(search="approximate").fit(near, groups=groups)
    exact = KNN(search="exact").fit(near, groups=groups)
    assert np.isfinite(found.reference_scores_).all()
    assert (found.reference_scores_ >= exact.reference_scores_).all()
    assert (found.reference_scores_ == exact.reference_scores_).mean() > 0.9


def test_the_size_of_the_bank_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(size=(5200, 40)) * np.r_[np.ones(12), np.full(28, 0.2)]
    assert KNN().fit(noise, noise[:5]).cells_ is None
    monkeypatch.setattr(searching, "MOST_EXACT", 5000)
    monkeypatch.setattr("unalike.scorers.approximate._LARGEST_SHARE", 1.0)
    assert KNN().fit(noise, noise[:5]).cells_ is not None
    assert KNN().fit(noise[:5000], noise[:5]).cells_ is None
    few = np.random.default_rng(0).normal(size=(5200, 2))  # which a tree searches exactly
    assert KNN().fit(few, few[:5]).cells_ is None
    monkeypatch.setattr(searching, "find_spec", lambda name: None)
    with pytest.warns(InputWarning, match=r"pip install 'unalike\[faiss\]'"):
        assert KNN().fit(noise, noise[:5]).cells_ is None


def test_rows_without_neighbours_are_searched_exactly() -> None:
    """Independent noise in many dimensions: most cells would have to be searched."""
    noise = np.random.default_rng(0).normal(size=(6000, 60))
    assert KNN(search="approximate").fit(noise, noise[:5]).cells_ is None


def test_few_rows_and_copies() -> None:
    assert KNN(search="approximate").fit(BANK[:100]).cells_ is None
    copies = np.repeat(BANK[:3], 2500, axis=0)
    scorer = KNN(search="approximate").fit(copies)
    np.testing.assert_array_equal(scorer.reference_scores_, 0.0)
    np.testing.assert_allclose(scorer.score(LATER), KNN(search="exact").fit(copies).score(LATER), rtol=1e-12)


def test_without_faiss_the_extra_is_named(fitted: KNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unalike\[faiss\]'"):
        KNN(search="approximate").fit(BANK)
    with pytest.raises(MissingExtra, match="faiss"):
        replace(fitted).restore(fitted.state())
    with pytest.raises(InvalidParameter, match="`search` must be one of"):
        KNN(search="fast")
