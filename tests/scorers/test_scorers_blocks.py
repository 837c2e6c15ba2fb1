"""PerBlock against one scorer per block, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unalike import configuration
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.persistence.codec import Packer, Unpacker
from unalike.plain import unlearned
from unalike.scorers import KNN, Centroid, KernelDensity, Mahalanobis, NeighborRatio, PerBlock

RNG = np.random.default_rng(0)
# Blocks of very different size, so that units matter.
SIZES = np.repeat([1.0, 3.0, 0.4, 2.0], 3)
BANK, HELD, MORE = ((RNG.normal(size=(n, 12)) * SIZES).astype(np.float32) for n in (120, 40, 25))
GROUPS = np.arange(120) // 4


def by_hand(scorer, reference=None, groups=None):
    cut = lambda rows: None if rows is None else np.split(rows, 4, axis=1)  # noqa: E731
    held = cut(reference) or [None] * 4
    return [unlearned(scorer).fit(b.copy(), h, groups) for b, h in zip(cut(BANK), held, strict=True)]


@pytest.mark.parametrize("scorer", [KNN(k=3), Centroid(), Mahalanobis()])
@pytest.mark.parametrize("reference", [None, HELD])
@pytest.mark.parametrize("groups", [None, GROUPS])
def test_is_one_scorer_per_block_in_units_of_its_median(scorer, reference, groups):
    found = PerBlock(scorer, blocks=4).fit(BANK, reference, groups)
    alone = by_hand(scorer, reference, groups)
    units = [np.median(one.reference_scores_) for one in alone]
    scores = [one.score(b) / u for one, b, u in zip(alone, np.split(HELD, 4, axis=1), units, strict=True)]
    np.testing.assert_array_equal(found.block_scores(HELD), np.stack(scores, axis=1))
    np.testing.assert_allclose(found.score(HELD), np.mean(scores, axis=0), rtol=1e-14)
    references = [one.reference_scores_ / u for one, u in zip(alone, units, strict=True)]
    np.testing.assert_allclose(found.reference_scores_, np.mean(references, axis=0), rtol=1e-14)
    assert np.median(found.reference_scores_) == pytest.approx(1.0, abs=0.2)


def test_one_block_has_the_order_of_its_scorer():
    found, alone = PerBlock(KNN(k=2)).fit(BANK), KNN(k=2).fit(BANK)
    np.testing.assert_allclose(found.score(HELD) * found.units_[0], alone.score(HELD), rtol=1e-14)


@pytest.mark.parametrize(
    ("settings", "counted"),
    [({"combine": "max"}, 1), ({"combine": "top", "share": 0.5}, 2), ({"combine": "top", "share": 0.01}, 1)],
)
def test_the_highest_blocks_count(settings, counted):
    found = PerBlock(blocks=4, **settings).fit(BANK)
    highest = np.sort(found.block_scores(HELD), axis=1)[:, -counted:]
    np.testing.assert_allclose(found.score(HELD), highest.mean(axis=1), rtol=1e-14)
    assert (found.score(HELD) >= PerBlock(blocks=4).fit(BANK).score(HELD)).all()


def test_the_block_that_is_unlike_is_named_whatever_its_size():
    found = PerBlock(blocks=4).fit(BANK)
    for block in range(4):
        odd = HELD.copy()
        odd[:, 3 * block] += 8 * SIZES[3 * block]
        assert (found.block_scores(odd).argmax(axis=1) == block).all()
        assert found.score(odd).min() > found.score(HELD).max()


def test_a_block_that_never_moved_says_nothing_until_it_moves():
    bank, held = BANK.copy(), HELD.copy()
    bank[:, 3:6], held[:, 3:6] = 0.7, 0.7
    found = PerBlock(blocks=4).fit(bank)
    assert (found.block_scores(held)[:, 1] == 0.0).all()
    assert found.units_[1] == pytest.approx(0.1 * found.units_[[0, 2, 3]].sum() / 4)
    held[5, 4] += 0.5
    assert found.score(held).argmax() == 5
    assert np.isfinite(found.score(held)).all()
    still = PerBlock(blocks=4).fit(np.ones((20, 12)))
    np.testing.assert_array_equal(still.reference_scores_, 0.0)
    np.testing.assert_array_equal(still.score(np.ones((3, 12))), 0.0)
    assert (still.score(np.ones((3, 12)) + np.eye(3, 12)) > 0.0).all()


@pytest.mark.parametrize("least", [0.0, 0.1, 0.8, 3.0])
def test_no_unit_is_below_the_least(least):
    units = np.array([np.median(one.reference_scores_) for one in by_hand(KNN(k=3))])
    found = PerBlock(blocks=4, least_unit=least).fit(BANK)
    np.testing.assert_allclose(found.units_, np.maximum(units, least * units.mean()), rtol=1e-14)
    still = PerBlock(blocks=2, least_unit=0.0).fit(np.concatenate([BANK[:, :1], np.ones((120, 1))], axis=1))
    assert still.units_[1] == 1.0


def test_scores_below_zero_keep_their_order():
    found = PerBlock(KernelDensity(), blocks=1).fit(BANK[:, :3])
    alone = KernelDensity().fit(BANK[:, :3])
    assert (alone.score(HELD[:, :3]) < 0).any() or (alone.score(HELD[:, :3]) > 0).all()
    np.testing.assert_array_equal(np.argsort(found.score(HELD[:, :3])), np.argsort(alone.score(HELD[:, :3])))


@pytest.mark.parametrize("scorer", [KNN(k=3), NeighborRatio()])
def test_add_is_a_fit_to_all_rows(scorer):
    found = PerBlock(scorer, blocks=4).fit(BANK).add(MORE)
    joined = PerBlock(scorer, blocks=4).fit(np.concatenate([BANK, MORE]))
    np.testing.assert_array_equal(found.reference_scores_, joined.reference_scores_)
    np.testing.assert_array_equal(found.score(HELD), joined.score(HELD))
    found, joined = PerBlock(scorer, blocks=4).fit(BANK, HELD).add(MORE, HELD), joined.fit(BANK, HELD)
    assert (found.reference_scores_ * found.units_.mean() <= joined.reference_scores_ * joined.units_.mean() + 1).all()
    assert len(found.reference_scores_) == len(HELD)


def test_there_is_no_add_where_the_scorer_has_none():
    assert hasattr(PerBlock(KNN(), blocks=4), "add")
    assert not hasattr(PerBlock(Centroid(), blocks=4), "add")


def test_absorbed_rows_are_absorbed_by_each_block():
    found, alone = PerBlock(blocks=4).fit(BANK), by_hand(KNN(k=3))
    units, before = found.units_.copy(), found.reference_scores_.copy()
    groups = np.arange(40) // 2
    cut = np.split(HELD, 4, axis=1)
    expected = [one.absorb(b, groups) / u for one, b, u in zip(alone, cut, units, strict=True)]
    np.testing.assert_allclose(found.absorb(HELD, groups), np.mean(expected, axis=0), rtol=1e-14)
    assert found.absorbed_ == 40
    np.testing.assert_array_equal(found.reference_scores_, before)
    again = np.stack([one.score(b) for one, b in zip(alone, np.split(MORE, 4, axis=1), strict=True)], axis=1) / units
    np.testing.assert_array_equal(found.block_scores(MORE), again)


def test_where_nothing_is_absorbed_rows_get_plain_scores():
    found = PerBlock(Centroid(), blocks=4).fit(BANK)
    np.testing.assert_array_equal(found.absorb(HELD), found.score(HELD))
    assert found.absorbed_ == 0


def test_robust_is_robust_in_each_block():
    assert PerBlock(KNN(k=3), blocks=4, combine="max").robust() == PerBlock(KNN(k=5), blocks=4, combine="max")
    assert PerBlock("knn", blocks=4).robust() == PerBlock(KNN(k=5), blocks=4)
    assert PerBlock(Centroid(), blocks=4).robust() == PerBlock(Centroid(), blocks=4)


def test_the_scorer_that_was_passed_is_not_fitted():
    scorer = KNN(k=3)
    PerBlock(scorer, blocks=4).fit(BANK)
    assert not hasattr(scorer, "bank_")
    fitted = KNN(k=3).fit(BANK[:9])
    np.testing.assert_array_equal(
        PerBlock(fitted, blocks=4).fit(BANK).score(HELD), PerBlock(scorer, blocks=4).fit(BANK).score(HELD)
    )
    assert len(fitted.bank_) == 9


def test_absorbed_rows_and_groups_are_saved():
    found = PerBlock(blocks=4).fit(BANK, groups=GROUPS)
    found.absorb(HELD)
    packer = Packer()
    settings, state = packer.settings(found, "scorer"), packer.state(found.state(), "scorer")
    unpacker = Unpacker(packer.arrays, packer.blobs)
    restored = unpacker.value(settings)
    assert restored == PerBlock(blocks=4)
    restored.restore(unpacker.value(state))
    assert restored.absorbed_ == 40
    np.testing.assert_array_equal(restored.score(MORE), found.score(MORE))
    np.testing.assert_array_equal(restored.add(MORE).reference_scores_, found.add(MORE).reference_scores_)


def test_a_file_of_settings_may_name_it(tmp_path):
    (tmp_path / "a.toml").write_text(
        '[scorer]\ntype = "PerBlock"\nblocks = 4\ncombine = "max"\nscorer = { type = "KNN", k = 5 }\n'
    )
    found = configuration.read_settings(tmp_path / "a.toml")
    assert found == {"scorer": PerBlock(KNN(k=5), blocks=4, combine="max")}
    (tmp_path / "b.toml").write_text(configuration.settings_as_toml(found))
    assert configuration.read_settings(tmp_path / "b.toml") == found


class Mine:
    """A user's scorer that cannot be saved."""

    def fit(self, embeddings, reference=None, groups=None):
        self.reference_scores_ = np.abs(embeddings).sum(axis=1)
        return self

    def score(self, embeddings):
        return np.abs(embeddings).sum(axis=1)


def test_a_scorer_of_the_user_s_does_but_must_tell_its_state_to_be_saved():
    found = PerBlock(Mine(), blocks=4).fit(BANK)
    assert found.score(HELD).shape == (40,)
    with pytest.raises(InvalidParameter, match=r"`scorer` must have `state\(\)`"):
        found.state()


@pytest.mark.parametrize(
    "settings",
    [
        {"blocks": 0},
        {"blocks": 2.0},
        {"combine": "median"},
        {"share": 0},
        {"share": 1.5},
        {"least_unit": -1},
        {"scorer": "nearest"},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        PerBlock(**settings)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(InvalidParameter, match="`blocks` must divide the width of the embeddings, 12; got 5"):
        PerBlock(blocks=5).fit(BANK)
    with pytest.raises(InvalidInput, match="fitted on, 12; got 9"):
        PerBlock(blocks=4).fit(BANK, reference=HELD[:, :9])
    for verb in (lambda s: s.absorb(HELD), lambda s: s.add(HELD), lambda s: s.state(), lambda s: s.block_scores(HELD)):
        with pytest.raises(NotFitted, match="`PerBlock` must be fitted"):
            verb(PerBlock(blocks=4))
