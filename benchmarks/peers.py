"""PyOD's detectors at their defaults, for tables.

Every peer gets the data standardised on its training rows (`StandardScaler`, as in DTE), missing cells
replaced by the training mean, as float64. Two peers take at most 10,000 training rows, drawn by seed, because
their time grows with the square of the rows or with hundreds of epochs: see `MOST_ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Maker
from unalike.types import FloatArray

MOST_ROWS = {"pyod-ocsvm": 10_000, "pyod-lunar": 10_000}
"""Largest number of training rows of a peer; the others take all."""

_COMPILED = ("pyod-ecod", "pyod-copod", "pyod-autoencoder")

Constructor = Callable[[int, FloatArray], Any]
"""``(seed, standardised training rows) -> detector`` of PyOD."""


class Peer:
    """A PyOD detector behind the harness' contract.

    Parameters
    ----------
    construct : callable
        Makes the detector, once the training rows are known.
    seed : int
        Of the detector and of the draw of training rows.
    most_rows : int, optional
        How many training rows it takes.
    """

    def __init__(self, construct: Constructor, seed: int, most_rows: int | None = None) -> None:
        self._construct, self._seed, self._most_rows = construct, seed, most_rows

    def fit(self, train: FloatArray) -> None:
        if self._most_rows is not None and len(train) > self._most_rows:
            train = train[np.random.default_rng(self._seed).permutation(len(train))[: self._most_rows]]
        self._scaler = StandardScaler().fit(train)
        standardised = self._standardised(train)
        self._detector = self._construct(self._seed, standardised)
        self._detector.fit(standardised)

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        scores: FloatArray = np.asarray(self._detector.decision_function(self._standardised(test)), dtype=np.float64)
        return scores

    def costs(self) -> Mapping[str, float]:
        """What the detector measured itself, because it works in another process; most do not."""
        costs: Mapping[str, float] = getattr(self._detector, "costs", {})
        return costs

    def threshold(self) -> float:
        """What PyOD sets from the training scores and `contamination`."""
        return float(self._detector.threshold_)

    def _standardised(self, X: FloatArray) -> FloatArray:
        standardised: FloatArray = np.nan_to_num(self._scaler.transform(X), nan=0.0)
        return standardised


def knn(contamination: float = 0.1) -> Constructor:
    """Distance to the 5th neighbour. `contamination` only sets PyOD's threshold, not the scores."""
    from pyod.models.knn import KNN

    return lambda seed, train: KNN(contamination=contamination)


def _lof() -> Constructor:
    from pyod.models.lof import LOF

    return lambda seed, train: LOF(novelty=True)


def _iforest() -> Constructor:
    from pyod.models.iforest import IForest

    return lambda seed, train: IForest(random_state=seed)


def _ecod() -> Constructor:
    from pyod.models.ecod import ECOD

    return lambda seed, train: ECOD()


def _copod() -> Constructor:
    from pyod.models.copod import COPOD

    return lambda seed, train: COPOD()


def _ocsvm() -> Constructor:
    from pyod.models.ocsvm import OCSVM

    return lambda seed, train: OCSVM()


def _pca() -> Constructor:
    """All components that the training rows span: PyOD divides by their variances, and 0 gives all rows infinity."""
    from pyod.models.pca import PCA

    return lambda seed, train: PCA(n_components=int(np.linalg.matrix_rank(train)), random_state=seed)


def _deepsvdd() -> Constructor:
    from pyod.models.deep_svdd import DeepSVDD

    return lambda seed, train: DeepSVDD(n_features=train.shape[1], random_state=seed, verbose=0)


def _autoencoder() -> Constructor:
    from pyod.models.auto_encoder import AutoEncoder

    return lambda seed, train: AutoEncoder(random_state=seed, verbose=0)


def _lunar() -> Constructor:
    from pyod.models.lunar import LUNAR

    return lambda seed, train: LUNAR(random_state=seed)


_CONSTRUCTORS: dict[str, Callable[[], Constructor]] = {
    "pyod-knn": knn,
    "pyod-lof": _lof,
    "pyod-iforest": _iforest,
    "pyod-ecod": _ecod,
    "pyod-copod": _copod,
    "pyod-ocsvm": _ocsvm,
    "pyod-pca": _pca,
    "pyod-deepsvdd": _deepsvdd,
    "pyod-autoencoder": _autoencoder,
    "pyod-lunar": _lunar,
}


def _make(name: str, seed: int) -> Peer:
    construct = _CONSTRUCTORS[name]()
    if name in _COMPILED:
        _compile(construct)
    return Peer(construct, seed, MOST_ROWS.get(name))


def _compile(construct: Constructor) -> None:
    """PyOD has numba compile some helpers at their first call: seconds that say nothing about the method."""
    few = np.random.default_rng(0).normal(size=(40, 3))
    warm_up = Peer(construct, seed=0)
    warm_up.fit(few)
    warm_up.score(few)


PEERS: dict[str, Maker] = {name: partial(_make, name) for name in _CONSTRUCTORS}
