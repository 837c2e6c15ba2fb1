"""``python -m benchmarks.texts``: our text detector and its peers, one class of texts against the others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks import harness, texts_data, texts_peers, texts_summary, units
from benchmarks.images_metrics import alarming
from benchmarks.results import Results, Values
from benchmarks.texts_ours import DEFAULTS, LATER_ONLY, OURS, TextDefault
from unalike.types import FloatArray, IntArray

METHODS: dict[str, harness.Maker] = {**OURS, **texts_peers.PEERS}
DEFAULT = ("unalike", "unalike-scratch", "frozen+lexical", "only-meaning", "only-lexical", *texts_peers.PEERS)
COLUMNS = (
    "auprc10",
    "stated_rate",
    "false_alarm_rate",
    "found",
    "fit_docs_s",
    "score_docs_s",
    "train_n",
    "test_n",
)
"""After the common ones."""
SHARE = 0.1

_PRELOAD = (
    "benchmarks.texts_ours",
    "benchmarks.texts_peers",
    "unalike.detector",
    "unalike.modalities.text",
    "lightning_fabric",
    "transformers",
    *texts_peers.PRELOAD,
)


def judge(
    place: texts_data.Place, protocol: str, seed: int, maker: harness.Maker, methods: Sequence[str], limit: int | None
) -> dict[str, Values]:
    """The rows of one job."""
    split = texts_data.read(place, seed, limit, protocol)
    model = Watched(maker(seed), split)
    outcome = harness.measure(model, split.train, split.test, split.label, methods)
    return {method: {**outcome[method], **told(split, model, outcome[method], method)} for method in methods}


class Watched:
    """A model of which the scores are kept, and that is given what else a protocol has."""

    def __init__(self, model: harness.Model, split: texts_data.Split) -> None:
        self.model: Any = model
        self._more = {name: getattr(split, name) for name in ("anomalies", "later") if getattr(split, name)}
        self.scores: dict[str, FloatArray] = {}
        self.costs = getattr(model, "costs", dict)

    def fit(self, train: Any) -> None:
        if self._more and isinstance(self.model, TextDefault):
            self.model.fit(train, **self._more)
        else:
            self.model.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        self.scores[method] = np.asarray(self.model.score(test, method), dtype=np.float64)
        return self.scores[method]


def told(split: texts_data.Split, model: Watched, values: Values, method: str) -> dict[str, float]:
    """Everything that is measured besides the common columns."""
    raised = getattr(model.model, "alarms", lambda method: None)(method)
    alarms, stated = (None, float("nan")) if raised is None else raised
    return {
        "auprc10": reweighted(split.label, model.scores[method]),
        **alarming(split.label, alarms, stated),
        "fit_docs_s": len(split.train) / max(values["fit_s"], 1e-9),
        "score_docs_s": len(split.test) / max(values["score_s"], 1e-9),
        "train_n": float(len(split.train)),
        "test_n": float(len(split.test)),
    }


def reweighted(label: IntArray, scores: FloatArray, share: float = SHARE) -> float:
    """Average precision as if `share` of the test texts were anomalies: each kind weighs what it then would."""
    weights = np.where(label == 1, share / (label == 1).sum(), (1.0 - share) / (label == 0).sum())
    return float(average_precision_score(label, scores, sample_weight=weights))


def jobs(
    places: dict[str, texts_data.Place],
    names: Sequence[str],
    seeds: Sequence[int],
    methods: Sequence[str],
    limit: int | None = None,
    protocols: Sequence[str] = (texts_data.ONE_CLASS,),
) -> list[harness.Job]:
    """One per fit: all methods of one seed before the next, so that a stopped run has whole draws."""
    return [
        harness.Job(
            data=name,
            protocol=protocol if limit is None else f"{protocol}-of-{limit}",
            seed=seed,
            methods=shared,
            task=partial(judge, places[name], protocol, seed, maker, shared, limit),
        )
        for seed in seeds
        for protocol in protocols
        for maker, shared in harness.grouped([method for method in methods if fits(method, protocol)], METHODS)
        for name in names
    ]


def fits(method: str, protocol: str) -> bool:
    """Is there anything to measure with this method under that protocol?"""
    if protocol.startswith(texts_data.LABELLED):
        return method in DEFAULTS and method not in LATER_ONLY
    return method not in LATER_ONLY or protocol == texts_data.UPDATE


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.texts", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of .parquet files with text, label, split, or one file")
    known = ", ".join(METHODS).replace("%", "%%")
    parser.add_argument("--methods", type=harness.listed, default=list(DEFAULT), help=known)
    protocols = [texts_data.ONE_CLASS]
    parser.add_argument("--protocols", type=harness.listed, default=protocols, help="also mixed-P, labelled-K, update")
    parser.add_argument("--seeds", type=harness.seeds, default=[0, 1, 2], help="draws: list (0,1,2) or count (3)")
    parser.add_argument("--sets", type=harness.listed, default=[], help="names, such as ag_news/World; default: all")
    parser.add_argument("--limit", type=int, help="at most so many training texts, and test texts of a kind")
    parser.add_argument("--show", action="store_true", help="print the tables of the file and run nothing")
    parser.add_argument("--against", default="frozen-knn", help="with --show: what others are compared with")
    parser.add_argument("--markdown", action="store_true", help="with --show: tables for a README")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.show:
        print(texts_summary.report(options.out, options.against, options.sets, markdown=options.markdown))
        return 0
    if options.data is None:
        parser.error("--data is needed to run; --show prints the tables of a file")
    for method in options.methods:
        if method not in METHODS:
            parser.error(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    for protocol in options.protocols:
        texts_data.drawn_anomalies(protocol, texts_data.MOST_TRAIN)
    places = texts_data.names_in(options.data.resolve())
    names = units.choose(list(places), options.sets)
    todo = jobs(places, names, options.seeds, options.methods, options.limit, options.protocols)
    with Results(options.out, COLUMNS) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=_PRELOAD)
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
