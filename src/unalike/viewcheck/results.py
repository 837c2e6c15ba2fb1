"""The figures of a check of views, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from unalike.framing import Backend, as_frame

Verdict = Literal["fine", "too strong", "too weak", "too near", "too easy"]

LEAST_MOVED = 0.25
"""Less: views lie four times nearer to their sample than the nearest other normal sample does."""

MOST_UNCHANGED = 0.9
"""More: of ten samples at most one is changed at all."""

MOST_BEYOND = 0.5
"""More: the usual viewed sample scores as one in twenty normal samples does."""

LEAST_PAIRS = 0.1
"""Fewer found, among 256 samples: of ten first views nine are nearer to a view of another sample than to the
second one of their own."""

MOST_INSIDE = 0.25
"""More: a quarter of the negatives are as usual as the more usual half of the normal samples."""

ALL_BEYOND = 0.99
"""More: the floor already tells all but one in a hundred negatives from normal samples."""

_HEADINGS = ("name", "kind", "unchanged", "moved", "beyond 95%", "beyond 99%", "pairs found", "verdict")


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewCheck:
    """What was measured of one view, or of one kind of negative.

    Parameters
    ----------
    name : str
        Of the view.
    kind : {"view", "negative"}
        What it is for.
    settings : str
        The view as code.
    unchanged : float
        Share of samples that come out as they went in. All other figures but `pairs_found` are of the changed
        ones; NaN where there are none.
    moved : float
        Median distance from a sample to its view, in units of the median distance from a held-out sample to
        its nearest normal neighbour.
    inside : float
        Share whose floor score is that of the more usual half of the normal samples (conformal p-value above .5).
        Unviewed samples: .5.
    beyond_95, beyond_99 : float
        Share whose floor score is beyond 95% and 99% of the normal samples' (conformal p-value at most .05, .01).
        Unviewed samples: .05 and .01. NaN for 99% where fewer than 99 samples are held out.
    pairs_found : float
        Share of first views whose nearest second view, among those of 256 samples, is that of their own sample;
        NaN for negatives.
    """

    name: str
    kind: Literal["view", "negative"]
    settings: str
    unchanged: float
    moved: float
    inside: float
    beyond_95: float
    beyond_99: float
    pairs_found: float

    @property
    def verdict(self) -> Verdict:
        """``"fine"``; of views ``"too strong"`` or ``"too weak"``; of negatives ``"too near"`` or ``"too easy"``."""
        return self._judged[0]

    @property
    def reason(self) -> str:
        """One sentence."""
        return self._judged[1]

    @property
    def _judged(self) -> tuple[Verdict, str]:
        return _judge_view(self) if self.kind == "view" else _judge_negative(self)


@dataclass(frozen=True, slots=True)
class ViewChecks:
    """What `check_views` found, one row per view and kind of negative.

    Parameters
    ----------
    rows : tuple of ViewCheck
        Views first.
    n_fitted, n_viewed : int
        How many samples the floor was fitted on, and how many others were viewed.
    """

    rows: tuple[ViewCheck, ...]
    n_fitted: int
    n_viewed: int

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ViewCheck]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> ViewCheck:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r}; there are {[row.name for row in self.rows]}")

    def __str__(self) -> str:
        lines = [_HEADINGS, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns: the fields of `ViewCheck`, ``verdict`` and ``reason``."""
        names = [*(field.name for field in fields(ViewCheck)), "verdict", "reason"]
        return {name: [getattr(row, name) for row in self.rows] for name in names}

    def to_frame(self, backend: Backend | None = None) -> Any:
        """A DataFrame with one row per view and kind of negative; `backend` as in `Decisions.to_frame`.

        Raises
        ------
        InvalidParameter
            When `backend` is none of these.
        MissingExtra
            When that library is not installed.
        """
        return as_frame(self.to_dict(), backend)


def share(value: float) -> str:
    """As a whole percentage; ``"-"`` where there is none."""
    return "-" if math.isnan(value) else f"{100 * value:.0f}%"


def number(value: float) -> str:
    """With two decimals; ``"-"`` where there is none."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def _cells(row: ViewCheck) -> tuple[str, ...]:
    shares = (row.beyond_95, row.beyond_99, row.pairs_found)
    return (row.name, row.kind, share(row.unchanged), number(row.moved), *map(share, shares), row.verdict)


def _judge_view(row: ViewCheck) -> tuple[Verdict, str]:
    if row.unchanged > MOST_UNCHANGED:
        return "too weak", f"{share(row.unchanged)} of the samples come out as they went in."
    if row.beyond_95 > MOST_BEYOND:
        return "too strong", f"{share(row.beyond_95)} of the views lie beyond 95% of the normal samples in raw input."
    if row.pairs_found < LEAST_PAIRS:
        return "too strong", (
            f"Only {share(row.pairs_found)} of the views are nearest to the second view of their sample in raw input."
        )
    if row.moved < LEAST_MOVED:
        return "too weak", (
            f"Views lie at {row.moved:.2f} of the distance between neighbours: nearly copies, little to learn."
        )
    return "fine", "The views differ from their samples and stay among the normal ones."


def _judge_negative(row: ViewCheck) -> tuple[Verdict, str]:
    if row.unchanged + (1.0 - row.unchanged) * (0.0 if math.isnan(row.inside) else row.inside) > MOST_INSIDE:
        return "too near", (
            f"{share(row.unchanged)} are copies of normal samples, and {share(row.inside)} of the others are "
            "as usual as the more usual half of the normal samples."
        )
    if row.beyond_95 > ALL_BEYOND:
        return "too easy", (f"Nearest neighbours in raw input already tell {share(row.beyond_95)} of them from normal.")
    return "fine", "Neither copies of normal samples nor all far from them."
