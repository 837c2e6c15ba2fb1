"""The results file: one CSV line per (data, protocol, seed, method), appended whole, never rewritten.

A run that was stopped, by ``kill -9`` too, is continued by the same command: a last line without its
newline is dropped, and what the file already has is skipped.
"""

from __future__ import annotations

import csv
import fcntl
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

Values = Mapping[str, float]

KEY = ("data", "protocol", "seed", "method")
COLUMNS = (*KEY, "auroc", "auprc", "f1", "fit_s", "score_s", "peak_mb")
_FORMATS = {"fit_s": ".3f", "score_s": ".3f", "peak_mb": ".1f"}


class Key(NamedTuple):
    """What a line is about."""

    data: str
    protocol: str
    seed: int
    method: str

    def __str__(self) -> str:
        return f"{self.data} {self.protocol} seed {self.seed} {self.method}"


class Results:
    """A results file, open for appending and locked against a second writer.

    Parameters
    ----------
    path : Path
        Made, with its folder and header, when missing.
    extra : sequence of str
        Columns of this benchmark after the common ones.

    Raises
    ------
    ValueError
        When the file has other columns.
    RuntimeError
        When another process is writing it.
    """

    def __init__(self, path: Path, extra: Sequence[str] = ()) -> None:
        self.columns = (*COLUMNS, *extra)
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b", buffering=0)
        try:
            self._lock()
            self._keys = self._mend()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def append(self, key: Key, values: Values) -> None:
        """Add one line in a single write and bring it to the disk.

        Raises
        ------
        ValueError
            When a value is missing, or one has no column.
        """
        if set(values) != set(self.columns[len(KEY) :]):
            raise ValueError(f"the values must be those of {self.columns[len(KEY) :]}; got {tuple(values)}")
        cells = [_cell(name, values[name]) for name in self.columns[len(KEY) :]]
        self._write([*map(str, key), *cells])
        self._keys.add(key)

    def _write(self, cells: Sequence[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._file.write(line.getvalue().encode())
        os.fsync(self._file.fileno())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"{self._path} is being written by another run. Wait for it, or name another file."
            ) from None

    def _mend(self) -> set[Key]:
        """Drop a half-written last line, check or write the header, and tell what is there."""
        whole = _whole_lines(self._path)
        self._file.truncate(len(whole))
        if not whole:
            self._write(self.columns)
            return set()
        reader = csv.DictReader(io.StringIO(whole.decode()))
        if tuple(reader.fieldnames or ()) != self.columns:
            raise ValueError(f"{self._path} must have the columns {self.columns}; got {reader.fieldnames}.")
        return {key_of(row) for row in reader}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a results file, a half-written last one left out; it may be in the making."""
    return list(csv.DictReader(io.StringIO(_whole_lines(path).decode())))


def append_line(path: Path, row: Mapping[str, object]) -> None:
    """A line of another kind of file, which has a header from the first on."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def key_of(row: Mapping[str, str]) -> Key:
    """What a line is about."""
    return Key(row["data"], row["protocol"], int(row["seed"]), row["method"])


def _whole_lines(path: Path) -> bytes:
    written = path.read_bytes()
    return written[: written.rfind(b"\n") + 1]


def _cell(name: str, value: float) -> str:
    return "" if math.isnan(value) else format(value, _FORMATS.get(name, ".6f"))
