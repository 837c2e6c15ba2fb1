"""``python -m benchmarks.scorers``: every scorer on raw, untrained and trained embeddings.

The ten one-class runs on digits, breast cancer, and a folder of labelled tables. Per data set and seed one network
(the branch ``contrast`` of the modality's default) is trained, once; all scorers are fitted on the same three kinds of
embeddings of the same normal rows: the raw input as that modality's raw branch rescales it, the network before
training, and after. Scorers are at their defaults. A method is named ``knn/trained``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import datasets, digits, harness
from benchmarks.results import Results, Values
from benchmarks.summary import Row, as_markdown, as_text, means, read
from benchmarks.tables import clean
from unalike.types import Branch, FloatArray, IntArray

KINDS = ("raw", "untrained", "trained")
PROTOCOL = "clean"
MOST_TRAINING_ROWS = 5_000
"""Scorers are fitted on at most so many normal rows, drawn by seed. The network is trained on all."""
MOST_TEST_ROWS = 20_000
"""At most so many test rows are scored, drawn by seed, with the share of anomalies kept."""

_RAW_ENCODERS = {"image": "raw", "table": "raw-table"}
_PRELOAD = (
    "unalike.detector",
    "unalike.modalities.image",
    "unalike.modalities.table",
    "lightning_fabric",
    "sklearn.mixture",
    "sklearn.svm",
    "pyod.models.lof",
    "pyod.models.knn",
)


def _ours(name: str, seed: int) -> Any:
    from unalike.lookup import named
    from unalike.scorers import SCORERS

    scorer = named("scorer", SCORERS, name)()
    return replace(scorer, seed=seed) if hasattr(scorer, "seed") else scorer


def _pyod_knn(seed: int) -> Any:
    from pyod.models.knn import KNN

    from unalike.scorers import Outlier

    return Outlier(KNN(), seed=seed)


def _pyod_lof(seed: int) -> Any:
    from pyod.models.lof import LOF

    from unalike.scorers import Outlier

    return Outlier(LOF(novelty=True), seed=seed)


MAKERS: dict[str, Callable[[int], Any]] = {
    **{
        name: partial(_ours, name)
        for name in (
            "knn",
            "centroid",
            "mahalanobis",
            "gaussian-mixture",
            "kernel-density",
            "one-class-svm",
            "isolation-forest",
        )
    },
    "pyod-knn": _pyod_knn,
    "pyod-lof": _pyod_lof,
}
METHODS = tuple(f"{scorer}/{kind}" for kind in KINDS for scorer in MAKERS)


class Alone:
    """One scorer on embeddings, behind the harness' contract."""

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer

    def fit(self, train: FloatArray) -> None:
        # Two rows for a reference: its scores go unused here, and cross-fitting would take five fits more.
        self._scorer.fit(train, reference=train[:2])

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        scores: FloatArray = self._scorer.score(test)
        return scores


def load(folder: Path | None, name: str) -> tuple[Any, IntArray]:
    """``X`` and ``y`` (1 = anomaly) of digits, breast cancer or a table of the folder."""
    if name == digits.CANCER or name in digits.DIGITS:
        return digits.load(name)
    if folder is None:
        raise ValueError(f"{name} is a table: --data must name the folder that holds it")
    return datasets.read(folder, name)


def judge(folder: Path | None, name: str, seed: int, methods: Sequence[str]) -> dict[str, Values]:
    """The rows of one job."""
    X, y = load(folder, name)
    parts = clean(y, seed)
    fitted_on = some(parts.train, MOST_TRAINING_ROWS, seed)
    tested_on = stratified(parts.test, y, MOST_TEST_ROWS, seed)
    for what, kept, of in (("normal rows", fitted_on, parts.train), ("test rows", tested_on, parts.test)):
        if len(kept) < len(of):
            print(f"{name} seed {seed}: scorers get {len(kept):,} of {len(of):,} {what}", flush=True)
    modality = "image" if name in digits.DIGITS else "table"
    embedded = embeddings(modality, seed, X[parts.train], X[fitted_on], X[tested_on])
    rows: dict[str, Values] = {}
    for method in methods:
        scorer, _, kind = method.partition("/")
        train, test = embedded[kind]
        rows |= harness.measure(Alone(MAKERS[scorer](seed)), train, test, y[tested_on], [method])
    return rows


def embeddings(
    modality: str, seed: int, training: Any, train: Any, test: Any, *, settings: Any = None
) -> dict[str, tuple[Any, Any]]:
    """Per kind the embeddings of `train` and `test`; the network learns from all of `training`.

    `settings` override those of its training, as in `Detector`.
    """
    import torch

    from unalike import Detector
    from unalike.judging import embed_parts
    from unalike.lookup import named
    from unalike.modalities import MODALITIES
    from unalike.parts import load_parts

    schema = named("modality", MODALITIES, modality)()
    by_name = {branch.name: branch for branch in schema.fit(schema.check(training)).branches()}
    raw = Branch(name="raw", encoder=_RAW_ENCODERS[modality], scorer="centroid")
    branches = (raw, replace(by_name["contrast"], scorer="centroid", skip=None))
    detector = Detector(
        modality, branches=branches, training=settings, calibration_fraction=0.0, random_state=seed
    ).fit(training)
    fitted = dict(zip(("raw", "trained"), detector.branches_, strict=True))
    untrained = fitted["trained"].untrained
    if untrained is None:
        raise ValueError(f"the branch 'contrast' of {modality} must train")
    judges = {"raw": fitted["raw"].judge, "untrained": untrained, "trained": fitted["trained"].judge}
    loads = []
    for X in (train, test):
        cut, owner = detector.modality_.cut(detector.modality_.check(X))
        loads.append((load_parts(detector.modality_, cut, keep=False), len(owner)))
    cpu = torch.device("cpu")
    return {
        kind: (embed_parts(judges[kind], *loads[0], cpu), embed_parts(judges[kind], *loads[1], cpu)) for kind in KINDS
    }


