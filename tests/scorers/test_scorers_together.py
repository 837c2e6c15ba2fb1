"""A row that comes alone scores to the bit as it does among others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unalike.scorers.blocks import PerBlock
from unalike.scorers.neighbors import KNN
from unalike.scorers.together import Alone, together
from unalike.types import FloatArray

BLOCKS, WIDTH = 5, 24


def rows(n: int, seed: int, noise: float = 0.1) -> FloatArray:
    """Blocks near a surface of few dimensions; the last one constant."""
    generator = np.random.default_rng(seed)
    phase = generator.uniform(0.0, 6.0, (n, BLOCKS, 1))
    made = np.sin(phase + np.arange(WIDTH) / 4.0) + noise * generator.normal(size=(n, BLOCKS, WIDTH))
    made[:, -1] = 3.0
    return made.reshape(n, -1).astype(np.float32)


@pytest.mark.parametrize("scorer", [KNN(k=3, distance="mean"), KNN(k=1), KNN(k=4)])
@pytest.mark.parametrize("noise", [0.0, 0.1, 2.0])
def test_a_row_alone_scores_as_in_a_batch(scorer: KNN, noise: float) -> None:
    fitted = PerBlock(scorer, blocks=BLOCKS).fit(rows(600, 0, noise))
    new = rows(40, 1, noise)
    new[3] = fitted.scorers_[0].bank_[0, 0]
    new[4] = rows(600, 0, noise)[7]  # a row of the bank
    new[5] *= 1e4
    new[6] *= 1e30  # no product in single precision holds this
    expected = fitted.block_scores(new)
    alone = np.concatenate([fitted.block_scores(row[None]) for row in new])
    np.testing.assert_array_equal(alone, expected)


def test_single_rows_are_searched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = PerBlock(KNN(k=3), blocks=BLOCKS).fit(rows(600, 0))
    new = rows(30, 1)
    expected = fitted.score(new)
    for row in new[:10]:
        fitted.score(row[None])

    def refuse(*_: Any) -> None:
        raise AssertionError("searched block by block")

    monkeypatch.setattr(KNN, "score", refuse)
    np.testing.assert_array_equal([fitted.score(row[None])[0] for row in new[10:]], expected[10:])


@pytest.mark.parametrize("copies", [2, 400])
def test_one_bank_is_searched_as_many_are(copies: int) -> None:
    bank = rows(600, 0)
    bank[:copies] = bank[0]
    knn = KNN(k=3, distance="mean").fit(bank)
    new = np.concatenate([bank[:1], bank[:1] + 0.01, rows(30, 1)])
    expected, alone = knn.score(new), Alone()
    assert all(alone.scores([knn], row[None]) is None for row in new[:7])
    found = [alone.scores([knn], row[None]) for row in new]
    told = [number for number, scores in enumerate(found) if scores is not None]
    np.testing.assert_array_equal([found[number][0] for number in told], expected[told])
    # Beside many copies, all of them as near, nothing is gained.
    assert len(told) == len(new) - (copies == 400)
    assert alone.scores([knn], np.full_like(new[:1], np.nan)) is None
    assert alone.scores([knn], new[:1].astype(np.float64)) is None


def test_a_bank_that_grows_is_searched_anew() -> None:
    fitted = PerBlock(KNN(k=1), blocks=BLOCKS).fit(rows(600, 0))
    new = rows(20, 1)
    for row in new:
        fitted.score(row[None])
    fitted.add(new)
    assert [fitted.score(row[None])[0] for row in new] == [0.0] * 20


def test_what_is_not_alike_is_not_searched_together() -> None:
    banks = [KNN(k=3).fit(rows(100, 0)), KNN(k=3).fit(rows(90, 0))]
    assert together(banks) is None
    assert together([KNN(k=3, metric="cosine").fit(rows(100, 0))] * 2) is None
    assert together([KNN(k=0.1).fit(rows(100, 0))] * 2) is None
    assert together([KNN(k=3).fit(rows(100, 0).astype(np.float64))] * 2) is None
    assert together(banks[:1] * 2) is not None
