"""Which search a bank gets: exact, or by size approximate."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from unalike.errors import InputWarning, tell
from unalike.room import need_room
from unalike.scorers.approximate import Approximate, approximate
from unalike.scorers.cells import ROWS_PER_CENTRE
from unalike.scorers.frame import KEPT_CHUNKS
from unalike.scorers.search import Search
from unalike.types import FloatArray

How = Literal["auto", "exact", "approximate"]
MOST_EXACT = 200_000
"""Rows of a bank that ``search="auto"`` searches exactly; more where they fill few dimensions."""
_LEAST_APPROXIMATE = 5_000
_UNASKED = 256 * 2**20
"""Bytes that are taken without a look at what is free."""


def taken(m: int, width: int, how: How, chunk_mb: int) -> int:
    """Bytes that the search of a bank of `m` rows takes, at most, beside the bank itself."""
    chunk = chunk_mb * 2**20
    numbers = KEPT_CHUNKS * chunk // 8
    prepared = 4 * m * (width + 1) if m * width <= 2 * numbers else 0
    tree = 24 * m * min(width, 16) if m * min(width, 16) <= numbers else 0
    exact = prepared + tree + chunk
    if how == "exact" or m < _LEAST_APPROXIMATE or (how == "auto" and m <= MOST_EXACT):
        return exact
    cells = 2.0 * m**0.5
    learning = 4.0 * ROWS_PER_CENTRE * cells * width + 32.0 * cells * width
    return int(max(exact if how == "auto" else 0, chunk + learning + m * (width + 24.0)))


def searching(
    bank: FloatArray, how: How, k: int, *, metric: Literal["euclidean", "cosine"], chunk_mb: int
) -> Search | Approximate:
    """The search of a new bank, for `k` neighbours.

    Raises
    ------
    MissingExtra
        `how` is "approximate", and faiss is not installed.
    NotEnoughMemory
        What the search takes is not free.
    """
    m, width = bank.shape
    size = taken(m, width, how, chunk_mb)
    if size > _UNASKED:
        need_room(
            size,
            f"The search of a bank of {len(bank):,} rows of width {bank.shape[1]}",
            "Keep fewer rows by KNN(most_rows=...), or less of them by KNN(chunk_mb=...).",
        )
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
