"""Tables of a results file of `benchmarks.images`: means, per class, paired intervals.

The units are the classes of an ``.npz`` (a class' value is the mean over its seeds) and the splits of a folder.
Percent everywhere but for seconds. Two methods are compared on the units that both finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.summary import as_markdown, as_text
from benchmarks.units import Row, Rows, Table, family, mean_of, methods_of, paired, per_unit, percent, rows_of

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


def report(path: Path, against: str, sets: Sequence[str], *, markdown: bool) -> str:
    """All tables.

    Raises
    ------
    ValueError
        When no row is asked for.
    """
    show: Callable[[Table], str] = as_markdown if markdown else as_text
    rows = rows_of(path, sets, "images")
    parts = []
    for name, protocol in dict.fromkeys((family(row["data"]), row["protocol"]) for row in rows):
        mine = [row for row in rows if (family(row["data"]), row["protocol"]) == (name, protocol)]
        leaks = " (leaks: exposures of one tile on both sides)" if protocol.startswith(LEAKING) else ""
        parts += [f"{name}, {protocol}{leaks}", show(overview(mine))]
        classes = by_class(mine)
        if len(classes[0]) > 2:
            parts += ["AUROC by class", show(classes)]
        for metric, column in _COMPARED.items():
            compared = comparisons(mine, against, column)
            if len(compared) > 1:
                parts += [f"{metric}, paired: each minus {against}", show(compared)]
    return "\n\n".join(parts)


def overview(rows: Rows) -> Table:
    """One line per method, the best AUROC first; columns without a value are left out."""
    known = [name for name, column in _COLUMNS.items() if any(row[column] for row in rows)]
    lines = []
    for method in methods_of(rows):
        mine = [row for row in rows if row["method"] == method]
        line = [method, str(len(per_unit(mine, "auroc", unit)))]
        line += [percent(mean_of(per_unit(mine, _COLUMNS[name], unit))) for name in known]
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
            [method, *(percent(mean_of(per_unit([r for r in mine if r["data"] == n], "auroc", unit))) for n in names)]
        )
    return table


def comparisons(rows: Rows, against: str, column: str) -> Table:
    """Each method minus `against`, in points."""
    table = [["method", "difference", "95% interval", "wins/ties/losses", "units"]]
    theirs = per_unit([row for row in rows if row["method"] == against], column, unit)
    for method in methods_of(rows):
        ours = per_unit([row for row in rows if row["method"] == method], column, unit)
        cells = paired(ours, theirs)
        if method != against and cells is not None:
            table.append([method, *cells])
    return table


def unit(row: Row) -> tuple[str, str]:
    """The class, or the split of a folder."""
    return row["data"], "" if "/" in row["data"] else row["seed"]
