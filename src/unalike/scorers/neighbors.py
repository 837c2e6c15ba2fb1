"""Distance to the nearest normal rows.

Ramaswamy, Rastogi and Shim, "Efficient algorithms for mining outliers from large data sets" (SIGMOD 2000),
for the distance to the k-th neighbour; Angiulli and Pizzuti, "Fast outlier detection in high dimensional
spaces" (PKDD 2002), for the mean distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from unalike.data import evenly, group_codes, shared_out
from unalike.scorers.approximate import Approximate
from unalike.scorers.arrays import checked, is_share, require_choice, require_count, require_fitted
from unalike.scorers.cells import Cells
from unalike.scorers.reference import at_most
from unalike.scorers.search import Search, Skip
from unalike.scorers.searching import How, searching, taken
from unalike.types import FloatArray, IntArray

_LARGEST_REFERENCE = 5000
_LEAST_K = 5
_ROBUST_K = 5
_ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(kw_only=True)
class KNN:
    """Score = distance to the nearest rows of a bank of normal embeddings.

    Parameters
    ----------
    k : int or float
        How many neighbours; a float in ``(0, 1)`` is that share of the bank, and at least 5. A bank (or, for the
        reference scores, what is left of it) with fewer rows gives all it has. The nearest row tells most when all
        training rows are normal; a few anomalies among them are outvoted by many neighbours.
    metric : {"euclidean", "cosine"}
        Cosine is ``1 - cos``, in ``[0, 2]``, computed as half the squared Euclidean distance of unit vectors.
        A zero vector is at distance 1 from every other vector and 0 from another zero vector.
    distance : {"kth", "mean"}
        To the k-th neighbour, or the mean over the k.
    most_rows : int, optional
        `fit` keeps at most so many evenly spaced rows; None: all.
    search : {"auto", "exact", "approximate"}
        How the nearest rows are found. "approximate": by faiss (extra ``faiss``) in a few of the cells that the bank is
        cut into, as few as find 97% of the `k` nearest of its own rows (`cells_`); distances are exact, but now and
        then not of the nearest. A bank of fewer than 5,000 rows, or that would take too many cells, is searched
        exactly. "auto": approximately above 200,000 rows, where they fill too many dimensions for the quick exact
        search and faiss is installed; without it, exactly with a warning.
    chunk_mb : int
        Working memory of a search in MiB. Between searches a bank of up to 16 times as much (1 GiB by default) is
        also kept in a prepared form in single precision, and a tree of at most that size. It never changes a score.

    Attributes
    ----------
    bank_ : ndarray
        ``(m, d)`` the kept normal embeddings, float32 unless they came as float64.
    rows_seen_ : int
        How many rows the bank stands for.
    absorbed_ : int
        How many of its last rows were absorbed.
    groups_ : ndarray or None
        ``(m,)`` codes of the bank's groups.
    cells_ : Cells or None
        Where the search is approximate: what it learned, with the measured ``recall`` (`unalike.scorers.cells`).
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, leave-one-out over at most 5,000 evenly spaced bank rows,
        leaving out whole `groups` when given (unless there is only one); of a single row, 0.

    Raises
    ------
    InvalidParameter
        A setting out of range.
    MissingExtra
        By `fit`: ``search="approximate"`` without faiss.
    NotEnoughMemory
        By `fit`: the search would take more memory than is free (`bytes`).

    Notes
    -----
    Exact where `cells_` is None. Distances are direct differences in float64 (see `unalike.scorers.search`), also where
    the search is approximate, once rows are found; one row scores as it does in a batch. Distances to rows that are in
    the bank are exactly 0. In float64 so are distances that are rounding: at most ``64 eps sqrt(d)`` times the largest
    number of the row. A network gives copies of a row in batches of other sizes other last bits, and where all normal
    rows are copies, any distance above 0 is an alarm.
    """

    k: int | float = 1
    metric: Literal["euclidean", "cosine"] = "euclidean"
    distance: Literal["kth", "mean"] = "kth"
    most_rows: int | None = None
    search: How = "auto"
    chunk_mb: int = 64

    def __post_init__(self) -> None:
        if not is_share(self.k):
            require_count("k", self.k, "an integer of at least 1, or a share of the bank above 0 and below 1")
        if self.most_rows is not None:
            require_count("most_rows", self.most_rows)
        require_choice("metric", self.metric, ("euclidean", "cosine"))
        require_choice("distance", self.distance, ("kth", "mean"))
        require_choice("search", self.search, ("auto", "exact", "approximate"))
        require_count("chunk_mb", self.chunk_mb)

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Keep the ``(m, d)`` normal `embeddings` and score the reference (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        self.rows_seen_, self.absorbed_ = len(rows), 0
        rows, groups = at_most(rows, groups, self.most_rows or len(rows))
        self._keep(rows)
        self._refer(reference, groups)
        return self

    def leave_one_out(self, embeddings: FloatArray, groups: IntArray | None = None) -> FloatArray:
        """``(n,)`` scores of all ``(n, d)`` rows, each by the others of a bank of at most `most_rows` of them.

        Nothing is kept: what `fit` has learned stays as it was.

        Parameters
        ----------
        embeddings : ndarray
            Training rows.
        groups : ndarray, optional
            ``(n,)``: a row does not count those of its own group, unless there is only one.
        """
        rows = checked(embeddings)
        kept = evenly(len(rows), self.most_rows or len(rows))
        codes = _codes(groups, len(rows))
        if np.ptp(codes[kept]) == 0:
            codes = np.arange(len(rows))
        scorer = replace(self)
        scorer._keep(rows[kept])
        return scorer._by_others(rows, Skip(codes, codes[kept]))

    def refilled(self, embeddings: FloatArray) -> Self:
        """The same settings with ``(m, d)`` other normal rows, at most `most_rows` of them; no reference scores."""
        rows = checked(embeddings)
        fresh = replace(self)
        fresh._keep(rows[evenly(len(rows), self.most_rows or len(rows))])
        return fresh

    def robust(self) -> Self:
        """The same settings for rows with anomalies among them: one row alone cannot make its like look normal."""
        return replace(self) if is_share(self.k) else replace(self, k=max(self.k, _ROBUST_K))

    def bytes(self, m: int, width: int, itemsize: int = 4) -> int:
        """Memory that a bank of ``(m, width)`` embeddings of `itemsize` bytes each takes with its search, at most."""
        m = min(m, self.most_rows or m)
        return m * width * itemsize + taken(m, width, self.search, self.chunk_mb)

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 distances of ``(n, d)`` embeddings; at least 0."""
        require_fitted(self, "bank_")
        return self._reduced(self.neighbors(embeddings, self._neighbours())[0])

    def neighbors(self, embeddings: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        """The nearest normal rows, for explanations.

        Parameters
        ----------
        embeddings : ndarray
            ``(n, d)``.
        k : int
            How many; no more than the bank holds are given.

        Returns
        -------
        distances : ndarray
            ``(n, k)`` float64 in the metric, ascending.
        positions : ndarray
            ``(n, k)`` int64 in the bank. Rows at the same distance come in any order.
        """
        require_fitted(self, "bank_")
        require_count("k", k)
        queries = checked(embeddings, width=self.bank_.shape[1], empty=True)
        return self._nearest(queries, min(k, len(self.bank_)))

    def nearest_others(self, at: IntArray, k: int) -> tuple[FloatArray, IntArray]:
        """As `neighbors`, of the bank's rows at the ``(n,)`` positions `at`: neither these nor their groups count.

        NaN marks neighbours that there are too few of; a bank of one row gives none.
        """
        require_fitted(self, "bank_")
        if len(self.bank_) == 1:
            return np.full((len(at), 1), np.nan), np.zeros((len(at), 1), dtype=np.int64)
        codes = _codes(self.groups_, len(self.bank_))
        return self._nearest(self.bank_[at], min(k, len(self.bank_) - 1), Skip(codes[at], codes))

    def add(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Append ``(n, d)`` normal rows to the bank: as a new `fit` to the earlier rows and these.

        Parameters
        ----------
        embeddings : ndarray
            Rows that are not in the bank.
        reference : ndarray, optional
            As in `fit`.
        groups : ndarray, optional
            ``(n,)``: groups among these rows; they are other ones than those of the earlier rows.

        Notes
        -----
        A bank that is at `most_rows` gives up earlier rows, evenly spaced, in proportion. Absorbed rows leave the bank,
        to be absorbed again.
        """
        require_fitted(self, "bank_")
        self._shed()
        rows = checked(embeddings, width=self.bank_.shape[1]).astype(self.bank_.dtype, copy=False)
        self._refer(reference, self._append(rows, groups))
        return self

    def absorb(self, embeddings: FloatArray, groups: IntArray | None = None) -> FloatArray:
        """Append held-out rows to the bank and give their leave-one-out scores; the reference scores stay.

        A score falls, or stays, as the bank grows. So these scores are at least those that the rows would have beside
        a new normal row in the bank, and a threshold set on them keeps its false-alarm rate (docs/decisions/0007).
        That needs a fixed number of neighbours and a bank that only grows: with a share for `k`, or at `most_rows`,
        the bank stays as it is and the rows get their plain scores.

        Parameters
        ----------
        embeddings : ndarray
            ``(n, d)`` rows that are not in the bank.
        groups : ndarray, optional
            ``(n,)``: groups among these rows, other ones than those of the earlier rows; a row does not count its own.
        """
        require_fitted(self, "bank_")
        rows = checked(embeddings, width=self.bank_.shape[1]).astype(self.bank_.dtype, copy=False)
        before = len(self.bank_)
        if is_share(self.k) or before + len(rows) > (self.most_rows or math.inf):
            return self.score(rows)
        own = np.arange(len(rows)) if groups is None else groups
        self.groups_ = self._append(rows, own, absorbed=True)
        self.absorbed_ += len(rows)
        codes = _codes(self.groups_, len(self.bank_))
        return self._by_others(rows, Skip(codes[before:], codes))

    def state(self) -> dict[str, Any]:
        require_fitted(self, "bank_")
        return {
            "bank": self.bank_,
            "reference_scores": self.reference_scores_,
            "groups": self.groups_,
            "rows_seen": self.rows_seen_,
            "absorbed": self.absorbed_,
            "cells": None if self.cells_ is None else self.cells_.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        bank, cells = checked(state["bank"], name="bank"), state.get("cells")
        self.absorbed_ = state.get("absorbed", 0)
        if cells is None:
            self._search_by(Search(bank, metric=self.metric, chunk_mb=self.chunk_mb))
        else:
            width = bank.shape[1] + (self.metric == "cosine")
            known = Cells.restored(cells, len(bank) - self.absorbed_, width)
            self._search_by(Approximate(bank, known, metric=self.metric, chunk_mb=self.chunk_mb))
        self.reference_scores_: FloatArray = np.asarray(state["reference_scores"], dtype=np.float64)
        self.groups_ = state.get("groups")
        self.rows_seen_ = state.get("rows_seen", len(self.bank_))

    def _shed(self) -> None:
        """Take the absorbed rows, which are the last, out of the bank."""
        if self.absorbed_ == 0:
            return
        left = len(self.bank_) - self.absorbed_
        self.groups_ = None if self.groups_ is None else self.groups_[:left]
        self.rows_seen_ -= self.absorbed_
        self.absorbed_ = 0
        self._keep(self.bank_[:left], same_cells=True)

    def _append(self, rows: FloatArray, groups: IntArray | None, absorbed: bool = False) -> IntArray | None:
        """Put rows into the bank; the groups of all that it then holds.

        The cells of a bank are for the rows that it was fitted on: what it absorbs may not change how they are found.
        """
        seen = self.rows_seen_ + len(rows)
        old, new = shared_out(len(self.bank_), self.rows_seen_, len(rows), self.most_rows or seen)
        joined = None
        if groups is not None or self.groups_ is not None:
            before, after = (_given(g, n) for g, n in ((self.groups_, len(self.bank_)), (groups, len(rows))))
            joined = np.concatenate([before[old], (after + before.max() + 1)[new]])
        self.rows_seen_ = seen
        self._keep(np.concatenate([self.bank_[old], rows[new]]), same_cells=absorbed)
        return joined

    def _refer(self, reference: FloatArray | None, groups: IntArray | None) -> None:
        """Set the reference scores; the bank's `groups` are kept for `add`."""
        self.groups_ = groups
        if reference is not None:
            self.reference_scores_ = self.score(checked(reference, name="reference"))
            return
        codes = _codes(groups, len(self.bank_))
        chosen = evenly(len(self.bank_), _LARGEST_REFERENCE)
        self.reference_scores_ = self._by_others(self.bank_[chosen], Skip(codes[chosen], codes))

    def _keep(self, bank: FloatArray, same_cells: bool = False) -> None:
        """Search this bank from now on; `same_cells`: as the one before, whose first rows it has."""
        if not same_cells:
            k = self._neighbours(len(bank))
            found = searching(bank, self.search, k, metric=self.metric, chunk_mb=self.chunk_mb)
        elif isinstance(self._search, Approximate):
            found = self._search.with_bank(bank)
        else:
            found = Search(bank, metric=self.metric, chunk_mb=self.chunk_mb)
        self._search_by(found)

    def _search_by(self, search: Search | Approximate) -> None:
        self.bank_: FloatArray = search.bank
        self.cells_ = search.cells if isinstance(search, Approximate) else None
        self._search = search

    def _nearest(self, rows: FloatArray, k: int, skip: Skip | None = None) -> tuple[FloatArray, IntArray]:
        """As `Search.nearest`, with 0 for what is rounding."""
        distances, positions = self._search.nearest(rows, k, skip)
        if rows.dtype == np.float64:
            share = _ROUNDING * math.sqrt(rows.shape[1])
            if self.metric == "cosine":
                distances[distances <= share**2 / 2.0] = 0.0
            else:
                distances[distances <= share * np.abs(rows).max(axis=1, keepdims=True)] = 0.0
        return distances, positions

    def _neighbours(self, m: int | None = None) -> int:
        """How many count in a bank of `m` rows; None: the fitted one."""
        m = len(self.bank_) if m is None else m
        return max(round(self.k * m), _LEAST_K) if is_share(self.k) else int(self.k)

    def _by_others(self, rows: FloatArray, own: Skip) -> FloatArray:
        """``(n,)``: the bank's rows that `own` names do not count; 0 where the bank has a single row."""
        m = len(self.bank_)
        if m == 1:
            return np.zeros(len(rows))
        return self._reduced(self._nearest(rows, min(self._neighbours(), m - 1), own)[0])

    def _reduced(self, distances: FloatArray) -> FloatArray:
        """``(n, k)`` to ``(n,)``; NaN marks neighbours that there are too few of."""
        if self.distance == "mean":
            return np.asarray(np.nanmean(distances, axis=1))
        return np.asarray(np.nanmax(distances, axis=1))


def _codes(groups: IntArray | None, n: int) -> IntArray:
    """``(n,)`` groups, each row one of its own where there are none, or only one."""
    codes = _given(groups, n)
    return codes if codes.max() > 0 else np.arange(n)


def _given(groups: IntArray | None, n: int) -> IntArray:
    """``(n,)`` groups, each row one of its own where there are none."""
    return np.arange(n) if groups is None else group_codes(groups.tolist(), n)
