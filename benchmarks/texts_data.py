"""Labelled texts on disk, and how they are divided into training and test texts.

`benchmarks/README.md` says which Parquet files are read. The set of class ``World`` of ``ag_news_test.parquet`` and
``ag_news_train_sample.parquet`` is named ``ag_news/World``; a set with one normal class by the file, ``sms_spam``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unalike.types import IntArray

MOST_TRAIN = 600
"""Training texts, drawn by seed."""
MOST_TEST = 400
"""Test texts of each kind, normal and anomalous, drawn by seed."""
LABELS = ("class_name", "topic", "label")
"""Columns that hold classes; the first that is there counts."""
NORMAL = ("ham", "normal", "benign", "good", "ok")
"""A class of two of such a name is the normal one, and the only set."""

ONE_CLASS, UPDATE, MIXED, LABELLED = "one-class", "update", "mixed-", "labelled-"
"""Protocols; of the last two a number follows."""

_PART = re.compile(r"[_-](train|test)[^/]*$")


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """One set, divided.

    Parameters
    ----------
    train, test : list of str
        Texts of the normal class; texts of both kinds. No text is in both.
    label : ndarray
        ``(n,)`` int64, 1 = anomaly, of `test`.
    anomalies : list of str
        Labelled ones, to learn from, of ``labelled-K``.
    later : list of str
        Normal texts that come after `fit`, of ``update``.
    """

    train: list[str]
    test: list[str]
    label: IntArray
    anomalies: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)


Place = tuple[tuple[Path, ...], str]
"""The files of a set, and its normal class."""


def names_in(folder: Path) -> dict[str, Place]:
    """Every set of the ``.parquet`` files in a folder and below, or of one file.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    together: dict[str, list[Path]] = {}
    for path in [folder] if folder.is_file() else sorted(folder.rglob("*.parquet")):
        together.setdefault(_PART.sub("", path.stem), []).append(path)
    if not together:
        raise FileNotFoundError(f"{folder} has no .parquet file. Give a folder of files with `text`, `label`, `split`.")
    places: dict[str, Place] = {}
    for family, paths in together.items():
        classes, normal = _classes(tuple(paths))
        places.update(
            {family: (tuple(paths), normal)}
            if normal is not None
            else {f"{family}/{name.replace('/', '-')}": (tuple(paths), name) for name in classes}
        )
    return places


def read(place: Place, seed: int, limit: int | None = None, protocol: str = ONE_CLASS) -> Split:
    """One set, divided.

    Copies are left out first, so that no text is both trained on and judged. A file without parts has half of its
    normal texts, drawn by `seed`, in training.

    Parameters
    ----------
    place : Place
        From `names_in`.
    seed : int
        Of the draws.
    limit : int, optional
        At most so many training texts, and test texts of each kind; None: 600 and 400.
    protocol : str
        ``one-class``. ``mixed-P``: P% of the training texts are anomalies that nobody labels. ``labelled-K``: K
        anomalies are told. ``update``: half of the training texts come later. Anomalies that are mixed in or told are
        no test texts; where there are enough, those that test are the same under every protocol.

    Raises
    ------
    ValueError
        When a kind of text is missing, or there is no such protocol.
    """
    paths, normal = place
    table = _table(paths)
    rng = np.random.default_rng(seed)
    is_normal = (table["label"] == normal).to_numpy()
    training = table["split"].to_numpy() == "train"
    if not training.any():
        drawn = rng.permutation(np.flatnonzero(is_normal))
        training[drawn[: len(drawn) // 2]] = True
    most_train, most_test = (MOST_TRAIN, MOST_TEST) if limit is None else (limit, limit)
    rows = (training & is_normal, ~training & is_normal, ~training & ~is_normal)
    if not all(part.any() for part in rows):
        raise ValueError(f"{paths[0]} must have normal training and test texts and others, normal being {normal!r}.")
    texts = table["text"].to_numpy()
    train, held, others = (texts[rng.permutation(np.flatnonzero(part))].tolist() for part in rows)
    train, held = train[:most_train], held[:most_test]
    taken = others[len(others) - drawn_anomalies(protocol, len(train)) :]
    others = others[: len(others) - len(taken)][:most_test]
    label = np.repeat(np.array([0, 1], dtype=np.int64), [len(held), len(others)])
    order = rng.permutation(len(label))
    both = [*held, *others]
    split = Split(train=train, test=[both[at] for at in order], label=label[order])
    if protocol == UPDATE:
        return replace(split, train=train[: len(train) // 2], later=train[len(train) // 2 :])
    if protocol.startswith(LABELLED):
        return replace(split, anomalies=taken)
    mixed = [*train, *taken]
    return replace(split, train=[mixed[at] for at in rng.permutation(len(mixed))] if taken else train)


def drawn_anomalies(protocol: str, n: int) -> int:
    """How many anomalies a protocol takes for `n` normal training texts.

    Raises
    ------
    ValueError
        When there is no such protocol.
    """
    if protocol in (ONE_CLASS, UPDATE):
        return 0
    number = protocol.removeprefix(MIXED).removeprefix(LABELLED)
    if number == protocol or not number.isdigit() or not 0 < int(number) < 100:
        raise ValueError(f"there is no protocol {protocol!r}; there are one-class, update, mixed-P and labelled-K")
    if protocol.startswith(LABELLED):
        return int(number)
    share = int(number) / 100
    return max(round(n * share / (1 - share)), 1)


def _classes(paths: tuple[Path, ...]) -> tuple[list[str], str | None]:
    """The classes, and the one that is normal where only one can be."""
    classes = sorted(set(_table(paths)["label"]))
    if len(classes) == 2:
        return classes, next((name for name in classes if name in ("0", *NORMAL)), None)
    return classes, None


@cache
def _table(paths: tuple[Path, ...]) -> Any:
    """Columns ``text``, ``label`` and ``split`` (train, test or empty), as strings."""
    import pandas as pd

    parts = []
    for path in paths:
        frame = pd.read_parquet(path)
        if "text" not in frame:
            frame["text"] = frame["title"] + " " + frame["description"]
        split = frame["split"].astype(str) if "split" in frame else pd.Series("", index=frame.index)
        split = split.where(~split.str.startswith("train"), "train")
        label = frame[next(name for name in LABELS if name in frame)].astype(str)
        parts.append(pd.DataFrame({"text": frame["text"].astype(str), "label": label, "split": split}))
    table = pd.concat(parts, ignore_index=True)
    # What an earlier part holds is not judged again: training texts stand first.
    table = table.sort_values("split", key=lambda values: values != "train", kind="stable")
    table = table[table["text"].str.strip() != ""].drop_duplicates("text")
    return table.reset_index(drop=True)
