"""Decisions of many partitions into one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unalike.errors import InvalidInput, InvalidParameter
from unalike.ray import cluster
from unalike.writing import result_path, whole_file

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Written:
    """What `write_decisions` has written.

    Parameters
    ----------
    path : Path
        The file.
    rows, anomalies, skipped : int
        Samples, those that are anomalies, and those that could not be read.
    """

    path: Path
    rows: int
    anomalies: int
    skipped: int


def write_decisions(decisions: Any, path: str | Path) -> Written:
    """Write the result of `detect` as one Parquet file, in the order of the data.

    Partitions are written as they come; memory does not grow with the number of rows. The file appears when all of it
    is written, or not at all.

    Parameters
    ----------
    decisions : ray.data.Dataset
        Of `detect`.
    path : str or Path
        Ends in ``.parquet``; an existing file is replaced.

    Raises
    ------
    InvalidParameter
        `path` has another ending, or its folder does not exist.
    InvalidInput
        What a worker found wrong with the data; or ids are of different types in different partitions.
    """
    target = result_path(path)
    if target.suffix.lower() != ".parquet":
        raise InvalidParameter(f"`path` must end in .parquet, which is written part by part; got {str(path)!r}.")
    import pyarrow.parquet

    rows = anomalies = skipped = 0
    with cluster.quiet(), cluster.told(), whole_file(target) as temporary:
        writer = None
        try:
            for table in decisions.iter_batches(batch_size=None, batch_format="pyarrow"):
                if writer is None:
                    writer = pyarrow.parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(_of_schema(table, writer.schema))
                decided = table["is_anomaly"]
                rows, skipped = rows + len(table), skipped + decided.null_count
                anomalies += sum(filter(None, decided.to_pylist()))
        finally:
            if writer is not None:
                writer.close()
    return Written(target, rows, anomalies, skipped)


def _of_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    try:
        return table.cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise InvalidInput(
            f"The ids of all partitions must be of one type; got {schema} and {table.schema}. Give the column of ids "
            "one type."
        ) from error
