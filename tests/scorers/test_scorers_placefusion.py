from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import roc_auc_score

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.scorers import PatchBank, PlaceFusion, PlaceGaussians
from unalike.scorers.build import build_scorer
from unalike.types import PlaceScorer, Stateful


def images(n: int, seed: int = 0, places: int = 9, width: int = 6) -> np.ndarray:
    """Each place has its own mean: what is usual at one is not at another."""
    rows = np.random.default_rng(seed).normal(size=(n, places, width))
    return (rows + np.random.default_rng(99).normal(scale=3.0, size=(places, width))).astype(np.float32)


NORMAL, HELD = images(60), images(30, seed=1)
SMALL = PatchBank(size=80)
BOTH = [PlaceGaussians(top=2), PlaceFusion(bank=SMALL, top=2)]
both = pytest.mark.parametrize("settings", BOTH, ids=lambda s: type(s).__name__)


def fresh(settings):
    return type(settings)(**{f: getattr(settings, f) for f in settings.__dataclass_fields__ if f != "judges_places"})


class OnDemand:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        return self.values[positions]


@pytest.mark.parametrize("settings", [SMALL, *BOTH], ids=lambda s: type(s).__name__)
def test_an_image_that_is_judged_is_embedded_once(settings) -> None:
    class Counting(OnDemand):
        asked = 0

        def __getitem__(self, positions: np.ndarray) -> np.ndarray:
            Counting.asked += len(positions)
            return super().__getitem__(positions)

    scorer = fresh(settings).fit(NORMAL)
    for n in (1, 5):
        Counting.asked = 0
        np.testing.assert_array_equal(scorer.score(Counting(HELD[:n])), scorer.score(HELD[:n]))
        assert Counting.asked == n


def test_distances_are_scipys_under_the_mixture_of_a_place_and_of_all() -> None:
    scorer = PlaceGaussians(width=6, pooled=15.0).fit(NORMAL)
    z = (((NORMAL - scorer.shift_) / scorer.scale_) @ scorer.directions()).astype(np.float64)
    new = (((HELD[:4] - scorer.shift_) / scorer.scale_) @ scorer.directions()).astype(np.float64)
    for place in (0, 5):
        # 60 images of this place beside 15 images' worth of all places, as weighted rows.
        rows = np.concatenate([z[:, place], z.reshape(-1, 6)])
        weights = np.concatenate([np.full(60, 1.0), np.full(540, 15.0 / 540)])
        centre = np.average(rows, axis=0, weights=weights)
        spread = np.cov(rows.T, aweights=weights, ddof=0)
        inverse = np.linalg.inv(spread + 0.01 * np.trace(spread) / 6 * np.eye(6))
        expected = [mahalanobis(row, centre, inverse) / np.sqrt(6) for row in new[:, place]]
        np.testing.assert_allclose(scorer.places(HELD[:4])[:, place], expected, rtol=1e-4)


def test_a_normal_patch_in_the_wrong_place_is_found_by_the_gaussians_and_not_by_the_bank() -> None:
    swapped = HELD.copy()
    swapped[:, [0, 4]] = swapped[:, [4, 0]]
    labels, rows = np.repeat([0, 1], 30), np.concatenate([HELD, swapped])
    found = {
        type(scorer).__name__: roc_auc_score(labels, scorer.fit(NORMAL).score(rows))
        for scorer in (PatchBank(size=400, top=2), PlaceGaussians(top=2), PlaceFusion(bank=PatchBank(size=400), top=2))
    }
    assert found["PatchBank"] < 0.6
    assert found["PlaceGaussians"] > 0.99
    assert found["PlaceFusion"] > 0.99


@both
def test_an_image_scores_alone_as_in_any_batch_and_from_a_source_as_from_an_array(settings, monkeypatch) -> None:
    scorer = fresh(settings).fit(NORMAL)
    scores = scorer.score(HELD)
    assert len(np.unique(scores)) == 30
    np.testing.assert_array_equal([scorer.score(image[None])[0] for image in HELD], scores)
    np.testing.assert_array_equal(scorer.joined(scorer.places(HELD)), scores)
    assert scorer.score(HELD[:0]).shape == (0,)
    monkeypatch.setattr("unalike.scorers.places.CHUNK_BYTES", 7 * NORMAL[0].nbytes)
    monkeypatch.setattr("unalike.scorers.places.HELD_BYTES", 0)
    np.testing.assert_allclose(fresh(settings).fit(OnDemand(NORMAL)).score(OnDemand(HELD)), scores, rtol=1e-5)


