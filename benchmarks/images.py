"""``python -m benchmarks.images``: our image detector and its peers on labelled images.

Sets of one ``.npz`` take the protocol ``one-class``, folders with a manifest ``grouped`` and, beside it, ``random``,
which leaks; both take ``mixed-P``, ``labelled-K`` and ``update``, folders ``exposure``: see `images_data.read`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import (
    harness,
    images_data,
    images_metrics,
    images_network,
    images_peers,
    images_summary,
    images_tools,
    units,
)
from benchmarks.images_ours import LARGE_ONLY, LATER_ONLY, OURS, SMALL_ONLY, UNLABELLED
from benchmarks.results import Results, Values
from unalike.types import FloatArray

METHODS: dict[str, harness.Maker] = {**OURS, **images_peers.PEERS}
PROTOCOLS = (images_data.ONE_CLASS, images_data.GROUPED, images_data.RANDOM)
DRAWS = ("pyod-iforest-pixels", "pyod-iforest-frozen", "lightly-simclr")
"""Peers that run with every seed on training images that no seed draws."""

_PRELOAD = (
    "benchmarks.images_metrics",
    "benchmarks.images_peers",
    "benchmarks.images_ours",
    "unalike.detector",
    "unalike.modalities.image",
    "lightning_fabric",
    *images_peers.PRELOAD,
)
_ANOMALIB = ("anomalib.metrics.aupro",)


class Watched:
    """A model that, once scored, is also asked for its maps and alarms, in nobody's time."""

    def __init__(self, model: harness.Model) -> None:
        self._model = model
        self._speed: dict[str, float] = {}

    def fit(self, train: Any) -> None:
        self._model.fit(train)

    def score(self, test: Any, method: str) -> FloatArray:
        started = time.perf_counter()
        scores = self._model.score(test, method)
        self._speed[method] = len(test) / (time.perf_counter() - started)
        return scores

    def told(self, split: images_data.Split, method: str) -> dict[str, float]:
        """Everything that is measured besides detection and costs."""
        raised = getattr(self._model, "alarms", lambda test, method: None)(split.test, method)
        alarms, stated = (None, float("nan")) if raised is None else raised
        draw = getattr(self._model, "maps", lambda test, method: None)
        maps = None if split.masks is None else draw(split.test, method)
        return {
            "images_s": self._speed[method],
            **images_metrics.alarming(split.label, alarms, stated),
            **images_metrics.localising(maps, split.masks, split.label),
            "train_n": float(len(split.train)),
            "test_n": float(len(split.test)),
        }


def judge(
    place: Path, name: str, protocol: str, seed: int, maker: harness.Maker, methods: Sequence[str], limit: int | None
) -> dict[str, Values]:
    """The rows of one job."""
    split = images_data.read(place, name, protocol, seed, limit)
    model = Watched(maker(seed))
    outcome = harness.measure(model, split.train, split.test, split.label, methods)
    return {method: {**outcome[method], **model.told(split, method)} for method in methods}


def jobs(
    places: dict[str, Path],
    names: Sequence[str],
    protocols: Sequence[str],
    seeds: Sequence[int],
    methods: Sequence[str],
    limit: int | None = None,
) -> list[harness.Job]:
    """One per fit, method by method, so that a stopped run has whole methods."""
    return [
        harness.Job(
            data=name,
            protocol=protocol if limit is None else f"{protocol}-of-{limit}",
            seed=seed,
            methods=fitting,
            task=partial(judge, places[name], name, protocol, seed, maker, fitting, limit),
        )
        for maker, shared in harness.grouped(methods, METHODS)
        for seed in seeds
        for name in names
        for protocol in images_data.protocols_of(places[name], protocols)
        if (fitting := tuple(method for method in shared if _fits(method, places[name], protocol, seed == seeds[0])))
    ]


def _fits(method: str, place: Path, protocol: str, first: bool) -> bool:
    """Is there anything to measure with this method there?"""
    large = place.is_dir()
    if method in (*SMALL_ONLY, *images_peers.SMALL_ONLY) and large:
        return False
    if method in (*LARGE_ONLY, *images_peers.LARGE_ONLY) and not large:
        return False
    if method in UNLABELLED and protocol.startswith(images_data.LABELLED):
        return False
    if method in LATER_ONLY:
        return protocol in (images_data.UPDATE, images_data.EXPOSURE)
    return first or method in OURS or method in DRAWS or protocol != images_data.ONE_CLASS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of .npz files and of folders with manifest.csv, or one")
    known = ", ".join(METHODS).replace("%", "%%")
    parser.add_argument("--methods", type=harness.listed, default=["unalike", "frozen-knn"], help=known)
    parser.add_argument("--protocols", type=harness.listed, default=list(PROTOCOLS), help="default: %(default)s")
    parser.add_argument("--seeds", type=harness.seeds, default=[0], help="list (0,1,2) or count (3); of a split too")
    parser.add_argument("--sets", type=harness.listed, default=[], help="names, such as fashion_mnist/3; default: all")
    parser.add_argument("--limit", type=int, help="at most so many training and test images, for trials")
    parser.add_argument("--show", action="store_true", help="print the tables of the file and run nothing")
    parser.add_argument("--against", default="frozen-knn", help="with --show: what others are compared with")
    parser.add_argument("--markdown", action="store_true", help="with --show: tables for a README")
    harness.add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.show:
        print(images_summary.report(options.out, options.against, options.sets, markdown=options.markdown))
        return 0
    if options.data is None:
        parser.error("--data is needed to run; --show prints the tables of a file")
    return _run(parser, options)


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    for method in options.methods:
        if method not in METHODS:
            parser.error(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    places = images_data.names_in(options.data.resolve())
    names = units.choose(list(places), options.sets)
    localised = any(places[name].is_dir() for name in names)
    why = images_network.missing() or (images_tools.missing() if localised else None)
    if why is not None:
        print(why, file=sys.stderr)
        return 1
    os.environ["TQDM_DISABLE"] = "1"
    images_tools.reach()
    todo = jobs(places, names, options.protocols, options.seeds, options.methods, options.limit)
    preload = (*_PRELOAD, *(_ANOMALIB if localised else ()))
    with Results(options.out, images_metrics.COLUMNS) as results:
        missing = harness.run(todo, results, threads=options.threads, time_limit=options.time_limit, preload=preload)
    return harness.exit_status(missing)


if __name__ == "__main__":
    raise SystemExit(main())
