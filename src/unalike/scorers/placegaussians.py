"""Images that are judged place by place: what is usual at each place of the picture.

Defard, Setkov, Loesch and Audigier, "PaDiM: a patch distribution modeling framework for anomaly detection and
localization", ICPR workshops 2021: one Gaussian for each place. What is ours: channels are standardised; numbers come
from orthonormal directions drawn at random, not from channels drawn at random (Kim, Kim and Kim, "Semi-orthogonal
embedding for efficient unsupervised anomaly segmentation", 2021); each Gaussian is drawn towards that of all places, so
that few images do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from unalike.data import evenly
from unalike.errors import InvalidInput, InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import require_choice, require_count, require_fitted, require_seed
from unalike.scorers.places import (
    FOLDS,
    LARGEST_REFERENCE,
    SomePlaces,
    check_top,
    checked_places,
    held,
    held_some,
    joined,
    step_of,
    units,
)
from unalike.scorers.reference import folds_of
from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray, PlaceEmbeddings

_FOR_UNITS = 64
"""Images whose places tell the mean and spread of each channel."""
_RIDGE = 0.01
"""Of the mean variance, added to each: directions that hardly vary would decide alone."""


@dataclass(kw_only=True)
class PlaceGaussians:
    """Score = mean of an image's highest Mahalanobis distances, each under the Gaussian of its place.

    It knows where in the picture something belongs, so it suits things that are photographed in one pose. Where they
    are not, all Gaussians are alike and it is one Mahalanobis distance of patches.

    Parameters
    ----------
    width : int
        Numbers for each place: so many orthonormal directions of the standardised embedding, drawn at random.
    pooled : float
        How many images the Gaussian of all places counts for in that of one.
    top : int or float
        As in `PatchBank`.
    pictured : bool
        As in `PatchBank`.
    seed : int
        Of the directions.

    Attributes
    ----------
    count_ : int
        Images.
    mean_, covariance_ : ndarray
        ``(places, width)`` and, above the diagonal, ``(places, width * (width + 1) / 2)`` float32: of each place.
    reference_scores_ : ndarray
        As in `PatchBank`.

    Raises
    ------
    InvalidParameter
        A setting out of range.

    Notes
    -----
    Distances are divided by the root of `width`: those of normal places are about 1. Memory does not grow with the
    number of images: ``places * width ** 2 * 8`` bytes, four times as much while it is fitted. An image scores alone as
    in a batch.
    """

    width: int = 100
    pooled: float = 20.0
    top: int | float = 0.05
    pictured: bool = True
    seed: int = 0

    judges_places: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_count("width", self.width)
        check_top(self.top)
        require_choice("pictured", self.pictured, (True, False))
        if not is_number(self.pooled) or not 0.0 < self.pooled < np.inf:
            raise InvalidParameter(f"`pooled` must be a number above 0; got {self.pooled!r}. Try 20.")
        require_seed(self.seed)

    def fit(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Estimate the Gaussians from the places of ``n`` normal images, and score the reference."""
        self.reference_scores_: FloatArray = self.joined(self.fit_places(embeddings, reference, groups))
        return self

    def fit_places(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None, groups: IntArray | None
    ) -> FloatArray:
        """Estimate the Gaussians; ``(r, places)`` scores of the reference's places."""
        embeddings = held_some(embeddings)
        n = len(embeddings)
        first = checked_places(embeddings[evenly(n, _FOR_UNITS)])
        self._measure(*units(first.reshape(-1, first.shape[2])))
        cross_fit = n > 1 and reference is None
        fold = folds_of(n, groups, FOLDS) if cross_fit else np.zeros(n, dtype=np.int64)
        parts = self._summed(embeddings, fold)
        scores = self._cross_fitted(embeddings, parts, fold) if cross_fit else None
        self._keep(_Sums.of(parts))
        if scores is not None:
            return scores
        return np.zeros((1, len(self.mean_))) if reference is None else self.places(reference)

    def score(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n,)`` float64 scores of ``n`` images; at least 0."""
        return self.joined(self.places(embeddings))

    def places(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n, places)`` float64: Mahalanobis distance of each place, over the root of the width."""
        require_fitted(self, "whitening_")
        found = [self._distances(rows) for _, rows in self._projected(held(embeddings), places=len(self.mean_))]
        return np.stack([row for rows in found for row in rows]) if found else np.zeros((0, len(self.mean_)))

    def add(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Count ``n`` new normal images in; units and directions stay.

        Reference scores are those of `reference`, or the earlier ones and those of the new images by the Gaussians as
        they were before them.
        """
        require_fitted(self, "whitening_")
        if reference is None:
            new = self.score(SomePlaces(embeddings, evenly(len(embeddings), LARGEST_REFERENCE)))
        self.add_places(embeddings)
        self.reference_scores_ = (
            np.concatenate([self.reference_scores_, new]) if reference is None else self.score(reference)
        )
        return self

    def add_places(self, embeddings: PlaceEmbeddings) -> None:
        """As `add`, without reference scores."""
        parts = self._summed(embeddings, np.zeros(len(embeddings), dtype=np.int64))
        self._keep(_Sums.of([_Sums.back(self.count_, self.mean_, self.covariance_), *parts]))

    def joined(self, places: FloatArray) -> FloatArray:
        """``(n,)``: what `score` makes of ``(n, places)`` scores of places."""
        return joined(places, self.top)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "whitening_")
        return {
            "count": self.count_,
            "mean": self.mean_,
            "covariance": self.covariance_,
            "shift": self.shift_,
            "scale": self.scale_,
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._measure(np.asarray(state["shift"], dtype=np.float32), np.asarray(state["scale"], dtype=np.float32))
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)
        self.count_: int = int(state["count"])
        self.mean_: FloatArray = np.array(state["mean"], dtype=np.float32)
        self.covariance_: FloatArray = np.array(state["covariance"], dtype=np.float32)
        self._whiten()

    def directions(self) -> FloatArray:
        """``(channels, width)`` float32 orthonormal columns; fewer where there are fewer channels."""
        return self._directions

    def _measure(self, shift: FloatArray, scale: FloatArray) -> None:
        """Take units of the channels, and the directions that belong to so many channels."""
        self.shift_: FloatArray = shift
        self.scale_: FloatArray = scale
        drawn = numpy_generator(self.seed, "directions").standard_normal((len(shift), min(self.width, len(shift))))
        self._directions: FloatArray = np.asarray(np.linalg.qr(drawn)[0], dtype=np.float32)

    def _cross_fitted(self, embeddings: PlaceEmbeddings, parts: list[_Sums], fold: IntArray) -> FloatArray:
        """``(r, places)`` scores of evenly spaced images, each by the Gaussians of the other folds."""
        chosen = evenly(len(fold), LARGEST_REFERENCE)
        scores = np.empty((len(chosen), len(parts[0].first)))
        for number in np.unique(fold[chosen]).tolist():
            of_fold = np.flatnonzero(fold[chosen] == number)
            self._keep(_Sums.of([part for other, part in enumerate(parts) if other != number]))
            scores[of_fold] = self.places(SomePlaces(embeddings, chosen[of_fold]))
        return scores

    def _projected(
        self, embeddings: PlaceEmbeddings, places: int | None = None
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Positions ``(m,)`` of images and ``(m, places, width)`` float32, a chunk at a time; each as if alone."""
        n = len(embeddings)
        if n == 0:
            return
        step = step_of(checked_places(embeddings[np.arange(1)])) if n > 1 else 1
        for start in range(0, n, step):
            at = np.arange(start, min(start + step, n))
            rows = checked_places(embeddings[at], width=len(self.shift_))
            if places is not None and rows.shape[1] != places:
                raise InvalidInput(
                    f"`embeddings` must have as many places as the scorer was fitted on, {places}; got {rows.shape[1]}."
                    " Give images of that size."
                )
            yield at, np.stack([((row - self.shift_) / self.scale_) @ self._directions for row in rows])

    def _distances(self, rows: FloatArray) -> FloatArray:
        """``(m, places)`` of ``(m, places, width)``; the products have the shape of one image whatever the batch."""
        white = np.stack([np.matmul((row - self.centre_)[:, None], self.whitening_)[:, 0] for row in rows])
        return np.asarray(np.sqrt((white.astype(np.float64) ** 2).mean(axis=2)))

    def _summed(self, embeddings: PlaceEmbeddings, fold: IntArray) -> list[_Sums]:
        sums: dict[int, _Sums] = {}
        for at, rows in self._projected(embeddings):
            for number in np.unique(fold[at]).tolist():
                own = rows[fold[at] == number].astype(np.float64)
                part = _Sums(len(own), own.sum(axis=0), np.matmul(own.transpose(1, 2, 0), own.transpose(1, 0, 2)))
                sums[number] = _Sums.of([sums[number], part]) if number in sums else part
        return [sums[number] for number in sorted(sums)]

    def _keep(self, sums: _Sums) -> None:
        self.count_ = sums.count
        mean = sums.first / sums.count
        covariance = sums.second / sums.count - mean[:, :, None] * mean[:, None, :]
        above = np.triu_indices(mean.shape[1])
        self.mean_ = mean.astype(np.float32)
        self.covariance_ = covariance[:, above[0], above[1]].astype(np.float32)
        self._whiten()

    def _whiten(self) -> None:
        mean, covariance = self.mean_.astype(np.float64), _full(self.covariance_, self.mean_.shape[1])
        between = mean - mean.mean(axis=0)
        common = covariance.mean(axis=0) + between.T @ between / len(mean)
        share = self.pooled / (self.count_ + self.pooled)
        # Of a mixture of this place's images and so many of all places'.
        centre = (1.0 - share) * mean + share * mean.mean(axis=0)
        apart = (mean - centre)[:, :, None] * (mean - centre)[:, None, :]
        off = mean.mean(axis=0) - centre
        spread = (1.0 - share) * (covariance + apart) + share * (common + off[:, :, None] * off[:, None, :])
        ridge = _RIDGE * np.trace(spread, axis1=1, axis2=2) / spread.shape[1]
        spread += np.maximum(ridge, np.finfo(np.float32).tiny)[:, None, None] * np.eye(spread.shape[1])
        # z @ inverse(L).T has the identity as its covariance.
        self.whitening_: FloatArray = np.ascontiguousarray(
            np.linalg.inv(np.linalg.cholesky(spread)).transpose(0, 2, 1)
        ).astype(np.float32)
        self.centre_: FloatArray = centre.astype(np.float32)


@dataclass(frozen=True)
class _Sums:
    """Of images: how many, ``(places, width)`` sums and ``(places, width, width)`` sums of products."""

    count: int
    first: FloatArray
    second: FloatArray

    @staticmethod
    def of(parts: list[_Sums]) -> _Sums:
        count = sum(part.count for part in parts)
        return _Sums(count, np.sum([p.first for p in parts], axis=0), np.sum([p.second for p in parts], axis=0))

    @staticmethod
    def back(count: int, mean: FloatArray, covariance: FloatArray) -> _Sums:
        """From what is kept of them."""
        first = mean.astype(np.float64)
        second = _full(covariance, mean.shape[1]) + first[:, :, None] * first[:, None, :]
        return _Sums(count, first * count, second * count)


def _full(packed: FloatArray, width: int) -> FloatArray:
    """``(places, width, width)`` float64 symmetric matrices from what is on and above their diagonals."""
    rows, columns = np.triu_indices(width)
    full = np.empty((len(packed), width, width))
    full[:, rows, columns] = full[:, columns, rows] = packed
    return full
