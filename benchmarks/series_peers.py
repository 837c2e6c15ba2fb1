"""Peers on series; each is fitted on the train part and scores the test part, which it sees alone.

All get channels standardised on the train part and clipped at 20 (`series_windows.Scaler`). Those on windows take the
period by TSB-AD's rule as window (125 without one; at most a sixth of the train part; 32 for several channels), at
most 8,000 training windows, evenly spaced, and every test window (every fourth for several channels). A step's score
is the mean over the windows that cover it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from benchmarks import paano, series_forecast, series_tools
from benchmarks import series_windows as windows
from benchmarks.harness import Maker
from unalike.types import FloatArray

PRELOAD = (
    "pyod.models.iforest",
    "pyod.models.knn",
    "pyod.models.pca",
    "pyod.models.ts_kshape",
    "pyod.models.ts_lstm",
    "pyod.models.ts_od",
    "pyod.models.ts_sand",
    "pyod.models.ts_spectral_residual",
    "sklearn.cluster",
    "sklearn.decomposition",
    "torch",
)

_NEIGHBORS = 3
_CLUSTERS = 20
_MOST_POINTS = 8_000
_MOST_STEPS_MULTIVARIATE = 8_000
_VARIANCE = 0.95


class Learner(Protocol):
    """A detector on rows."""

    def fit(self, rows: FloatArray) -> None: ...

    def score(self, rows: FloatArray) -> FloatArray: ...


class OnWindows:
    """A detector of rows on windows, each of them a row.

    Parameters
    ----------
    learner : Learner
        What is fitted.
    prepare : callable, optional
        Changes rows before.
    """

    def __init__(self, learner: Learner, prepare: Callable[[FloatArray], FloatArray] | None = None) -> None:
        self._learner, self._prepare = learner, prepare or (lambda rows: rows)

    def fit(self, train: FloatArray) -> None:
        self._scaler = windows.Scaler().fit(train)
        self._window = windows.window_of(train)
        self._learner.fit(self._prepare(windows.training_windows(self._scaler.transform(train), self._window)))

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        return windows.score_steps(
            self._scaler.transform(test),
            self._window,
            1 if test.shape[1] == 1 else windows.MULTIVARIATE_STRIDE,
            lambda rows: self._learner.score(self._prepare(rows)),
        )


class OnPoints:
    """A detector of rows on single steps: at most 8,000 of the train part."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def fit(self, train: FloatArray) -> None:
        self._scaler = windows.Scaler().fit(train)
        self._learner.fit(windows.thinned(self._scaler.transform(train), _MOST_POINTS))

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        return self._learner.score(self._scaler.transform(test))


class OnSeries:
    """One of PyOD's series detectors at its defaults, given the whole parts."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def fit(self, train: FloatArray) -> None:
        self._scaler = windows.Scaler().fit(train)
        self._detector.fit(self._scaler.transform(train))

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        scores: FloatArray = np.asarray(self._detector.decision_function(self._scaler.transform(test)))
        return scores


class Residual:
    """What the components that hold 95% of the variance leave of a row: its squared length."""

    def fit(self, rows: FloatArray) -> None:
        self._pca = PCA(n_components=_VARIANCE, svd_solver="full").fit(rows)

    def score(self, rows: FloatArray) -> FloatArray:
        left: FloatArray = rows - self._pca.inverse_transform(self._pca.transform(rows))
        squared: FloatArray = (left**2).sum(axis=1)
        return squared


class Centres:
    """Distance to the nearest of 20 k-means centres, as TSB-AD's KMeansAD."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, rows: FloatArray) -> None:
        self._means = KMeans(min(_CLUSTERS, len(rows)), random_state=self._seed, n_init=1).fit(rows)

    def score(self, rows: FloatArray) -> FloatArray:
        distances: FloatArray = self._means.transform(rows).min(axis=1)
        return distances


class Nearest:
    """Mean distance to the three nearest training rows."""

    def fit(self, rows: FloatArray) -> None:
        self._nearest = NearestNeighbors(n_neighbors=min(_NEIGHBORS, len(rows)), algorithm="brute").fit(rows)

    def score(self, rows: FloatArray) -> FloatArray:
        distances: FloatArray = self._nearest.kneighbors(rows)[0].mean(axis=1)
        return distances


class PyOD:
    """A PyOD detector of rows.

    Parameters
    ----------
    construct : callable
        Makes it, once the training rows are known.
    """

    def __init__(self, construct: Callable[[FloatArray], Any]) -> None:
        self._construct = construct

    def fit(self, rows: FloatArray) -> None:
        self._detector = self._construct(rows)
        self._detector.fit(rows)

    def score(self, rows: FloatArray) -> FloatArray:
        scores: FloatArray = np.asarray(self._detector.decision_function(rows), dtype=np.float64)
        return scores


