"""What every scorer promises, ours, wrapped and the user's."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from pyod.models import knn as pyod_knn
from sklearn import mixture
from sklearn.neighbors import LocalOutlierFactor

from unalike import lookup
from unalike.errors import InvalidInput, NotFitted
from unalike.scorers import (
    KNN,
    SCORERS,
    Centroid,
    GaussianMixture,
    IsolationForest,
    KernelDensity,
    LocalKNN,
    Mahalanobis,
    NeighborRatio,
    NoiseContrast,
    ObjectiveScore,
    OneClassSVM,
    Outlier,
    PatchBank,
    PerBlock,
    PlaceFusion,
    PlaceGaussians,
    RelativeMahalanobis,
)
from unalike.scorers.build import build_scorer
from unalike.types import Scorer, Stateful

RNG = np.random.default_rng(0)
# Off the origin, so that "far" is far in direction, too.
NORMAL = (RNG.normal(size=(150, 6)) + 4).astype(np.float32)
HELD = (RNG.normal(size=(60, 6)) + 4).astype(np.float32)
FAR = np.array([[-12, 12, -12, 12, -12, 12]], dtype=np.float32)
BACKGROUND = RNG.normal(size=(200, 6)) * 9


@dataclasses.dataclass
class Contrasted(RelativeMahalanobis):
    """With a background of its own, which a `Detector` would have from the encoder."""

    def fit(self, embeddings: Any, reference: Any = None, groups: Any = None) -> Contrasted:  # type: ignore[override]
        return super().fit(embeddings, reference, groups, background=BACKGROUND[:, : np.shape(embeddings)[1]])


@dataclasses.dataclass(kw_only=True)
class ContrastedByKernel(NoiseContrast):
    """With a background of its own, too."""

    def fit(self, embeddings: Any, reference: Any = None, groups: Any = None) -> ContrastedByKernel:  # type: ignore[override]
        return super().fit(embeddings, reference, groups, background=BACKGROUND[:, : np.shape(embeddings)[1]])


OURS = [
    KNN(),
    KNN(k=5, metric="cosine", distance="mean"),
    LocalKNN(),
    LocalKNN(k=3, power=1.0, metric="cosine"),
    NeighborRatio(),
    NeighborRatio(k=3),
    Centroid(),
    Centroid("cosine"),
    IsolationForest(n_trees=20),
    Mahalanobis(),
    GaussianMixture(),
    GaussianMixture(n_components=2, covariance="diag"),
    GaussianMixture(n_components=3, covariance="tied", regularization=0.1),
    GaussianMixture(n_components=2, covariance="full"),
    KernelDensity(),
    KernelDensity(bandwidth="scott"),
    KernelDensity(bandwidth=1.5),
    OneClassSVM(),
    OneClassSVM(nu=0.1, gamma=0.2),
    PerBlock(blocks=3),
    PerBlock(KNN(k=2, distance="mean"), blocks=3, combine="max"),
    PerBlock("mahalanobis", blocks=3, combine="top", share=0.5),
    Contrasted(),
    ContrastedByKernel(shifted=50),
]
WRAPPED = [
    Outlier(pyod_knn.KNN(n_neighbors=3)),
    Outlier(mixture.GaussianMixture(random_state=0)),
    Outlier(LocalOutlierFactor(novelty=True)),
]

every = pytest.mark.parametrize("settings", OURS + WRAPPED, ids=repr)
ours = pytest.mark.parametrize("settings", OURS, ids=repr)
# Settings within settings are JSON through `persistence.codec` only.
flat = pytest.mark.parametrize("settings", [s for s in OURS if not isinstance(s, PerBlock)], ids=repr)


def fresh(settings: Any) -> Any:
    return copy.deepcopy(settings)


def test_every_name_is_under_contract() -> None:
    # ObjectiveScore takes one score per sample and no embedding: test_scorers_objective.py. Three take places:
    # test_scorers_patches.py, test_scorers_placefusion.py. PerBlock has no name.
    known = {type(scorer) for scorer in OURS} - {PerBlock, Contrasted, ContrastedByKernel}
    known |= {NoiseContrast, ObjectiveScore, PatchBank, PlaceFusion, PlaceGaussians, RelativeMahalanobis}
    assert {lookup.named("scorer", SCORERS, name) for name in SCORERS} == known


@every
def test_has_the_shape(settings: Any) -> None:
    scorer = build_scorer(settings)
    assert scorer.fit(NORMAL, reference=HELD) is scorer
    assert isinstance(scorer, Scorer)
    assert isinstance(scorer, Stateful)
    scores = scorer.score(HELD)
    assert scores.shape == (60,)
    assert scores.dtype == scorer.reference_scores_.dtype == np.float64
    assert scorer.score(HELD[:0]).shape == (0,)


@every
def test_the_far_point_scores_highest(settings: Any) -> None:
    scorer = fresh(settings).fit(NORMAL)
    assert scorer.score(FAR)[0] > max(scorer.score(HELD).max(), scorer.reference_scores_.max())


@every
def test_settings_and_input_are_left_alone(settings: Any) -> None:
    scorer, rows, queries = fresh(settings), NORMAL.copy(), HELD.copy()
    scorer.fit(rows)
    before = scorer.score(queries)
    assert repr(scorer) == repr(settings)
    np.testing.assert_array_equal(rows, NORMAL)
    np.testing.assert_array_equal(queries, HELD)
    rows[:] = 0
    np.testing.assert_array_equal(scorer.score(queries), before)


@every
def test_fitting_again_forgets(settings: Any) -> None:
    again = fresh(settings).fit(NORMAL[:40, :3] * 5, groups=np.arange(40) // 2).fit(NORMAL)
    once = fresh(settings).fit(NORMAL)
    np.testing.assert_array_equal(again.score(HELD), once.score(HELD))
    np.testing.assert_array_equal(again.reference_scores_, once.reference_scores_)


@every
def test_a_row_scores_alone_as_in_any_batch(settings: Any) -> None:
    scorer = fresh(settings).fit(NORMAL)
    scores = scorer.score(HELD)
    # The mixture's matrix product is scikit-learn's and moves the last bits.
    rtol = 0.0 if settings in OURS else 1e-12
    np.testing.assert_allclose([scorer.score(row[None])[0] for row in HELD], scores, rtol=rtol)
    np.testing.assert_allclose(scorer.score(HELD[::-3]), scores[::-3], rtol=rtol)


# The forest is left out: it draws its rows by position.
@pytest.mark.parametrize("settings", [s for s in OURS + WRAPPED if not isinstance(s, IsolationForest)], ids=repr)
def test_the_order_of_normal_rows_does_not_matter(settings: Any) -> None:
    shuffled = np.random.default_rng(5).permutation(len(NORMAL))
    one, other = fresh(settings).fit(NORMAL, reference=HELD), fresh(settings).fit(NORMAL[shuffled], reference=HELD)
    np.testing.assert_allclose(other.score(HELD), one.score(HELD), rtol=1e-9)


@every
def test_reference_scores_are_of_the_reference(settings: Any) -> None:
    scorer = fresh(settings).fit(NORMAL, reference=HELD)
    np.testing.assert_array_equal(scorer.reference_scores_, scorer.score(HELD))


@every
def test_without_a_reference_the_scores_are_not_of_memorised_rows(settings: Any) -> None:
    """They must look like the scores of new rows: a two-sample rank test, and no bias towards usual."""
    scorer = fresh(settings).fit(NORMAL)
    reference = scorer.reference_scores_
    assert reference.shape == (150,)
    assert np.isfinite(reference).all()
    new = scorer.score((np.random.default_rng(9).normal(size=(2000, 6)) + 4).astype(np.float32))
    above = (reference[:, None] > new).mean() + (reference[:, None] == new).mean() / 2
    # 4 standard errors of the probability that one exceeds the other, at 150 rows.
    assert abs(above - 0.5) < 4 * np.sqrt(1 / 12 / 150)
    if isinstance(settings, KNN) and settings.k == 1:
        assert scorer.score(NORMAL).max() == 0.0
        assert reference.min() > 0.0


@every
def test_groups_are_left_out_whole(settings: Any) -> None:
    """Near-copies in one group would else vouch for each other."""
    copies = np.repeat(NORMAL[:30], 5, axis=0) + np.float32(1e-3) * RNG.normal(size=(150, 6)).astype(np.float32)
    groups = np.repeat(np.arange(30), 5)
    alone, grouped = fresh(settings).fit(copies), fresh(settings).fit(copies, groups=groups)
    if getattr(settings, "bandwidth", None) == "likelihood":  # near-copies must not choose it either
        assert grouped.bandwidth_ > 10 * alone.bandwidth_
    elif isinstance(settings, NeighborRatio):
        assert grouped.unit_ > 10 * alone.unit_
    elif isinstance(settings, LocalKNN):  # of ten neighbours four are copies
        assert grouped.unit_ > 1.5 * alone.unit_
    elif isinstance(settings, PerBlock):
        assert not isinstance(settings.scorer, KNN) or (grouped.units_ > 10 * alone.units_).all()
    else:
        np.testing.assert_array_equal(alone.score(HELD), grouped.score(HELD))
    assert not np.array_equal(alone.reference_scores_, grouped.reference_scores_)
    if isinstance(settings, KNN):
        assert grouped.reference_scores_.min() > 10 * alone.reference_scores_.max() or settings.metric == "cosine"
        assert grouped.reference_scores_.mean() > alone.reference_scores_.mean()


@ours
def test_one_row_can_be_fitted(settings: Any) -> None:
    scorer = fresh(settings).fit(NORMAL[:1])
    np.testing.assert_array_equal(scorer.reference_scores_, [0.0])
    assert np.isfinite(scorer.score(HELD)).all()


@every
def test_state_restores_to_the_last_bit(settings: Any) -> None:
    scorer = fresh(settings).fit(NORMAL)
    state = scorer.state()
    for value in state.values():
        if isinstance(value, np.ndarray):
            assert value.dtype != object
        else:
            assert isinstance(value, bytes) or json.loads(json.dumps(value)) == value
    restored = dataclasses.replace(settings)
    restored.restore(
        {name: np.asarray(value) if isinstance(value, np.ndarray) else value for name, value in state.items()}
    )
    np.testing.assert_array_equal(restored.score(HELD), scorer.score(HELD))
    np.testing.assert_array_equal(restored.reference_scores_, scorer.reference_scores_)
    assert restored.state().keys() == state.keys()


@flat
def test_settings_are_json(settings: Any) -> None:
    assert type(settings)(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


@every
def test_read_only_arrays_do(settings: Any) -> None:
    rows = NORMAL.copy()
    rows.setflags(write=False)
    scorer = fresh(settings).fit(rows)
    state = scorer.state()
    for value in state.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    restored = fresh(settings)
    restored.restore(state)
    np.testing.assert_array_equal(restored.score(rows), scorer.score(rows))


@every
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(settings: Any, value: float) -> None:
    broken = HELD.copy()
    broken[3, 2] = value
    with pytest.raises(InvalidInput, match=r"`embeddings` must be finite; got .* first in row 3"):
        fresh(settings).fit(broken)
    scorer = fresh(settings).fit(NORMAL)
    with pytest.raises(InvalidInput, match="`embeddings` must be finite"):
        scorer.score(broken)
    with pytest.raises(InvalidInput, match="`reference` must be finite"):
        scorer.fit(NORMAL, reference=broken)


@every
def test_other_shapes_are_refused(settings: Any) -> None:
    with pytest.raises(InvalidInput, match="at least one row"):
        fresh(settings).fit(NORMAL[:0])
    with pytest.raises(InvalidInput, match="`groups` must have one value per sample, 150"):
        fresh(settings).fit(NORMAL, groups=np.zeros(3))
    scorer = fresh(settings).fit(NORMAL)
    with pytest.raises(InvalidInput, match="fitted on, 6; got 5"):
        scorer.score(HELD[:, :5])
    with pytest.raises(NotFitted, match="must be fitted before"):
        fresh(settings).score(HELD)
