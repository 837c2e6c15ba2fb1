"""``python -m benchmarks.series``: our series detector and its peers on folders of labelled series."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import harness, series_data, series_metrics, series_peers, series_summary, series_tools
from benchmarks.results import Results, Values
from benchmarks.series_ours import OURS
from unalike.types import BoolArray, FloatArray

METHODS: dict[str, harness.Maker] = {**OURS, **series_peers.PEERS}

_PRELOAD = (
    "scipy.signal",
    "benchmarks.series_peers",
    "benchmarks.series_metrics",
    "benchmarks.series_ours",
    "unalike.detector",
    "lightning_fabric",
    *series_peers.PRELOAD,
    *series_tools.PRELOAD,
    "benchmarks.series_loaded",
)


class Kept:
    """A model whose scores can be looked at after `harness.measure`."""

    def __init__(self, model: harness.Model) -> None:
        self._model = model
        self.scores: dict[str, FloatArray] = {}

    def fit(self, train: Any) -> None:
        self._model.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        self.scores[method] = self._model.score(test, method)
        return self.scores[method]

    def alarms(self, test: Any, method: str) -> tuple[BoolArray | None, float]:
        """Alarms and their stated rate; None from those that raise none."""
        raised = getattr(self._model, "alarms", lambda test, method: None)(test, method)
        return (None, float("nan")) if raised is None else raised


def judge(
    folder: Path, name: str, seed: int, maker: harness.Maker, methods: Sequence[str], *, tune: bool
) -> dict[str, Values]:
    """The rows of one job."""
    series = series_data.read(folder, name)
    model = Kept(maker(seed))
    outcome = harness.measure(model, series.train, series.test, series.label, methods)
    return {
        method: {
            **outcome[method],
            **series_metrics.ranking(series, model.scores[method]),
            **series_metrics.alarming(series, *model.alarms(series.test, method)),
            "tune": float(tune),
        }
        for method in methods
    }


def jobs(folder: Path, names: Sequence[str], seeds: Sequence[int], methods: Sequence[str]) -> list[harness.Job]:
    """One per fit, method by method, so that a stopped run has whole methods; peers with the first seed."""
    tune = series_data.tune_names(series_data.names_in(folder))
    several = {name: channels(folder, name) > 1 for name in names}
    return [
        harness.Job(
            data=name,
            protocol="multivariate" if several[name] else "univariate",
            seed=seed,
            methods=shared,
            task=partial(judge, folder, name, seed, maker, shared, tune=name in tune),
        )
        for maker, shared in harness.grouped(methods, METHODS)
        for seed in (seeds if set(shared) <= set(OURS) else seeds[:1])
        for name in names
        if not (several[name] and set(shared) <= set(series_peers.UNIVARIATE_ONLY))
    ]


def channels(folder: Path, name: str) -> int:
    return int(series_data.read(folder, name).train.shape[1])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of collections: see benchmarks/series_data.py")
    parser.add_argument("--methods", type=harness.listed, default=["unalike", "floor"], help=", ".join(METHODS))
    parser.add_argument("--seeds", type=harness.seeds, default=[0, 1, 2], help="list (0,1,2) or count (3); ours only")
    parser.add_argument(
        "--sets", type=harness.listed, default=[], help="names, collections, tune, confirm or sixteen; default: all"
    )
    parser.add_argument("--show", action="store_true", help="print the tables of the file and run nothing")
    parser.add_argument("--against", default="unalike", help="with --show: the method that others are compared with")
    parser.add_argument("--markdown", action="store_true", help="with --show: tables for a README")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.show:
        print(series_summary.report(options.out, options.against, options.sets, markdown=options.markdown))
        return 0
    if options.data is None:
        parser.error("--data is needed to run; --show prints the tables of a file")
    return _run(parser, options)


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    for method in options.methods:
        if method not in METHODS:
            parser.error(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    why = series_tools.missing()
    if why is not None:
        print(why, file=sys.stderr)
        return 1
    series_tools.reach()
    folder = options.data.resolve()
    names = series_data.choose(series_data.names_in(folder), options.sets)
    for name, reason in series_data.unusable(folder).items():
        print(f"{name} is left out: {reason}")
    todo = jobs(folder, names, options.seeds, options.methods)
    with Results(options.out, series_metrics.COLUMNS) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
