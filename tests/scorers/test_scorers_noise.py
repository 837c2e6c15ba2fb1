"""Normal rows told from made-up ones by kernel ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import roc_auc_score

from unalike.errors import InvalidParameter
from unalike.scorers import NoiseContrast

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(80, 5)) + 2.0
NEW = RNG.normal(size=(30, 5)) + 2.0
BACKGROUND = RNG.normal(size=(60, 5)) * 3.0


def twin(scorer, kept):
    """scikit-learn's kernel ridge regression on the rows of the bank that are kept."""
    target = np.repeat([1.0, -1.0], [len(NORMAL), len(scorer.bank_) - len(NORMAL)])
    # Theirs weighs the loss, ours divides the penalty by the weight: the same up to the scale of the penalty.
    weight = 0.5 / np.where(target > 0, (target > 0).mean(), (target < 0).mean())
    model = KernelRidge(alpha=scorer.penalty, kernel="rbf", gamma=1.0 / scorer.squared_scale_)
    return model.fit(scorer.bank_[kept], target[kept], sample_weight=weight[kept])


def test_it_is_weighted_kernel_ridge_regression():
    scorer = NoiseContrast(shifted=40).fit(NORMAL, background=BACKGROUND)
    everything = np.ones(len(scorer.bank_), dtype=bool)
    np.testing.assert_allclose(scorer.score(NEW), 1.5 - twin(scorer, everything).predict(NEW), rtol=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
def test_reference_scores_are_those_without_the_row_or_its_group(grouped):
    groups = np.arange(80) // 4 if grouped else None
    scorer = NoiseContrast(shifted=40).fit(NORMAL, groups=groups, background=BACKGROUND)
    for at in (0, 13, 79):
        kept = np.ones(len(scorer.bank_), dtype=bool)
        kept[:80] = (groups != groups[at]) if grouped else np.arange(80) != at
        left_out = 1.5 - twin(scorer, kept).predict(NORMAL[at : at + 1])
        np.testing.assert_allclose(scorer.reference_scores_[at], left_out, rtol=1e-7)


def test_what_is_like_the_background_scores_above_what_is_like_normal_rows():
    scorer = NoiseContrast().fit(NORMAL, background=BACKGROUND)
    like = RNG.normal(size=(60, 5)) * 3.0
    scores = scorer.score(np.concatenate([NEW, like]))
    assert roc_auc_score(np.repeat([0, 1], [30, 60]), scores) > 0.8
    assert scorer.score(np.full((1, 5), 1e6)) == pytest.approx(1.5)
    assert scorer.reference_scores_.min() > 0.0


def test_shifted_rows_keep_the_length_of_normal_ones():
    unit = NORMAL / np.linalg.norm(NORMAL, axis=1, keepdims=True)
    scorer = NoiseContrast(shifted=25).fit(unit, background=BACKGROUND)
    np.testing.assert_allclose(np.linalg.norm(scorer.bank_[-25:], axis=1), 1.0)
    np.testing.assert_array_equal(scorer.bank_[:80], unit)


def test_copies_and_one_row_are_fitted():
    copies = NoiseContrast(shifted=10).fit(np.repeat(NORMAL[:1], 6, axis=0), background=BACKGROUND)
    assert np.isfinite(copies.score(NEW)).all()
    assert NoiseContrast(shifted=10).fit(NORMAL[:1], background=BACKGROUND).reference_scores_.tolist() == [0.0]


def test_bad_settings_and_a_missing_background_are_told():
    for bad in ({"penalty": 0.0}, {"penalty": "much"}, {"shifted": 0}, {"most_rows": 0.5}):
        with pytest.raises(InvalidParameter, match=next(iter(bad))):
            NoiseContrast(**bad)
    with pytest.raises(InvalidParameter, match="background"):
        NoiseContrast().fit(NORMAL)
