"""The tables of ``benchmarks.views``: the ablation, and what the check without labels foretold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from benchmarks.summary import Row, as_text, compare, means
from unalike.viewcheck.results import ViewCheck

REFERENCE = "default"
FLOORS = ("untrained", "raw")
FIGURES = ("moved", "beyond_95", "pairs_found", "unchanged")
_CHECK = ("unchanged", "moved", "inside", "beyond_95", "beyond_99", "pairs_found")


def report(rows: Sequence[Row]) -> str:
    """All tables, one kind of data after the other."""
    parts = []
    for kind in dict.fromkeys(row.protocol for row in rows):
        mine = [row for row in rows if row.protocol == kind]
        units, seeds = {row.data for row in mine}, {row.seed for row in mine}
        parts.append(f"{kind}: {len(units)} data sets, draws {sorted(seeds)}; AUROC of the network alone, kNN")
        parts.append(as_text(ablation(mine)))
        parts.append(as_text(foretold(mine)))
        parts.append(as_text(by_verdict(mine)))
    return "\n\n".join(parts)


def ablation(rows: Sequence[Row]) -> list[list[str]]:
    """Mean AUROC of each view, its paired difference from the default, and the figures of the check."""
    lines = [["view", "AUROC", f"minus {REFERENCE}", "95% interval", "better in", *FIGURES, "verdicts"]]
    for method in dict.fromkeys(row.method for row in rows):
        found = compare(rows, method, REFERENCE, "auroc")
        line = [method, f"{means(rows, method, 'auroc'):.3f}"]
        if method == REFERENCE or found is None:
            line += ["", "", ""]
        else:
            interval = f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
            line += [f"{100 * found.difference:+.1f}", interval, f"{found.wins} of {found.n}"]
        figures = [means(rows, method, figure) for figure in FIGURES]
        lines.append(
            [*line, *("" if np.isnan(value) else f"{value:.2f}" for value in figures), _verdicts(rows, method)]
        )
    return lines


def foretold(rows: Sequence[Row]) -> list[list[str]]:
    """Rank correlation over views of each figure of the check with the AUROC: of the means, and mean within a set."""
    lines = [["figure of the check", "rank correlation of the means", "p", "mean within a data set"]]
    methods = [method for method in dict.fromkeys(row.method for row in rows) if _checked(rows, method)]
    auroc = [means(rows, method, "auroc") for method in methods]
    for figure in FIGURES:
        values = [means(rows, method, figure) for method in methods]
        whole = _rank_correlation(values, auroc)
        inside = [_within([row for row in rows if row.data == data], figure) for data in {row.data for row in rows}]
        known = [value for value in inside if not np.isnan(value)]
        lines.append([figure, *whole, f"{np.mean(known):+.2f}" if known else ""])
    return lines


def by_verdict(rows: Sequence[Row]) -> list[list[str]]:
    """Mean AUROC minus that of the same network untrained, by what the check said of the view on that data set."""
    untrained = {(row.data, row.seed): row.values["auroc"] for row in rows if row.method == "untrained"}
    gains: dict[str, list[float]] = {"fine": [], "too strong": [], "too weak": []}
    for row in rows:
        floor = untrained.get((row.data, row.seed))
        if floor is not None and "pairs_found" in row.values:
            gains[_verdict(row)].append(row.values["auroc"] - floor)
    lines = [["verdict", "runs", "points above untrained", "share above untrained"]]
    for verdict, values in gains.items():
        if values:
            above = np.mean(np.array(values) > 0)
            lines.append([verdict, str(len(values)), f"{100 * np.mean(values):+.1f}", f"{above:.2f}"])
    return lines


def _within(rows: Sequence[Row], figure: str) -> float:
    """Of one data set; NaN when the figure or the AUROC is the same for all views."""
    known = [(row.values[figure], row.values["auroc"]) for row in rows if figure in row.values]
    correlation, _ = _rank_correlation([value for value, _ in known], [auroc for _, auroc in known])
    return float(correlation or "nan")


def _rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[str, str]:
    """Spearman's, and its p-value; empty where one of both is the same throughout."""
    if len(first) < 3 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return "", ""
    found = spearmanr(first, second)
    return f"{found.statistic:+.2f}", f"{found.pvalue:.2g}"


def _checked(rows: Sequence[Row], method: str) -> bool:
    return any(row.method == method and "pairs_found" in row.values for row in rows)


def _verdict(row: Row) -> str:
    figures = {name: row.values.get(name, float("nan")) for name in _CHECK}
    return ViewCheck(name=row.method, kind="view", settings="", **figures).verdict


def _verdicts(rows: Sequence[Row], method: str) -> str:
    said = [_verdict(row) for row in rows if row.method == method and "pairs_found" in row.values]
    return ", ".join(f"{said.count(verdict)} {verdict}" for verdict in dict.fromkeys(said))
