"""Gaussians that together cover the normal embeddings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import checked, require_choice, require_count, require_fitted, whitened
from unalike.scorers.kernel import in_fixed_order, log_sum_exp, spread
from unalike.scorers.reference import at_most, cross_fit_scores
from unalike.types import FloatArray, IntArray

Covariance = Literal["full", "tied", "diag"]

_TRIED = (1, 2, 4, 8)
_ROWS_PER_COMPONENT = 10
_TOLERANCE_PER_COLUMN = 1e-3
_LEARNED = ("weights", "means", "precisions_cholesky")
_LEAST_REGULARIZATION = 1e-6


@dataclass(kw_only=True)
class GaussianMixture:
    """Score = minus the log of the density at a row, under a mixture of Gaussians fitted by scikit-learn.

    ``-log sum_k w_k N(x; mean_k, covariance_k)``, by expectation maximisation from k-means. With one component it
    orders rows as `Mahalanobis` does.

    Parameters
    ----------
    n_components : int, optional
        At most the number of rows. None: of 1, 2, 4 and 8, those that leave 10 rows to each, the one with the least
        Bayesian information criterion (Schwarz, Annals of Statistics 6, 1978); 1 with fewer rows than columns.
    covariance : {"auto", "full", "tied", "diag"}
        A covariance for each component, one for all, or variances of the columns only. ``"auto"``: tied, or full where
        there are 2 rows per component and column and that criterion is lower.
    regularization : float, optional
        Added to the variance in every direction, in units of the mean variance of the columns. None: one
        component gets the covariance of `Mahalanobis` (shrunk by Ledoit's and Wolf's amount); with several, the share
        of their mean variance that is sampling noise by the same estimate, at most 1, is added. So fewer rows than
        columns do.
    most_rows : int
        Of more rows, so many evenly spaced ones are fitted on.
    seed : int
        Of k-means, in ``[0, 2**32)``.

    Attributes
    ----------
    weights_, means_ : ndarray
        ``(k,)`` and ``(k, d)`` float64.
    precisions_cholesky_ : ndarray
        Full ``(k, d, d)``, tied ``(d, d)``, diag ``(k, d)`` float64: times ``x - mean_k`` it has unit covariance.
    covariance_ : {"full", "tied", "diag"}
        In force; the number of components is ``len(weights_)``.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows that were fitted on, with the number of
        components that was chosen on all of them (0 for a single row).

    Raises
    ------
    InvalidParameter
        A setting out of range.

    Notes
    -----
    The order of the rows does not matter up to `most_rows`, and neither does one scale for all columns.
    """

    n_components: int | None = None
    covariance: Literal["auto", "full", "tied", "diag"] = "auto"
    regularization: float | None = None
    most_rows: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_components is not None:
            require_count("n_components", self.n_components)
        require_choice("covariance", self.covariance, ("auto", "full", "tied", "diag"))
        require_count("most_rows", self.most_rows)
        given = self.regularization is not None
        if given and not (is_number(self.regularization) and 0.0 < float(self.regularization or 0.0) < math.inf):
            raise InvalidParameter(f"`regularization` must be a finite number above 0; got {self.regularization!r}.")
        if not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed < 2**32:
            raise InvalidParameter(f"`seed` must be an integer from 0 to 2**32 - 1; got {self.seed!r}.")

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Fit the mixture to the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows, groups = at_most(checked(embeddings), groups, self.most_rows)
        self._learn(in_fixed_order(rows).astype(np.float64))
        if reference is not None:
            self.reference_scores_: FloatArray = self.score(checked(reference, name="reference"))
        else:
            chosen = replace(self, n_components=len(self.weights_), covariance=self.covariance_)
            self.reference_scores_ = cross_fit_scores(chosen, rows, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 minus log densities of ``(n, d)`` embeddings."""
        require_fitted(self, "means_")
        rows = checked(embeddings, width=self.means_.shape[1], empty=True).astype(np.float64)
        half_log_2_pi = self.means_.shape[1] * math.log(2.0 * math.pi) / 2.0
        logs = np.log(self.weights_) + self._log_heights() - half_log_2_pi - self._squared(rows) / 2.0
        return -log_sum_exp(logs)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "means_")
        return {
            "weights": self.weights_,
            "means": self.means_,
            "precisions_cholesky": self.precisions_cholesky_,
            "covariance": self.covariance_,
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        weights, means, cholesky = (np.asarray(state[name], dtype=np.float64) for name in _LEARNED)
        self._keep(weights, means, cholesky, state["covariance"])
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)

    def _learn(self, rows: FloatArray) -> None:
        centre, scale = rows.mean(axis=0), spread(rows)
        n, d = rows.shape
        if scale == 0.0:  # equal rows: any direction counts the same
            self._keep(np.ones(1), centre[None], np.eye(d), "tied")
            return
        unit = (rows - centre) / scale
        models, kinds = [], self._kinds()
        for k in self._numbers(n, d):
            several = 1 < k <= n / (2 * d)
            of_k = [self._fitted(unit, k, kind) for kind in kinds if kind == kinds[0] or several]
            models += of_k
            if len(of_k) == 2 and of_k[1].bic(unit) >= of_k[0].bic(unit):
                kinds = kinds[:1]  # more covariances would cost more still
        best = min(models, key=lambda model: model.bic(unit)) if len(models) > 1 else models[0]
        self._keep(best.weights_, best.means_ * scale + centre, best.precisions_cholesky_ / scale, best.covariance_type)

    def _keep(self, weights: FloatArray, means: FloatArray, cholesky: FloatArray, covariance: Covariance) -> None:
        self.weights_: FloatArray = np.ascontiguousarray(weights)
        self.means_: FloatArray = np.ascontiguousarray(means)
        self.precisions_cholesky_: FloatArray = np.ascontiguousarray(cholesky)
        self.covariance_: Covariance = covariance

    def _numbers(self, n: int, d: int) -> list[int]:
        if self.n_components is not None:
            return [min(self.n_components, n)]
        return [k for k in _TRIED if k == 1 or (n >= _ROWS_PER_COMPONENT * k and n >= d)]

    def _kinds(self) -> list[Covariance]:
        return ["tied", "full"] if self.covariance == "auto" else [self.covariance]

    def _fitted(self, unit: FloatArray, k: int, kind: Covariance) -> Any:
        from sklearn import mixture

        given = self.regularization is not None
        added, shrunk = (self.regularization, 1.0) if given else _shrinkage(unit, k, kind, self.seed)
        model = mixture.GaussianMixture(
            k,
            covariance_type=kind,
            reg_covar=added,
            tol=_TOLERANCE_PER_COLUMN * unit.shape[1],
            random_state=self.seed,
        )
        with _quiet():
            model.fit(unit)
        model.precisions_cholesky_ *= math.sqrt(shrunk)
        return model

    def _log_heights(self) -> FloatArray:
        """``(k,)`` or ``()``: log determinant of each whitening."""
        if self.covariance_ == "diag":
            return np.asarray(np.log(self.precisions_cholesky_).sum(axis=1))
        return np.asarray(np.log(np.diagonal(self.precisions_cholesky_, axis1=-2, axis2=-1)).sum(axis=-1))

    def _squared(self, rows: FloatArray) -> FloatArray:
        """``(n, k)`` squared Mahalanobis distances to the components."""
        squared: FloatArray = np.empty((len(rows), len(self.means_)))
        origin = self.means_[0]
        shared = whitened(rows - origin, self.precisions_cholesky_) if self.covariance_ == "tied" else None
        for number, mean in enumerate(self.means_):
            if shared is not None:
                white: FloatArray = shared - whitened((mean - origin)[None], self.precisions_cholesky_)
            else:
                white = whitened(rows - mean, self.precisions_cholesky_[number])
            squared[:, number] = (white * white).sum(axis=1)
        return squared


