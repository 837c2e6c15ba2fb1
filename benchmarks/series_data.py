"""Labelled series on disk, the train part and the test part of each.

A folder holds collections, one folder each. Two layouts are known:

- ``.npz`` files with ``train`` ``(t,)`` or ``(t, channels)``, ``test`` likewise, ``label`` ``(t,)`` of 0 and 1: UCR,
  SMD, ASD. Both parts are taken as they are.
- ``labels/combined_windows.json`` and ``data/**.csv`` with ``timestamp`` and ``value``: NAB. The first 15% train, the
  rest tests. A file counts when no labelled window reaches into the first part and one lies in the second.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.types import FloatArray, IntArray

TRAIN_SHARE = 0.15
"""Of a NAB file."""

TUNE_ENTITIES = ("asd/omi-1", "asd/omi-3", "asd/omi-5", "smd/machine-1-6", "smd/machine-2-7")
"""Entities on which settings were chosen; of the univariate collections, every other series from the first."""

SIXTEEN = (
    "ucr/CIMIS44AirTemperature3",
    "ucr/DISTORTEDGP711MarkerLFM5z2",
    "ucr/DISTORTEDLab2Cmac011215EPG1",
    "ucr/DISTORTEDPowerDemand1",
    "ucr/ECG2",
    "ucr/InternalBleeding16",
    "ucr/NOISETkeepThirdMARS",
    "ucr/WalkingAceleration5",
    "ucr/apneaecg",
    "ucr/weallwalk",
    "nab/artificialWithAnomaly/art_daily_jumpsup",
    "nab/realAWSCloudwatch/rds_cpu_utilization_cc0c53",
    "nab/realKnownCause/nyc_taxi",
    "nab/realTraffic/speed_t4013",
    "smd/machine-3-3",
    "asd/omi-7",
)
"""Fixed before any was scored: ten of UCR, of different kinds, four of NAB, one of SMD, one of ASD."""

_WINDOWS = Path("labels/combined_windows.json")


@dataclass(frozen=True, eq=False, kw_only=True)
class Series:
    """One record: what to learn from and what to find.

    Parameters
    ----------
    name : str
        ``collection/name``.
    train, test : ndarray
        ``(t, channels)`` float64.
    label : ndarray
        ``(t,)`` int64, 1 = anomalous, of the test part.
    days : float
        How long the test part is; NaN where the file has no time stamps.
    """

    name: str
    train: FloatArray
    test: FloatArray
    label: IntArray
    days: float

    @property
    def protocol(self) -> str:
        return "univariate" if self.train.shape[1] == 1 else "multivariate"

    @property
    def collection(self) -> str:
        return self.name.split("/", maxsplit=1)[0]


def names_in(folder: Path) -> list[str]:
    """Names of all usable series, collection by collection.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    names = [
        f"{collection.name}/{name}"
        for collection in sorted(folder.iterdir())
        if collection.is_dir()
        for name in _members(collection)
    ]
    if not names:
        raise FileNotFoundError(
            f"{folder} must hold folders of .npz files (train, test, label) or of NAB's layout ({_WINDOWS}, data/); "
            "it has none."
        )
    return names


def unusable(folder: Path) -> dict[str, str]:
    """NAB files that are left out, and why."""
    why = {}
    for collection in sorted(folder.iterdir()):
        for name, windows in _windows(collection).items():
            reason = _refusal(collection, name, windows)
            if reason:
                why[f"{collection.name}/{name.removesuffix('.csv')}"] = reason
    return why


