"""KNN against a slow twin in float64 and against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.scorers import KNN, frame, neighbors

RNG = np.random.default_rng


def twin(bank: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """All distances from direct differences, one query at a time."""
    bank, queries = bank.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        return np.array([np.sqrt(((bank - q) ** 2).sum(axis=1)) for q in queries])
    lengths = np.linalg.norm(bank, axis=1)
    distances = []
    for q in queries:
        length = np.linalg.norm(q)
        with np.errstate(invalid="ignore"):
            cosine = (bank / lengths[:, None]) @ (q / length)
        either_zero = (lengths == 0) != (length == 0)
        distances.append(np.where(np.isnan(cosine), either_zero, 1.0 - cosine))
    return np.array(distances)


def hard_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    g = RNG(1)
    plain = g.normal(size=(300, 6))
    tight = g.normal(size=(40, 6))
    return {
        "plain": (plain, g.normal(size=(50, 6))),
        "single": (plain.astype(np.float32), g.normal(size=(50, 6)).astype(np.float32)),
        "bank rows": (plain, plain[:40]),
        "near copies": (np.repeat(plain[:30], 10, axis=0) + 1e-7 * g.normal(size=(300, 6)), plain[:30] + 1e-7),
        "far away": (plain + 1e6, g.normal(size=(50, 6)) + 1e6),
        "two clusters": (np.concatenate([plain, plain + 1e5]), np.concatenate([tight, tight + 1e5])),
        "ties": (g.integers(0, 2, size=(300, 6)).astype(float), g.integers(0, 2, size=(50, 6)).astype(float)),
        "one wide column": (plain * [1e8, 1, 1, 1, 1, 1], g.normal(size=(50, 6)) * [1e8, 1, 1, 1, 1, 1]),
        "constant": (np.full((20, 6), 3.0), np.array([[3.0] * 6, [4.0] * 6])),
        "zero rows": (
            np.concatenate([plain[:20], np.zeros((3, 6))]),
            np.concatenate([plain[:9] + 1, np.zeros((2, 6))]),
        ),
        "tiny": (plain * 1e-30, plain[:20] * 1.1e-30),
        "huge": (plain * 1e30, plain[:20] * 1.1e30),
        "far query": (plain.astype(np.float32), np.array([[1e30] * 6, [1e25] * 6, [1e5] * 6], dtype=np.float32)),
        "one row": (plain[:1], plain[:5]),
        "few rows": (plain[:3], plain[:5]),
        "one column": (plain[:, :1], plain[:20, :1] + 0.01),
    }


@pytest.mark.parametrize("case", hard_cases())
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(("k", "distance"), [(1, "kth"), (5, "kth"), (5, "mean")])
def test_equals_the_slow_twin(case: str, metric: str, k: int, distance: str) -> None:
    bank, queries = hard_cases()[case]
    scorer = KNN(k=k, metric=metric, distance=distance, chunk_mb=1)
    scorer.fit(bank, reference=bank[:1])
    nearest = np.sort(twin(bank, queries, metric), axis=1)[:, :k]
    expected = nearest[:, -1] if distance == "kth" else nearest.mean(axis=1)
    # The twin's 1 - cos cancels near 0, ours does not.
    np.testing.assert_allclose(scorer.score(queries), expected, rtol=1e-9, atol=0.0 if metric == "euclidean" else 1e-14)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equals_scikit_learn(metric: str) -> None:
    g = RNG(0)
    bank, queries = g.normal(size=(3000, 20)), g.normal(size=(1000, 20))
    distances, positions = (
        NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(bank).kneighbors(queries)
    )
    ours = KNN(metric=metric, chunk_mb=1).fit(bank, reference=bank[:1]).neighbors(queries, 5)
    np.testing.assert_allclose(ours[0], distances, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(ours[1], positions)


@pytest.mark.parametrize("kept", [0, 16])
def test_chunks_cut_bank_and_queries_and_change_nothing(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "KEPT_CHUNKS", kept)
    g = RNG(0)
    bank, queries = g.normal(size=(5000, 30)).astype(np.float32), g.normal(size=(1500, 30)).astype(np.float32)
    small, large = (KNN(k=5, chunk_mb=mb).fit(bank, reference=bank[:1]) for mb in (1, 256))
    blocks = []
    original = frame.Frame.factors

    def spied(self: frame.Frame, part: slice, dtype: object) -> object:
        blocks.append(part)
        return original(self, part, dtype)  # type: ignore[arg-type]

    monkeypatch.setattr(frame.Frame, "factors", spied)
    scores = small.score(queries)
    assert (small._search._frame._kept is None) == (kept == 0)
    assert len({part.start for part in blocks}) > 5
    assert sum(part.start == 0 for part in blocks) > 5
    np.testing.assert_array_equal(scores, large.score(queries))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("width", [1, 2, 9, 64])
def test_one_row_scores_as_in_a_batch_to_the_last_bit(metric: str, width: int) -> None:
    g = RNG(3)
    bank, queries = g.normal(size=(500, width)).astype(np.float32), g.normal(size=(60, width)).astype(np.float32)
    scorer = KNN(k=3, metric=metric, distance="mean").fit(bank)
    one_by_one = np.concatenate([scorer.score(queries[i : i + 1]) for i in range(len(queries))])
    np.testing.assert_array_equal(one_by_one, scorer.score(queries))


@pytest.mark.parametrize("size", [1e100, 1e200, 1.7e308])
def test_rows_beyond_all_squares_are_the_farthest(size: float) -> None:
    bank = RNG(0).normal(size=(100, 3))
    queries = np.array([[size, 0, 0], [-size, size, 0], [1e90, 0, 0]])
    scores = KNN(k=2).fit(bank).score(queries)
    assert scores[2] == pytest.approx(1e90)
    assert (scores[:2] > 0.9 * min(size, 1e150)).all()
    assert (KNN(k=2, metric="cosine").fit(bank).score(queries) <= 2).all()


def test_doubtful_rows_are_searched_again() -> None:
    """In single precision alone, rows of one cluster cannot be told apart from afar."""
    g = RNG(0)
    bank = np.concatenate([g.normal(size=(2000, 4)), g.normal(size=(2000, 4)) + 1e6])
    queries = g.normal(size=(100, 4)) + 1e6
    scorer = KNN().fit(bank, reference=bank[:1])
    lifted = queries.astype(np.float64)
    squared, _, sure = scorer._search._by_product(lifted, 1, None, np.float32)
    exact = twin(bank[2000:], queries, "euclidean").min(axis=1)
    assert not np.allclose(np.sqrt(squared[:, 0]), exact, rtol=1e-3)
    assert not sure.any()
    np.testing.assert_allclose(scorer.score(queries), exact, rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_rows_of_the_bank_are_at_distance_zero(metric: str) -> None:
    bank = (RNG(0).normal(size=(800, 33)) * 100 + 1000).astype(np.float32)
    scorer = KNN(metric=metric).fit(bank)
    np.testing.assert_array_equal(scorer.score(bank), 0.0)
    assert scorer.reference_scores_.min() > 0.0


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(("k", "distance"), [(1, "kth"), (4, "kth"), (4, "mean")])
def test_reference_scores_leave_one_out(metric: str, k: int, distance: str) -> None:
    bank = RNG(0).normal(size=(60, 5))
    scorer = KNN(k=k, metric=metric, distance=distance).fit(bank)
    expected = [
        KNN(k=k, metric=metric, distance=distance).fit(np.delete(bank, i, axis=0)).score(bank[i : i + 1])[0]
        for i in range(60)
    ]
    np.testing.assert_array_equal(scorer.reference_scores_, expected)


def test_reference_scores_leave_out_whole_groups() -> None:
    bank = np.repeat(RNG(0).normal(size=(20, 5)), 30, axis=0)
    groups = np.repeat(np.arange(20), 30)
    assert KNN().fit(bank).reference_scores_.max() == 0.0
    grouped = KNN(k=2).fit(bank, groups=groups).reference_scores_
    others = [KNN(k=2).fit(bank[groups != g]).score(bank[groups == g]) for g in range(20)]
    np.testing.assert_array_equal(grouped, np.concatenate(others))


def test_reference_scores_use_what_is_left_when_it_is_few() -> None:
    bank = np.array([[0.0], [1.0], [3.0]])
    np.testing.assert_array_equal(KNN(k=5).fit(bank).reference_scores_, [3.0, 2.0, 3.0])
    np.testing.assert_array_equal(KNN(k=5, distance="mean").fit(bank).reference_scores_, [2.0, 1.5, 2.5])
    pairs = np.array([0, 0, 1])
    np.testing.assert_array_equal(KNN(k=2).fit(bank, groups=pairs).reference_scores_, [3.0, 2.0, 3.0])
    np.testing.assert_array_equal(KNN(k=2, distance="mean").fit(bank, groups=pairs).reference_scores_, [3.0, 2.0, 2.5])
    np.testing.assert_array_equal(KNN().fit(bank, groups=np.zeros(3)).reference_scores_, [1.0, 1.0, 2.0])
    np.testing.assert_array_equal(KNN().fit(bank[:1]).reference_scores_, [0.0])


def test_reference_scores_of_a_large_bank_are_of_evenly_spaced_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = RNG(0).normal(size=(101, 3))
    every = KNN().fit(bank).reference_scores_
    monkeypatch.setattr(neighbors, "_LARGEST_REFERENCE", 11)
    np.testing.assert_array_equal(KNN().fit(bank).reference_scores_, every[::10])


@pytest.mark.parametrize("settings", [{"k": 3}, {"k": 0.1}, {"k": 2, "metric": "cosine"}, {"distance": "mean"}])
def test_add_is_a_fit_to_all_rows(settings: dict[str, Any]) -> None:
    g = RNG(0)
    bank, more, queries = (g.normal(size=(n, 4)).astype(np.float32) for n in (50, 30, 20))
    scorer = KNN(**settings).fit(bank).add(more.astype(np.float64))
    joined = KNN(**settings).fit(np.concatenate([bank, more]))
    assert scorer.bank_.dtype == np.float32
    np.testing.assert_array_equal(scorer.bank_, joined.bank_)
    np.testing.assert_array_equal(scorer.reference_scores_, joined.reference_scores_)
    np.testing.assert_array_equal(scorer.score(queries), joined.score(queries))
    with pytest.raises(InvalidInput, match="width"):
        scorer.add(np.zeros((1, 5)))


def test_added_groups_are_left_out_whole_and_are_other_groups() -> None:
    g = RNG(0)
    bank, more = g.normal(size=(40, 3)), g.normal(size=(20, 3))
    before, after = np.arange(40) // 4, np.arange(20) // 5
    joined = KNN(k=2).fit(np.concatenate([bank, more]), groups=np.concatenate([before, after + 10]))
    scorer = KNN(k=2).fit(bank, groups=before).add(more, groups=after)
    np.testing.assert_array_equal(scorer.reference_scores_, joined.reference_scores_)
    restored = KNN(k=2)
    restored.restore(KNN(k=2).fit(bank, groups=before).state())
    np.testing.assert_array_equal(restored.add(more, groups=after).reference_scores_, joined.reference_scores_)


def test_add_with_held_out_rows_scores_them() -> None:
    g = RNG(0)
    bank, more, held = (g.normal(size=(n, 3)) for n in (40, 20, 10))
    scorer = KNN(k=2).fit(bank, held).add(more, held)
    np.testing.assert_array_equal(scorer.reference_scores_, scorer.score(held))
    assert (scorer.reference_scores_ <= KNN(k=2).fit(bank, held).reference_scores_).all()


def test_a_full_bank_gives_up_rows_in_proportion() -> None:
    g = RNG(0)
    bank, more = g.normal(size=(1000, 3)), g.normal(size=(500, 3)) + 100.0
    scorer = KNN(k=0.1, most_rows=100).fit(bank)
    for part in np.split(more, 5):
        scorer.add(part)
    assert scorer.rows_seen_ == 1500
    assert len(scorer.bank_) == 100
    assert 30 <= (scorer.bank_[:, 0] > 50).sum() <= 36


def test_the_bank_is_a_copy() -> None:
    bank = RNG(0).normal(size=(10, 2))
    scorer = KNN().fit(bank)
    bank[:] = 0.0
    assert scorer.bank_.any()


def test_k_is_limited_to_the_bank() -> None:
    bank = np.array([[0.0], [1.0], [3.0]])
    scorer = KNN(k=9).fit(bank)
    np.testing.assert_array_equal(scorer.score(np.array([[0.0]])), [3.0])
    distances, positions = scorer.neighbors(np.array([[2.9]]), 9)
    np.testing.assert_array_equal(positions, [[2, 1, 0]])
    assert distances.shape == (1, 3)


def test_no_rows_give_no_scores() -> None:
    assert KNN().fit(np.zeros((3, 2))).score(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    "settings", [{"k": 0}, {"k": 1.5}, {"k": True}, {"metric": "manhattan"}, {"distance": "median"}, {"chunk_mb": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        KNN(**settings)  # type: ignore[arg-type]


def test_verbs_need_fit() -> None:
    for verb in (lambda s: s.score(np.zeros((1, 2))), lambda s: s.add(np.zeros((1, 2))), lambda s: s.state()):
        with pytest.raises(NotFitted, match="`KNN` must be fitted"):
            verb(KNN())


def test_a_share_of_the_bank_is_as_many_neighbours():
    rows = np.random.default_rng(0).normal(size=(400, 3))
    share, count = KNN(k=0.025).fit(rows), KNN(k=10).fit(rows)
    assert np.array_equal(share.score(rows + 0.5), count.score(rows + 0.5))
    assert np.array_equal(share.reference_scores_, count.reference_scores_)
    few = KNN(k=0.025).fit(rows[:40])
    assert np.array_equal(few.score(rows), KNN(k=5).fit(rows[:40]).score(rows))


def test_a_bank_of_at_most_so_many_rows_is_evenly_spaced():
    rows = np.random.default_rng(0).normal(size=(1000, 3))
    groups = np.arange(1000) // 10
    scorer = KNN(k=2, most_rows=100).fit(rows, groups=groups)
    kept = np.linspace(0, 999, 100).round().astype(int)
    plain = KNN(k=2).fit(rows[kept], groups=groups[kept])
    assert np.array_equal(scorer.bank_, rows[kept])
    assert np.array_equal(scorer.reference_scores_, plain.reference_scores_)


def test_robust_neighbours_outvote_an_anomaly_in_the_bank():
    rows = np.random.default_rng(0).normal(size=(200, 2))
    anomaly = np.array([[50.0, 50.0]])
    bank = np.concatenate([rows, anomaly, anomaly])
    plain, robust = KNN(k=1), KNN(k=1).robust()
    assert plain.fit(bank).score(anomaly)[0] == 0.0
    assert robust.fit(bank).score(anomaly)[0] > robust.score(rows).max()
    assert robust == KNN(k=5)
    assert KNN(k=7).robust() == KNN(k=7)
    assert KNN(k=0.1).robust() == KNN(k=0.1)


@pytest.mark.parametrize("bad", [0, -1, 1.0, 1.5, 0.0, "3", True])
def test_a_bad_number_of_neighbours_is_refused(bad):
    with pytest.raises(InvalidParameter, match="`k`"):
        KNN(k=bad)


@pytest.mark.parametrize("settings", [{"k": 1}, {"k": 3}, {"k": 4, "distance": "mean"}, {"metric": "cosine"}])
def test_absorbed_rows_are_scored_without_themselves(settings: dict[str, Any]) -> None:
    g = RNG(3)
    train, held, queries = g.normal(size=(50, 4)), g.normal(size=(20, 4)), g.normal(size=(9, 4))
    scorer = KNN(**settings).fit(train)
    before = scorer.reference_scores_.copy()
    scores = scorer.absorb(held)
    everything = np.concatenate([train, held])
    for row, score in enumerate(scores):
        others = np.delete(everything, 50 + row, axis=0)
        np.testing.assert_array_equal(KNN(**settings).fit(others).score(held[row : row + 1]), score)
    np.testing.assert_array_equal(scorer.score(queries), KNN(**settings).fit(everything).score(queries))
    np.testing.assert_array_equal(scorer.reference_scores_, before)
    restored = KNN(**settings)
    restored.restore(scorer.state())
    np.testing.assert_array_equal(restored.score(queries), scorer.score(queries))


def test_absorbed_groups_do_not_vouch_for_their_own() -> None:
    g = RNG(4)
    train, once = g.normal(size=(30, 3)), g.normal(size=(10, 3))
    twins = np.repeat(once, 2, axis=0)
    groups = np.repeat(np.arange(10), 2)
    assert (KNN().fit(train).absorb(twins) == 0.0).all()
    scores = KNN().fit(train).absorb(twins, groups)
    np.testing.assert_array_equal(scores[::2], KNN().fit(train).absorb(once))


@pytest.mark.parametrize("settings", [{"k": 0.1}, {"k": 1, "most_rows": 40}])
def test_a_bank_that_does_not_only_grow_absorbs_nothing(settings: dict[str, Any]) -> None:
    g = RNG(5)
    train, held = g.normal(size=(50, 4)), g.normal(size=(20, 4))
    scorer = KNN(**settings).fit(train)
    bank = scorer.bank_.copy()
    np.testing.assert_array_equal(scorer.absorb(held), KNN(**settings).fit(train).score(held))
    np.testing.assert_array_equal(scorer.bank_, bank)


def test_absorbed_rows_calibrate_honestly() -> None:
    """3,000 draws: the chance that a new row lies above all of 19 absorbed ones is at most, and near, 1 in 20."""
    g = RNG(6)
    alarms = 0
    for _ in range(3000):
        rows = g.standard_t(3, size=(30 + 19 + 1, 2))
        scorer = KNN().fit(rows[:30])
        calibration = scorer.absorb(rows[30:49])
        alarms += bool(scorer.score(rows[49:])[0] > calibration.max())
    assert 0.035 < alarms / 3000 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 3000)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_rounding_of_a_copy_is_no_distance(metric: Any, offset: float) -> None:
    """What a network makes of a row differs in its last bits with the size of the batch."""
    g = RNG(7)
    bank = g.normal(size=(60, 20)) + offset
    last_bits = bank * (1.0 + 4 * np.finfo(np.float64).eps * g.uniform(-1, 1, size=bank.shape))
    farther = bank * (1.0 + 1e-7 * g.uniform(-1, 1, size=bank.shape))
    scorer = KNN(metric=metric).fit(bank)
    assert not np.array_equal(last_bits, bank)
    np.testing.assert_array_equal(scorer.score(last_bits), 0.0)
    np.testing.assert_array_equal(KNN(metric=metric).fit(bank[:5]).absorb(np.repeat(last_bits[9:10], 3, axis=0)), 0.0)
    assert (scorer.score(farther) > 0.0).all()


def test_absorbed_rows_of_one_group_do_not_vouch_for_each_other():
    rng = np.random.default_rng(0)
    bank, near = rng.normal(size=(50, 3)), rng.normal(size=(1, 3)) + 20.0 + 0.01 * rng.normal(size=(9, 3))
    scorer = KNN(k=2).fit(bank, groups=np.arange(50) // 10)
    plain = KNN(k=2).fit(bank).score(near)
    np.testing.assert_allclose(scorer.absorb(near, np.zeros(9, dtype=np.int64)), plain)
    assert (KNN(k=2).fit(bank).absorb(near, np.zeros(9, dtype=np.int64)) == plain).all()
    assert (KNN(k=2).fit(bank).absorb(near) < plain).all()
