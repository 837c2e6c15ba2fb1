"""Labelled texts on disk, and how they are divided into training and test texts.

`benchmarks/README.md` says which Parquet files are read. The set of class ``World`` of ``ag_news_test.parquet`` and
``ag_news_train_sample.parquet`` is named ``ag_news/World``; a set with one normal class by the file, ``sms_spam``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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
    """

    train: list[str]
    test: list[str]
    label: IntArray


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


def read(place: Place, seed: int, limit: int | None = None) -> Split:
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

    Raises
    ------
    ValueError
        When a kind of text is missing.
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
    train, held, others = (
        texts[rng.permutation(np.flatnonzero(part))[:most]].tolist()
        for part, most in zip(rows, (most_train, most_test, most_test), strict=True)
    )
    label = np.repeat(np.array([0, 1], dtype=np.int64), [len(held), len(others)])
    order = rng.permutation(len(label))
    both = [*held, *others]
    return Split(train=train, test=[both[at] for at in order], label=label[order])


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
