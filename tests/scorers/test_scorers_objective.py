"""The scorer that takes the objective's own score."""

from __future__ import annotations

import numpy as np
import pytest

from unalike.errors import InvalidInput, NotFitted
from unalike.scorers import ObjectiveScore
from unalike.scorers.build import build_scorer
from unalike.types import Scorer, Stateful

TRAIN, HELD = np.array([[1.0], [2.0], [4.0]]), np.array([[-3.0], [0.5]], dtype=np.float32)


def test_scores_are_as_they_were_given():
    scorer = build_scorer("objective").fit(TRAIN)
    assert isinstance(scorer, Scorer)
    assert isinstance(scorer, Stateful)
    np.testing.assert_array_equal(scorer.reference_scores_, [1.0, 2.0, 4.0])
    scores = scorer.fit(TRAIN, reference=HELD).score(HELD)
    np.testing.assert_array_equal(scores, [-3.0, 0.5])
    np.testing.assert_array_equal(scorer.reference_scores_, scores)
    assert scores.dtype == np.float64
    assert scorer.score(HELD[:0]).shape == (0,)


def test_new_rows_join_the_reference():
    scorer = ObjectiveScore().fit(TRAIN)
    np.testing.assert_array_equal(scorer.add(HELD).reference_scores_, [1.0, 2.0, 4.0, -3.0, 0.5])
    np.testing.assert_array_equal(scorer.add(TRAIN, HELD).reference_scores_, [-3.0, 0.5])
    np.testing.assert_array_equal(scorer.score(TRAIN), TRAIN[:, 0])


def test_state_restores():
    again = ObjectiveScore()
    again.restore(ObjectiveScore().fit(TRAIN).state())
    np.testing.assert_array_equal(again.reference_scores_, [1.0, 2.0, 4.0])


def test_embeddings_and_what_is_not_finite_are_refused():
    with pytest.raises(InvalidInput, match=r"must be the objective's own scores \(n, 1\); got shape \(4, 2\)"):
        ObjectiveScore().fit(np.zeros((4, 2)))
    with pytest.raises(InvalidInput, match="must be finite"):
        ObjectiveScore().fit(np.array([[np.nan]]))
    with pytest.raises(NotFitted):
        ObjectiveScore().score(TRAIN)
