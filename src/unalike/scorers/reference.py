"""Scores of normal rows by scorers that have not seen them.

Rows that a scorer was fitted on score lower than new normal rows do, so they cannot tell what is usual.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unalike.data import evenly, group_codes
from unalike.errors import InvalidParameter
from unalike.plain import unlearned
from unalike.scorers.arrays import checked
from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray


def reference_scores(
    scorer: Any, embeddings: FloatArray, reference: FloatArray | None, groups: IntArray | None
) -> FloatArray:
    """What a fitted `scorer` compares with: scores ``(m,)`` of held-out rows, else cross-fit over its own."""
    if reference is not None:
        return np.asarray(scorer.score(checked(reference, name="reference")))
    return cross_fit_scores(scorer, embeddings, groups)


def at_most(rows: FloatArray, groups: IntArray | None, most: int) -> tuple[FloatArray, IntArray | None]:
    """At most so many evenly spaced `rows` ``(m, d)`` and, as ``(m,)`` codes, their groups."""
    kept = evenly(len(rows), most)
    return rows[kept], None if groups is None else group_codes(groups.tolist(), len(rows))[kept]


def cross_fit_scores(scorer: Any, embeddings: FloatArray, groups: IntArray | None = None, folds: int = 5) -> FloatArray:
    """Score each row by a copy of the scorer that was fitted on the other folds.

    Parameters
    ----------
    scorer : Scorer
        Only its settings are used; it is not changed.
    embeddings : ndarray
        ``(n, d)`` normal embeddings.
    groups : ndarray, optional
        ``(n,)``; rows of one group are in one fold, unless there is only one group.
    folds : int
        At least 2. Fewer are made when they would hold less than 2 groups (or rows) each.

    Returns
    -------
    ndarray
        ``(n,)`` float64; 0 for a single row. The same rows in the same order give the same folds.

    Raises
    ------
    InvalidParameter
        Fewer than 2 folds.
    """
    if folds < 2:
        raise InvalidParameter(f"`folds` must be at least 2; got {folds}.")
    rows = checked(embeddings)
    scores = np.zeros(len(rows))
    if len(rows) == 1:
        return scores
    fold_of_row = folds_of(len(rows), groups, folds)
    for fold in range(int(fold_of_row.max()) + 1):
        held = fold_of_row == fold
        # Held-out rows go in as the reference, or the copy would cross-fit in its turn.
        scores[held] = unlearned(scorer).fit(rows[~held], reference=rows[held]).reference_scores_
    return scores


def folds_of(n: int, groups: IntArray | None, folds: int) -> IntArray:
    """``(n,)`` fold of each of ``n`` rows, those of a group in one.

    Dealing the groups out by size keeps the folds about equal.
    """
    codes = np.arange(n) if groups is None else group_codes(groups.tolist(), n)
    if codes.max() == 0:
        codes = np.arange(n)
    sizes = np.bincount(codes)
    order = numpy_generator(0, "cross-fit").permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    fold_of_group[order] = np.arange(len(sizes)) % min(folds, max(len(sizes) // 2, 2))
    return fold_of_group[codes]
