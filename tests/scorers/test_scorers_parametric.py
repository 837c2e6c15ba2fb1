from __future__ import annotations

import numpy as np
import pytest

from unalike.errors import InvalidParameter
from unalike.scorers import Centroid


def test_euclidean_is_the_distance_to_the_mean() -> None:
    g = np.random.default_rng(0)
    bank, queries = g.normal(size=(50, 4)) + 3, g.normal(size=(20, 4))
    expected = np.linalg.norm(queries - bank.mean(axis=0), axis=1)
    np.testing.assert_allclose(Centroid().fit(bank).score(queries), expected, rtol=1e-12)


def test_cosine_is_to_the_mean_direction() -> None:
    g = np.random.default_rng(0)
    bank, queries = g.normal(size=(50, 4)) + 1, g.normal(size=(20, 4))
    centre = (bank / np.linalg.norm(bank, axis=1, keepdims=True)).mean(axis=0)
    expected = 1 - queries @ centre / np.linalg.norm(queries, axis=1) / np.linalg.norm(centre)
    scorer = Centroid("cosine").fit(bank)
    np.testing.assert_allclose(scorer.score(queries), expected, rtol=1e-12)
    np.testing.assert_allclose(scorer.score(queries * 100), expected, rtol=1e-12)
    np.testing.assert_allclose(scorer.score(np.zeros((1, 4))), 1.0)


def test_large_float32_values_are_averaged_in_double_precision() -> None:
    bank = np.full((100_000, 1), 1000.1, dtype=np.float32)
    assert Centroid().fit(bank, reference=bank[:1]).score(bank[:1])[0] < 1e-9


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"one of \['euclidean', 'cosine'\]; got 'l1'"):
        Centroid("l1")  # type: ignore[arg-type]
