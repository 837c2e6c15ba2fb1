"""Write results: files appear whole or not at all."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidParameter
from unalike.plain import plain

if TYPE_CHECKING:
    import pyarrow as pa

RESULT_SUFFIXES = (".csv", ".jsonl", ".parquet")
EMBEDDING_SUFFIXES = (".npz", ".npy", ".csv", ".parquet")


def writable(path: str | Path) -> Path:
    """The path, when a file could be written there; to be asked before a long computation.

    Raises
    ------
    InvalidParameter
        When its folder does not exist, or `path` is itself a folder.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InvalidParameter(f"`output` must lie in an existing folder; got {str(path)!r}. Make the folder first.")
    if target.is_dir():
        raise InvalidParameter(f"`output` must be a file; got the folder {str(path)!r}. Name a file in it.")
    return target


def result_path(path: str | Path) -> Path:
    """As `writable`, for a file of rows.

    Raises
    ------
    InvalidParameter
        As `writable`; or when the name ends in none of `RESULT_SUFFIXES`.
    """
    return _ending_in(RESULT_SUFFIXES, path)


def distinct_paths(*paths: str | Path | None) -> None:
    """As `result_path`, of those that are not None, which must be different files.

    Raises
    ------
    InvalidParameter
        As `result_path`; or when two are the same.
    """
    found = [os.path.realpath(result_path(path)) for path in paths if path is not None]
    if len(set(found)) < len(found):
        raise InvalidParameter(f"`output` and `events` must be different files; got {found[0]!r} twice. Rename one.")


def embeddings_path(path: str | Path) -> Path:
    """As `result_path`, for embeddings: one of `EMBEDDING_SUFFIXES`."""
    return _ending_in(EMBEDDING_SUFFIXES, path)


def _ending_in(suffixes: tuple[str, ...], path: str | Path) -> Path:
    if Path(path).suffix.lower() not in suffixes:
        raise InvalidParameter(f"`output` must end in one of {list(suffixes)}; got {str(path)!r}.")
    return writable(path)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A file that takes the place of `path` when the block ends well, and is removed when it does not.

    It lies beside `path`, so that the replacement is one atomic step; a reader sees the old file or the new
    one. A link is followed.

    Yields
    ------
    Path
        To be written inside the block.
    """
    with whole_files([path]) as (temporary,):
        yield temporary


@contextmanager
def whole_files(paths: Sequence[str | Path]) -> Iterator[list[Path]]:
    """As `whole_file`, of several: none takes its place before all of them are written."""
    targets = [Path(os.path.realpath(path)) for path in paths]
    temporaries = [target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp") for target in targets]
    try:
        yield temporaries
        for temporary in temporaries:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        for temporary, target in zip(temporaries, targets, strict=True):
            temporary.replace(target)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def write_rows(columns: Mapping[str, npt.ArrayLike], path: str | Path) -> None:
    """Columns of one length as CSV, JSON Lines or Parquet, by the ending of `path`.

    Parameters
    ----------
    columns : mapping of str to array
        ``(n,)`` each. NaN is written as missing: an empty cell, or null. Floating-point numbers read back equal.
    path : str or Path
        Ends in one of `RESULT_SUFFIXES`; an existing file is replaced.

    Raises
    ------
    InvalidParameter
        When `path` has another ending or its folder does not exist.
    """
    write_tables({path: columns})


def write_tables(tables: Mapping[str | Path, Mapping[str, npt.ArrayLike]]) -> None:
    """As `write_rows`, of several files: the columns of each by its path. All are written, or none."""
    made = [(result_path(path), _arrow(columns)) for path, columns in tables.items()]
    write = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
    with whole_files([target for target, _ in made]) as temporaries:
        for (target, table), temporary in zip(made, temporaries, strict=True):
            write[target.suffix.lower()](table, temporary)


def write_embeddings(
    ids: npt.NDArray[Any],
    embeddings: npt.NDArray[Any],
    path: str | Path,
    *,
    entities: npt.NDArray[np.str_] | None = None,
) -> None:
    """Embeddings, by the ending of `path`.

    Parameters
    ----------
    ids : ndarray
        ``(n,)``.
    embeddings : ndarray
        ``(n, width)``.
    path : str or Path
        ``.csv`` and ``.parquet``: columns ``id``, ``e0``, ``e1``…; ``.npz``: arrays ``ids`` and ``embeddings``;
        ``.npy``: the embeddings alone. An existing file is replaced.
    entities : ndarray, optional
        ``(n,)``: whose record each is of; a column ``entity`` before the others, or an array ``entities``.

    Raises
    ------
    InvalidParameter
        When `path` has another ending or its folder does not exist.
    """
    suffix = embeddings_path(path).suffix.lower()
    if suffix == ".npz":
        # Without objects, which only pickle could hold.
        names = ids if ids.dtype.kind in "iuU" else np.array([_text(value) for value in ids.tolist()], dtype=np.str_)
        known = {} if entities is None else {"entities": entities}
        write_npz({"ids": names, **known, "embeddings": embeddings}, path)
    elif suffix == ".npy":
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, embeddings, allow_pickle=False)
    else:
        known = {} if entities is None else {"entity": entities}
        columns = {f"e{column}": embeddings[:, column] for column in range(embeddings.shape[1])}
        write_rows({**known, "id": ids, **columns}, path)


def write_npz(arrays: Mapping[str, npt.NDArray[Any]], path: str | Path) -> None:
    """Arrays of numbers or text, by name."""
    named: dict[str, Any] = dict(arrays)
    with whole_file(writable(path)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **named)


def write_json(value: Any, path: str | Path) -> None:
    """A value as indented JSON; numpy numbers become plain ones, and what is not finite becomes null."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(writable(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _arrow(columns: Mapping[str, npt.ArrayLike]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: _arrow_column(np.asarray(values)) for name, values in columns.items()})


def _arrow_column(values: npt.NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    if values.dtype.kind in "biuM":
        return pa.array(values)
    if values.dtype.kind == "f":
        return pa.array(values, mask=np.isnan(values))
    if values.dtype.kind == "O" and {type(value) for value in values.tolist()} == {bool, type(None)}:
        return pa.array(values.tolist(), type=pa.bool_())
    # File names are bytes on some systems and need not be valid text; labels of an index can be of any kind.
    return pa.array([_text(value) for value in values.tolist()], type=pa.string())


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _write_csv(table: pa.Table, path: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, path)


def _write_parquet(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for batch in table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                lines.write(json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)
