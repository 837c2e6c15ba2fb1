"""Records cut into windows, and scores of windows brought back to the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike_runtime.decisions import FloatArray
from unalike_runtime.errors import InvalidInput
from unalike_runtime.tables import as_columns, floats, values_of

IntArray = npt.NDArray[np.int64]

_LEAST_SEEN = 0.5
_ALIKE = 1e-6
_NEAR = 0.01


@dataclass(frozen=True, eq=False, slots=True)
class Records:
    """Records, one after the other.

    Parameters
    ----------
    values : list of ndarray
        ``(t, channels)`` float64 each, NaN = missing.
    names : list of str
        Whose each is; empty where there is only one.
    ids : ndarray
        ``(n,)`` of all steps: their times where a column tells them, else their numbers in the record.
    """

    values: list[FloatArray]
    names: list[str]
    ids: npt.NDArray[Any]

    @property
    def n(self) -> int:
        """Steps of all records."""
        return sum(map(len, self.values))

    @property
    def entities(self) -> npt.NDArray[Any]:
        """``(n,)``."""
        return np.repeat(np.array(self.names), [len(values) for values in self.values])


@dataclass(frozen=True, eq=False, slots=True)
class Windows:
    """Where windows lie in records.

    Parameters
    ----------
    records : Records
    record, start : ndarray
        ``(n,)``: the record of each, and its first step there; below 0 where the record is shorter than a window.
    spans : ndarray
        ``(n, 2)``: the first step that each covers, among all steps, and the one after its last.
    """

    records: Records
    record: IntArray
    start: IntArray
    spans: IntArray

    def cells(self, positions: IntArray, told: Mapping[str, Any]) -> FloatArray:
        """``(m, length, channels)`` of the windows at `positions`, in the units that the graph takes."""
        length, center, scale = told["window"], np.array(told["center"]), np.array(told["scale"])
        made = np.full((len(positions), length, len(center)), np.nan)
        for row, at in enumerate(positions.tolist()):
            number, start = int(self.record[at]), int(self.start[at])
            part = self.records.values[number][max(start, 0) : start + length]
            own = (told["own"] or {}).get(self.records.names[number])
            if own is not None:  # in the scale of its own, told in that of all
                part = (part - np.array(own[0])) / np.array(own[1]) * scale + center
            made[row, length - len(part) :] = part
        return made


def records(X: Any, told: Mapping[str, Any]) -> Records:
    """What a user calls a series, or many.

    Parameters
    ----------
    X
        One record: an array ``(steps,)`` or ``(steps, channels)``, or a frame. Many: a mapping or a list of them, an
        array ``(records, steps, channels)``, or a frame with the column of entities that the model was fitted with.
    told : mapping
        What the file says of its input.

    Raises
    ------
    InvalidInput
        Channels lack, a value is no finite number, or the times of a record are not a step apart.
    """
    made: dict[str, tuple[FloatArray, npt.NDArray[Any]]] = {}
    for name, one in _each(X).items():
        for entity, values, ids in _of_one(name, one, told):
            if entity in made:
                raise InvalidInput(f"Records must have different names; got {entity!r} more than once.")
            if len(values) == 0 or np.isinf(values).any():
                raise InvalidInput(f"Record {entity!r} must hold steps of finite or missing values.")
            made[entity] = values, ids
    if not made:
        raise InvalidInput("`X` must hold at least one record; got none.")
    ids = np.concatenate([ids for _, ids in made.values()])
    return Records([values for values, _ in made.values()], list(made), ids)


def _each(X: Any) -> dict[str, Any]:
    """Records by name; "" where there is one."""
    if isinstance(X, np.ndarray) and X.ndim == 3:
        return {str(number): one for number, one in enumerate(X)}
    if isinstance(X, Mapping) and all(np.ndim(one) == 2 or hasattr(one, "columns") for one in X.values()):
        return {str(name): one for name, one in X.items()}
    if isinstance(X, (list, tuple)) and X and not isinstance(X[0], Mapping):
        if all(isinstance(one, np.ndarray) or hasattr(one, "columns") for one in X):
            return {str(number): one for number, one in enumerate(X)}
        return {"": np.asarray(X)}
    return {"": X}


def _of_one(name: str, X: Any, told: Mapping[str, Any]) -> list[tuple[str, FloatArray, npt.NDArray[Any]]]:
    """The records of one array or frame: entity, values and ids."""
    channels = told["channels"]
    if isinstance(X, np.ndarray):
        values = X[:, None] if X.ndim == 1 else X
        if values.ndim != 2 or values.shape[1] != len(channels) or values.dtype.kind not in "biuf":
            raise InvalidInput(f"A record must be numbers of shape (steps, {len(channels)}); got {X.shape}.")
        return [(name, values.astype(np.float64), np.arange(len(values)))]
    table = {str(column): cells for column, cells in as_columns(X).items()}
    missing = [channel for channel in channels if channel not in table]
    if missing:
        raise InvalidInput(f"`X` must have the channels {missing}, as in training; got {list(table)[:10]}.")
    values = np.stack([floats(table[channel], repr(channel)) for channel in channels], axis=1)
    ids = np.arange(len(values))
    if told["time"] is not None:
        ids = np.asarray(values_of(table[told["time"]]))
    if told["entity"] is None:
        return [(name, *_in_time(values, ids, told))]
    owner = np.array([str(entity) for entity in values_of(table[told["entity"]])])
    several = []
    for entity in dict.fromkeys(owner.tolist()):
        rows = np.flatnonzero(owner == entity)
        own_ids = np.arange(len(rows)) if told["time"] is None else ids[rows]
        several.append((entity, *_in_time(values[rows], own_ids, told)))
    return several


def _in_time(values: FloatArray, ids: npt.NDArray[Any], told: Mapping[str, Any]) -> tuple[FloatArray, npt.NDArray[Any]]:
    """In the order of their times, which must be a step apart: bringing them to a grid is left to unalike."""
    if told["time"] is None:
        return values, ids
    moments = np.array([_seconds(moment) for moment in ids.tolist()]) if ids.dtype.kind == "O" else ids
    moments = moments.astype("datetime64[us]").astype(np.int64) / 1e6 if ids.dtype.kind == "M" else moments
    order = np.argsort(moments, kind="stable")
    apart = np.diff(moments[order])
    usual = float(np.median(apart)) if len(apart) else told["step"]
    if abs(usual - told["step"]) > _NEAR * told["step"] or (np.abs(apart - usual) > _ALIKE * usual).any():
        raise InvalidInput(
            f"The rows of a record must be {told['step']:g} apart in time, each; others are not judged here. Put in "
            "the steps that lack, with missing values, or score with unalike, which brings records to a grid."
        )
    return values[order], ids[order]


def _seconds(moment: Any) -> float:
    if not isinstance(moment, datetime):
        raise InvalidInput(f"Times must be dates or numbers, in each row; got {moment!r}. Convert it.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def windows(records: Records, told: Mapping[str, Any]) -> Windows:
    """Windows at every stride of each record and one at its end; not those of which less than half was measured."""
    length, stride = told["window"], told["stride"]
    owners, starts, spans, offset = [], [], [], 0
    for number, values in enumerate(records.values):
        last = len(values) - length
        first = np.arange(0, last + 1, stride) if last >= 0 else np.array([last])
        if first[-1] != last:
            first = np.append(first, last)
        first = first[_judged(values, first, length)]
        owners.append(np.full(len(first), number))
        starts.append(first)
        spans.append(np.stack([offset + np.maximum(first, 0), offset + first + length], axis=1))
        offset += len(values)
    return Windows(records, np.concatenate(owners), np.concatenate(starts), np.concatenate(spans))


def _judged(values: FloatArray, first: IntArray, length: int) -> npt.NDArray[np.bool_]:
    measured = np.concatenate([[0], np.cumsum((~np.isnan(values)).sum(axis=1))])
    begin, end = np.maximum(first, 0), first + length
    cells = (end - begin) * values.shape[1]
    return np.asarray(measured[end] - measured[begin] >= _LEAST_SEEN * cells)


def of_steps(scores: FloatArray, spans: IntArray, n: int, least: float) -> FloatArray:
    """``(n,)``: for each step the mean score of the windows that cover it; `least` where none does."""
    total, covered = np.zeros(n), np.zeros(n, dtype=np.int64)
    for score, (begin, end) in zip(scores.tolist(), spans.tolist(), strict=True):
        total[begin:end] += score
        covered[begin:end] += 1
    return np.where(covered > 0, total / np.maximum(covered, 1), least)
