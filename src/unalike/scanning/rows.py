"""Rows that are read when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unalike import reading
from unalike.errors import InvalidInput
from unalike.scanning import parts as sources
from unalike.scanning.kinds import value_type, wider
from unalike.scanning.parts import Csv, Dataset, Parquet, Part
from unalike.types import IntArray

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_FILE = 256 * 2**20
"""Bytes of a file that is still read whole."""


def open_tables(path: str | Path) -> ArrowRows | None:
    """A folder of tables, or one large file; None for what is better read whole.

    Raises
    ------
    InvalidInput
        When there is nothing, or a file is broken.
    """
    root = reading.existing(path)
    if root.is_file() and not (reading.is_table(root) and root.stat().st_size > LARGEST_FILE):
        return None
    files = [root] if root.is_file() else reading.table_paths(root)
    return ArrowRows.of([(Parquet if reading.is_parquet(file) else Csv).open(file) for file in files])


def is_dataset(X: Any) -> bool:
    """Whether `X` is a dataset of Arrow's."""
    return hasattr(X, "to_batches") and hasattr(X, "count_rows") and hasattr(X, "schema")


def of_dataset(dataset: Any) -> ArrowRows:
    """The rows of an Arrow dataset."""
    return ArrowRows.of([Dataset(dataset, dataset.count_rows())])


class ArrowRows:
    """Rows that are read when they are needed.

    Made by `open_tables` and `of_dataset`. A table of `data`, as far as a detector asks: it has a number of rows,
    names of columns, and rows to take.

    Attributes
    ----------
    num_rows : int
    column_names : list of str
        Of all files, in the order of the first.
    """

    lazy = True

    def __init__(self, scan: _Scan, column_names: list[str], positions: IntArray | None = None) -> None:
        self._scan = scan
        self.column_names = column_names
        self._positions = positions
        self.num_rows = scan.num_rows if positions is None else len(positions)

    @staticmethod
    def of(parts: Sequence[Part]) -> ArrowRows:
        """The rows of all parts, one after the other."""
        return ArrowRows(_Scan(parts), list(dict.fromkeys(name for part in parts for name in part.schema.names)))

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        return f"ArrowRows({self.num_rows} rows, columns {self.column_names})"

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise InvalidInput("`X` must be read as a table; got rows of files. Use Detector('table'), or -m table.")

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """One column, in memory."""
        return self.select([name]).table().column(0)

    def select(self, names: Sequence[str]) -> ArrowRows:
        """The same rows with these columns only; the others are not read.

        Raises
        ------
        InvalidInput
            When a file lacks one of them, or has another type than the file before it.
        """
        self._scan.schema(names)
        return ArrowRows(self._scan, list(names), self._positions)

    def drop_columns(self, names: Sequence[str]) -> ArrowRows:
        """The same rows without these columns."""
        kept = [name for name in self.column_names if name not in names]
        return ArrowRows(self._scan, kept, self._positions)

    def take(self, positions: IntArray) -> ArrowRows:
        """The rows at these positions; nothing is read."""
        chosen = np.asarray(positions, dtype=np.int64)
        return ArrowRows(self._scan, self.column_names, chosen if self._positions is None else self._positions[chosen])

    def table(self) -> pa.Table:
        """The rows, in memory."""
        positions = np.arange(self.num_rows) if self._positions is None else self._positions
        if (np.diff(positions) > 0).all():
            return self._scan.read(self.column_names, positions)
        ordered, place = np.unique(positions, return_inverse=True)
        return self._scan.read(self.column_names, ordered).take(place)

    def blocks(self) -> Iterator[pa.Table]:
        """The rows, a batch at a time."""
        for start in range(0, self.num_rows, sources.BATCH_ROWS):
            yield self.take(np.arange(start, min(start + sources.BATCH_ROWS, self.num_rows))).table()


