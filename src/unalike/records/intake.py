"""From whatever a user calls a series, or many, to `Records`.

All of it is read into memory: 8 bytes for each value, and as much again while times are put in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from unalike import reading, tabular
from unalike.errors import InputWarning, InvalidInput, InvalidParameter, tell
from unalike.records import arrays, channels, grid
from unalike.records import times as moments
from unalike.records.collection import Records
from unalike.records.frames import Roles, of_frame
from unalike.records.raw import Learned, Raw, joined

_MAKE = ("read_all", "to_table", "to_frame", "table")
"""Methods that make a frame: of Arrow's streams and datasets, of columns, and of `scanning.ArrowRows`."""


def collected(
    X: Any,
    *,
    time: str | None = None,
    entity: str | None = None,
    ignore: Sequence[str] = (),
    step: float | str | timedelta | np.timedelta64 | None = None,
    longest_gap: int = grid.LONGEST_GAP,
    learned: Learned | None = None,
) -> Records:
    """Records that are sorted, regular in time and of the same channels.

    Parameters
    ----------
    X : array-like, frame, path, list, dict or Records
        One record: an array ``(t,)`` or ``(t, channels)``; a frame of pandas, polars, Arrow or another library; a list
        of dicts, one per step; a CSV, TSV, Parquet or NPZ file. Many: an array ``(records, t, channels)``; a list or
        tuple of arrays or frames, which are called ``"0"``, ``"1"``…, or of files; a dict of them by name; a folder of
        tables, one record per file, called as it without the ending; any frame with a column `entity`. `Records` stay
        as they are.
    time : str, optional
        Column of a frame with the time of each row: dates, text as ISO 8601 tells them, or numbers. None: the index of
        a pandas frame tells it where it is one of dates, or of numbers that rise from row to row and do not only count
        the rows; other rows are one step apart. Rows may be in any order.
    entity : str, optional
        Column of a frame that tells whose row it is. Rows of several entities may be mixed, and those of one may be in
        several files.
    ignore : sequence of str
        Columns of a frame that are no channels.
    step : float, str, timedelta or numpy.timedelta64, optional
        Between two steps: in seconds, or in the unit of the times where these are numbers; or a text such as
        ``"5min"``. None: that of training, or else the usual one (see `grid.usual_step`).
    longest_gap : int
        Steps without a row that are missing steps of one segment; after more a new segment starts. At least 1.
    learned : Learned, optional
        What training taught: frames then go by the names of its channels, others are not looked at; arrays by position.

    Returns
    -------
    Records

    Raises
    ------
    InvalidInput
        `X` is empty, of the wrong shape, unreadable or infinite; a column that is asked for lacks, or holds what it
        cannot; a row has no time; records have different channels, or all those of `fit` lack; the times are far more
        steps apart than there are rows.
    InvalidParameter
        `step` or `longest_gap` is out of range.
    """
    wanted = None if step is None else moments.parsed_step(step)
    if longest_gap < 1:
        raise InvalidParameter(f"`longest_gap` must be at least 1 step; got {longest_gap}.")
    if isinstance(X, Records):
        return _passed(X, learned)
    raws = list(_raws(X, Roles(time, entity, tuple(ignore)), learned))
    _check_filled(raws)
    named = raws[0].named if learned is None else learned.named
    raws = channels.aligned(raws, learned)
    channels.check_finite(raws)
    raws = _by_entity(_with_times(raws, learned), together=entity is not None)
    if raws[0].times is None:
        return Records(grid.without_times(raws), raws[0].channels, named)
    segments, clock = grid.regular(
        raws, _step(wanted, raws[0]), None if learned is None else learned.clock, longest_gap
    )
    return Records(segments, raws[0].channels, named, clock)


def _passed(X: Records, learned: Learned | None) -> Records:
    """Records that some intake made, with the channels of training."""
    if len(X) == 0:
        raise InvalidInput("`X` must hold at least one step; got none.")
    if learned is None or X.channels == learned.channels:
        return X
    raws = [Raw(segment.entity, segment.values, X.channels, X.named) for segment in X.segments]
    made = zip(X.segments, channels.aligned(raws, learned), strict=True)
    segments = tuple(replace(segment, values=raw.values) for segment, raw in made)
    return Records(segments, learned.channels, learned.named, X.clock)


def _raws(X: Any, roles: Roles, learned: Learned | None) -> Iterator[Raw]:
    for name, one in _each(X, roles):
        called = f"record {name!r}" if name else "`X`"
        one = _read(one) if reading.is_path(one) else one
        made = _frame(one)
        if made is not None:
            yield from of_frame(made, name, roles, learned)
            continue
        if roles.time is not None or roles.entity is not None or (roles.ignore and learned is None):
            raise InvalidInput(
                f"{called} must have named columns for `time`, `entity` and `ignore`; got {type(one).__name__}. Give a "
                "DataFrame."
            )
        values = arrays.numbers(one, called)
        if values.ndim == 3 and name:
            raise InvalidInput(f"{called} must have the axes (steps, channels); got shape {values.shape}.")
        several = [(name, values)] if values.ndim == 2 else [(str(i), one) for i, one in enumerate(values)]
        for own, record in several:
            yield Raw(own, record, tuple(f"x{number}" for number in range(record.shape[1])), False)


def _each(X: Any, roles: Roles) -> Iterable[tuple[str, Any]]:
    """What `X` is made of, by name; the name is empty where it is one."""
    if reading.is_path(X) and reading.existing(X).is_dir():
        root = Path(X)
        return [(record_name(path.relative_to(root)), path) for path in reading.table_paths(root)]
    if isinstance(X, Mapping) and roles.time not in X and roles.entity not in X:
        if not X:
            raise InvalidInput("`X` must hold at least one record; got an empty dict.")
        return [(str(name), one) for name, one in X.items()]
    if isinstance(X, (list, tuple)) and not all(_is_row(one) for one in X):
        return list(zip(_names(X), X, strict=True))
    return [("", X)]


