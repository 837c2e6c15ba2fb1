"""Frames of any library as records: which columns are channels, which one is the time, whose rows they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np

from unalike import tabular
from unalike.errors import InvalidInput
from unalike.records import times as moments
from unalike.records.raw import Learned, Raw, Times
from unalike.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Roles:
    """What the columns of a frame are for.

    Parameters
    ----------
    time, entity : str, optional
        Columns that tell when, and whose.
    ignore : sequence of str
        Columns that are left out.
    """

    time: str | None = None
    entity: str | None = None
    ignore: Sequence[str] = ()


def of_frame(X: Any, name: str, roles: Roles, learned: Learned | None) -> Iterator[Raw]:
    """The records in a frame: one, called `name`, or with `roles.entity` one for each entity.

    With `learned` channels the frame's other columns are not looked at, and channels that it lacks are left for
    `channels.aligned` to add.

    Raises
    ------
    InvalidInput
        When columns lack, or hold what is no number, or no time.
    """
    index = getattr(X, "index", None) if hasattr(X, "iloc") else None
    if index is not None and getattr(index, "nlevels", 1) > 1:
        raise InvalidInput("`X` must have an index of one level; got a MultiIndex. Call X.reset_index().")
    frame = nw.from_native(tabular.collected(X), eager_only=True)
    by_index = roles.time is None or (
        roles.time not in frame.columns and index is not None and index.name == roles.time
    )
    _check_names(frame.columns, roles, learned, by_index)
    names = _channels(frame.columns, roles, learned)
    values = _values(frame, names, roles)
    if by_index:
        times, zone = (None, None) if index is None else _of_index(index, roles, len(values))
    else:
        times, zone = moments.of_arrow(tabular.arrow_column(frame.get_column(roles.time)), roles.time)
    whole = Raw(name, values, tuple(str(column) for column in names), True, times, zone)
    if roles.entity is None:
        yield whole
    else:
        cells = tabular.arrow_column(frame.get_column(roles.entity))
        yield from _by_entity(whole, *_entities(cells, roles.entity))


def _check_names(found: Sequence[Any], roles: Roles, learned: Learned | None, by_index: bool) -> None:
    # Later data need not have what is left out.
    wanted = [*(roles.ignore if learned is None else ()), *([] if by_index else [roles.time])]
    wanted += [] if roles.entity is None else [roles.entity]
    tabular.check_named(wanted, found, "`time`, `entity` and `ignore`")


def _is_index(name: Any) -> bool:
    """Whether pandas wrote an index without a name there, into a Parquet file."""
    return str(name).startswith("__index_level_")


def _channels(found: Sequence[Any], roles: Roles, learned: Learned | None) -> list[Any]:
    used = [name for name in found if name not in (*roles.ignore, roles.time, roles.entity) and not _is_index(name)]
    if learned is None or not learned.named:
        if not used:
            raise InvalidInput(
                "`X` must have at least one channel to learn from; got none. Give more, or ignore fewer."
            )
        if "" in used:  # it counts the rows, so that all later ones would be unlike those of training
            raise InvalidInput(
                "Every channel must have a name; got a column without, as pandas writes its index. Read the file with "
                "pandas.read_csv(..., index_col=0), or leave it out with ignore=['']."
            )
        return used
    by_text = {str(name): name for name in used}
    kept = [by_text[name] for name in learned.channels if name in by_text]
    if not kept:
        raise InvalidInput(
            f"`X` must have the channels of `fit`, {list(learned.channels)}; got none of them among {list(found)}. "
            "Correct the names."
        )
    return kept


def _values(frame: Any, names: Sequence[Any], roles: Roles) -> FloatArray:
    """``(t, channels)`` float64, NaN where missing."""
    values = np.empty((len(frame), len(names)))
    for number, name in enumerate(names):
        values[:, number] = _numbers(tabular.arrow_column(frame.get_column(name)), name, roles)
    return values


def _numbers(cells: Any, name: Any, roles: Roles) -> FloatArray:
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = cells.type
    if cells.null_count == len(cells):
        return np.full(len(cells), np.nan)
    if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_boolean(kind)):
        raise _no_channel(name, kind, roles)
    if kinds.is_boolean(kind):
        cells = cells.cast(pa.int8())
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _no_channel(name: Any, kind: Any, roles: Roles) -> InvalidInput:
    import pyarrow.types as kinds

    told, advice = str(kind), f"leave it out with ignore=[{name!r}]"
    if kinds.is_temporal(kind) and roles.time is None:
        told, advice = f"times ({kind})", f"say that it tells the time with time={name!r}, or {advice}"
    elif (
        kinds.is_dictionary(kind) or kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)
    ):
        told = "texts"
        if roles.entity is None:
            advice = f"say that it names the machine or sensor with entity={name!r}, or {advice}"
    return InvalidInput(f"Column {str(name)!r} must hold numbers to be a channel; got {told}. Convert it, {advice}.")


def _of_index(index: Any, roles: Roles, n: int) -> tuple[Times | None, str | None]:
    """The times that a pandas index tells, if it does: dates, durations, or numbers that rise from row to row."""
    import pyarrow as pa

    if hasattr(index, "to_timestamp"):
        index = index.to_timestamp()
    try:
        cells = pa.array(index)
    except (pa.ArrowException, TypeError):
        return None, None
    named = roles.time is not None
    if not named and pa.types.is_dictionary(cells.type):
        return None, None
    try:
        times, zone = moments.of_arrow(cells, None)
    except InvalidInput:
        if named or pa.types.is_temporal(cells.type):
            raise
        return None, None
    if named or not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
        return times, zone
    counts = n and times[0] == 0 and times[-1] == n - 1
    numbers_rows = roles.entity is not None or (counts and (np.diff(times) == 1).all())
    return (None, None) if numbers_rows or not (np.diff(times) > 0).all() else (times, None)


def _entities(cells: Any, name: str) -> tuple[list[str], IntArray]:
    """The names that are in a column, and ``(t,)`` which of them each row has."""
    import pyarrow as pa

    if cells.null_count:
        raise InvalidInput(
            f"Column {name!r} must name the entity in every row; got {cells.null_count} without. Fill them in, or "
            "leave out these rows."
        )
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    encoded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    names = [str(value) for value in encoded.dictionary.to_pylist()]
    return names, np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _by_entity(whole: Raw, names: Sequence[str], codes: IntArray) -> Iterator[Raw]:
    """The rows of each entity, in the order in which the entities first appear."""
    order = np.argsort(codes, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    for rows in sorted((rows for rows in rows_of if len(rows)), key=lambda rows: int(rows[0])):
        times = None if whole.times is None else whole.times[rows]
        yield Raw(names[int(codes[rows[0]])], whole.values[rows], whole.channels, True, times, whole.zone)