def _shrinkage(unit: FloatArray, k: int, kind: Covariance, seed: int) -> tuple[float, float]:
    """What to add to the variance in every direction, and by what to divide the covariance then.

    For one component both together are Ledoit's and Wolf's shrinkage. For several, what is added also blurs which rows
    belong together, and that amount is near 1 for round clusters, however many rows they have: there it is the mean
    variance around the centres of k-means times the share of sampling noise in their covariance, about columns over
    rows, and nothing is divided.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    deviation = unit if k == 1 else _around_centres(unit, k, seed)
    variance = float((deviation**2).mean())
    if variance == 0.0:
        return _LEAST_REGULARIZATION, 1.0
    amount = float(ledoit_wolf_shrinkage(deviation, assume_centered=True))
    if k == 1:
        ratio = amount / max(1.0 - amount, _LEAST_REGULARIZATION)
        return max(ratio * variance, _LEAST_REGULARIZATION), 1.0 + ratio
    covariance = deviation.T @ deviation / len(deviation)
    noise = amount * (1.0 - len(covariance) * variance**2 / float((covariance**2).sum()))
    return max(min(noise * (k if kind == "full" else 1), 1.0) * variance, _LEAST_REGULARIZATION), 1.0


def _around_centres(unit: FloatArray, k: int, seed: int) -> FloatArray:
    from sklearn.cluster import KMeans

    with _quiet():
        means = KMeans(k, n_init=1, random_state=seed).fit(unit)
    return np.asarray(unit - means.cluster_centers_[means.labels_])


@contextmanager
def _quiet() -> Iterator[None]:
    """Fewer different rows than components, or 100 rounds, leave a density all the same."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
