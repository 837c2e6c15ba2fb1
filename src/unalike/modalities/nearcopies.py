"""Near copies among images: one object photographed several times, or consecutive frames.

They make a random split leak: what calibrates has been seen in training, nearly, and the threshold comes out too low.

Measure. Every image becomes a thumbnail of 16 x 16 grey values, less their mean and divided by their norm, so that
brightness and contrast do not count. Of its neighbours by Euclidean distance the k-th and the 2k-th (k = 20, and 80
where there are images enough) are taken to be other objects. How fast distances grow from the one to the other tells
the number ``m`` of ways in which such objects differ, as in Levina and Bickel ("Maximum likelihood estimation of
intrinsic dimension", 2004): with ``psi`` the digamma function, ``1 / m`` is the median of
``log(d_2k / d_k) / (psi(2k) - psi(k))``. If nothing but chance brought neighbours near, one of the first ``k - 1``
would be nearer than ``c d_k`` with probability ``1 - (1 - c^m)^(k-1)``. A near copy lies within ``c d_k``, where
``c = (0.05 / (k - 1))^(1/m)``, at most 0.4: of independent images no more than about 5% have one, in whatever few
ways they differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unalike.types import FloatArray, IntArray

SIDE = 16
"""Of a thumbnail, in pixels."""

_KS = (20, 80)
_LEAST = 40
_SURE = (0.05, 0.4)
_LIKELY = (0.5, 0.5)
"""Chance of a near copy among independent images, and how near it must be at least, to warn and to make groups."""
_SHARE = 0.15
_ADJACENT = 0.25
_QUERIES = 1000
_NOTHING = 1e-7
_CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class NearCopies:
    """What `look` found.

    Parameters
    ----------
    share : float
        Of the images looked at, how many have a near copy.
    adjacent : float
        Of how many the nearest image is the one before or after.
    example : ndarray
        ``(m,)`` positions of images that are near copies of each other, the surest ones.
    in_order : ndarray
        ``(2,)`` positions of two neighbours in order that are nearest to each other.
    """

    share: float
    adjacent: float
    example: IntArray
    in_order: IntArray

    @property
    def many(self) -> bool:
        """Whether near copies are more than chance makes."""
        return self.share >= _SHARE

    @property
    def consecutive(self) -> bool:
        """Whether images that follow upon each other are alike."""
        return self.adjacent >= _ADJACENT


def standardised(thumbnails: npt.NDArray[np.floating]) -> FloatArray:
    """``(n, 256)`` float64 of unit length, brightness and contrast taken out, of ``(n, 256)`` grey values.

    Images without content (all pixels equal) become zeros.
    """
    values = thumbnails.astype(np.float64) - thumbnails.mean(axis=1, keepdims=True, dtype=np.float64)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    blank = norms <= 1e-6 * np.maximum(np.abs(thumbnails).max(axis=1, keepdims=True), 1e-30)
    return np.where(blank, 0.0, values / np.where(blank, 1.0, norms))


def look(thumbnails: FloatArray) -> NearCopies | None:
    """How many images have a near copy.

    Cost: about 2 s for 60,000 images on one core; at most 1,000 of them, evenly spaced, look for their neighbours.

    Parameters
    ----------
    thumbnails : ndarray
        ``(n, 256)`` `standardised`, in the order of the images.

    Returns
    -------
    NearCopies or None
        None where fewer than 40 images have content.
    """
    seen = np.flatnonzero(thumbnails.any(axis=1))
    ks = _scales(len(seen))
    if not ks:
        return None
    queries = np.unique(np.linspace(0, len(seen) - 1, min(len(seen), _QUERIES)).round().astype(np.int64))
    distances, nearest = _neighbours(thumbnails[seen], queries, 2 * ks[-1])
    limits = _limits(distances, ks, *_SURE)
    within = distances[:, 0] / limits
    surest = int(np.argmin(within))
    near = nearest[surest][distances[surest] <= limits[surest]]
    beside = np.abs(nearest[:, 0] - queries) == 1
    first = int(np.argmin(np.where(beside, distances[:, 0], np.inf)))
    return NearCopies(
        share=float((within <= 1.0).mean()),
        adjacent=float(beside.mean()),
        example=np.sort(seen[[queries[surest], *near.tolist()]]),
        in_order=np.sort(seen[[queries[first], nearest[first, 0]]]),
    )


def group(thumbnails: FloatArray) -> IntArray:
    """``(n,)`` codes from 0: images linked by near copies share one.

    Two images are linked when each is a near copy of the other, by a wider measure than that of `look`: up to half of
    the images may have one by chance, and the factor is at most 0.5. A group too many costs little, a near copy on both
    sides of a split is what is to be avoided. Cost: grows as ``n^2``, about 0.1 s for 1,000 and 3 s
    for 10,000 on one core.

    Parameters
    ----------
    thumbnails : ndarray
        ``(n, 256)`` `standardised`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(thumbnails)
    seen = np.flatnonzero(thumbnails.any(axis=1))
    ks = _scales(len(seen))
    if not ks:
        return np.arange(n)
    distances, nearest = _neighbours(thumbnails[seen], np.arange(len(seen)), 2 * ks[-1])
    limits = _limits(distances, ks, *_LIKELY)
    linked = (distances <= limits[:, None]) & (distances <= limits[nearest])
    source, place = np.nonzero(linked)
    pairs = (np.ones(len(source)), (seen[source], seen[nearest[source, place]]))
    codes: IntArray = connected_components(coo_matrix(pairs, shape=(n, n)), directed=False)[1].astype(np.int64)
    return codes


