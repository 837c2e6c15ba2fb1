"""Tables larger than memory: folders of files and Arrow datasets, read a batch at a time.

`ArrowRows` counts and takes rows as other collections do, but holds only the batch that was read last. Rows that
are asked for in their order are read in one pass; whoever goes back starts a new pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unalike import reading
from unalike.errors import InvalidInput
from unalike.types import IntArray

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384
LARGEST_FILE = 256 * 2**20
"""Bytes of a file that is still read whole."""


class _Part(Protocol):
    """Some rows of the whole that can be read from their beginning."""

    @property
    def name(self) -> str: ...

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def num_rows(self) -> int: ...

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The columns from a row at or before `start` on: number of the first row, and the rows."""
        ...


@dataclass(frozen=True)
class _Parquet:
    name: str
    schema: pa.Schema
    num_rows: int

    @staticmethod
    def open(path: Path) -> _Parquet:
        import pyarrow.parquet

        with _opened(path), pyarrow.parquet.ParquetFile(path) as file:
            return _Parquet(str(path), file.schema_arrow, file.metadata.num_rows)

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        import pyarrow.parquet

        options = {"memory_map": True, "pre_buffer": False}  # nothing is read ahead
        with _opened(self.name), pyarrow.parquet.ParquetFile(self.name, **options) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            first = np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist()
            groups = [number for number in range(len(sizes)) if first[number + 1] > start]
            at = first[groups[0]] if groups else self.num_rows
            for batch in file.iter_batches(BATCH_ROWS, groups, list(names), use_threads=False):
                yield at, batch
                at += batch.num_rows


@dataclass(frozen=True)
class _Csv:
    name: str
    schema: pa.Schema
    num_rows: int

    @staticmethod
    def open(path: Path) -> _Csv:
        """Counts the rows; types that the first of them suggest and later ones refute are found from all."""
        import pyarrow as pa

        with _opened(path):
            schema = None
            try:
                return _Csv(str(path), *_csv_shape(path, schema))
            except pa.ArrowInvalid as error:
                if "conversion error" not in str(error):
                    raise
            return _Csv(str(path), *_csv_shape(path, _csv_types(path)))

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        with _opened(self.name):
            at = 0
            for batch in _csv_stream(Path(self.name), self.schema):
                yield at, batch.select(list(names))
                at += batch.num_rows


@dataclass(frozen=True)
class _Dataset:
    dataset: Any
    num_rows: int
    name: str = "the dataset"

    @property
    def schema(self) -> pa.Schema:
        return self.dataset.schema

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        at = 0
        with _opened(self.name):
            # Read ahead little: memory holds so many batches.
            for batch in self.dataset.to_batches(
                columns=list(names), batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1
            ):
                yield at, batch
                at += batch.num_rows


@contextmanager
def _opened(path: str | Path) -> Iterator[None]:
    """Inside the block, an error of Arrow's or the system's becomes one that names the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise reading.unreadable(path, error) from error


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
    return ArrowRows.of([(_Parquet if reading.is_parquet(file) else _Csv).open(file) for file in files])


def is_dataset(X: Any) -> bool:
    """Whether `X` is a dataset of Arrow's."""
    return hasattr(X, "to_batches") and hasattr(X, "count_rows") and hasattr(X, "schema")


def of_dataset(dataset: Any) -> ArrowRows:
    """The rows of an Arrow dataset."""
    return ArrowRows.of([_Dataset(dataset, dataset.count_rows())])


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
    def of(parts: Sequence[_Part]) -> ArrowRows:
        """The rows of all parts, one after the other."""
        return ArrowRows(_Scan(parts), list(dict.fromkeys(name for part in parts for name in part.schema.names)))

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        return f"ArrowRows({self.num_rows} rows, columns {self.column_names})"

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

    def blocks(self, rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """The rows, so many at a time."""
        for start in range(0, self.num_rows, rows):
            yield self.take(np.arange(start, min(start + rows, self.num_rows))).table()


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

    parts: Sequence[_Part]
    _pass: _Pass | None = None
    _schemas: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.starts = np.concatenate([[0], np.cumsum([part.num_rows for part in self.parts])]).astype(np.int64)
        self.num_rows = int(self.starts[-1])

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
            kind = _value_type(part.schema.field(name).type)
            wider = kind if found is None else _wider(found, kind)
            if wider is None:
                raise InvalidInput(
                    f"{part.name!r} must hold {found} in column {name!r}, as {source!r} does; got {kind}. Convert it, "
                    "or leave it out with ignore=."
                )
            found, source = wider, part.name
        return found


def _value_type(kind: Any) -> Any:
    """Texts are texts, whether a file has a dictionary of them or not; an order of theirs is kept."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind) and not kind.ordered:
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _wider(one: Any, other: Any) -> Any:
    """A type that holds the values of both, or None."""
    import pyarrow as pa

    if one.equals(other):
        return one
    dates = [pa.types.is_date(kind) for kind in (one, other)]
    if all(dates):
        return pa.date64()
    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None


def _csv_stream(path: Path, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    import pyarrow.csv

    with pyarrow.csv.open_csv(path, **reading.csv_options(path, schema)) as batches:
        yield from batches


def _csv_shape(path: Path, schema: pa.Schema | None) -> tuple[pa.Schema, int]:
    """Types of the columns, and how many rows; every cell is read."""
    rows = 0
    for batch in _csv_stream(path, schema):
        rows += batch.num_rows
        schema = batch.schema
    if schema is None:
        return reading.read_table(path).schema, 0
    return schema, rows


def _csv_types(path: Path) -> pa.Schema:
    """Types that fit all cells: each block is read as texts, which are then read as what they look like."""
    import pyarrow as pa
    import pyarrow.csv

    names = pyarrow.csv.open_csv(path, **reading.csv_options(path)).schema.names
    texts = pa.schema([(name, pa.string()) for name in names])
    kinds: dict[str, Any] = {}
    for batch in _csv_stream(path, texts):
        block = pa.BufferOutputStream()
        pyarrow.csv.write_csv(batch, block)
        read = pyarrow.csv.read_csv(pa.BufferReader(block.getvalue()), **reading.csv_options("block.csv"))
        for name, kind in zip(read.schema.names, read.schema.types, strict=True):
            kinds[name] = kind if name not in kinds else _wider(kinds[name], kind) or pa.string()
    return pa.schema(list(kinds.items()))
