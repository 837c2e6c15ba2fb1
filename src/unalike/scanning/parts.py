"""What rows are read from: Parquet files, CSV files, datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unalike import reading
from unalike.scanning.kinds import wider

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384
_BUFFER = 2**20


class Part(Protocol):
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
class Parquet:
    """A Parquet file, read a row group at a time."""

    name: str
    schema: pa.Schema
    num_rows: int

    @staticmethod
    def open(path: Path) -> Parquet:
        import pyarrow.parquet

        with _opened(path), pyarrow.parquet.ParquetFile(path) as file:
            return Parquet(str(path), file.schema_arrow, file.metadata.num_rows)

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        import pyarrow.parquet

        options = {"pre_buffer": False, "buffer_size": _BUFFER}  # nothing is read ahead
        with _opened(self.name), pyarrow.parquet.ParquetFile(self.name, **options) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            first = np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist()
            groups = [number for number in range(len(sizes)) if first[number + 1] > start]
            at = first[groups[0]] if groups else self.num_rows
            for batch in file.iter_batches(BATCH_ROWS, groups, list(names), use_threads=False):
                yield at, batch
                at += batch.num_rows


@dataclass(frozen=True)
class Csv:
    """A CSV or TSV file, read a block at a time from its beginning."""

    name: str
    schema: pa.Schema
    num_rows: int

    @staticmethod
    def open(path: Path) -> Csv:
        """Counts the rows; types that the first of them suggest and later ones refute are found from all."""
        import pyarrow as pa

        with _opened(path):
            schema = None
            try:
                return Csv(str(path), *_csv_shape(path, schema))
            except pa.ArrowInvalid as error:
                if "conversion error" not in str(error):
                    raise
            return Csv(str(path), *_csv_shape(path, _csv_types(path)))

    def batches(self, names: Sequence[str], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        with _opened(self.name):
            at = 0
            for batch in _csv_stream(Path(self.name), self.schema):
                yield at, batch.select(list(names))
                at += batch.num_rows


@dataclass(frozen=True)
class Dataset:
    """A dataset of Arrow's with its filter and partitions."""

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
            kinds[name] = kind if name not in kinds else wider(kinds[name], kind) or pa.string()
    return pa.schema(list(kinds.items()))