def _scales(n: int) -> tuple[int, ...]:
    """The numbers of neighbours ``k`` that ``n`` images allow."""
    if n < _LEAST:
        return ()
    return tuple(dict.fromkeys(min(k, n // 5) for k in _KS))


def _limits(distances: FloatArray, ks: tuple[int, ...], chance: float, nearest: float) -> FloatArray:
    """``(q,)``: how near a near copy is; above 0, so that equal images are copies whatever rounding leaves.

    The larger number of neighbours is for images that have more near copies than the smaller one reaches.
    """
    from scipy.special import digamma

    found = np.full(len(distances), _NOTHING)
    for number, k in enumerate(ks):
        near, far = (np.maximum(distances[:, at - 1], _NOTHING) for at in (k, 2 * k))
        ways = max(float(np.median(np.log(far / near))), 1e-6) / float(digamma(2 * k) - digamma(k))
        limits = min(nearest, (chance / (k - 1)) ** ways) * near
        full = distances[:, ks[number - 1] - 1] <= limits if number else limits > 0.0
        found = np.where(full, np.maximum(found, limits), found)
    return found


def _neighbours(points: FloatArray, queries: IntArray, most: int) -> tuple[FloatArray, IntArray]:
    """``(q, most)`` each: distances to the nearest other points, nearest first, and their positions."""
    most = min(most, len(points) - 1)
    squares = (points**2).sum(axis=1)
    found = [_nearest(points, squares, at, most) for at in _chunks(queries, len(points))]
    return np.concatenate([distances for distances, _ in found]), np.concatenate([at for _, at in found])


def _nearest(points: FloatArray, squares: FloatArray, at: IntArray, most: int) -> tuple[FloatArray, IntArray]:
    distances = squares[at, None] + squares - 2.0 * (points[at] @ points.T)
    distances[np.arange(len(at)), at] = np.inf
    near = np.argpartition(distances, most - 1, axis=1)[:, :most]
    # Neighbours at one distance are taken in their order, so that a copy of a copy gives one answer.
    of_near = np.sqrt(np.maximum(np.take_along_axis(distances, near, axis=1), 0.0))
    order = np.lexsort((near, of_near), axis=1)
    return np.take_along_axis(of_near, order, axis=1), np.take_along_axis(near, order, axis=1)


def _chunks(rows: IntArray, n: int) -> Iterator[IntArray]:
    size = max(_CHUNK_BYTES // (8 * n), 1)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
