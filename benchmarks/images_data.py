"""Labelled images on disk, and how they are divided into training and test images.

Two layouts are known:

- a ``.npz`` file with ``x_train y_train x_test y_test``: each class in turn is normal. The set of class 3 of
  ``fashion_mnist/fashion_mnist.npz`` is named ``fashion_mnist/3``;
- a folder with ``manifest.csv``, columns ``path mask cls group`` and perhaps ``exposure``: one class is normal, the
  one whose name ends with free, good, normal or ok; near-copies share a ``group``; masks are above 127 where the
  defect is. An anomaly without one counts as an anomaly and is left out of what is measured by pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.images_network import Images
from unalike.types import IntArray

TRAIN_SHARE = 0.8
"""Of the normal images of a manifest."""
MANIFEST = "manifest.csv"
ONE_CLASS = "one-class"
GROUPED, RANDOM, EXPOSURE = "grouped", "random", "exposure"
UPDATE, MIXED, LABELLED = "update", "mixed-", "labelled-"
_NORMAL = ("free", "good", "normal", "ok")
_PARTS = ("x_train", "y_train", "x_test", "y_test")
_MASK_LEVEL = 127


@dataclass(frozen=True, eq=False, kw_only=True)
class Train:
    """What a method may learn from.

    Parameters
    ----------
    images : Images
        Normal ones; under ``mixed-P`` P% of them are anomalies that nobody labels.
    groups : ndarray
        ``(n,)``: near-copies share a number.
    later, later_groups : Images, ndarray
        Normal ones that come after `fit`, for ``update``.
    anomalies : Images
        Labelled ones.
    """

    images: Images
    groups: IntArray
    later: Images = field(default_factory=list)
    later_groups: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    anomalies: Images = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """One data set, divided.

    Parameters
    ----------
    train : Train
        What to learn from.
    test : Images
        What to judge.
    label : ndarray
        ``(n,)`` int64, 1 = anomaly, of `test`.
    masks : list of Path or None
        Of `test`; None in the list where there is none. None: the set has no masks.
    """

    train: Train
    test: Images
    label: IntArray
    masks: list[Path | None] | None = None


def names_in(folder: Path) -> dict[str, Path]:
    """Names of all sets and where they are.

    Parameters
    ----------
    folder : Path
        Holds ``.npz`` files or folders of the two layouts, or is one of them.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    names: dict[str, Path] = {}
    for place in [folder, *sorted(folder.iterdir())] if folder.is_dir() else [folder]:
        files = sorted(place.glob("*.npz")) if place.is_dir() else [place] * (place.suffix == ".npz")
        for file in files:
            stem = place.name if place.is_dir() and len(files) == 1 and place != folder else file.stem
            names |= {f"{stem}/{label}": file for label in _classes(file)}
        if (place / MANIFEST).exists():
            names[place.name] = place
    if not names:
        raise FileNotFoundError(
            f"{folder} must hold .npz files ({', '.join(_PARTS)}) or folders with {MANIFEST}; it has none."
        )
    return names


def protocols_of(place: Path, asked: Sequence[str]) -> list[str]:
    """Which of the protocols that are asked for go with a set."""
    own = (GROUPED, RANDOM, EXPOSURE) if place.is_dir() else (ONE_CLASS,)
    return [name for name in asked if name in own or name == UPDATE or name.startswith((MIXED, LABELLED))]