@dataclass
class _Pass:
    """One pass over the rows, as far as it has come."""

    names: tuple[str, ...]
    batches: Iterator[tuple[int, pa.Table]]
    start: int = 0
    held: pa.Table | None = None

    @property
    def end(self) -> int:
        return self.start + (0 if self.held is None else self.held.num_rows)

    def step(self) -> bool:
        """Go on to the next batch; False at the end."""
        self.held = None
        self.start, self.held = next(self.batches, (self.start, None))
        return self.held is not None


@dataclass
class _Scan:
    """All parts, and the pass that is under way."""

    parts: Sequence[Part]
    _pass: _Pass | None = None
    _schemas: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.starts = np.concatenate([[0], np.cumsum([part.num_rows for part in self.parts])]).astype(np.int64)
        self.num_rows = int(self.starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        """Another process begins a pass of its own."""
        return {**self.__dict__, "_pass": None}

    def read(self, names: Sequence[str], positions: IntArray) -> pa.Table:
        """The rows at ascending positions."""
        import pyarrow as pa

        schema = self.schema(names)
        taken: list[pa.Table] = []
        done = 0
        while done < len(positions):
            held = self._at(tuple(names), int(positions[done]))
            until = int(np.searchsorted(positions, held.end))
            own = positions[done:until] - held.start
            table = held.held
            contiguous = int(own[-1] - own[0]) + 1 == len(own)
            taken.append(table.slice(int(own[0]), len(own)) if contiguous else table.take(own))
            done = until
        return pa.concat_tables(taken) if taken else schema.empty_table()

    def _at(self, names: tuple[str, ...], position: int) -> Any:
        """The pass, at the batch that holds this row."""
        under_way = self._pass
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        if under_way is None or under_way.names != names or position < under_way.start:
            under_way = self._begin(names, part, position)
        elif position >= under_way.end and self.starts[part] > under_way.end:
            under_way = self._begin(names, part, position)  # skips whole files
        while position >= under_way.end:
            if not under_way.step():
                raise InvalidInput(
                    f"The data must stay as they are while they are read; row {position} of {self.num_rows} is gone. "
                    "Start again."
                )
        return under_way

    def _begin(self, names: tuple[str, ...], part: int, position: int) -> _Pass:
        self._pass = _Pass(names, self._batches(names, part, position))
        return self._pass

    def _batches(self, names: tuple[str, ...], first: int, position: int) -> Iterator[tuple[int, pa.Table]]:
        import pyarrow as pa

        schema = self.schema(names)
        for number in range(first, len(self.parts)):
            start = int(self.starts[number])
            for at, batch in self.parts[number].batches(names, max(position - start, 0)):
                table = pa.Table.from_batches([batch]).select(list(names))
                # Whole numbers of one file and fractions of another: beyond 2^53 they are rounded as in float64.
                yield start + at, table if table.schema.equals(schema) else table.cast(schema, safe=False)

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """One type per column for all parts.

        Raises
        ------
        InvalidInput
            When a part lacks a column, or has another type than the part before it.
        """
        import pyarrow as pa

        key = tuple(names)
        if key not in self._schemas:
            self._schemas[key] = pa.schema([(name, self._type(name)) for name in names])
        return self._schemas[key]

    def _type(self, name: str) -> Any:
        lacking = [part.name for part in self.parts if name not in part.schema.names]
        if lacking:
            having = next((part.name for part in self.parts if name in part.schema.names), "")
            raise InvalidInput(
                f"{lacking[0]!r} must have the column {name!r}, as {having!r} has; it has not. Add it, or leave it out "
                "with ignore=."
            )
        found, source = None, ""
        for part in self.parts:
            kind = value_type(part.schema.field(name).type)
            wide = kind if found is None else wider(found, kind)
            if wide is None:
                raise InvalidInput(
                    f"{part.name!r} must hold {found} in column {name!r}, as {source!r} does; got {kind}. Convert it, "
                    "or leave it out with ignore=."
                )
            found, source = wide, part.name
        return found
