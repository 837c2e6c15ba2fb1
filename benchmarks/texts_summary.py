"""Tables of a results file of `benchmarks.texts`: means over tasks, per set, paired intervals.

The units are tasks; a task's value is the mean over its draws. Percent, but for documents a second. Two methods are
compared on the tasks that both finished. With several files of texts, each mean is also shown without each one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.summary import as_markdown, as_text
from benchmarks.units import Row, Rows, Table, family, mean_of, methods_of, paired, per_unit, percent, rows_of

_COLUMNS = {
    "AUROC": "auroc",
    "AUPRC": "auprc",
    "AUPRC@10%": "auprc10",
    "stated": "stated_rate",
    "false alarms": "false_alarm_rate",
    "found": "found",
}
_COMPARED = {"AUROC": "auroc", "AUPRC@10%": "auprc10"}


def report(path: Path, against: str, sets: Sequence[str], *, markdown: bool) -> str:
    """All tables.

    Raises
    ------
    ValueError
        When no row is asked for.
    """
    show: Callable[[Table], str] = as_markdown if markdown else as_text
    rows = rows_of(path, sets, "texts")
    parts = []
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        mine = [row for row in rows if row["protocol"] == protocol]
        parts += [f"{protocol}, mean over tasks", show(overview(mine))]
        for name, column in _COMPARED.items():
            parts += [f"{name} by set", show(by_set(mine, column))]
            compared = comparisons(mine, against, column)
            if len(compared) > 1:
                parts += [f"{name}, paired: each minus {against}", show(compared)]
    return "\n\n".join(parts)


def overview(rows: Rows) -> Table:
    """One line per method, the best AUROC first."""
    known = [name for name, column in _COLUMNS.items() if any(row[column] for row in rows)]
    lines = []
    for method in methods_of(rows):
        mine = [row for row in rows if row["method"] == method]
        line = [method, str(len(per_unit(mine, "auroc", task)))]
        line += [percent(mean_of(per_unit(mine, _COLUMNS[name], task))) for name in known]
        line += [f"{np.median([float(row[column]) for row in mine]):.0f}" for column in ("fit_docs_s", "score_docs_s")]
        lines.append(line)
    header = ["method", "tasks", *known, "fit docs/s", "score docs/s"]
    return [header, *sorted(lines, key=lambda line: -float(line[2]))]


def by_set(rows: Rows, column: str) -> Table:
    """The mean over the tasks of each set, over all tasks, and over those of all sets but one."""
    families = sorted({family(row["data"]) for row in rows})
    without = families if len(families) > 1 else []
    table = [["method", *families, "all tasks", *(f"without {name}" for name in without)]]
    for method in methods_of(rows):
        values = per_unit([row for row in rows if row["method"] == method], column, task)
        own = [{of: value for of, value in values.items() if family(of) == name} for name in families]
        others = [{of: value for of, value in values.items() if family(of) != name} for name in without]
        table.append([method, *(percent(mean_of(part)) for part in (*own, values, *others))])
    return table


def comparisons(rows: Rows, against: str, column: str) -> Table:
    """Each method minus `against`, in points: over all tasks, and by set."""
    families = sorted({family(row["data"]) for row in rows})
    table = [["method", "difference", "95% interval", "wins/ties/losses", "tasks", *families]]
    theirs = per_unit([row for row in rows if row["method"] == against], column, task)
    for method in methods_of(rows):
        ours = per_unit([row for row in rows if row["method"] == method], column, task)
        cells = paired(ours, theirs)
        if method == against or cells is None:
            continue
        for name in families:
            in_set = paired({of: value for of, value in ours.items() if family(of) == name}, theirs)
            cells.append("" if in_set is None else in_set[0])
        table.append([method, *cells])
    return table


def task(row: Row) -> str:
    """A set with its normal class; its draws are averaged."""
    return row["data"]
