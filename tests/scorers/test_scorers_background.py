from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from unalike.errors import InvalidInput, InvalidParameter
from unalike.scorers import Mahalanobis, RelativeMahalanobis

RNG = np.random.default_rng(0)
MIXED = RNG.normal(size=(8, 8))
NORMAL, BACKGROUND, NEW = RNG.normal(size=(60, 8)) + 1.0, RNG.normal(size=(90, 8)) @ MIXED, RNG.normal(size=(20, 8))


def test_it_is_the_difference_of_two_of_scikit_learns_distances() -> None:
    twins = [LedoitWolf().fit(rows).mahalanobis(NEW) for rows in (NORMAL, BACKGROUND)]
    scorer = RelativeMahalanobis().fit(NORMAL, background=BACKGROUND)
    np.testing.assert_allclose(scorer.score(NEW), twins[0] - twins[1], rtol=1e-9, atol=1e-9)


def test_what_varies_everywhere_does_not_count() -> None:
    """A direction in which background and normal rows vary alike tells nothing; Mahalanobis' distance counts it."""
    normal, background = RNG.normal(size=(4000, 3)), RNG.normal(size=(4000, 3)) * [1.0, 1.0, 5.0]
    along, across = np.array([[6.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 3.5]])
    plain = Mahalanobis().fit(normal)
    relative = RelativeMahalanobis().fit(normal, background=background)
    assert plain.score(along) > plain.score(across)
    assert relative.score(along) < relative.score(across)


@pytest.mark.parametrize("n", [12, 40])
def test_reference_scores_are_those_of_new_rows_even_with_fewer_rows_than_columns(n: int) -> None:
    rng = np.random.default_rng(1)
    rows, new, background = rng.normal(size=(n, 60)), rng.normal(size=(400, 60)), rng.normal(size=(300, 60)) * 2.0
    scorer = RelativeMahalanobis().fit(rows, background=background)
    usual = np.median(scorer.score(new))
    # Cross-fit on four fifths: a little above, never below as the rows that were fitted on.
    assert np.median(scorer.score(rows)) < usual - 3 * np.std(scorer.score(new)) / np.sqrt(n)
    assert abs(np.median(scorer.reference_scores_) - usual) < 2 * np.std(scorer.score(new))


def test_the_same_background_serves_other_normal_rows() -> None:
    one = RelativeMahalanobis().fit(NORMAL, background=BACKGROUND)
    other = RelativeMahalanobis().fit(NORMAL[:30], background=BACKGROUND)
    again = one.refilled(NORMAL[:30])
    np.testing.assert_array_equal(again.score(NEW), other.score(NEW))
    np.testing.assert_array_equal(again.reference_scores_, other.reference_scores_)


def test_without_a_background_it_says_what_to_do() -> None:
    with pytest.raises(InvalidParameter, match=r"`background` must be .* Take an encoder"):
        RelativeMahalanobis().fit(NORMAL)
    with pytest.raises(InvalidInput, match="`background` must have the width"):
        RelativeMahalanobis().fit(NORMAL, background=BACKGROUND[:, :3])
