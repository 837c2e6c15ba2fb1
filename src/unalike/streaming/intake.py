"""What is pushed into a stream: one step or some, named or not, with or without times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unalike import tabular
from unalike.errors import InvalidInput
from unalike.plain import is_number
from unalike.records import arrays, channels
from unalike.records import times as moments
from unalike.records.frames import Roles, of_frame
from unalike.records.raw import Learned, Raw


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads chunks of one entity's record.

    Parameters
    ----------
    roles : Roles
        Of the columns of frames; those of time and entity may lack.
    learned : Learned
        Channels and clock of training.
    entity : str
        Whose record it is.
    """

    roles: Roles
    learned: Learned
    entity: str

    def read(self, chunk: Any, time: Any = None) -> Raw:
        """The steps of a chunk, with the channels of training.

        Parameters
        ----------
        chunk : array-like, frame, dict or list of dicts
            ``(channels,)`` is one step, ``(t, channels)`` are many; a dict of numbers is one row.
        time : scalar or array-like, optional
            ``(t,)``, instead of a column.

        Raises
        ------
        InvalidInput
            Another number of channels than in training, infinite values, no numbers, no step; times that are none.
        """
        raw = self._row(chunk) or self._frame(chunk) or self._array(chunk)
        if len(raw.values) == 0:
            raise InvalidInput("`chunk` must hold at least one step; got none.")
        if time is not None:
            raw = _timed(raw, time)
        (raw,) = channels.aligned([raw], self.learned)
        channels.check_finite([raw])
        _check_kind(raw, self.learned)
        return raw

    def _row(self, chunk: Any) -> Raw | None:
        """A dict with a number for each channel of training, without the way round a frame."""
        if not isinstance(chunk, dict) or not self.learned.named or self.roles.time in chunk:
            return None
        cells = [chunk.get(name, "") for name in self.learned.channels]
        if self.roles.entity in chunk or not all(cell is None or is_number(cell) for cell in cells):
            return None
        values = np.array([[np.nan if cell is None else cell for cell in cells]], dtype=np.float64)
        return Raw(self.entity, values, self.learned.channels, True)

    def _frame(self, chunk: Any) -> Raw | None:
        frame = _as_frame(chunk)
        if frame is None:
            return None
        found = list(frame.columns) if hasattr(frame, "columns") else []
        found = list(frame.column_names) if hasattr(frame, "column_names") else found
        named = {str(getattr(getattr(frame, "index", None), "name", None)), *map(str, found)}
        time = self.roles.time if self.roles.time in named else None
        entity = self.roles.entity if self.roles.entity in named else None
        raws = list(of_frame(frame, self.entity, Roles(time, entity, self.roles.ignore), self.learned))
        names = [raw.entity for raw in raws]
        if len(raws) > 1 or (entity is not None and names != [self.entity]):
            raise InvalidInput(
                f"`chunk` must be of the stream's entity, {self.entity!r}; got {names}. Open a stream for each."
            )
        return self._without_counts(raws[0]) if time is None else raws[0]

    def _without_counts(self, raw: Raw) -> Raw:
        """An index that numbers rows, as it did in training, is no time."""
        counts = self.learned.clock is None and raw.times is not None and not moments.is_dated(raw.times)
        return replace(raw, times=None) if counts else raw

    def _array(self, chunk: Any) -> Raw:
        width = len(self.learned.channels)
        axes = _axes(chunk)
        values = arrays.numbers([chunk] if axes == 0 else chunk, "`chunk`")
        if axes == 1 and width > 1:
            values = values.reshape(1, -1)
        if values.ndim == 3:
            raise InvalidInput(
                f"`chunk` must have the axes (channels,) or (steps, channels); got shape {values.shape}."
            )
        return Raw(self.entity, values, tuple(f"x{number}" for number in range(values.shape[1])), False)


def _axes(chunk: Any) -> int:
    try:
        return np.ndim(chunk)
    except ValueError:  # rows of different lengths, which `arrays.numbers` tells of
        return 2


def _as_frame(chunk: Any) -> Any:
    """A frame of all that has named columns; None of anything else."""
    if isinstance(chunk, Mapping):
        row = all(np.ndim(cell) == 0 for cell in chunk.values())
        return tabular.of_columns({name: [cell] if row else list(cell) for name, cell in chunk.items()})
    if isinstance(chunk, (list, tuple)) and chunk and all(isinstance(row, Mapping) for row in chunk):
        return tabular.of_rows(chunk)
    return chunk if tabular.has_names(chunk) else None


def _timed(raw: Raw, time: Any) -> Raw:
    """With the times that the user gave beside the values."""
    import pyarrow as pa

    given = time.to_numpy() if hasattr(time, "to_numpy") and np.ndim(time) == 1 else time
    several = list(given) if np.ndim(given) == 1 else [given]
    zone = getattr(getattr(time, "dtype", None), "tz", None)
    try:
        cells = pa.array(several)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidInput(f"`time` must hold dates or numbers of one kind; got {time!r}. Convert it.") from error
    times, told = moments.of_arrow(cells, "time")
    if len(times) != len(raw.values):
        raise InvalidInput(f"`time` must be one per step of `chunk`, {len(raw.values)}; got {len(times)}.")
    return Raw(raw.entity, raw.values, raw.channels, raw.named, times, told or (None if zone is None else str(zone)))


def _check_kind(raw: Raw, learned: Learned) -> None:
    if raw.times is None or learned.clock is None:
        return
    if moments.is_dated(raw.times) != learned.clock.dated:
        kinds = {True: "dates", False: "numbers"}
        raise InvalidInput(
            f"Times must be {kinds[learned.clock.dated]}, as in `fit`; got {kinds[not learned.clock.dated]}. Convert "
            "them."
        )