def _names(records: Sequence[Any]) -> list[str]:
    """Of a list: files are called as they are without the ending, where need be with their folders; else by number."""
    paths = [Path(one) for one in records if reading.is_path(one)]
    stems = [record_name(Path(path.name)) for path in paths]
    unlike = iter(stems if len(set(stems)) == len(stems) else map(record_name, paths))
    return [next(unlike) if reading.is_path(one) else str(number) for number, one in enumerate(records)]


def _is_row(one: Any) -> bool:
    """Whether it is a step rather than a record, in a list of them."""
    if isinstance(one, (Mapping, list, tuple)):
        return True
    return not reading.is_path(one) and not _is_frame(one) and np.ndim(one) == 0


def record_name(path: Path) -> str:
    """The path without the ending of its file, with ``/`` between folders."""
    text = path.as_posix()
    endings = [ending for ending in (*reading.TABLE_SUFFIXES, ".npz") if text.lower().endswith(ending)]
    return text[: -max(map(len, endings))] if endings else text


def _read(path: Any) -> Any:
    return reading.read_npz(path) if str(path).lower().endswith(".npz") else reading.read_table(path)


def _is_frame(one: Any) -> bool:
    """Whether it is a frame, a column of one, or what frames are read from."""
    return tabular.has_names(one) or any(hasattr(one, make) for make in _MAKE)


def _frame(one: Any) -> Any:
    """A frame, from all that has columns; None of anything else."""
    if isinstance(one, Mapping):
        return tabular.of_columns({name: list(cells) for name, cells in one.items()})
    if isinstance(one, (list, tuple)) and one and all(isinstance(row, Mapping) for row in one):
        return tabular.of_rows(one)
    if getattr(getattr(one, "dtype", None), "names", None):
        return tabular.of_columns({name: one[name] for name in one.dtype.names})
    for make in _MAKE:
        if hasattr(one, make) and not tabular.has_names(one):
            return getattr(one, make)()
    return one if tabular.has_names(one) else None


def _by_entity(raws: Iterable[Raw], *, together: bool) -> list[Raw]:
    """Records in order of their first rows; `together`: those of one name are one, else that is refused."""
    found: dict[str, list[Raw]] = {}
    for raw in raws:
        found.setdefault(raw.entity, []).append(raw)
    doubled = [name for name, own in found.items() if len(own) > 1]
    if doubled and not together:
        raise InvalidInput(f"Records must have different names; got {doubled} more than once. Rename them.")
    return [joined(own) for own in found.values()]


def _check_filled(raws: Sequence[Raw]) -> None:
    if not raws or all(len(raw.values) == 0 or raw.values.shape[1] == 0 for raw in raws):
        shape = raws[0].values.shape if raws else ()
        raise InvalidInput(
            f"`X` must hold at least one step of one channel; got {len(raws)} record(s), the first of shape {shape}. "
            "Give the measured values."
        )
    empty = [raw.entity for raw in raws if len(raw.values) == 0]
    if empty:
        raise InvalidInput(f"Every record must hold at least one step; got none in {empty}. Leave these records out.")


def _with_times(raws: Sequence[Raw], learned: Learned | None) -> list[Raw]:
    """All with times of one kind, or none with times."""
    kinds = {raw.called(): _kind(raw) for raw in raws}
    told = set(kinds.values()) - {""}
    if not told:
        return list(raws)
    if told == {"numbers"}:  # a record that counts its rows from 0 is like one that says so
        raws = [replace(raw, times=np.arange(len(raw.values))) if raw.times is None else raw for raw in raws]
    elif len(set(kinds.values())) > 1:
        first, other = next((one, other) for one in kinds for other in kinds if kinds[one] < kinds[other])
        raise InvalidInput(
            f"All records must tell time in one way; got {kinds[first] or 'no times'} in {first} and {kinds[other]} in "
            f"{other}. Give all in one."
        )
    fitted = None if learned is None or learned.clock is None else "dates" if learned.clock.dated else "numbers"
    if fitted is not None and not next(iter(told)).startswith(fitted):
        raise InvalidInput(f"Times must be {fitted}, as in `fit`; got {next(iter(told))}. Convert them.")
    _tell_of_no_zone(raws, learned)
    return list(raws)


def _tell_of_no_zone(raws: Sequence[Raw], learned: Learned | None) -> None:
    """Nothing else would show that hours are lost and doubled where those of training were not."""
    zone = None if learned is None or learned.clock is None else learned.clock.zone
    bare = next((raw for raw in raws if raw.zone is None), None)
    if zone is not None and bare is not None:
        tell(
            f"Times must have a time zone, as in `fit` ({zone}); got none in {bare.called()}. They count as they are: "
            "an hour is lost and another one doubled when clocks change, and ids have no offset. Put the zone on, in "
            f"pandas by .dt.tz_localize({zone!r}).",
            InputWarning,
        )


def _kind(raw: Raw) -> str:
    if raw.times is None:
        return ""
    if not moments.is_dated(raw.times):
        return "numbers"
    return "dates without a time zone" if raw.zone is None else "dates with a time zone"


def _step(wanted: tuple[float, bool] | None, first: Raw) -> float | None:
    """The step of the setting in the unit of the times."""
    if wanted is None:
        return None
    step, duration = wanted
    if duration and first.times is not None and not moments.is_dated(first.times):
        raise InvalidParameter(
            "`step` must be a number, in the unit of the times, where these are numbers; got a duration. Give a "
            "number, or times as dates."
        )
    return step
