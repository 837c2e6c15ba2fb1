"""From what users have to texts and their ids: lists, columns of tables, JSONL, folders, files of lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import numpy.typing as npt

from unalike import reading, scanning, tabular
from unalike.errors import InvalidInput
from unalike.modalities.textfiles import decode, is_missing, lines_of
from unalike.types import IntArray

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_LOOKED_INTO = 100


@dataclass(frozen=True)
class Columns:
    """Names of columns, their values, and which of them hold texts."""

    names: list[str]
    values: Callable[[str], list[Any]]
    is_text: Callable[[str], bool]


@dataclass(frozen=True)
class Found:
    """Values that should be texts, in the order of the user's rows.

    Parameters
    ----------
    values : list
        As `textfiles.text_of`.
    names : ndarray
        ``(n,)``: ids.
    session : list or None
        ``n`` values: which session each row is of.
    """

    values: list[Any]
    names: npt.NDArray[Any]
    session: list[Any] | None = None


def opened(path: str | Path, encoding: str | None, column: str | None = None) -> Any:
    """What lies at a path: a table, JSONL likewise; the paths of the text files of a folder; the lines of a file.

    Parameters
    ----------
    path : str or Path
        Of the file or folder.
    encoding : str, optional
        Of files without a byte order mark; None: UTF-8.
    column : str, optional
        Of a CSV file: the one that holds texts, whatever they look like.

    Raises
    ------
    InvalidInput
        When there is nothing, or it cannot be read.
    """
    found = reading.existing(path)
    if found.is_dir():
        files = reading.text_paths(found)
        if files:
            return files
        tables = scanning.open_tables(found)
        assert tables is not None  # noqa: S101  a folder gives rows or an error
        return tables
    if reading.is_jsonl(found):
        return jsonl(found, encoding)
    if reading.is_parquet(found):
        return scanning.open_tables(found) or reading.read_table(found)
    return _csv(found, encoding, column) if reading.is_table(found) else lines_of(found, encoding)


def jsonl(path: str | Path, encoding: str | None) -> pa.Table:
    """A file of JSON objects, one per line, as an Arrow table; values of mixed or nested types become texts.

    Raises
    ------
    InvalidInput
        A line is no JSON object, or there is none.
    """
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(lines_of(path, encoding), start=1):
        try:
            text = line if isinstance(line, str) else decode(line, encoding)
            row = json.loads(text) if text.strip() else None
        except (ValueError, RecursionError) as error:  # of JSON, and ours of an encoding
            raise InvalidInput(f"Line {number} of {str(path)!r} must be a JSON object; got: {error}.") from error
        if row is not None and not isinstance(row, dict):
            raise InvalidInput(f"Line {number} of {str(path)!r} must be a JSON object; got {type(row).__name__}.")
        rows += [] if row is None else [row]
    if not rows:
        raise InvalidInput(f"{str(path)!r} must hold at least one JSON object; got none. Give more.")
    names = dict.fromkeys(name for row in rows for name in row)
    return tabular.of_columns({name: _told([row.get(name) for row in rows]) for name in names})


def _told(values: list[Any]) -> list[Any]:
    """Lone surrogates, which Arrow does not hold, as U+FFFD; lists and objects as JSON."""
    told = [json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value for value in values]
    return [
        value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value
        for value in told
    ]


def _csv(path: Path, encoding: str | None, column: str | None) -> pa.Table:
    """Texts of UTF-8 come as bytes, so that a wrong one is told by its row; of others Arrow tells."""
    import pyarrow as pa
    import pyarrow.csv

    with path.open("rb") as file:
        marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    used = "utf-16" if marked else encoding or "utf-8"
    plain = not marked and used.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
    options = reading.csv_options(path)
    if column is not None:
        kinds = {column: pa.binary() if plain else pa.string()}
        options = reading.csv_options(path, kinds)
    try:
        read = pyarrow.csv.ReadOptions(encoding="utf8" if plain else used)
        return pyarrow.csv.read_csv(path, read_options=read, **options)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise reading.unreadable(path, error) from error


def found_in(X: Any, column: str | None, id_column: str | None, session: str | None, encoding: str | None) -> Found:
    """The texts of anything that `modalities.Text` takes.

    Raises
    ------
    InvalidInput
        When it is none of it, or a column that is named is not there.
    """
    if reading.is_path(X):
        X = opened(X, encoding, column)
    columns = _columns(X)
    if columns is None:
        return _without_columns(X, [("column", column), ("id", id_column), ("session", session)])
    wanted = [name for name in (column, id_column, session) if name is not None]
    tabular.check_named(wanted, columns.names, "`column`, `id` and `session`")
    values = columns.values(_text_column(columns, column, (id_column, session)))
    names = np.arange(len(values)) if id_column is None else np.array(columns.values(id_column))
    return Found(values, names, None if session is None else columns.values(session))


def _without_columns(X: Any, named: Sequence[tuple[str, str | None]]) -> Found:
    for setting, name in named:
        if name is not None:
            raise InvalidInput(
                f"`X` must be a table for `{setting}`; got {type(X).__name__}, which has no column {name!r}. Give a "
                f"DataFrame, CSV, Parquet or JSONL, or leave `{setting}` out."
            )
    values = _listed(X)
    paths = bool(values) and all(isinstance(value, Path) for value in values)
    return Found(values, np.array([str(path) for path in values]) if paths else np.arange(len(values)))


def _listed(X: Any) -> list[Any]:
    """The values of a list, an array or a column."""
    if isinstance(X, (str, bytes, Mapping)) or not hasattr(X, "__iter__"):
        raise InvalidInput(f"`X` must be a list of texts, a table, a folder or a file; got {type(X).__name__}.")
    if isinstance(X, np.ndarray) and X.ndim != 1:
        raise InvalidInput(f"`X` must have one text per row; got an array of shape {X.shape}. Give one column of it.")
    return list(X.to_pylist() if hasattr(X, "to_pylist") else X)


def _columns(X: Any) -> Columns | None:
    """The columns of what has some."""
    if isinstance(X, Mapping):
        return _of_lists({str(name): list(values) for name, values in X.items()})
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
        names = dict.fromkeys(str(name) for row in X for name in row)
        return _of_lists({name: [row.get(name) for row in X] for name in names})
    if scanning.is_dataset(X):
        X = scanning.of_dataset(X)
    if isinstance(X, scanning.ArrowRows):
        head = X.take(np.arange(min(_MOST_LOOKED_INTO, len(X)))).table()
        return Columns(X.column_names, lambda name: X[name].to_pylist(), _of_frame(head).is_text)
    return _of_frame(tabular.collected(X)) if tabular.has_names(X) else None


def _of_lists(columns: dict[str, list[Any]]) -> Columns:
    return Columns(list(columns), columns.__getitem__, lambda name: _holds_texts(columns[name]))


def _of_frame(X: Any) -> Columns:
    frame = nw.from_native(X, eager_only=True)
    kinds = (nw.String, nw.Categorical, nw.Enum, nw.Binary)

    def is_text(name: str) -> bool:
        column = frame[name]
        return column.dtype in kinds or (column.dtype == nw.Object and _holds_texts(column.to_list()))

    return Columns(list(frame.columns), lambda name: frame[name].to_list(), is_text)


def _holds_texts(values: Sequence[Any]) -> bool:
    first = next((value for value in values if not is_missing(value)), None)
    return isinstance(first, (str, bytes))


def _text_column(columns: Columns, column: str | None, others: Sequence[str | None]) -> str:
    if column is not None:
        return column
    found = [name for name in columns.names if name not in others and columns.is_text(name)]
    if len(found) != 1:
        what = f"several hold texts: {found}" if found else f"none of {columns.names} holds texts"
        raise InvalidInput(f"`column` must name the column of the texts; got none, and {what}. Name one of them.")
    return found[0]


def in_sessions(found: Found, window: int | None) -> tuple[Found, list[IntArray]]:
    """Rows joined to one text for each session, or for each `window` successive rows of it, and the rows of each.

    Sessions stand in the order of their first rows; a missing or empty line is a blank one.

    Raises
    ------
    InvalidInput
        When a row has no session.
    """
    n = len(found.values)
    session = [None] * n if found.session is None else found.session
    lacking = [row for row, value in enumerate(session) if found.session is not None and is_missing(value)]
    if lacking:
        raise InvalidInput(f"`session` must have a value in every row; got none in the rows {lacking[:5]}. Fill them.")
    members: dict[Any, list[int]] = {}
    for row, value in enumerate(session):
        members.setdefault(value, []).append(row)
    pieces = [
        (value, rows[start : start + (window or len(rows))])
        for value, rows in members.items()
        for start in range(0, len(rows), window or len(rows))
    ]
    values = [_joined([found.values[row] for row in rows]) for _, rows in pieces]
    names = np.array([_piece_name(value, found.names[rows], window, found.session) for value, rows in pieces])
    return Found(values, names), [np.array(rows, dtype=np.int64) for _, rows in pieces]


def _joined(lines: list[Any]) -> Any:
    """Bytes that are no UTF-8, and what is no text, are for `textfiles.text_of` to refuse."""
    odd = next((line for line in lines if not isinstance(line, (str, bytes)) and not is_missing(line)), None)
    if odd is not None:
        return odd
    filled = ["" if is_missing(line) else line for line in lines]
    if all(isinstance(line, str) for line in filled):
        return "\n".join(filled)
    return b"\n".join(line.encode("utf-8", "replace") if isinstance(line, str) else line for line in filled)


def _piece_name(value: Any, names: npt.NDArray[Any], window: int | None, sessions: Any) -> Any:
    if window is None:
        return value
    lines = f"{names[0]}-{names[-1]}"
    return lines if sessions is None else f"{value}: {lines}"
