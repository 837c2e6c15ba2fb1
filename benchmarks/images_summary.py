"""Tables of a results file of `benchmarks.images`: means, per class, paired intervals.

The units are the classes of an ``.npz`` (a class' value is the mean over its seeds) and the splits of a folder.
Percent everywhere but for seconds. Two methods are compared on the units that both finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.results import read_rows
from benchmarks.summary import as_markdown, as_text, bootstrap_interval

Rows = Sequence[Mapping[str, str]]
Table = list[list[str]]
Unit = tuple[str, str]

LEAKING = "random"
_COLUMNS = {
    "AUROC": "auroc",
    "AUPRC": "auprc",
    "pixel AUROC": "pixel_auroc",
    "PRO": "pro",
    "peak in mask": "hit",
    "stated": "stated_rate",
    "false alarms": "false_alarm_rate",
    "found": "found",
}
_COMPARED = {"AUROC": "auroc", "PRO": "pro"}
_SAME = 5e-7


def report(path: Path, against: str, sets: Sequence[str], *, markdown: bool) -> str:
    """All tables.

    Raises
    ------
    ValueError
        When no row is asked for.
    """
    show: Callable[[Table], str] = as_markdown if markdown else as_text
    rows = [row for row in read_rows(path) if not sets or {row["data"], _family(row)} & set(sets)]
    if not rows:
        raise ValueError(f"{path} has no row of {', '.join(sets) or 'any images'}.")
    parts = []
    for family, protocol in dict.fromkeys((_family(row), row["protocol"]) for row in rows):
        mine = [row for row in rows if (_family(row), row["protocol"]) == (family, protocol)]
        leaks = " (leaks: exposures of one tile on both sides)" if protocol.startswith(LEAKING) else ""
        parts += [f"{family}, {protocol}{leaks}", show(overview(mine))]
        classes = by_class(mine)
        if len(classes[0]) > 2:
            parts += ["AUROC by class", show(classes)]
        for name, column in _COMPARED.items():
            paired = comparisons(mine, against, column)
            if len(paired) > 1:
                parts += [f"{name}, paired: each minus {against}", show(paired)]
    return "\n\n".join(parts)


def overview(rows: Rows) -> Table:
    """One line per method, the best AUROC first; columns without a value are left out."""
    known = [name for name, column in _COLUMNS.items() if any(row[column] for row in rows)]
    lines = []
    for method in methods_of(rows):
        mine = [row for row in rows if row["method"] == method]
        line = [method, str(len(per_unit(mine, "auroc")))]
        line += [_percent(_mean(per_unit(mine, _COLUMNS[name]))) for name in known]
        line += [
            f"{np.median([float(row[column]) for row in mine]):.1f}" for column in ("fit_s", "score_s", "images_s")
        ]
        lines.append(line)
    header = ["method", "units", *known, "fit s", "score s", "images/s"]
    return [header, *sorted(lines, key=lambda line: -float(line[2]))]


def by_class(rows: Rows) -> Table:
    """AUROC of each set of a family: one column each."""
    names = sorted({row["data"] for row in rows})
    table = [["method", *(name.split("/")[-1] for name in names)]]
    for method in methods_of(rows):
        mine = [row for row in rows if row["method"] == method]
        table.append(
            [method, *(_percent(_mean(per_unit([r for r in mine if r["data"] == n], "auroc"))) for n in names)]
        )
    return table


def comparisons(rows: Rows, against: str, column: str) -> Table:
    """Each method minus `against`, in points."""
    table = [["method", "difference", "95% interval", "wins/ties/losses", "units"]]
    theirs = per_unit([row for row in rows if row["method"] == against], column)
    for method in methods_of(rows):
        ours = per_unit([row for row in rows if row["method"] == method], column)
        common = sorted(set(ours) & set(theirs))
        if method == against or not common:
            continue
        differences = np.array([ours[unit] - theirs[unit] for unit in common])
        low, high = bootstrap_interval(differences)
        counts = [(differences > _SAME).sum(), (np.abs(differences) <= _SAME).sum(), (differences < -_SAME).sum()]
        table.append(
            [
                method,
                f"{100 * differences.mean():+.2f}",
                f"[{100 * low:+.2f}, {100 * high:+.2f}]",
                "/".join(map(str, counts)),
                str(len(common)),
            ]
        )
    return table


def per_unit(rows: Rows, column: str) -> dict[Unit, float]:
    """Mean of `column` by class, or by split; units where it is empty are left out."""
    values: dict[Unit, list[float]] = {}
    for row in rows:
        if row[column]:
            unit = (row["data"], "" if "/" in row["data"] else row["seed"])
            values.setdefault(unit, []).append(float(row[column]))
    return {unit: float(np.mean(found)) for unit, found in values.items()}


def methods_of(rows: Rows) -> list[str]:
    """In the order of the file."""
    return list(dict.fromkeys(row["method"] for row in rows))


def _family(row: Mapping[str, str]) -> str:
    return row["data"].split("/")[0]


def _mean(values: Mapping[Unit, float]) -> float:
    return float(np.mean(list(values.values()))) if values else float("nan")


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.2f}"
