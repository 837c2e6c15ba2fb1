from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyod.models import knn as pyod_knn
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

from unalike import scorers
from unalike.errors import InvalidParameter
from unalike.scorers.build import build_scorer


class Own:
    """A scorer of the user's: only the contract's shape."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    def fit(self, embeddings, reference=None, groups=None):  # type: ignore[no-untyped-def]
        return self

    def score(self, embeddings):  # type: ignore[no-untyped-def]
        return np.zeros(len(embeddings))


@pytest.mark.parametrize("name", scorers.SCORERS)
def test_names_give_the_defaults(name: str) -> None:
    built = build_scorer(name)
    assert built == type(built)()
    assert type(built).__name__ == scorers.SCORERS[name].partition(":")[2]


def test_scorers_are_copied() -> None:
    for scorer in (scorers.KNN(k=3), Own()):
        built = build_scorer(scorer)
        assert type(built) is type(scorer)
        assert built is not scorer
    own = Own()
    build_scorer(own).settings["changed"] = True  # type: ignore[attr-defined]
    assert own.settings == {}


@pytest.mark.parametrize("detector", [pyod_knn.KNN(), GaussianMixture(), LocalOutlierFactor(novelty=True)])
def test_outlier_detectors_are_wrapped(detector: Any) -> None:
    """GaussianMixture also has `score`, which is scikit-learn's and not ours."""
    built = build_scorer(detector)
    assert isinstance(built, scorers.Outlier)
    assert built.detector is detector


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match=r"'centroid'.*'isolation-forest'.*'knn'.*got 'k-nn'"):
        build_scorer("k-nn")


@pytest.mark.parametrize("other", [StandardScaler(), 3, None])
def test_other_shapes_are_refused(other: Any) -> None:
    with pytest.raises(InvalidParameter, match="`scorer` must be one of"):
        build_scorer(other)


def test_a_class_is_told_to_become_an_object() -> None:
    with pytest.raises(InvalidParameter, match=r"make an object of it"):
        build_scorer(scorers.KNN)


def test_all_names_are_exported() -> None:
    for name in scorers.__all__:
        assert hasattr(scorers, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        scorers.Nothing  # noqa: B018


def test_a_detector_that_scores_no_new_rows_is_told_what_it_needs() -> None:
    with pytest.raises(InvalidParameter, match=r"score new rows: give LocalOutlierFactor\(novelty=True\)\.$"):
        build_scorer(LocalOutlierFactor())
