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
from unalike.errors import InvalidInput, InvalidParameter
from unalike.scorers.arrays import is_share, require_choice, require_count, require_fitted, unit_rows
from unalike.scorers.coreset import greedy_coreset
from unalike.scorers.reference import folds_of
from unalike.scorers.search import Search, Skip
from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray, PlaceEmbeddings

_CHUNK_BYTES = 32 * 2**20
_HELD_BYTES = 256 * 2**20
_FOLDS = 3
_LARGEST_REFERENCE = 300
"""Images, where none are given: each is embedded again."""
_LEAST_SPREAD = 0.05
"""Of a channel, as a share of the mean one: one that hardly moves in training would drown the others if it did."""


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
        if not is_share(self.top):
            require_count("top", self.top, "an integer of at least 1, or a share of the places above 0 and below 1")
        require_choice("pictured", self.pictured, (True, False))
        require_choice("absorbing", self.absorbing, (True, False))
        require_choice("metric", self.metric, ("euclidean", "cosine"))
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise InvalidParameter(f"`seed` must be a whole number; got {self.seed!r}.")

    def fit(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Choose the bank from the places of ``n`` normal images, and score the reference."""
        n = len(embeddings)
        if n == 0:
            raise InvalidInput("`embeddings` must hold at least one image; got none. Give normal images.")
        codes = np.arange(n) if groups is None else group_codes(groups.tolist(), n)
        embeddings = held(embeddings)
        pool, owner = self._pooled(embeddings)
        self._settle(pool)
        pool = (pool - self.mean_) / self.scale_
        self._keep(self._chosen(pool))
        self.absorbed_ = 0
        if reference is not None:
            self.reference_scores_ = self.score(reference)
        else:
            self.reference_scores_ = self._cross_fitted(embeddings, pool, owner, codes)
        return self

    def score(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n,)`` float64 scores of ``n`` images; at least 0."""
        return self.joined(self.places(embeddings))

    def places(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n, places)`` float64: distance of each place to the nearest patch of the bank."""
        require_fitted(self, "bank_")
        return self._distances(embeddings, self._search)

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
        require_fitted(self, "bank_")
        n, embeddings = len(embeddings), held(embeddings)
        codes = np.arange(n) if groups is None else group_codes(groups.tolist(), n)
        plain = self.places(embeddings)  # (n, places)
        if not self.absorbing or plain[:, : self.counted(plain.shape[1])].size > len(self.bank_):
            return self.joined(plain)
        farthest = np.argsort(-plain, axis=1, kind="stable")[:, : self.counted(plain.shape[1])]
        new = [rows[np.arange(len(at))[:, None], farthest[at]] for at, rows in self._standardised(embeddings)]
        added = np.concatenate(new).reshape(farthest.size, -1)
        skip = Skip(np.repeat(codes, plain.shape[1]), np.repeat(codes, farthest.shape[1]))
        beside = self._distances(embeddings, Search(added, metric=self.metric, chunk_mb=self.chunk_mb), skip)
        scores = self.joined(np.fmin(plain, beside))
        self._keep(np.concatenate([self.bank_, added]))
        self.absorbed_ += len(added)
        return scores

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
        if self.absorbed_:
            self._keep(self.bank_[: len(self.bank_) - self.absorbed_])
            self.absorbed_ = 0
        if reference is None:
            new = self.score(_Some(embeddings, evenly(len(embeddings), _LARGEST_REFERENCE)))
        pool = (self._pooled(embeddings)[0] - self.mean_) / self.scale_
        self._keep(self._chosen(np.concatenate([self.bank_, pool])))
        self.reference_scores_ = (
            np.concatenate([self.reference_scores_, new]) if reference is None else self.score(reference)
        )
        return self

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
        self.mean_: FloatArray = np.asarray(state["mean"], dtype=np.float32)
        self.scale_: FloatArray = np.asarray(state["scale"], dtype=np.float32)
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
        for start in range(0, len(images), _step(first)):
            at = images[start : start + _step(first)]
            for image, rows in zip(at.tolist(), checked_places(embeddings[at]), strict=True):
                drawn = numpy_generator(self.seed, "places", image).permutation(len(rows))[:each]
                pool[filled : filled + each] = rows[np.sort(drawn)]
                filled += each
        return pool, np.repeat(images, each)

    def _settle(self, pool: FloatArray) -> None:
        spread = pool.std(axis=0, dtype=np.float64)
        spread = np.maximum(spread, _LEAST_SPREAD * float(spread.mean()))
        self.mean_ = pool.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.scale_ = np.where(spread > 0.0, spread, 1.0).astype(np.float32)

    def _standardised(self, embeddings: PlaceEmbeddings) -> Iterator[tuple[IntArray, FloatArray]]:
        """Positions ``(m,)`` of images and their places ``(m, places, width)``, a chunk at a time."""
        n = len(embeddings)
        if n == 0:
            return
        step = _step(checked_places(embeddings[np.arange(1)])) if n > 1 else 1
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
        self, embeddings: PlaceEmbeddings, pool: FloatArray, owner: IntArray, codes: IntArray
    ) -> FloatArray:
        if len(embeddings) == 1:
            return np.zeros(1)
        chosen = evenly(len(embeddings), _LARGEST_REFERENCE)
        fold = folds_of(len(embeddings), codes, _FOLDS)
        scores = np.empty(len(chosen))
        for number in np.unique(fold[chosen]).tolist():
            rows = pool[fold[owner] != number]
            other = replace(self)
            other.mean_, other.scale_ = self.mean_, self.scale_
            other._keep(other._chosen(rows if len(rows) else pool))
            of_fold = fold[chosen] == number
            scores[of_fold] = other.score(_Some(embeddings, chosen[of_fold]))
        return scores

    def joined(self, places: FloatArray) -> FloatArray:
        """``(n,)``: what `score` makes of ``(n, places)`` scores of places; each image as if it came alone."""
        farthest = np.sort(places, axis=1)[:, places.shape[1] - self.counted(places.shape[1]) :]
        return np.asarray(np.ascontiguousarray(farthest).mean(axis=1))

    def counted(self, every: int) -> int:
        """How many of an image's `every` places make its score."""
        return max(round(self.top * every), 1) if is_share(self.top) else min(int(self.top), every)


@dataclass(frozen=True)
class _Some:
    """Some of the images."""

    embeddings: PlaceEmbeddings
    chosen: IntArray

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, positions: IntArray) -> FloatArray:
        return self.embeddings[self.chosen[positions]]


