"""``python -m benchmarks.methods --data DIR``: one contrastive method and one network at a time, on tables.

Every method is a detector of one branch, trained alike (AdamW, 300 steps of 128 rows, no rows held out); what is rated
is one embedding, by the distance to the nearest training row in it, beside the same network before training.
``icl-own`` is the method's own loss instead. ``floor`` is the nearest training row on the standardised columns.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import datasets, harness, tables
from benchmarks.ours import UNTRAINED, Floor
from benchmarks.results import Results
from benchmarks.summary import Row, as_markdown, as_text, means, read
from unalike.types import FloatArray

STEPS = 300
NAMES = (
    "synthetic",
    "synthetic-relu",
    "synthetic-periodic",
    "synthetic-piecewise",
    "synthetic-transformer",
    "simclr",
    "icl",
    "icl-own",
)
FLOOR = "floor"
METHODS = (FLOOR, *(name for own in NAMES for name in ((own,) if own == "icl-own" else (own, own + UNTRAINED))))
_PRELOAD = ("unalike.detector", "unalike.modalities.table", "lightning_fabric")


def branch(name: str, steps: int = STEPS) -> Any:
    """The branch of a method in `NAMES`."""
    from unalike.encoders import TableMLP, TableTransformer
    from unalike.objectives import ICL, SimCLR, SyntheticContrast
    from unalike.scorers import KNN
    from unalike.types import Branch, Training

    method, _, network = name.partition("-")
    encoder = {
        "relu": TableMLP(activation="relu"),
        "periodic": TableMLP(numbers="periodic"),
        "piecewise": TableMLP(numbers="piecewise-linear"),
        "transformer": TableTransformer(),
    }.get(network, TableMLP())
    objective = {"synthetic": SyntheticContrast(), "simclr": SimCLR(temperature=0.5), "icl": ICL()}[method]
    training = Training(steps=steps, batch_size=128, optimizer="adamw", weight_decay=1e-4, warmup=0.0)
    made = Branch(name=name, encoder=encoder, objective=objective, scorer=KNN(k=1), training=training)
    return replace(made, scorer="objective") if name == "icl-own" else made


class Alone:
    """A detector of one branch, which holds nothing out."""

    def __init__(self, name: str, seed: int, steps: int = STEPS) -> None:
        from unalike import Detector

        branches = [branch(name, steps)]
        self.detector = Detector("table", branches=branches, calibration_fraction=0.0, random_state=seed)

    def fit(self, train: Any) -> None:
        self.detector.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        return self.detector.branch_scores(test)[method]


def make(name: str, steps: int, seed: int) -> harness.Model:
    return Floor() if name == FLOOR else Alone(name, seed, steps)


def jobs(
    folder: Path, names: Sequence[str], protocol: str, seeds: Sequence[int], methods: Sequence[str], steps: int = STEPS
) -> list[harness.Job]:
    """One per seed, set and fit; the network before training is read from the fit of its method."""
    return [
        harness.Job(
            data=name,
            protocol=protocol,
            seed=seed,
            methods=rows,
            task=partial(tables.judge, folder, name, protocol, seed, partial(make, method, steps), rows),
        )
        for seed in seeds
        for method in methods
        for name in names
        for rows in [tuple(row for row in (method, method + UNTRAINED) if row in METHODS)]
    ]


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Means of every method over the sets that all of them finished; an untrained network beside the trained one."""
    methods = [method for method in METHODS if any(row.method == method for row in rows)]
    sets = set.intersection(*({row.data for row in rows if row.method == method} for method in methods))
    shared = [row for row in rows if row.data in sets]
    lines = [["method", "AUROC", "untrained", "AUPRC", "untrained", "fit s", f"sets: {len(sets)}"]]
    for method in methods:
        if method.endswith(UNTRAINED):
            continue
        other = method + UNTRAINED
        cells = []
        for metric in ("auroc", "auprc"):
            cells.append(f"{100 * means(shared, method, metric):.2f}")
            cells.append(f"{100 * means(shared, other, metric):.2f}" if other in methods else "")
        lines.append([method, *cells, f"{means(shared, method, 'fit_s'):.1f}", ""])
    return lines


def _base(method: str) -> str:
    return method.removesuffix(UNTRAINED)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of .npz files with X and y (1 = anomaly)")
    parser.add_argument("--sets", type=harness.listed, default=["tune"], help="names, tune or confirm; default tune")
    parser.add_argument("--methods", type=harness.listed, default=[FLOOR, *NAMES], help=", ".join((FLOOR, *NAMES)))
    parser.add_argument("--protocol", choices=[*tables.PROTOCOLS], default="clean", help="default clean")
    parser.add_argument("--seeds", type=harness.seeds, default=[0], help="list (0,1) or count (3); default the seed 0")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of every training; default {STEPS}")
    parser.add_argument(
        "--summary", action="store_true", help="only print the table of --methods in the file, in Markdown"
    )
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.summary:
        rows = [row for row in read(options.out, protocol=options.protocol) if _base(row.method) in options.methods]
        print(as_markdown(table(rows)))
        return 0
    if options.data is None:
        parser.error("--data must name the folder of tables")
    for method in options.methods:
        if method not in (FLOOR, *NAMES):
            parser.error(f"there is no method {method!r}; there are {', '.join((FLOOR, *NAMES))}")
    names = datasets.choose(datasets.names_in(options.data), options.sets)
    todo = jobs(options.data.resolve(), names, options.protocol, options.seeds, options.methods, options.steps)
    with Results(options.out) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    print(as_text(table(read(options.out, protocol=options.protocol))))
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
