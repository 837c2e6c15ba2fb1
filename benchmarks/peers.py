"""PyOD's detectors at their defaults, for tables.

Every peer gets the data standardised on its training rows (`StandardScaler`, as in DTE), missing cells
replaced by the training mean, as float64: with float32 PyOD's PCA divides by explained variances that have
underflowed. Two peers take at most 10,000 training rows, drawn by seed, because their time grows with the
square of the rows or with hundreds of epochs: see `MOST_ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Maker
from unalike.types import FloatArray

MOST_ROWS = {"pyod-ocsvm": 10_000, "pyod-lunar": 10_000}
"""Largest number of training rows of a peer; the others take all."""

Constructor = Callable[[int, int], Any]
"""``(seed, columns) -> detector`` of PyOD."""


class Peer:
    """A PyOD detector behind the harness' contract.

    Parameters
    ----------
    construct : callable
        Makes the detector, once the number of columns is known.
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
        self._detector = self._construct(self._seed, train.shape[1])
        self._detector.fit(self._standardised(train))

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        scores: FloatArray = np.asarray(self._detector.decision_function(self._standardised(test)), dtype=np.float64)
        return scores

    def threshold(self) -> float:
        """What PyOD sets from the training scores and `contamination`."""
        return float(self._detector.threshold_)

    def _standardised(self, X: FloatArray) -> FloatArray:
        standardised: FloatArray = np.nan_to_num(self._scaler.transform(X), nan=0.0)
        return standardised


def knn(contamination: float = 0.1) -> Constructor:
    """Distance to the 5th neighbour. `contamination` only sets PyOD's threshold, not the scores."""
    from pyod.models.knn import KNN

    return lambda seed, columns: KNN(contamination=contamination)


def _lof() -> Constructor:
    from pyod.models.lof import LOF

    return lambda seed, columns: LOF(novelty=True)


def _iforest() -> Constructor:
    from pyod.models.iforest import IForest

    return lambda seed, columns: IForest(random_state=seed)


def _ecod() -> Constructor:
    from pyod.models.ecod import ECOD

    return lambda seed, columns: ECOD()


def _copod() -> Constructor:
    from pyod.models.copod import COPOD

    return lambda seed, columns: COPOD()


def _ocsvm() -> Constructor:
    from pyod.models.ocsvm import OCSVM

    return lambda seed, columns: OCSVM()


def _pca() -> Constructor:
    from pyod.models.pca import PCA

    return lambda seed, columns: PCA(random_state=seed)


def _deepsvdd() -> Constructor:
    from pyod.models.deep_svdd import DeepSVDD

    return lambda seed, columns: DeepSVDD(n_features=columns, random_state=seed, verbose=0)


def _autoencoder() -> Constructor:
    from pyod.models.auto_encoder import AutoEncoder

    return lambda seed, columns: AutoEncoder(random_state=seed, verbose=0)


def _lunar() -> Constructor:
    from pyod.models.lunar import LUNAR

    return lambda seed, columns: LUNAR(random_state=seed)


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
    return Peer(_CONSTRUCTORS[name](), seed, MOST_ROWS.get(name))


PEERS: dict[str, Maker] = {name: partial(_make, name) for name in _CONSTRUCTORS}