def checked_places(values: Any, *, width: int | None = None) -> FloatArray:
    """`values` as finite float32 ``(n, places, width)``.

    Raises
    ------
    InvalidInput
        Of another shape, not numbers, not finite, or of another width.
    """
    places = np.asarray(values)
    if places.ndim != 3 or 0 in places.shape[1:] or places.dtype.kind not in "fiub":
        raise InvalidInput(
            f"`embeddings` must have shape (images, places, width); got shape {places.shape} and type {places.dtype}. "
            "Give a PatchBank what an encoder's `locations` returns."
        )
    if width is not None and places.shape[2] != width:
        raise InvalidInput(
            f"`embeddings` must have the width that the scorer was fitted on, {width}; got {places.shape[2]}. Embed "
            "with the same encoder."
        )
    unusable = np.flatnonzero(~np.isfinite(places).all(axis=(1, 2)))
    if len(unusable):
        raise InvalidInput(
            f"`embeddings` must be finite; got NaN or infinity in {len(unusable)} of {len(places)} images, first in "
            f"image {unusable[0]}. Look at the encoder or its input there."
        )
    return np.ascontiguousarray(places, dtype=np.float32)


def held(embeddings: PlaceEmbeddings) -> PlaceEmbeddings:
    """The same in memory, where they fit into 256 MiB."""
    n = len(embeddings)
    if isinstance(embeddings, np.ndarray) or n == 0:
        return embeddings
    first = checked_places(embeddings[np.arange(1)])
    if n * first.nbytes > _HELD_BYTES:
        return embeddings
    step = _step(first)
    return np.concatenate([embeddings[np.arange(start, min(start + step, n))] for start in range(0, n, step)])


def _step(places: FloatArray) -> int:
    """Images at a time."""
    return max(_CHUNK_BYTES // int(places[0].nbytes), 1)
