"""The cells of one column as numbers, whatever library and type they come in.

Every column goes through Arrow, which has one type for what pandas, polars and Arrow each write in several ways.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Literal

import narwhals as nw
import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput
from unalike.modalities import dates
from unalike.tabular import arrow_column
from unalike.types import FloatArray

Kind = Literal["number", "category", "ordinal", "date", "time", "duration"]

TOLD = {
    "number": "numbers",
    "category": "categories",
    "ordinal": "categories",
    "date": "dates",
    "time": "times of day",
    "duration": "durations",
}


@dataclass(frozen=True)
class Column:
    """What training taught of one column of the input.

    Parameters
    ----------
    name : str or int
        Of the column.
    kind : str
        What it holds.
    levels : list of str
        The categories that training saw, sorted; of an ordinal column all of them, in their order.
    parts : list of str
        Of a date or a time: what of it counts, as `dates` names it.
    zone : str, optional
        Of a date: where its hours are told.
    """

    name: Any
    kind: Kind
    levels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    zone: str | None = None

    @property
    def names(self) -> list[Any]:
        """Of the numbers that each cell becomes."""
        if not self.parts:
            return [self.name]
        return [f"{self.name} ({label})" for part in self.parts for label in dates.labels(part)]

    @property
    def codes(self) -> list[str]:
        """The levels of a column of categories, empty for others."""
        return self.levels if self.kind == "category" else []

    @property
    def units(self) -> list[str]:
        """Of each number, how it is brought to scale (see `moments`)."""
        if self.kind == "category":
            return ["code"]
        cyclic = [(["sine", "cosine"] if dates.width(part) == 2 else ["number"]) for part in self.parts]
        return [unit for units in cyclic for unit in units] or ["number"]

    def state(self) -> dict[str, Any]:
        """As keywords for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def told(self, found: list[Any]) -> Any:
        """The cell that the numbers stand for, in the units of the user; None where missing.

        Parameters
        ----------
        found : list
            Of each number the value, or None; of a category its name.
        """
        if found[0] is None:
            return None
        if self.parts:
            return dates.told(found, self.parts)
        if self.kind == "ordinal":
            return self.levels[min(max(round(found[0]), 1), len(self.levels)) - 1]
        return timedelta(seconds=found[0]) if self.kind == "duration" else found[0]

    def numbers(self, cells: Cells, infinite: str) -> list[FloatArray]:
        """``(n,)`` float64 each, NaN where missing.

        Raises
        ------
        InvalidInput
            When the cells are of another kind than in training.
        """
        if cells.kind == "nothing":
            return [np.full(len(cells), np.nan)] * len(self.names)
        self.check(cells)
        if self.kind == "number":
            return [cells.floats(infinite)]
        if self.kind in ("category", "ordinal"):
            return [cells.codes(self.levels, unseen=0.0 if self.kind == "category" else np.nan)]
        if self.kind == "duration":
            return [cells.seconds()]
        micros, missing = cells.micros(self.zone)
        return dates.numbers(micros, missing, self.parts)

    def check(self, cells: Cells) -> None:
        """Refuse cells of another kind."""
        found, wanted = TOLD.get(cells.kind), TOLD[self.kind]
        if cells.kind == "nothing" or found == wanted:
            if self.kind == "date" and cells.kind == "date" and (cells.zone is None) != (self.zone is None):
                has, lacks = ("no", "one") if self.zone is None else ("a", "none")
                raise InvalidInput(
                    f"Column {cells.name!r} must have {has} time zone, as in `fit`; got {lacks}. Convert it."
                )
            return
        advice = "Convert it."
        if wanted == "numbers" and cells.kind == "category" and cells.are_numeric_texts():
            advice = "Its texts are numbers: convert them with float()."
        elif wanted == "categories" and cells.kind == "number":
            advice = "Convert its numbers to texts, as they were in `fit`."
        raise InvalidInput(f"Column {cells.name!r} must hold {wanted}, as in `fit`; got {cells.dtype}. {advice}")


