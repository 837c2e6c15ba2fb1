"""Which search a bank gets: exact, or by size approximate."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from unalike.errors import InputWarning, tell
from unalike.scorers.approximate import Approximate, approximate
from unalike.scorers.search import Search
from unalike.types import FloatArray

How = Literal["auto", "exact", "approximate"]
MOST_EXACT = 200_000
"""Rows of a bank that ``search="auto"`` searches exactly; more where they fill few dimensions."""
_LEAST_APPROXIMATE = 5_000


def searching(
    bank: FloatArray, how: How, k: int, *, metric: Literal["euclidean", "cosine"], chunk_mb: int
) -> Search | Approximate:
    """The search of a new bank, for `k` neighbours.

    Raises
    ------
    MissingExtra
        `how` is "approximate", and faiss is not installed.
    """
    exact = Search(bank, metric=metric, chunk_mb=chunk_mb)
    if how == "exact" or len(bank) < _LEAST_APPROXIMATE:
        return exact
    if how == "auto":
        if len(bank) <= MOST_EXACT or exact.grown_tree() is not None:
            return exact
        if find_spec("faiss") is None:
            tell(
                f"A bank of {len(bank)} rows is searched row by row, which is slow, because faiss is not installed. "
                "Install it with: pip install 'unalike[faiss]', keep fewer rows by KNN(most_rows=...), or say "
                "KNN(search='exact').",
                InputWarning,
            )
            return exact
    return approximate(bank, min(k, len(bank) - 1), metric=metric, chunk_mb=chunk_mb) or exact
