"""Images that are judged place by place: a memory bank of patches.

Roth, Pemula, Zepeda, Schölkopf, Brox and Gehler, "Towards total recall in industrial anomaly detection" (PatchCore),
CVPR 2022. What is ours: channels are standardised, so that no layer outweighs another by its units; the score of an
image is a mean over its farthest places; reference scores come from images that are not in the bank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from unalike.data import evenly, group_codes
from unalike.scorers.arrays import require_choice, require_count, require_fitted, require_seed, unit_rows
from unalike.scorers.coreset import greedy_coreset
from unalike.scorers.places import (
    FOLDS,
    LARGEST_REFERENCE,
    SomePlaces,
    check_top,
    checked_places,
    counted,
    held,
    held_some,
    joined,
    step_of,
    units,
)
from unalike.scorers.reference import folds_of
from unalike.scorers.search import Search, Skip
from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray, PlaceEmbeddings


@dataclass(kw_only=True)
class PatchBank:
    """Score = mean distance of an image's farthest places to the nearest patches of normal images.

    An encoder with a method ``locations`` gives the places (`unalike.types.PlaceEmbeddings`): ``(n, places, width)``.
    The bank holds a greedy coreset of the places of all training images (`unalike.scorers.coreset`). It belongs to
    large images, in which anomalies are small.

    Parameters
    ----------
    size : int
        Patches in the bank, at most.
    top : int or float
        Places whose mean distance is the score; a float in ``(0, 1)`` is that share of the places, and at least 1. One
        place alone is at the mercy of noise.
    metric : {"euclidean", "cosine"}
        Distance of two standardised patches; cosine is ``1 - cos``, in [0, 2]. It found more synthetic defects and
        fewer real ones (docs/decisions/0012).
    pool : int
        Places that the bank is chosen from, at most: of each image as many, drawn at random.
    projected : int
        As in `greedy_coreset`.
    pictured : bool
        Whether scores of places make heat maps; else the branch counts in them as one that knows no places.
    absorbing : bool
        Whether held-out normal images join the bank (`absorb`). Not where there may be anomalies among them (`robust`).
    seed : int
        Of the pool and the coreset.
    chunk_mb : int
        Working memory of a search in MiB. It never changes a score.

    Attributes
    ----------
    bank_ : ndarray
        ``(m, width)`` float32, standardised; the last `absorbed_` rows were absorbed.
    mean_, scale_ : ndarray
        ``(width,)`` float32: what a patch is standardised with.
    reference_scores_ : ndarray
        ``(r,)`` scores of the reference images; without any, of at most 300 evenly spaced training images, each by a
        bank from other images (and groups): cross-fit in 3 folds. Of a single image, 0.

    Raises
    ------
    InvalidParameter
        A setting out of range.

    Notes
    -----
    Memory does not grow with the number of images: up to 256 MiB of places are kept while it is fitted, where all fit,
    else they are embedded again for the reference scores. Distances are exact (`unalike.scorers.search`), and one image
    scores as it does in a batch. Choosing the banks takes ``3 * size * pool * projected`` multiplications.
    """

    size: int = 2000
    top: int | float = 0.05
    metric: Literal["euclidean", "cosine"] = "euclidean"
    pool: int = 50_000
    projected: int = 64
    pictured: bool = True
    absorbing: bool = True
    seed: int = 0
    chunk_mb: int = 64

    judges_places: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("size", "pool", "projected", "chunk_mb"):
            require_count(name, getattr(self, name))
        check_top(self.top)
        require_choice("pictured", self.pictured, (True, False))
        require_choice("absorbing", self.absorbing, (True, False))
        require_choice("metric", self.metric, ("euclidean", "cosine"))
        require_seed(self.seed)

    def fit(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Choose the bank from the places of ``n`` normal images, and score the reference."""
        self.reference_scores_: FloatArray = self.joined(self.fit_places(embeddings, reference, groups))
        return self

    def fit_places(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None, groups: IntArray | None
    ) -> FloatArray:
        """Choose the bank; ``(r, places)`` scores of the reference's places."""
        embeddings = held_some(embeddings)
        pool, owner = self._pooled(embeddings)
        self.mean_, self.scale_ = units(pool)
        pool = (pool - self.mean_) / self.scale_
        self._keep(self._chosen(pool))
        self.absorbed_ = 0
        if reference is not None:
            return self.places(reference)
        return self._cross_fitted(embeddings, pool, owner, groups)

    def score(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n,)`` float64 scores of ``n`` images; at least 0."""
        return self.joined(self.places(embeddings))

    def places(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n, places)`` float64: distance of each place to the nearest patch of the bank."""
        require_fitted(self, "bank_")
        return self._distances(held(embeddings), self._search)

    def absorb(self, embeddings: PlaceEmbeddings, groups: IntArray | None = None) -> FloatArray:
        """Take in the farthest places of each held-out image, as many as score; ``(n,)`` scores without its own.

        As `KNN.absorb` (docs/decisions/0007): which places are taken depends on the image and the bank alone, so that
        images stay exchangeable, and a score can only fall as the bank grows. More images than would double the bank
        leave it as it is and get their plain scores, and so do all where the bank is not `absorbing`.

        Parameters
        ----------
        embeddings : PlaceEmbeddings
            ``n`` images that are not in the bank.
        groups : ndarray, optional
            ``(n,)``: an image does not count those of its own group.
        """
        return self.joined(self.absorb_places(embeddings, groups))

    def absorb_places(self, embeddings: PlaceEmbeddings, groups: IntArray | None) -> FloatArray:
        """As `absorb`, ``(n, places)`` scores of their places."""
        require_fitted(self, "bank_")
        n, embeddings = len(embeddings), held(embeddings)
        codes = np.arange(n) if groups is None else group_codes(groups.tolist(), n)
        plain = self.places(embeddings)  # (n, places)
        if not self.absorbing or plain[:, : self.counted(plain.shape[1])].size > len(self.bank_):
            return plain
        farthest = np.argsort(-plain, axis=1, kind="stable")[:, : self.counted(plain.shape[1])]
        new = [rows[np.arange(len(at))[:, None], farthest[at]] for at, rows in self._standardised(embeddings)]
        added = np.concatenate(new).reshape(farthest.size, -1)
        skip = Skip(np.repeat(codes, plain.shape[1]), np.repeat(codes, farthest.shape[1]))
        beside = self._distances(embeddings, Search(added, metric=self.metric, chunk_mb=self.chunk_mb), skip)
        self._keep(np.concatenate([self.bank_, added]))
        self.absorbed_ += len(added)
        return np.fmin(plain, beside)

    def robust(self) -> Self:
        """The same settings for images with anomalies among them: the farthest places of held-out ones stay outside.

        They would be the defects themselves, each with all its places, where of training images the coreset takes few.
        Leaving out places or images of the training data that have few like them cost more than it gave
        (docs/decisions/0012).
        """
        return replace(self, absorbing=False)

    def add(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Choose the bank anew from its patches and those of ``n`` new normal images.

        Reference scores are those of `reference`, or the earlier ones and those of the new images by the bank as it was
        before them. Absorbed patches leave the bank, to be absorbed again.
        """
        require_fitted(self, "bank_")
        self.forget_absorbed()
        if reference is None:
            new = self.score(SomePlaces(embeddings, evenly(len(embeddings), LARGEST_REFERENCE)))
        self.add_places(embeddings)
        self.reference_scores_ = (
            np.concatenate([self.reference_scores_, new]) if reference is None else self.score(reference)
        )
        return self

    def add_places(self, embeddings: PlaceEmbeddings) -> None:
        """Choose the bank anew, as `add`, without reference scores."""
        pool = (self._pooled(embeddings)[0] - self.mean_) / self.scale_
        self._keep(self._chosen(np.concatenate([self.bank_, pool])))

    def forget_absorbed(self) -> None:
        """Let what was absorbed leave the bank."""
        if self.absorbed_:
            self._keep(self.bank_[: len(self.bank_) - self.absorbed_])
            self.absorbed_ = 0

    def state(self) -> dict[str, Any]:
        require_fitted(self, "bank_")
        return {
            "bank": self.bank_,
            "mean": self.mean_,
            "scale": self.scale_,
            "reference_scores": self.reference_scores_,
            "absorbed": self.absorbed_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.mean_ = np.asarray(state["mean"], dtype=np.float32)
        self.scale_ = np.asarray(state["scale"], dtype=np.float32)
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)
        self.absorbed_ = int(state["absorbed"])
        self._keep(np.array(state["bank"], dtype=np.float32))

    def _keep(self, bank: FloatArray) -> None:
        self.bank_: FloatArray = bank
        self._search = Search(bank, metric=self.metric, chunk_mb=self.chunk_mb)

    def _chosen(self, pool: FloatArray) -> FloatArray:
        points = unit_rows(pool).astype(np.float32) if self.metric == "cosine" else pool
        return pool[greedy_coreset(points, self.size, projected=self.projected, seed=self.seed)]

    def _pooled(self, embeddings: PlaceEmbeddings) -> tuple[FloatArray, IntArray]:
        """Places that fit into the pool, ``(p, width)`` float32, and the image that each is of."""
        first = checked_places(embeddings[np.arange(1)])
        images = evenly(len(embeddings), self.pool)
        each = min(self.pool // len(images), first.shape[1])
        pool = np.empty((len(images) * each, first.shape[2]), dtype=np.float32)
        filled = 0
        for start in range(0, len(images), step_of(first)):
            at = images[start : start + step_of(first)]
            for image, rows in zip(at.tolist(), checked_places(embeddings[at]), strict=True):
                drawn = numpy_generator(self.seed, "places", image).permutation(len(rows))[:each]
                pool[filled : filled + each] = rows[np.sort(drawn)]
                filled += each
        return pool, np.repeat(images, each)

    def _standardised(self, embeddings: PlaceEmbeddings) -> Iterator[tuple[IntArray, FloatArray]]:
        """Positions ``(m,)`` of images and their places ``(m, places, width)``, a chunk at a time."""
        n = len(embeddings)
        if n == 0:
            return
        step = step_of(checked_places(embeddings[np.arange(1)])) if n > 1 else 1
        for start in range(0, n, step):
            at = np.arange(start, min(start + step, n))
            rows = checked_places(embeddings[at], width=len(self.mean_))
            yield at, (rows - self.mean_) / self.scale_

    def _distances(self, embeddings: PlaceEmbeddings, search: Search, skip: Skip | None = None) -> FloatArray:
        """``(n, places)`` distances to the nearest row; NaN where `skip`, of all places, leaves none."""
        found = []
        for at, rows in self._standardised(embeddings):
            places = rows.shape[1]
            own = skip and skip.part(slice(at[0] * places, (at[-1] + 1) * places))
            found.append(search.nearest(rows.reshape(-1, rows.shape[2]), 1, own)[0].reshape(len(at), places))
        return np.concatenate(found) if found else np.zeros((0, 1))

    def _cross_fitted(
        self, embeddings: PlaceEmbeddings, pool: FloatArray, owner: IntArray, groups: IntArray | None
    ) -> FloatArray:
        if len(embeddings) == 1:
            return np.zeros((1, checked_places(embeddings[np.arange(1)]).shape[1]))
        chosen = evenly(len(embeddings), LARGEST_REFERENCE)
        fold = folds_of(len(embeddings), groups, FOLDS)
        scores: list[FloatArray] = [np.empty(0)] * len(chosen)
        for number in np.unique(fold[chosen]).tolist():
            rows = pool[fold[owner] != number]
            other = replace(self)
            other.mean_, other.scale_ = self.mean_, self.scale_
            other._keep(other._chosen(rows if len(rows) else pool))
            of_fold = np.flatnonzero(fold[chosen] == number)
            for position, places in zip(of_fold, other.places(SomePlaces(embeddings, chosen[of_fold])), strict=True):
                scores[position] = places
        return np.stack(scores)

    def joined(self, places: FloatArray) -> FloatArray:
        """``(n,)``: what `score` makes of ``(n, places)`` scores of places; each image as if it came alone."""
        return joined(places, self.top)

    def counted(self, every: int) -> int:
        """How many of an image's `every` places make its score."""
        return counted(self.top, every)
