"""Explanations of samples, one by one: which columns of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unalike.data import count, take
from unalike.decisions import Explanation, Explanations, Part
from unalike.errors import InvalidInput, InvalidParameter
from unalike.explanation.search import Search, Setting, at_once, searched
from unalike.plain import is_whole
from unalike.types import Collection, IntArray, Modality


def explain_samples(setting: Setting, modality: Modality, X: Collection, only: Any) -> Explanations:
    """One explanation per chosen sample of checked `X`; the parameters are those of `explanation.explain`."""
    positions = chosen_positions(only, count(X))
    names = modality.ids(X)  # of some rows alone, they could be numbered anew
    made: list[Explanation] = []
    step = at_once(len(setting.rows), len(setting.places.places()))
    for start in range(0, len(positions), step):
        chosen = positions[start : start + step]
        made += _some(setting, modality, take(X, chosen), names[chosen].tolist())
    return Explanations(tuple(made))


def check_most_places(most_places: object) -> None:
    """Refuse what is no count.

    Raises
    ------
    InvalidParameter
        When it is none.
    """
    if not is_whole(most_places, 1):
        raise InvalidParameter(f"`most_places` must be an integer of at least 1; got {most_places!r}.")


def chosen_positions(only: Any, n: int) -> IntArray:
    """The positions that a mask or positions name; all when None."""
    if only is None:
        return np.arange(n)
    given = np.asarray(only)
    if given.dtype == np.bool_ and given.shape == (n,):
        return np.flatnonzero(given)
    if given.ndim == 1 and given.size == 0:
        return np.arange(0)
    if given.ndim == 1 and given.dtype.kind in "iu" and given.min() >= 0 and given.max() < n:
        return given.astype(np.int64)
    raise InvalidInput(
        f"`only` must be a mask of {n} booleans or positions from 0 to {n - 1}; got shape {given.shape} and type "
        f"{given.dtype}. Give decisions.is_anomaly."
    )


def _some(setting: Setting, modality: Modality, X: Collection, names: Sequence[Any]) -> list[Explanation]:
    searches = searched(setting, modality.tensors(modality.cut(X)[0]))
    return _told(setting, searches, names, setting.places.values(X))


def _told(
    setting: Setting, searches: Sequence[Search], ids: Sequence[Any], values: Sequence[Sequence[Any]]
) -> list[Explanation]:
    names = setting.places.places()
    told = []
    for search, name, found in zip(searches, ids, values, strict=True):
        usual = setting.places.told(search.normal()[0])
        shares = search.shares()
        parts = [
            Part(names[place], float(share), found[place], alike(usual[place], found[place]))
            for place, share in zip(search.found, shares, strict=True)
        ]
        picture = np.zeros(len(names))
        picture[search.found] = shares
        nearest = tuple(setting.ids[position] for position in search.nearest().tolist())
        told.append(Explanation(str(name), search.scores[0], tuple(parts), nearest, picture))
    return told


def alike(usual: Any, value: Any) -> Any:
    """`usual`, a number, as a whole number or boolean where `value` is one."""
    if isinstance(usual, float) and isinstance(value, bool) and usual in (0.0, 1.0):
        return bool(usual)
    return int(usual) if isinstance(usual, float) and isinstance(value, int) and usual.is_integer() else usual
