"""Tables of a results file of `benchmarks.series`: means, paired intervals over series, ablations, alarms.

Series are the units: a series' value is the mean over the seeds that a method ran with. Univariate and multivariate
series are averaged apart. Two methods are compared on the series that both finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.results import KEY, read_rows
from benchmarks.summary import as_markdown, as_text, bootstrap_interval
from benchmarks.units import Row, Rows, Table, family, mean_of, methods_of, per_unit, wins

PROTOCOLS = ("univariate", "multivariate")
ABLATIONS = (
    ("unalike", "floor"),
    ("unalike", "no-network"),
    ("unalike", "untrained"),
    ("unalike", "contrast"),
    ("contrast", "untrained-alone"),
)
"""First minus second: what all that is ours adds, what the networks add, what training adds to the fusion, what the
other branches add, and what training adds to the networks alone."""

_MAIN = "vus_pr"


def report(path: Path, against: str, sets: Sequence[str], *, markdown: bool) -> str:
    """All tables.

    Parameters
    ----------
    path : Path
        Results file.
    against : str
        The method that others are compared with.
    sets : sequence of str
        ``tune``, ``confirm``, collections or names; empty for all.

    Raises
    ------
    ValueError
        When no row is asked for.
    """
    show: Callable[[Table], str] = as_markdown if markdown else as_text
    rows = [row for row in read_rows(path) if not sets or any(_asked(row, wanted) for wanted in sets)]
    if not rows:
        raise ValueError(f"{path} has no row of {', '.join(sets) or 'any series'}.")
    parts = []
    for protocol in PROTOCOLS:
        mine = [row for row in rows if row["protocol"] == protocol]
        if not mine:
            continue
        parts += [f"{protocol}: {len({row['data'] for row in mine})} series", show(overview(mine))]
        pairs = [(against, method) for method in methods_of(mine) if method != against]
        parts += [f"VUS-PR, paired over series: {against} minus another", show(comparisons(mine, pairs))]
        ablations = comparisons(mine, ABLATIONS)
        if len(ablations) > 1:
            parts += ["ablations", show(ablations)]
        raised = alarms(mine)
        if len(raised) > 1:
            parts += ["alarms at the stated rate", show(raised)]
        streamed = live(mine)
        if len(streamed) > 1:
            parts += ["as told at once, by a stream / when the record is whole", show(streamed)]
    return "\n\n".join(parts)


def overview(rows: Rows) -> Table:
    """One line per method, the best VUS-PR first: its means, those of each collection, seconds and memory."""
    collections = sorted({family(row["data"]) for row in rows})
    header = ["method", "series", "VUS-PR", "AUC-PR", "AUC-ROC", "UCR top-1"]
    header += [*(f"VUS-PR {name}" for name in collections), "fit s", "score s", "most MB"]
    lines = []
    for method in methods_of(rows):
        mine = [row for row in rows if row["method"] == method]
        vus = per_series(mine, _MAIN)
        line = [method, str(len(vus)), _three(mean_of(vus))]
        line += [_three(mean_of(per_series(mine, column))) for column in ("auprc", "auroc")]
        line.append(_share(mean_of(per_series(mine, "top1"))))
        for name in collections:
            line.append(_three(mean_of(per_series([row for row in mine if family(row["data"]) == name], _MAIN))))
        line += [f"{np.median([float(row[column]) for row in mine]):.2f}" for column in ("fit_s", "score_s")]
        line.append(f"{max(float(row['peak_mb']) for row in mine):.0f}")
        lines.append(line)
    return [header, *sorted(lines, key=lambda line: -float(line[2] or -1))]


def comparisons(rows: Rows, pairs: Sequence[tuple[str, str]], column: str = _MAIN) -> Table:
    """One line per pair that shares a series: first minus second, and by how many percent the mean is higher."""
    table = [["first", "second", "difference", "95% interval", "relative", "wins/ties/losses", "series"]]
    for first, second in pairs:
        ours, theirs = (per_series([row for row in rows if row["method"] == name], column) for name in (first, second))
        common = sorted(set(ours) & set(theirs))
        if not common:
            continue
        differences = np.array([ours[name] - theirs[name] for name in common])
        low, high = bootstrap_interval(differences)
        base = float(np.mean([theirs[name] for name in common]))
        table.append(
            [
                first,
                second,
                f"{differences.mean():+.3f}",
                f"[{low:+.3f}, {high:+.3f}]",
                f"{differences.mean() / base:+.1%}" if base > 0 else "",
                wins(differences),
                str(len(common)),
            ]
        )
    return table


def alarms(rows: Rows) -> Table:
    """One line per method that raises alarms and per collection, and one for all."""
    columns = ("stated_rate", "false_alarm_rate", "detected", "delay", "alarms", "alarms_day")
    header = ["method", "collection", "series", "stated", "realised (mean)", "realised (median)"]
    header += ["segments detected", "delay, steps", "alarms per 10,000 steps", "alarms per day"]
    table = [header]
    for method in methods_of([row for row in rows if row["false_alarm_rate"]]):
        mine = [row for row in rows if row["method"] == method]
        for name in [*sorted({family(row["data"]) for row in mine}), "all"]:
            part = [row for row in mine if name in ("all", family(row["data"]))]
            stated, realised, detected, delay, runs, daily = (per_series(part, column) for column in columns)
            line = [method, name, str(len(realised)), _percent(mean_of(stated)), _percent(mean_of(realised))]
            line += [_percent(float(np.median(list(realised.values())))), _share(mean_of(detected))]
            table.append([*line, _one(mean_of(delay)), _one(mean_of(runs)), _one(mean_of(daily))])
    return table


def live(rows: Rows) -> Table:
    """One line per collection, and one for all: what a stream told at once, and the default afterwards.

    Means over the fits of which there are both; of the realised rate, the median. A delay counts detected segments.
    """
    columns = ("vus_pr", "detected", "delay", "false_alarm_rate", "alarms", "alarms_day")
    table = [["collection", "series", "VUS-PR", "segments detected", "delay, steps", "realised (median)"]]
    table[0] += ["alarms per 10,000 steps", "alarms per day"]
    both = [[row for row in rows if row["method"] == method] for method in ("stream", "unalike")]
    common = {_fit(row) for row in both[0]} & {_fit(row) for row in both[1]}
    both = [[row for row in mine if _fit(row) in common] for mine in both]
    for name in [*sorted({family(row["data"]) for row in both[0]}), *(["all"] if common else [])]:
        parts = [[row for row in mine if name in ("all", family(row["data"]))] for mine in both]
        values = [[per_series(part, column) for column in columns] for part in parts]
        cells = [" / ".join(how(mean_of(one)) for one in pair) for how, *pair in zip(_LIVE, *values, strict=True)]
        cells[3] = " / ".join(_percent(_median(found[3])) for found in values)
        table.append([name, str(len(values[0][0])), *("" if cell == " / " else cell for cell in cells)])
    return table


def per_series(rows: Rows, column: str) -> dict[str, float]:
    """Mean over seeds of `column`, by series; those where it is empty are left out."""
    return per_unit(rows, column, lambda row: row["data"])


def _asked(row: Row, wanted: str) -> bool:
    if wanted in ("tune", "confirm"):
        return (float(row["tune"]) == 1) == (wanted == "tune")
    return wanted in (row[KEY[0]], family(row["data"]))


def _fit(row: Row) -> tuple[str, str]:
    return row["data"], row["seed"]


def _median(values: Mapping[str, float]) -> float:
    return float(np.median(list(values.values()))) if values else float("nan")


def _three(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _one(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1f}"


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2%}"


_LIVE = (_three, _share, _one, _percent, _one, _one)
"""How the columns of `live` are written."""