def read(place: Path, name: str, protocol: str, seed: int, limit: int | None = None) -> Split:
    """One set, divided.

    Parameters
    ----------
    place : Path
        From `names_in`.
    name : str
        From `names_in`.
    protocol : str
        ``one-class``: the class's training images train, all test images test. ``grouped``: four fifths of the normal
        images train, whole groups of them, the others and all anomalies test. ``random``: the same without a look at
        groups, which leaks. ``mixed-P``: P% of the training images are anomalies. ``labelled-K``: K anomalies
        are told. ``update``: half of the training images (groups) come later. ``exposure``: those of the last exposure
        come later. Anomalies that are mixed in or told are no part of the test images.
    seed : int
        Of the draw.
    limit : int, optional
        At most so many training and so many test images.

    Raises
    ------
    ValueError
        When there is no such protocol, or nothing to test.
    """
    generator = np.random.default_rng([seed, 6])
    whole = _Manifest.of(place) if place.is_dir() else _OneClass.of(place, name)
    split = whole.split(protocol, generator)
    if limit is not None:
        split = _limited(split, limit, generator)
    if set(np.unique(split.label)) != {0, 1}:
        raise ValueError(f"{name} must have normal images and anomalies to test; got labels {np.unique(split.label)}")
    return split


def masks_at(masks: Sequence[Path], side: int) -> npt.NDArray[np.uint8]:
    """``(n, side, side)``, 1 on the defect; brought to size by the nearest pixel."""
    from PIL import Image

    found = np.zeros((len(masks), side, side), dtype=np.uint8)
    for number, path in enumerate(masks):
        with Image.open(path) as file:
            binary = Image.fromarray((np.asarray(file.convert("L")) > _MASK_LEVEL).astype(np.uint8))
        found[number] = np.asarray(binary.resize((side, side), Image.Resampling.NEAREST))
    return found


def picked(images: Images, rows: IntArray) -> Images:
    """Some of them, in the order of `rows`."""
    return images[rows] if isinstance(images, np.ndarray) else [images[int(row)] for row in rows]


def joined(first: Images, second: Images) -> Images:
    """One after the other."""
    if isinstance(first, np.ndarray):
        return np.concatenate([first, np.asarray(second)]) if len(second) else first
    return [*first, *second]


@dataclass(frozen=True, eq=False)
class _OneClass:
    own: Images
    others: Images
    test: Images
    label: IntArray

    @staticmethod
    def of(file: Path, name: str) -> _OneClass:
        with np.load(file, allow_pickle=False) as stored:
            x_train, y_train, x_test, y_test = (stored[part] for part in _PARTS)
        own = y_train.astype(str) == name.split("/")[1]
        label = (y_test.astype(str) != name.split("/")[1]).astype(np.int64)
        return _OneClass(x_train[own], x_train[~own], x_test, label)

    def split(self, protocol: str, generator: np.random.Generator) -> Split:
        train = Train(images=self.own, groups=np.arange(len(self.own)))
        split = Split(train=train, test=self.test, label=self.label)
        if protocol == ONE_CLASS:
            return split
        if protocol == UPDATE:
            order = generator.permutation(len(self.own))
            first, later = (picked(self.own, np.sort(half)) for half in np.array_split(order, 2))
            groups = np.arange(len(order))
            halved = Train(images=first, groups=groups[: len(first)], later=later, later_groups=groups[len(first) :])
            return replace(split, train=halved)
        drawn = generator.permutation(len(self.others))[: _wanted(protocol, len(self.own))]
        return replace(split, train=_with_anomalies(train, picked(self.others, drawn), protocol))


