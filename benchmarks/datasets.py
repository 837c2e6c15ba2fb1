"""A folder of ``.npz`` files with ``X`` and ``y`` (1 = anomaly): names, choice and reading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unalike.types import FloatArray, IntArray

GROUPS = {
    "tune": "cardio fault glass Ionosphere landsat mammography satellite smtp vowels wine",
    "confirm": "breastw Hepatitis InternetAds letter Lymphography musk pendigits satimage-2 skin WDBC",
}
"""Halves of the 20 ADBench sets at hand: methods are tuned on the first and confirmed on the second."""


def names_in(folder: Path) -> list[str]:
    """File names without ``.npz``, numbers before them in counting order.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    names = [path.stem for path in folder.glob("*.npz")]
    if not names:
        raise FileNotFoundError(f"{folder} must hold .npz files; it has none.")
    return sorted(names, key=_counting)


def choose(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Those of `names` that `wanted` asks for, in their order; all when it is empty.

    Parameters
    ----------
    names : iterable of str
        For example ``6_cardio``.
    wanted : sequence of str
        Names in full, without their number (``cardio``, in any case), or a group of `GROUPS`.

    Raises
    ------
    ValueError
        When something wanted matches nothing. A group needs only one of its sets.
    """
    names = list(names)
    chosen: set[str] = set()
    for want in wanted:
        asked = {member.lower() for member in (GROUPS[want].split() if want in GROUPS else [want])}
        found = {name for name in names if asked & {name.lower(), short(name).lower()}}
        if not found:
            raise ValueError(f"there is no data set {want!r}; there are {', '.join(names)}")
        chosen |= found
    return [name for name in names if name in chosen] if wanted else names


def short(name: str) -> str:
    """``cardio`` for ``6_cardio``."""
    return re.sub(r"^\d+_", "", name)


def read(folder: Path, name: str) -> tuple[FloatArray, IntArray]:
    """``X (n, d)`` float64 and ``y (n,)`` int64 of one set.

    Raises
    ------
    ValueError
        When the file does not hold a numeric table with labels 0 and 1.
    """
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        X: npt.NDArray[np.float64] = np.asarray(file["X"], dtype=np.float64)
        y = np.asarray(file["y"]).reshape(-1).astype(np.int64)
    if X.ndim != 2 or len(X) != len(y) or set(np.unique(y)) != {0, 1}:
        raise ValueError(
            f"{name}.npz must hold X (n, d) and y (n,) of 0 and 1; got {X.shape} and {len(y)} labels {np.unique(y)}"
        )
    return X, y


def _counting(name: str) -> tuple[int, str]:
    number = re.match(r"\d+", name)
    return (int(number.group()) if number else 0, name)