class MatrixProfile:
    """stumpy's matrix profile: distance of each z-normalised window to the nearest one of the train part.

    Several channels: the mean of theirs, against the last 8,000 steps of the train part.

    Parameters
    ----------
    itself : bool
        Join the test part with itself instead, as in the usual, transductive use; the train part sets the window.
    """

    def __init__(self, *, itself: bool) -> None:
        self._itself = itself
        self._stump = series_tools.stumpy().stump
        few = np.random.default_rng(0).normal(size=(2, 32))
        self._stump(few[0], 8, T_B=few[1], ignore_trivial=False)
        self._stump(few[0], 8)

    def fit(self, train: FloatArray) -> None:
        self._scaler = windows.Scaler().fit(train)
        self._window = max(3, windows.window_of(train))
        most = len(train) if train.shape[1] == 1 else _MOST_STEPS_MULTIVARIATE
        self._train = self._scaler.transform(train)[-most:]

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        channels = zip(self._scaler.transform(test).T, self._train.T, strict=True)
        profile = np.mean([self._profile(channel, known) for channel, known in channels], axis=0)
        return windows.to_steps(profile, np.arange(len(profile)), self._window, len(test))

    def _profile(self, channel: FloatArray, known: FloatArray) -> FloatArray:
        channel = np.ascontiguousarray(channel)
        if self._itself:
            found = self._stump(channel, self._window)
        else:
            found = self._stump(channel, self._window, T_B=np.ascontiguousarray(known), ignore_trivial=False)
        profile: FloatArray = found[:, 0].astype(np.float64)
        return profile


def _pca_residual(seed: int) -> OnWindows:
    return OnWindows(Residual())


def _pyod_pca(seed: int) -> OnWindows:
    """All components that the training rows span: PyOD divides by their variances."""
    from pyod.models import pca

    return OnWindows(
        PyOD(lambda rows: pca.PCA(n_components=int(np.linalg.matrix_rank(rows - rows.mean(axis=0))), random_state=seed))
    )


def _kmeansad(seed: int) -> OnWindows:
    return OnWindows(Centres(seed), windows.standardised_rows)


def _sub_knn(seed: int) -> OnWindows:
    return OnWindows(Nearest())


def _sub_knn_z(seed: int) -> OnWindows:
    return OnWindows(Nearest(), windows.standardised_rows)


def _sub_iforest(seed: int) -> OnWindows:
    from pyod.models.iforest import IForest

    return OnWindows(PyOD(lambda rows: IForest(random_state=seed)))


def _knn_points(seed: int) -> OnPoints:
    from pyod.models.knn import KNN

    return OnPoints(PyOD(lambda rows: KNN()))


def _matrix_profile(seed: int) -> MatrixProfile:
    return MatrixProfile(itself=False)


def _matrix_profile_self(seed: int) -> MatrixProfile:
    return MatrixProfile(itself=True)


def _pyod_series(seed: int) -> OnSeries:
    from pyod.models.ts_od import TimeSeriesOD

    return OnSeries(TimeSeriesOD())


def _pyod_spectral_residual(seed: int) -> OnSeries:
    from pyod.models.ts_spectral_residual import SpectralResidual

    return OnSeries(SpectralResidual())


def _pyod_kshape(seed: int) -> OnSeries:
    from pyod.models.ts_kshape import KShape

    return OnSeries(KShape(random_state=seed))


def _pyod_sand(seed: int) -> OnSeries:
    from pyod.models.ts_sand import SAND

    return OnSeries(SAND(random_state=seed))


def _pyod_lstm(seed: int) -> OnSeries:
    from pyod.models.ts_lstm import LSTMAD

    return OnSeries(LSTMAD())


PEERS: dict[str, Maker] = {
    "pca-residual": _pca_residual,
    "pyod-pca": _pyod_pca,
    "kmeansad": _kmeansad,
    "matrix-profile": _matrix_profile,
    "sub-knn": _sub_knn,
    "sub-knn-z": _sub_knn_z,
    "sub-iforest": _sub_iforest,
    "pyod-knn-points": _knn_points,
    "pyod-series": _pyod_series,
    "pyod-spectral-residual": _pyod_spectral_residual,
    "cnn-forecast": series_forecast.Forecaster,
    "matrix-profile-self": _matrix_profile_self,
    "paano-reduced": partial(paano.PaAno, size="reduced"),
    "paano-full": partial(paano.PaAno, size="published"),
    "pyod-kshape": _pyod_kshape,
    "pyod-sand": _pyod_sand,
    "pyod-lstm": _pyod_lstm,
}
"""All run with one seed. The last four take minutes per series and are run on `series_data.SIXTEEN` at most."""

UNIVARIATE_ONLY = ("matrix-profile-self",)
"""Their time on tens of channels would be hours."""