def some(positions: IntArray, at_most: int, seed: int) -> IntArray:
    """At most so many of the positions, drawn by seed, in their order."""
    if len(positions) <= at_most:
        return positions
    chosen = np.random.default_rng(seed).permutation(len(positions))[:at_most]
    return np.asarray(positions[np.sort(chosen)])


def stratified(positions: IntArray, y: IntArray, at_most: int, seed: int) -> IntArray:
    """At most so many of the positions, both labels in the share that they have."""
    if len(positions) <= at_most:
        return positions
    anomalous = y[positions] == 1
    anomalies = max(round(at_most * float(anomalous.mean())), 1)
    normal = some(positions[~anomalous], at_most - anomalies, seed)
    return np.concatenate([normal, some(positions[anomalous], anomalies, seed)])


def jobs(folder: Path | None, names: Sequence[str], seeds: Sequence[int], methods: Sequence[str]) -> list[harness.Job]:
    """One per seed and data set: a network is trained once."""
    return [
        harness.Job(
            data=name,
            protocol=PROTOCOL,
            seed=seed,
            methods=tuple(methods),
            task=partial(judge, folder, name, seed, tuple(methods)),
        )
        for seed in seeds
        for name in names
    ]


def groups(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Title to the data sets that are averaged."""
    names = list(dict.fromkeys(row.data for row in rows))
    found = {
        "digits": [name for name in names if name in digits.DIGITS],
        "cancer": [name for name in names if name == digits.CANCER],
        "tables": [name for name in names if name not in (*digits.DIGITS, digits.CANCER)],
    }
    return {title: members for title, members in found.items() if members}


def table(rows: Sequence[Row], metric: str, mark: Callable[[str], str]) -> list[list[str]]:
    """One line per scorer: per group and kind the mean of `metric` in percent, the best of a column marked.

    The last columns count the data sets on which the trained embedding is better than the raw and the untrained one.
    """
    found = dict.fromkeys(row.method.partition("/")[0] for row in rows)
    scorers = sorted(found, key=[*MAKERS, *found].index)
    header, columns = ["scorer"], [scorers]
    for title, members in groups(rows).items():
        mine = [row for row in rows if row.data in members]
        for kind in KINDS:
            values = [means(mine, f"{scorer}/{kind}", metric) for scorer in scorers]
            best = max((value for value in values if not math.isnan(value)), default=math.nan)
            shown = ["" if math.isnan(value) else f"{100 * value:.2f}" for value in values]
            columns.append([mark(cell) if value == best else cell for cell, value in zip(shown, values, strict=True)])
            header.append(f"{title} {kind}")
    for other in KINDS[:2]:
        header.append(f"> {other}")
        columns.append([_wins(rows, scorer, other, metric) for scorer in scorers])
    return [header, *map(list, zip(*columns, strict=True))]


def _wins(rows: Sequence[Row], scorer: str, other: str, metric: str) -> str:
    won, compared = 0, 0
    for name in dict.fromkeys(row.data for row in rows):
        mine = [row for row in rows if row.data == name]
        trained, floor = means(mine, f"{scorer}/trained", metric), means(mine, f"{scorer}/{other}", metric)
        won += trained > floor
        compared += not math.isnan(trained - floor)
    return f"{won} of {compared}"


def report(path: Path, markdown: bool) -> str:
    """The table of each metric."""
    rows = read(path, protocol=PROTOCOL)
    seeds = sorted({row.seed for row in rows})
    sets = ", ".join(f"{title}: {len(members)}" for title, members in groups(rows).items())
    show, mark = (as_markdown, lambda cell: f"**{cell}**") if markdown else (as_text, lambda cell: f"*{cell}")
    parts = [f"data sets: {sets}; seeds {', '.join(map(str, seeds))}; '>': trained above raw or untrained, data sets"]
    for metric in ("auroc", "auprc"):
        parts += [f"{metric.upper()} in percent", show(table(rows, metric, mark))]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    showing = argparse.ArgumentParser(add_help=False)
    showing.add_argument("--summary", type=Path, metavar="FILE", help="only print the table of this results file")
    showing.add_argument("--markdown", action="store_true", help="tables for a README")
    shown, _ = showing.parse_known_args(arguments)
    if shown.summary is not None:
        print(report(shown.summary, shown.markdown))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scorers", description=__doc__, parents=[showing])
    parser.add_argument("--data", type=Path, help="folder of .npz files with X and y (1 = anomaly); none: no tables")
    parser.add_argument(
        "--sets", type=harness.listed, default=[], help="tables, by name, tune or confirm; default: all"
    )
    parser.add_argument("--methods", type=harness.listed, default=METHODS, help="such as knn/trained; default: all")
    parser.add_argument("--seeds", type=harness.seeds, default=[0], help="list (0,1,2) or count (3); default 0")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    unknown = [method for method in options.methods if method not in METHODS]
    if unknown:
        parser.error(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    names = [*digits.DIGITS, digits.CANCER]
    folder = None if options.data is None else options.data.resolve()
    if folder is not None:
        names += datasets.choose(datasets.names_in(folder), options.sets)
    todo = jobs(folder, names, options.seeds, options.methods)
    with Results(options.out) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    print(report(options.out, options.markdown))
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
