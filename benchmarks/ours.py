"""Our table detector, read in three ways from one fit, and the floor it has to beat.

- ``unalike``: ``Detector("table")`` as it comes.
- ``untrained``: the same fusion with every trained network replaced by itself before training.
- ``contrast``: the trained networks alone, without the raw-input members of the fusion.
- ``floor``: distance to the nearest training row in standardised columns.

The columns ``fit_s`` and ``peak_mb`` of the first three are those of the whole detector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Maker
from unalike.types import FloatArray

if TYPE_CHECKING:
    from unalike import Detector

UNTRAINED = " (untrained)"


class Default:
    """A `Detector` at its defaults, read in several ways."""

    def __init__(self, modality: str, seed: int) -> None:
        from unalike import Detector

        self.detector = Detector(modality, random_state=seed)

    def fit(self, train: Any) -> None:
        self.detector.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        if method == "unalike":
            return self.detector.anomaly_scores(test)
        scores = self.detector.branch_scores(test)
        return fused(self.detector, scores, members(list(scores), method))


class Floor:
    """kNN with k = 1 on all training rows. A missing cell counts as the training mean, as for the peers."""

    def __init__(self, *, standardise: bool = True) -> None:
        self._scaler = StandardScaler(with_mean=standardise, with_std=standardise)
        self._neighbors = NearestNeighbors(n_neighbors=1)

    def fit(self, train: FloatArray) -> None:
        self._scaler.fit(train)
        self._neighbors.fit(self._scaled(train))

    def score(self, test: FloatArray, method: str = "floor") -> FloatArray:
        distances: FloatArray = self._neighbors.kneighbors(self._scaled(test))[0][:, 0]
        return distances

    def _scaled(self, X: FloatArray) -> FloatArray:
        scaled: FloatArray = np.nan_to_num(self._scaler.transform(X), nan=0.0)
        return scaled


def members(names: Sequence[str], method: str) -> list[str]:
    """Which entries of `Detector.branch_scores` a method fuses.

    Parameters
    ----------
    names : sequence of str
        Branch names; one that trains has a second entry, its name with ``" (untrained)"`` after it.
    method : {"contrast", "untrained", "untrained-alone"}
        Trained branches only; the default with the networks untrained; the untrained networks only.

    Raises
    ------
    ValueError
        When the method is another, or no branch trains.
    """
    trained = [name for name in names if name + UNTRAINED in names]
    raw = [name for name in names if name not in trained and not name.endswith(UNTRAINED)]
    untrained = [name + UNTRAINED for name in trained]
    known = {"contrast": trained, "untrained": raw + untrained, "untrained-alone": untrained}
    if method not in known or not trained:
        raise ValueError(
            f"there is no {method!r} of the branches {names}; there are {', '.join(known)} when one trains"
        )
    return known[method]


def reference_scores(detector: Detector) -> dict[str, FloatArray]:
    """What each entry of `Detector.branch_scores` is compared with, under the same names."""
    references: dict[str, FloatArray] = {}
    for branch in detector.branches_:
        references[branch.settings.name] = branch.judge.scorer.reference_scores_
        if branch.untrained is not None:
            references[branch.settings.name + UNTRAINED] = branch.untrained.scorer.reference_scores_
    return references


def fused(detector: Detector, scores: Mapping[str, FloatArray], names: Sequence[str]) -> FloatArray:
    """The members' scores joined by the detector's fusion; an untrained network weighs what the trained one does."""
    from unalike.scorers.fusion import Fusion

    references = reference_scores(detector)
    fusion = Fusion(
        how=detector.fusion_.how,
        weights={name: detector.fusion_.weight(name.removesuffix(UNTRAINED)) for name in names},
    )
    joined: FloatArray = fusion.fit({name: references[name] for name in names}).score(
        {name: scores[name] for name in names}
    )
    return joined


def default(seed: int) -> Default:
    return Default("table", seed)


def floor(seed: int) -> Floor:
    return Floor()


OURS: dict[str, Maker] = {"unalike": default, "untrained": default, "contrast": default, "floor": floor}
