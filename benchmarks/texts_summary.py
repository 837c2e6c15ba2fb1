"""Tables of a results file of `benchmarks.texts`: means over tasks, per set, paired intervals.

The units are tasks; a task's value is the mean over its draws. Percent, but for documents a second. Two methods are
compared on the tasks that both finished. With several files of texts, each mean is also shown without each one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.results import read_rows
from benchmarks.summary import as_markdown, as_text, bootstrap_interval

Rows = Sequence[Mapping[str, str]]
Table = list[list[str]]

_COLUMNS = {
    "AUROC": "auroc",
    "AUPRC": "auprc",
    "AUPRC@10%": "auprc10",
    "stated": "stated_rate",
    "false alarms": "false_alarm_rate",
    "found": "found",
}
_COMPARED = {"AUROC": "auroc", "AUPRC@10%": "auprc10"}
_SAME = 5e-7


def report(path: Path, against: str, sets: Sequence[str], *, markdown: bool) -> str:
    """All tables.

    Raises
    ------
    ValueError
        When no row is asked for.
    """
    show: Callable[[Table], str] = as_markdown if markdown else as_text
    rows = [row for row in read_rows(path) if not sets or {row["data"], family(row["data"])} & set(sets)]
    if not rows:
        raise ValueError(f"{path} has no row of {', '.join(sets) or 'any texts'}.")
    parts = []
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        mine = [row for row in rows if row["protocol"] == protocol]
        parts += [f"{protocol}, mean over tasks", show(overview(mine))]
        for name, column in _COMPARED.items():
            parts += [f"{name} by set", show(by_set(mine, column))]
            paired = comparisons(mine, against, column)
            if len(paired) > 1:
                parts += [f"{name}, paired: each minus {against}", show(paired)]
    return "\n\n".join(parts)


def overview(rows: Rows) -> Table:
    """One line per method, the best AUROC first."""
    known = [name for name, column in _COLUMNS.items() if any(row[column] for row in rows)]
    lines = []
    for method in methods_of(rows):
        mine = [row for row in rows if row["method"] == method]
        line = [method, str(len(per_task(mine, "auroc")))]
        line += [_percent(_mean(per_task(mine, _COLUMNS[name]))) for name in known]
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
        values = per_task([row for row in rows if row["method"] == method], column)
        own = [{task: value for task, value in values.items() if family(task) == name} for name in families]
        others = [{task: value for task, value in values.items() if family(task) != name} for name in without]
        table.append([method, *(_percent(_mean(part)) for part in (*own, values, *others))])
    return table


def comparisons(rows: Rows, against: str, column: str) -> Table:
    """Each method minus `against`, in points: over all tasks, and by set."""
    families = sorted({family(row["data"]) for row in rows})
    table = [["method", "difference", "95% interval", "wins/ties/losses", "tasks", *families]]
    theirs = per_task([row for row in rows if row["method"] == against], column)
    for method in methods_of(rows):
        ours = per_task([row for row in rows if row["method"] == method], column)
        common = sorted(set(ours) & set(theirs))
        if method == against or not common:
            continue
        differences = np.array([ours[task] - theirs[task] for task in common])
        low, high = bootstrap_interval(differences)
        counts = [(differences > _SAME).sum(), (np.abs(differences) <= _SAME).sum(), (differences < -_SAME).sum()]
        in_sets = [[ours[task] - theirs[task] for task in common if family(task) == name] for name in families]
        table.append(
            [
                method,
                f"{100 * differences.mean():+.2f}",
                f"[{100 * low:+.2f}, {100 * high:+.2f}]",
                "/".join(map(str, counts)),
                str(len(common)),
                *(f"{100 * np.mean(own):+.2f}" if own else "" for own in in_sets),
            ]
        )
    return table


def per_task(rows: Rows, column: str) -> dict[str, float]:
    """Mean of `column` over the draws of each task; tasks where it is empty are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if row[column]:
            values.setdefault(row["data"], []).append(float(row[column]))
    return {task: float(np.mean(found)) for task, found in values.items()}


def methods_of(rows: Rows) -> list[str]:
    """In the order of the file."""
    return list(dict.fromkeys(row["method"] for row in rows))


def family(name: str) -> str:
    """The set of a task."""
    return name.split("/")[0]


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values()))) if values else float("nan")


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.2f}"
