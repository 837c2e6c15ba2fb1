"""``python -m benchmarks.summary FILE``: means, ranks, paired intervals and tests of a results file.

Data sets are the units: a data set's value is the mean over its seeds. Two methods are compared on the
(data, seed) pairs that both finished, and the number of data sets that leaves is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, wilcoxon

from benchmarks import datasets
from benchmarks.harness import listed
from benchmarks.results import KEY, key_of, read_rows
from unalike.types import FloatArray

_SAME = 5e-7
_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the file."""

    data: str
    protocol: str
    seed: int
    method: str
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One method minus the reference, over `n` data sets.

    Parameters
    ----------
    difference : float
        Mean of the paired differences.
    low, high : float
        Paired bootstrap 95% interval of it: percentiles of the mean over 10,000 resamples of the data sets.
    wins, ties, losses : int
        Data sets on which the method is better, equal (to 6 decimals) and worse.
    p_value : float
        Wilcoxon signed-rank test, two-sided, equal pairs left out (exact up to 50 pairs without ties in size,
        else by the normal approximation); 1 when all are equal.
    """

    n: int
    difference: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    p_value: float


def read(path: Path, *, protocol: str | None = None, sets: Sequence[str] = ()) -> list[Row]:
    """The lines of a results file, of one protocol and of some data sets.

    Raises
    ------
    ValueError
        When `sets` names a data set that the file does not have.
    """
    rows = [
        Row(
            **key_of(line)._asdict(),
            values={name: float(cell) for name, cell in line.items() if name not in KEY and cell},
        )
        for line in read_rows(path)
    ]
    rows = [row for row in rows if protocol in (None, row.protocol)]
    wanted = set(datasets.choose(dict.fromkeys(row.data for row in rows), sets))
    return [row for row in rows if row.data in wanted]


def compare(rows: Sequence[Row], method: str, reference: str, metric: str) -> Comparison | None:
    """`method` minus `reference`; None when they share no run."""
    differences = _paired(rows, method, reference, metric)
    if len(differences) == 0:
        return None
    low, high = bootstrap_interval(differences)
    return Comparison(
        n=len(differences),
        difference=float(differences.mean()),
        low=low,
        high=high,
        wins=int((differences > _SAME).sum()),
        ties=int((np.abs(differences) <= _SAME).sum()),
        losses=int((differences < -_SAME).sum()),
        p_value=_signed_rank_p(differences),
    )


def bootstrap_interval(values: FloatArray) -> tuple[float, float]:
    """95% percentile interval of the mean of ``(n,)`` `values`."""
    positions = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[positions].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def means(rows: Sequence[Row], method: str, metric: str) -> float:
    """Mean over data sets of the mean over seeds; NaN when the file has none."""
    per_set = _per_set({(row.data, row.seed): row.values[metric] for row in _of(rows, method, metric)})
    return float(np.mean(list(per_set.values()))) if per_set else float("nan")


def ranks(rows: Sequence[Row], methods: Sequence[str], metric: str) -> tuple[dict[str, float], int]:
    """Average rank of each method (1 = best, equal ones share) over the data sets that all finished; their number."""
    per_set = {
        method: _per_set({(row.data, row.seed): row.values[metric] for row in _of(rows, method, metric)})
        for method in methods
    }
    common = set.intersection(*(set(values) for values in per_set.values()))
    if not common:
        return dict.fromkeys(methods, float("nan")), 0
    table = np.array([[per_set[method][data] for data in sorted(common)] for method in methods])
    average = rankdata(-np.round(table, 6), axis=0).mean(axis=1)
    return dict(zip(methods, average.tolist(), strict=True)), len(common)


def overview(rows: Sequence[Row], metrics: Sequence[str]) -> list[list[str]]:
    """Header and one line per method: number of sets and runs, means, seconds, memory and rank."""
    methods = _methods(rows)
    ranked = {metric: ranks(rows, methods, metric) for metric in metrics}
    header = ["method", "sets", "runs", *metrics, "median s", "max s", "max MB"]
    header += [f"rank {metric} ({ranked[metric][1]})" for metric in metrics]
    lines = []
    for method in sorted(methods, key=lambda method: -_or_low(means(rows, method, metrics[0]))):
        mine = [row for row in rows if row.method == method]
        seconds = [row.values["fit_s"] + row.values["score_s"] for row in mine]
        lines.append(
            [
                method,
                str(len({row.data for row in mine})),
                str(len(mine)),
                *(_number(means(rows, method, metric), ".4f") for metric in metrics),
                f"{np.median(seconds):.2f}",
                f"{max(seconds):.1f}",
                f"{max(row.values['peak_mb'] for row in mine):.0f}",
                *(_number(ranked[metric][0][method], ".2f") for metric in metrics),
            ]
        )
    return [header, *lines]


def comparisons(rows: Sequence[Row], reference: str, metrics: Sequence[str]) -> list[list[str]]:
    """Header and one line per metric and other method, in points (hundredths)."""
    lines = [
        ["metric", f"method minus {reference}", "points", "95% interval", "wins/ties/losses", "sets", "Wilcoxon p"]
    ]
    for metric in metrics:
        for method in (method for method in _methods(rows) if method != reference):
            found = compare(rows, method, reference, metric)
            if found is None:
                lines.append([metric, method, "", "", "", "0", ""])
                continue
            lines.append(
                [
                    metric,
                    method,
                    f"{100 * found.difference:+.2f}",
                    f"[{100 * found.low:+.2f}, {100 * found.high:+.2f}]",
                    f"{found.wins}/{found.ties}/{found.losses}",
                    str(found.n),
                    f"{found.p_value:.2g}",
                ]
            )
    return lines


def as_text(table: Sequence[Sequence[str]]) -> str:
    """Columns aligned with spaces; the first one to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(_aligned(line, widths)).rstrip() for line in table)


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    header, *lines = table
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])


