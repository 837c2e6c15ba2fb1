from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from unalike.scorers.covariance import shrunk_covariance


@pytest.mark.parametrize(("n", "d"), [(2, 1), (2, 9), (30, 5), (5, 30), (3000, 40)])
@pytest.mark.parametrize("correlated", [False, True])
def test_it_equals_scikit_learn(n: int, d: int, correlated: bool) -> None:
    g = np.random.default_rng(n + d)
    rows = g.normal(size=(n, d)) @ (g.normal(size=(d, d)) if correlated else np.eye(d))
    expected = ledoit_wolf(rows, assume_centered=True)[0]
    np.testing.assert_allclose(shrunk_covariance(rows), expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def test_equal_rows_have_no_spread() -> None:
    np.testing.assert_array_equal(shrunk_covariance(np.zeros((4, 3))), np.zeros((3, 3)))