@dataclass(frozen=True, eq=False)
class _Manifest:
    images: list[Path]
    masks: list[Path | None]
    normal: npt.NDArray[np.bool_]
    groups: IntArray
    exposures: npt.NDArray[np.str_]

    @staticmethod
    def of(folder: Path) -> _Manifest:
        with (folder / MANIFEST).open(newline="") as file:
            rows = list(csv.DictReader(file))
        normal = np.array([row["cls"].lower().replace("-", "_").rsplit("_")[-1] in _NORMAL for row in rows])
        if not 0 < normal.sum() < len(rows):
            raise ValueError(
                f"one class in {folder / MANIFEST} must be normal, its name ending with {', '.join(_NORMAL)}; "
                f"got {sorted({row['cls'] for row in rows})}"
            )
        named = [row.get("group") or f"row {number}" for number, row in enumerate(rows)]
        groups = np.unique(named, return_inverse=True)[1].astype(np.int64)
        masks = [folder / row["mask"] if row.get("mask") else None for row in rows]
        exposures = np.array([row.get("exposure") or "" for row in rows])
        return _Manifest([folder / row["path"] for row in rows], masks, normal, groups, exposures)

    def split(self, protocol: str, generator: np.random.Generator) -> Split:
        train = self._train(generator, leaking=protocol == RANDOM)
        test_normal = np.setdiff1d(np.flatnonzero(self.normal), train)
        anomalies = np.flatnonzero(~self.normal)
        if protocol in (GROUPED, RANDOM):
            return self._made(train, np.concatenate([test_normal, anomalies]))
        if protocol in (UPDATE, EXPOSURE):
            later = self._later(protocol, train, generator)
            split = self._made(np.setdiff1d(train, later), np.concatenate([test_normal, anomalies]))
            more = replace(split.train, later=picked(self.images, later), later_groups=self.groups[later])
            return replace(split, train=more)
        drawn = generator.permutation(anomalies)[: _wanted(protocol, len(train))]
        split = self._made(train, np.concatenate([test_normal, np.setdiff1d(anomalies, drawn)]))
        return replace(split, train=_with_anomalies(split.train, picked(self.images, drawn), protocol))

    def _train(self, generator: np.random.Generator, *, leaking: bool) -> IntArray:
        normal = np.flatnonzero(self.normal)
        size = round(TRAIN_SHARE * len(normal))
        if leaking:
            return np.sort(generator.permutation(normal)[:size])
        groups = generator.permutation(np.unique(self.groups[normal]))
        sizes = np.array([(self.groups[normal] == group).sum() for group in groups])
        taken = groups[: int(np.searchsorted(np.cumsum(sizes), size)) + 1]
        return normal[np.isin(self.groups[normal], taken)]

    def _later(self, protocol: str, train: IntArray, generator: np.random.Generator) -> IntArray:
        if protocol == UPDATE:
            groups = generator.permutation(np.unique(self.groups[train]))
            later = np.isin(self.groups[train], groups[len(groups) // 2 :])
        else:
            later = self.exposures[train] == max(self.exposures[train])
        rows: IntArray = train[later]
        return rows

    def _made(self, train: IntArray, test: IntArray) -> Split:
        masks = [None if self.normal[row] else self.masks[row] for row in test]
        return Split(
            train=Train(images=picked(self.images, train), groups=self.groups[train]),
            test=picked(self.images, test),
            label=(~self.normal[test]).astype(np.int64),
            masks=masks if any(masks) else None,
        )


def _wanted(protocol: str, normal: int) -> int:
    """How many anomalies `protocol` takes among or beside so many normal images."""
    if protocol.startswith(LABELLED):
        return int(protocol.removeprefix(LABELLED))
    if protocol.startswith(MIXED):
        share = int(protocol.removeprefix(MIXED)) / 100
        return round(share / (1 - share) * normal)
    raise ValueError(f"there is no protocol {protocol!r} for this set")


def _with_anomalies(train: Train, anomalies: Images, protocol: str) -> Train:
    if protocol.startswith(LABELLED):
        return replace(train, anomalies=anomalies)
    own = train.groups.max() + 1 + np.arange(len(anomalies))
    return replace(train, images=joined(train.images, anomalies), groups=np.concatenate([train.groups, own]))


def _limited(split: Split, limit: int, generator: np.random.Generator) -> Split:
    train = np.sort(generator.permutation(len(split.train))[:limit])
    kinds = [generator.permutation(np.flatnonzero(split.label == kind))[: limit // 2] for kind in (0, 1)]
    test = np.sort(np.concatenate(kinds))
    return Split(
        train=replace(split.train, images=picked(split.train.images, train), groups=split.train.groups[train]),
        test=picked(split.test, test),
        label=split.label[test],
        masks=None if split.masks is None else [split.masks[row] for row in test],
    )


def _classes(file: Path) -> list[Any]:
    with np.load(file, allow_pickle=False) as stored:
        if not set(_PARTS) <= set(stored.files):
            return []
        return [str(label) for label in np.unique(stored["y_train"])]