class Cells:
    """The cells of a column of a frame.

    Parameters
    ----------
    column : narwhals.Series
        Of any library.

    Attributes
    ----------
    kind : str
        A `Kind`, or ``"nothing"`` where all are missing.

    Raises
    ------
    InvalidInput
        When it holds nothing that a table can use.
    """

    def __init__(self, column: Any) -> None:
        import pyarrow as pa

        self.name, self.dtype = column.name, column.dtype
        arrow = arrow_column(column)
        # polars says of every Enum that it is ordered.
        self._ordered = pa.types.is_dictionary(arrow.type) and arrow.type.ordered
        self._ordered = self._ordered and column.implementation is not nw.Implementation.POLARS
        self.cells = arrow.combine_chunks() if isinstance(arrow, pa.ChunkedArray) else arrow
        self.kind = self._kind()

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def zone(self) -> str | None:
        """The time zone of dates."""
        found: str | None = getattr(self.cells.type, "tz", None)
        return found

    def _kind(self) -> str:
        import pyarrow.types as kinds

        kind = self.cells.type
        if self.cells.null_count == len(self.cells):
            return "nothing"
        if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_boolean(kind):
            return "nothing" if kinds.is_floating(kind) and np.isnan(self._floats()).all() else "number"
        if kinds.is_dictionary(kind):
            return "ordinal" if self._ordered else "category"
        if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
            return "category"
        for name, test in (("date", kinds.is_date), ("date", kinds.is_timestamp), ("time", kinds.is_time)):
            if test(kind):
                return name
        if kinds.is_duration(kind):
            return "duration"
        raise self._unusable()

    def _unusable(self) -> InvalidInput:
        import pyarrow.types as kinds

        kind, advice = self.cells.type, "Leave the column out with ignore=."
        if kinds.is_struct(kind) or kinds.is_map(kind):
            advice = "Give each field a column of its own, or leave the column out with ignore=."
        elif kinds.is_nested(kind):
            advice = "Take numbers from each list, such as its length and mean, or leave the column out with ignore=."
        return InvalidInput(
            f"Column {self.name!r} must hold numbers, booleans, categories, dates, times or durations; "
            f"got {self.dtype}. {advice}"
        )

    def _floats(self) -> FloatArray:
        import pyarrow as pa

        made = self.cells.cast(pa.float64(), safe=False)
        return np.array(made.to_numpy(zero_copy_only=False), dtype=np.float64)

    def floats(self, infinite: str) -> FloatArray:
        """``(n,)`` numbers, NaN where missing."""
        values = self._floats()
        endless = np.isinf(values)
        if endless.any():
            if infinite == "error":
                raise InvalidInput(
                    f"Column {self.name!r} must be finite or missing; got infinity. Clip it, set it null, or give "
                    "infinite='missing'."
                )
            values[endless] = np.nan
        return values

    def texts(self) -> set[str]:
        """The different cells that are not missing, as text."""
        return {str(value) for value in self._dictionary() if value is not None}

    def ordered_levels(self) -> list[str]:
        """The categories of an ordered column in their order, observed or not."""
        return [str(value) for value in self.cells.dictionary.to_pylist()]

    def are_numeric_texts(self) -> bool:
        """Whether all that is there reads as numbers."""
        try:
            return bool([float(text) for text in self.texts()])
        except ValueError:
            return False

    def codes(self, levels: list[str], unseen: float) -> FloatArray:
        """``(n,)`` places among the levels from 1; `unseen` where the cell is none of them, NaN where missing."""
        place = {level: float(number) for number, level in enumerate(levels, start=1)}
        encoded = self._encoded()
        of_value = [np.nan if v is None else place.get(str(v), unseen) for v in encoded.dictionary.to_pylist()]
        table = np.array([*of_value, np.nan])
        indices = encoded.indices.fill_null(len(of_value)) if encoded.indices.null_count else encoded.indices
        return np.asarray(table[indices.to_numpy(zero_copy_only=False).astype(np.int64)])

    def _encoded(self) -> Any:
        import pyarrow as pa

        if not pa.types.is_dictionary(self.cells.type):
            return self.cells.dictionary_encode()
        indices = self.cells.indices.cast(pa.int64())  # one more code could be too many for their type
        return pa.DictionaryArray.from_arrays(indices, self.cells.dictionary)

    def _dictionary(self) -> list[Any]:
        import pyarrow as pa

        cells = self.cells
        if pa.types.is_dictionary(cells.type):  # of categories that pandas knows, some may not be there
            cells = cells.dictionary.take(cells.indices.unique().drop_null())
        found: list[Any] = cells.unique().to_pylist()
        return found

    def seconds(self) -> FloatArray:
        """``(n,)`` durations in seconds."""
        import pyarrow as pa

        units = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
        made = self.cells.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(made, dtype=np.float64) / units[self.cells.type.unit]

    def micros(self, zone: str | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """``(n,)`` microseconds after 1970 (or midnight) by the clock of `zone`, and which are missing."""
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = self.cells
        if pa.types.is_timestamp(cells.type) and zone is not None:
            cells = pc.local_timestamp(cells.cast(pa.timestamp(cells.type.unit, tz=zone)))
        missing = cells.is_null().to_numpy(zero_copy_only=False)
        target = pa.time64("us") if pa.types.is_time(cells.type) else pa.timestamp("us")
        whole = cells.cast(target, safe=False).cast(pa.int64()).fill_null(0)
        return whole.to_numpy(zero_copy_only=False), missing