@both
def test_it_has_the_shape_and_state_restores_to_the_last_bit(settings) -> None:
    scorer = fresh(settings).fit(NORMAL)
    assert isinstance(scorer, PlaceScorer)
    assert isinstance(scorer, Stateful)
    restored = fresh(settings)
    restored.restore(scorer.state())
    np.testing.assert_array_equal(restored.score(HELD), scorer.score(HELD))
    np.testing.assert_array_equal(restored.reference_scores_, scorer.reference_scores_)
    np.testing.assert_array_equal(restored.add(HELD).score(NORMAL), scorer.add(HELD).score(NORMAL))


@both
def test_reference_scores_are_of_images_that_did_not_teach(settings) -> None:
    scorer = fresh(settings).fit(NORMAL)
    new = scorer.score(images(300, seed=7))
    assert abs((scorer.reference_scores_[:, None] > new).mean() - 0.5) < 0.12
    few = fresh(settings).fit(NORMAL[:12])
    assert few.score(NORMAL[:12]).mean() < 0.95 * few.reference_scores_.mean()
    np.testing.assert_array_equal(fresh(settings).fit(NORMAL, HELD).reference_scores_.shape, (30,))
    assert np.isfinite(fresh(settings).fit(NORMAL[:1]).score(HELD)).all()


def test_gaussians_that_take_new_images_in_are_those_of_all() -> None:
    scorer = PlaceGaussians(width=6).fit(NORMAL[:40], HELD)
    scorer.add(NORMAL[40:], HELD)
    whole = PlaceGaussians(width=6).fit(NORMAL, HELD)
    whole.shift_, whole.scale_ = scorer.shift_, scorer.scale_
    whole._keep(whole._summed(NORMAL, np.zeros(60, dtype=np.int64))[0])
    np.testing.assert_allclose(scorer.score(HELD), whole.score(HELD), rtol=1e-4)
    assert scorer.count_ == 60


def test_a_fusion_adds_what_its_parts_say_in_units_of_the_usual() -> None:
    scorer = PlaceFusion(bank=SMALL, weight=0.5).fit(NORMAL)
    near, usual = fresh(SMALL).fit(NORMAL), PlaceGaussians().fit(NORMAL)
    expected = near.places(HELD) / scorer.units_[0] + 0.5 * usual.places(HELD) / scorer.units_[1]
    np.testing.assert_allclose(scorer.places(HELD), expected, rtol=1e-12)
    assert not hasattr(scorer.bank, "bank_")
    assert scorer.robust().bank == SMALL.robust()


def test_absorbed_images_keep_the_false_alarm_rate() -> None:
    """Heavy-tailed patches of images of different strength: the largest of 9 calibration scores is an alarm in 10."""
    rates = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = rng.standard_t(3, size=(55, 6, 3)) * rng.lognormal(0, 0.5, size=(55, 1, 1))
        train, held, new = np.split(values.astype(np.float32), [16, 25])
        scorer = PlaceFusion(bank=PatchBank(size=60, top=2, seed=seed), top=2).fit(train, train[:1])
        before = scorer.score(held)
        held_scores = scorer.absorb(held)
        assert (held_scores <= before).all()
        rates.append((scorer.score(new) > held_scores.max()).mean())
        assert scorer.absorbed_ == 18
    assert np.mean(rates) < 0.1 + 2.0 * np.std(rates) / np.sqrt(60)


def test_names_and_settings() -> None:
    assert build_scorer("place-gaussians") == PlaceGaussians()
    assert build_scorer("place-fusion") == PlaceFusion()
    settings = PlaceGaussians(width=7, pooled=3.0)
    assert PlaceGaussians(**json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        (PlaceGaussians, {"width": 0}, "`width`"),
        (PlaceGaussians, {"pooled": 0}, "`pooled`"),
        (PlaceGaussians, {"top": 1.5}, "`top`"),
        (PlaceGaussians, {"seed": 0.5}, "`seed`"),
        (PlaceFusion, {"weight": -1}, "`weight`"),
        (PlaceFusion, {"bank": PlaceGaussians()}, "`bank`"),
        (PlaceFusion, {"pictured": 3}, "`pictured`"),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings, told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        kind(**settings)


@both
def test_unusable_embeddings_are_refused(settings) -> None:
    with pytest.raises(NotFitted):
        fresh(settings).score(HELD)
    with pytest.raises(InvalidInput, match="at least one image"):
        fresh(settings).fit(NORMAL[:0])
    with pytest.raises(InvalidInput, match="fitted on, 6; got 5"):
        fresh(settings).fit(NORMAL).score(HELD[..., :5])
    with pytest.raises(InvalidInput, match="as many places as the scorer was fitted on, 9; got 8"):
        fresh(settings).fit(NORMAL).score(HELD[:, :8])
