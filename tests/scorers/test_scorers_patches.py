from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.scorers import PatchBank
from unalike.scorers.build import build_scorer
from unalike.scorers.coreset import greedy_coreset
from unalike.types import PlaceScorer, Stateful


def places(n: int, seed: int = 0, places: int = 9, width: int = 6) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, places, width)) + 1.0).astype(np.float32)


NORMAL, HELD = places(40), places(30, seed=1)


class OnDemand:
    """Counts how many images it was asked for at a time."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.most = values, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        self.most = max(self.most, len(positions))
        return self.values[positions]


def naive_coreset(rows: np.ndarray, size: int, first: int) -> list[int]:
    taken = [first]
    while len(taken) < size:
        apart = np.linalg.norm(rows[:, None] - rows[taken], axis=-1).min(axis=1)
        taken.append(int(apart.argmax()))
    return taken


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_coreset_is_the_farthest_row_again_and_again(seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(200, 5)) + 50.0
    found = greedy_coreset(rows, 20, seed=seed)
    assert found.tolist() == naive_coreset(rows, 20, int(found[0]))


def test_a_projected_coreset_covers_nearly_as_well_and_better_than_chance() -> None:
    rows = np.random.default_rng(0).normal(size=(600, 200)) * np.random.default_rng(1).lognormal(size=(600, 1))

    def radius(kept: np.ndarray) -> float:
        return float(NearestNeighbors(n_neighbors=1).fit(rows[kept]).kneighbors(rows)[0].max())

    exact, projected = radius(greedy_coreset(rows, 60)), radius(greedy_coreset(rows, 60, projected=64))
    random = radius(np.random.default_rng(2).choice(600, 60, replace=False))
    assert projected < 1.5 * exact
    assert projected < 0.8 * random


def test_equal_rows_are_taken_once() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(5, 3)), 4, axis=0)
    assert len(np.unique(rows[greedy_coreset(rows, 10)], axis=0)) == 5
    assert greedy_coreset(rows, 20).tolist() == list(range(20))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_places_are_as_far_as_sklearn_finds_them(metric: str) -> None:
    scorer = PatchBank(size=50, metric=metric, top=3).fit(NORMAL)
    assert scorer.bank_.shape == (50, 6)
    rows = ((HELD - scorer.mean_) / scorer.scale_).reshape(-1, 6).astype(np.float64)
    search = NearestNeighbors(n_neighbors=1, metric=metric, algorithm="brute").fit(scorer.bank_.astype(np.float64))
    expected = search.kneighbors(rows)[0].reshape(30, 9)
    np.testing.assert_allclose(scorer.places(HELD), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scorer.score(HELD), np.sort(expected, axis=1)[:, -3:].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(scorer.joined(scorer.places(HELD)), scorer.score(HELD))


def test_the_bank_is_of_training_patches_and_units_of_channels_do_not_count() -> None:
    scorer = PatchBank(size=50, metric="euclidean").fit(NORMAL)
    patches = (NORMAL.reshape(-1, 6) - scorer.mean_) / scorer.scale_
    assert all((np.abs(patches - row).max(axis=1) < 1e-6).any() for row in scorer.bank_)
    units = np.array([1, 2, 0.5, 3, 1, 0.5], dtype=np.float32)
    np.testing.assert_allclose(
        PatchBank(size=360).fit(NORMAL * units).score(HELD * units),
        PatchBank(size=360).fit(NORMAL).score(HELD),
        rtol=1e-4,
    )


def test_it_has_the_shape_and_its_settings_are_json() -> None:
    scorer = build_scorer("patch-bank").fit(NORMAL)
    assert isinstance(scorer, PlaceScorer)
    assert isinstance(scorer, Stateful)
    settings = PatchBank(size=7, metric="euclidean")
    assert PatchBank(**json.loads(json.dumps(asdict(settings)))) == settings


def test_an_image_scores_alone_as_in_any_batch_and_from_a_source_as_from_an_array() -> None:
    scorer = PatchBank(size=60).fit(NORMAL)
    scores = scorer.score(HELD)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal([scorer.score(image[None])[0] for image in HELD], scores)
    lazy = PatchBank(size=60).fit(OnDemand(NORMAL), groups=np.arange(40) // 2)
    np.testing.assert_array_equal(lazy.score(OnDemand(HELD)), scores)
    assert scorer.score(HELD[:0]).shape == (0,)


def test_places_of_large_images_are_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unalike.scorers.places.CHUNK_BYTES", 5 * NORMAL[0].nbytes)
    monkeypatch.setattr("unalike.scorers.places.HELD_BYTES", 0)
    source = OnDemand(NORMAL)
    scorer = PatchBank(size=60, pool=100).fit(source)
    scorer.score(source)
    assert source.most == 5
    whole = PatchBank(size=60, pool=100).fit(NORMAL)
    np.testing.assert_array_equal(scorer.reference_scores_, whole.reference_scores_)
    np.testing.assert_array_equal(scorer.bank_, whole.bank_)


def test_one_odd_place_is_found_among_usual_ones() -> None:
    spoilt = HELD.copy()
    spoilt[np.arange(30), np.arange(30) % 9] += np.array([-3, 3, -3, 3, -3, 3], dtype=np.float32)
    scorer = PatchBank(size=200, top=1).fit(NORMAL)
    assert (scorer.places(spoilt).argmax(axis=1) == np.arange(30) % 9).mean() > 0.8
    assert roc_auc_score(np.repeat([0, 1], 30), scorer.score(np.concatenate([HELD, spoilt]))) > 0.9


def test_reference_scores_are_of_images_that_the_bank_does_not_know() -> None:
    copies = np.repeat(NORMAL[:10], 4, axis=0) + 1e-3 * places(40, seed=5)
    groups = np.repeat(np.arange(10), 4)
    scorer = PatchBank(size=400).fit(copies.astype(np.float32), groups=groups)
    alone = PatchBank(size=400).fit(copies.astype(np.float32))
    assert np.median(scorer.reference_scores_) > 50 * np.median(alone.reference_scores_)
    np.testing.assert_array_equal(PatchBank().fit(NORMAL, HELD).reference_scores_, PatchBank().fit(NORMAL).score(HELD))
    np.testing.assert_array_equal(PatchBank().fit(NORMAL[:1]).reference_scores_, [0.0])
    new = scorer.score(places(200, seed=7))
    above = (scorer.reference_scores_[:, None] > new).mean()
    assert abs(above - 0.5) < 4 * np.sqrt(1 / 12 / 10)


def test_absorbed_images_keep_the_false_alarm_rate() -> None:
    """Heavy-tailed patches of images of different strength: the largest of 9 calibration scores is an alarm in 10."""
    rates = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = rng.standard_t(3, size=(55, 6, 3)) * rng.lognormal(0, 0.5, size=(55, 1, 1))
        train, held, new = np.split(values.astype(np.float32), [16, 25])
        scorer = PatchBank(size=60, top=2, metric="euclidean", seed=seed).fit(train, train[:1])
        held_scores = scorer.absorb(held)
        rates.append((scorer.score(new) > held_scores.max()).mean())
        assert scorer.absorbed_ == 18
    assert np.mean(rates) < 0.1 + 2.0 * np.std(rates) / np.sqrt(60)


def test_absorbed_patches_are_known_and_scores_are_those_without_the_own_group() -> None:
    scorer, before = PatchBank(size=60, top=2).fit(NORMAL), PatchBank(size=60, top=2).fit(NORMAL)
    groups = np.arange(20) // 2
    scores = scorer.absorb(HELD[:20], groups)
    for group in (0, 7):
        own, others = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        other = PatchBank(size=60, top=2).fit(NORMAL)
        other.absorb(HELD[others])
        np.testing.assert_allclose(other.score(HELD[own]), scores[own], rtol=1e-12)
    assert len(scorer.bank_) == 100
    assert (scorer.score(HELD) <= before.score(HELD)).all()
    many = before.absorb(places(100, seed=3))
    np.testing.assert_array_equal(many, before.score(places(100, seed=3)))
    assert before.absorbed_ == 0


def test_a_robust_bank_does_not_learn_the_defects_of_held_out_images() -> None:
    """Two of twenty held-out images have the defect of the new ones; normal ones keep their scores."""
    held, defects = HELD[:20].copy(), places(30, seed=5)
    for images in (held[:2], defects):
        images[:, :2, 0] += 8.0
    plain, robust = PatchBank(size=60, top=2), PatchBank(size=60, top=2).robust()
    assert robust == PatchBank(size=60, top=2, absorbing=False) == robust.robust()
    scores = {}
    for name, scorer in (("plain", plain), ("robust", robust)):
        before = scorer.fit(NORMAL).score(held)
        held_scores = scorer.absorb(held)
        scores[name] = roc_auc_score([0] * 30 + [1] * 30, scorer.score(np.concatenate([places(30, seed=6), defects])))
    np.testing.assert_array_equal(held_scores, before)
    assert (robust.absorbed_, len(robust.bank_)) == (0, 60)
    assert scores["robust"] == 1.0
    assert scores["plain"] < 0.99


def test_new_images_join_the_bank_and_absorbed_ones_leave_it() -> None:
    new = places(20, seed=9) + 4.0
    scorer = PatchBank(size=60, metric="euclidean").fit(NORMAL)
    before, known = scorer.score(new), scorer.reference_scores_
    scorer.absorb(HELD[:10])
    scorer.add(new)
    assert len(scorer.bank_) == 60
    assert scorer.absorbed_ == 0
    assert scorer.score(new).mean() < 0.6 * before.mean()
    np.testing.assert_array_equal(scorer.reference_scores_, np.concatenate([known, before]))


def test_state_restores_to_the_last_bit() -> None:
    scorer = PatchBank(size=60).fit(NORMAL)
    scorer.absorb(HELD[:10])
    restored = PatchBank(size=60)
    restored.restore(scorer.state())
    np.testing.assert_array_equal(restored.score(HELD), scorer.score(HELD))
    np.testing.assert_array_equal(restored.add(HELD).score(NORMAL), scorer.add(HELD).score(NORMAL))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"size": 0}, "`size`"),
        ({"top": 1.5}, "`top`"),
        ({"top": 0}, "`top`"),
        ({"metric": "l1"}, "`metric`"),
        ({"absorbing": "yes"}, "`absorbing`"),
        ({"seed": 0.5}, "`seed`"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        PatchBank(**settings)


def test_unusable_embeddings_are_refused() -> None:
    with pytest.raises(NotFitted):
        PatchBank().score(HELD)
    with pytest.raises(InvalidInput, match="at least one image"):
        PatchBank().fit(NORMAL[:0])
    with pytest.raises(InvalidInput, match=r"shape \(images, places, width\)"):
        PatchBank().fit(NORMAL[:, 0])
    broken = NORMAL.copy()
    broken[3, 2, 1] = np.nan
    with pytest.raises(InvalidInput, match="first in image 3"):
        PatchBank().fit(broken)
    with pytest.raises(InvalidInput, match="fitted on, 6; got 5"):
        PatchBank().fit(NORMAL).score(HELD[..., :5])