def report(rows: Sequence[Row], against: str | None, metrics: Sequence[str], show: Callable[..., str]) -> str:
    """Both tables of one protocol."""
    methods = _methods(rows)
    reference = against or ("unalike" if "unalike" in methods else methods[0])
    if reference not in methods:
        raise ValueError(f"there is no method {reference!r} in these rows; there are {', '.join(methods)}")
    seeds, sets = {row.seed for row in rows}, {row.data for row in rows}
    title = f"protocol {rows[0].protocol}: {len(sets)} data sets, seeds {', '.join(map(str, sorted(seeds)))}"
    parts = [title, show(overview(rows, metrics))]
    if len(methods) > 1:
        parts.append(show(comparisons(rows, reference, metrics)))
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.summary", description=__doc__)
    parser.add_argument("file", type=Path, help="results file")
    parser.add_argument("--protocol", help="only this one; default: each in turn")
    parser.add_argument("--against", help="reference of the comparisons; default: unalike, else the first method")
    parser.add_argument("--methods", type=listed, default=[], help="only these; default: all")
    parser.add_argument("--sets", type=listed, default=[], help="names, tune or confirm; default: all")
    parser.add_argument("--halves", action="store_true", help="the tune sets, the confirm sets, then all of --sets")
    parser.add_argument("--metrics", type=listed, default=["auroc", "auprc", "f1"], help="columns, higher = better")
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    options = parser.parse_args(arguments)
    rows = read(options.file, protocol=options.protocol, sets=options.sets)
    rows = [row for row in rows if not options.methods or row.method in options.methods]
    if not rows:
        parser.error("no row of the file is asked for")
    show = as_markdown if options.markdown else as_text
    for protocol in dict.fromkeys(row.protocol for row in rows):
        of_protocol = [row for row in rows if row.protocol == protocol]
        for half, part in _parts(of_protocol, halves=options.halves).items():
            print(f"{half}{report(part, options.against, options.metrics, show)}", end="\n\n")
    return 0


def _parts(rows: Sequence[Row], *, halves: bool) -> dict[str, Sequence[Row]]:
    """What is reported on, by the words before its title; a half without rows is left out."""
    parts: dict[str, Sequence[Row]] = {}
    for name in datasets.GROUPS if halves else ():
        members = datasets.GROUPS[name].lower().split()
        parts[f"{name}: "] = [row for row in rows if datasets.short(row.data).lower() in members]
    parts[""] = rows
    return {title: part for title, part in parts.items() if part}


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows))


def _of(rows: Sequence[Row], method: str, metric: str) -> list[Row]:
    return [row for row in rows if row.method == method and metric in row.values]


def _per_set(runs: dict[tuple[str, int], float]) -> dict[str, float]:
    together: dict[str, list[float]] = {}
    for (data, _), value in runs.items():
        together.setdefault(data, []).append(value)
    return {data: float(np.mean(values)) for data, values in together.items()}


def _paired(rows: Sequence[Row], method: str, reference: str, metric: str) -> FloatArray:
    """``(n,)``: per data set the mean difference over the seeds that both finished."""
    first, second = (
        {(row.data, row.seed): row.values[metric] for row in _of(rows, name, metric)} for name in (method, reference)
    )
    return np.array(list(_per_set({run: first[run] - second[run] for run in first if run in second}).values()))


def _signed_rank_p(differences: FloatArray) -> float:
    different = differences[np.abs(differences) > _SAME]
    if len(different) == 0:
        return 1.0
    # Named, because scipy's own choice enumerates 2^n sign patterns, in seconds, when sizes tie.
    exact = len(different) <= 50 and len(np.unique(np.abs(different))) == len(different)
    return float(wilcoxon(different, method="exact" if exact else "asymptotic").pvalue)


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form)


def _or_low(value: float) -> float:
    return -np.inf if np.isnan(value) else value


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


if __name__ == "__main__":
    raise SystemExit(main())