def choose(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those that `wanted` asks for; all when it is empty.

    Parameters
    ----------
    names : sequence of str
        From `names_in`.
    wanted : sequence of str
        Names in full, collections, ``tune``, ``confirm`` or ``sixteen``.

    Raises
    ------
    ValueError
        When something wanted matches nothing.
    """
    chosen: set[str] = set()
    tune = tune_names(names)
    for want in wanted:
        groups = {"tune": tune, "confirm": set(names) - tune, "sixteen": set(SIXTEEN) & set(names)}
        found = groups.get(want, {name for name in names if want in (name, name.split("/", maxsplit=1)[0])})
        if not found:
            raise ValueError(f"there is no series {want!r}; there are {', '.join(names)}")
        chosen |= found
    return [name for name in names if name in chosen] if wanted else list(names)


def tune_names(names: Sequence[str]) -> set[str]:
    """On which settings may have been chosen: `TUNE_ENTITIES`; elsewhere the first, third, fifth... of a collection."""
    tune = set()
    for collection in dict.fromkeys(name.split("/", maxsplit=1)[0] for name in names):
        members = [name for name in names if name.startswith(f"{collection}/")]
        tune |= set(members) & set(TUNE_ENTITIES) if collection in ("asd", "smd") else set(members[::2])
    return tune


def read(folder: Path, name: str) -> Series:
    """One series.

    Raises
    ------
    ValueError
        When its parts do not fit together, or the test part has no anomaly.
    """
    collection, member = name.split("/", maxsplit=1)
    path = folder / collection
    train, test, label, days = _read_npz(path, member) if _is_npz(path) else _read_nab(path, member)
    if len(test) != len(label) or train.shape[1] != test.shape[1] or set(np.unique(label)) != {0, 1}:
        raise ValueError(
            f"{name} must have a label of 0 or 1 for each test step, both present, and the same channels in both "
            f"parts; got {train.shape}, {test.shape} and {len(label)} labels {np.unique(label)}"
        )
    return Series(name=name, train=train, test=test, label=label, days=days)


def segments(label: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """``(first, last)`` of each run of ones, both inclusive."""
    edges = np.diff(np.concatenate([[0], np.asarray(label, dtype=np.int64), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def _is_npz(collection: Path) -> bool:
    return not (collection / _WINDOWS).exists()


def _members(collection: Path) -> list[str]:
    if _is_npz(collection):
        return sorted(path.stem for path in collection.glob("*.npz"))
    windows = _windows(collection)
    return sorted(name.removesuffix(".csv") for name in windows if not _refusal(collection, name, windows[name]))


def _windows(collection: Path) -> dict[str, list[tuple[str, str]]]:
    file = collection / _WINDOWS
    windows: dict[str, list[tuple[str, str]]] = json.loads(file.read_text()) if file.exists() else {}
    return windows


def _refusal(collection: Path, name: str, windows: Sequence[tuple[str, str]]) -> str:
    if not windows:
        return "no labelled window"
    times, _ = _read_csv(collection / "data" / name)
    label = _label(times, windows)
    cut = int(TRAIN_SHARE * len(times))
    if label[:cut].any():
        return "a labelled window in the first 15%"
    return "" if label[cut:].any() else "no labelled window in the test part"


def _read_npz(collection: Path, name: str) -> tuple[FloatArray, FloatArray, IntArray, float]:
    with np.load(collection / f"{name}.npz", allow_pickle=False) as file:
        train, test, label = (np.asarray(file[key]) for key in ("train", "test", "label"))
    return _columns(train), _columns(test), label.reshape(-1).astype(np.int64), float("nan")


def _read_nab(collection: Path, name: str) -> tuple[FloatArray, FloatArray, IntArray, float]:
    times, values = _read_csv(collection / "data" / f"{name}.csv")
    label = _label(times, _windows(collection)[f"{name}.csv"])
    cut = int(TRAIN_SHARE * len(times))
    days = float((times[-1] - times[cut]) / np.timedelta64(1, "D"))
    return _columns(values[:cut]), _columns(values[cut:]), label[cut:], days


def _read_csv(path: Path) -> tuple[npt.NDArray[np.datetime64], FloatArray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([row["timestamp"].replace(" ", "T") for row in rows], dtype="datetime64[us]")
    return times, np.array([float(row["value"] or "nan") for row in rows])


def _label(times: npt.NDArray[np.datetime64], windows: Sequence[tuple[str, str]]) -> IntArray:
    label = np.zeros(len(times), dtype=np.int64)
    for first, last in windows:
        start, stop = (np.datetime64(text.replace(" ", "T"), "us") for text in (first, last))
        label[(times >= start) & (times <= stop)] = 1
    return label


def _columns(values: npt.NDArray[Any]) -> FloatArray:
    columns: FloatArray = np.asarray(values, dtype=np.float64)
    return columns[:, None] if columns.ndim == 1 else columns
