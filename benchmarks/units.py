"""Rows of a results file by unit (a series, a class, a task): what the tables of images, series and texts share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.results import read_rows
from benchmarks.summary import bootstrap_interval

Row = Mapping[str, str]
Rows = Sequence[Row]
Table = list[list[str]]
Unit = TypeVar("Unit", bound=Hashable)

_SAME = 5e-7


def choose(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those that `wanted` asks for, by name or by the part before the slash; all when it is empty.

    Raises
    ------
    ValueError
        When something wanted matches nothing.
    """
    for want in wanted:
        if not any(want in (name, family(name)) for name in names):
            raise ValueError(f"there is no set {want!r}; there are {', '.join(names)}")
    return [name for name in names if not wanted or {name, family(name)} & set(wanted)]


def rows_of(path: Path, sets: Sequence[str], what: str) -> Rows:
    """The lines of a results file about these sets; of all when there are none.

    Raises
    ------
    ValueError
        When there is no line.
    """
    rows = [row for row in read_rows(path) if not sets or {row["data"], family(row["data"])} & set(sets)]
    if not rows:
        raise ValueError(f"{path} has no row of {', '.join(sets) or f'any {what}'}.")
    return rows


def family(name: str) -> str:
    """The part of a set's name before the slash."""
    return name.split("/")[0]


def methods_of(rows: Rows) -> list[str]:
    """In the order of the file."""
    return list(dict.fromkeys(row["method"] for row in rows))


def per_unit(rows: Rows, column: str, unit: Callable[[Row], Unit]) -> dict[Unit, float]:
    """Mean of `column` by unit; units where it is empty are left out."""
    values: dict[Unit, list[float]] = {}
    for row in rows:
        if row[column]:
            values.setdefault(unit(row), []).append(float(row[column]))
    return {name: float(np.mean(found)) for name, found in values.items()}


def mean_of(values: Mapping[Unit, float]) -> float:
    """NaN of none."""
    return float(np.mean(list(values.values()))) if values else float("nan")


def percent(value: float) -> str:
    """Empty for NaN."""
    return "" if np.isnan(value) else f"{100 * value:.2f}"


def paired(ours: Mapping[Unit, float], theirs: Mapping[Unit, float]) -> list[str] | None:
    """Ours minus theirs over the units of both, in points: mean, 95% interval, wins/ties/losses, units."""
    common = [unit for unit in ours if unit in theirs]
    if not common:
        return None
    differences = np.array([ours[unit] - theirs[unit] for unit in common])
    low, high = bootstrap_interval(differences)
    return [
        f"{100 * differences.mean():+.2f}",
        f"[{100 * low:+.2f}, {100 * high:+.2f}]",
        wins(differences),
        str(len(common)),
    ]


def wins(differences: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """Wins/ties/losses."""
    counts = [(differences > _SAME).sum(), (np.abs(differences) <= _SAME).sum(), (differences < -_SAME).sum()]
    return "/".join(map(str, counts))
