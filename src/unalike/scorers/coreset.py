"""A few rows that cover many: the greedy coreset of a memory bank."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray


def greedy_coreset(rows: FloatArray, size: int, *, projected: int = 0, seed: int = 0) -> IntArray:
    """Positions of `size` rows such that no row is far from all of them.

    Each row that is taken is the one farthest from those before it: a greedy solution of the k-centre problem, whose
    largest distance is at most twice the least possible (Gonzalez, "Clustering to minimize the maximum intercluster
    distance", 1985). On random projections, which nearly keep distances, as in PatchCore (Roth et al., "Towards total
    recall in industrial anomaly detection", CVPR 2022).

    Parameters
    ----------
    rows : ndarray
        ``(n, d)`` finite.
    size : int
        How many are taken; all in their order where there are no more.
    projected : int
        Numbers that a row is projected to, where it has more; 0: distances are those of the rows themselves.
    seed : int
        Draws the first row and the projection.

    Returns
    -------
    ndarray
        ``(min(size, n),)`` int64, in the order in which they are taken; fewer where the others equal one of them.

    Notes
    -----
    Time is ``size * n * projected``; beside `rows` it takes the projected rows, in the precision of `rows`.
    """
    n, width = rows.shape
    if size >= n:
        return np.arange(n)
    generator = numpy_generator(seed, "coreset")
    points = torch.from_numpy(rows)
    if 0 < projected < width:
        drawn = generator.normal(size=(width, projected)) / math.sqrt(projected)
        points = points @ torch.from_numpy(drawn).to(points.dtype)
    points = points - points.mean(dim=0)  # shorter rows lose less in the difference of products
    return _farthest_first(points, size, int(generator.integers(n)))


def _farthest_first(points: Tensor, size: int, first: int) -> IntArray:
    squares = (points * points).sum(dim=1)
    taken = [first]
    nearest = _squared(points, squares, first)
    while len(taken) < size:
        farthest = int(nearest.argmax())
        if not nearest[farthest] > 0.0:
            break
        taken.append(farthest)
        torch.minimum(nearest, _squared(points, squares, farthest), out=nearest)
        nearest[farthest] = 0.0
    return np.array(taken, dtype=np.int64)


def _squared(points: Tensor, squares: Tensor, center: int) -> Tensor:
    """``(n,)`` squared distances to one of the points, wrong by rounding."""
    return torch.addmv(squares + squares[center], points, points[center], alpha=-2.0)
