"""Read what users have on disk: image folders, CSV, Parquet and NPZ files."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
TABLE_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq", ".tsv", ".tsv.gz")


def is_path(X: Any) -> bool:
    """Whether `X` is one path, as text or `pathlib.Path`."""
    return isinstance(X, (str, Path))


def existing(path: str | Path) -> Path:
    """The path, when something is there.

    Raises
    ------
    InvalidInput
        When there is nothing.
    """
    found = Path(path)
    if not found.exists():
        raise InvalidInput(f"`path` must exist; got {str(path)!r}, where there is nothing. Check the spelling.")
    return found


def image_paths(folder: str | Path) -> list[Path]:
    """All image files below `folder`, sorted; one file gives itself.

    Raises
    ------
    InvalidInput
        When there is nothing at `folder`, or no image in it.
    """
    root = existing(folder)
    if root.is_file():
        return [root]
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not found:
        raise InvalidInput(
            f"`{folder}` must hold images ({', '.join(sorted(IMAGE_SUFFIXES))}); got none. Give another folder."
        )
    return found


def is_table(path: str | Path) -> bool:
    """Whether the name is that of a CSV, TSV or Parquet file."""
    return Path(path).name.lower().endswith(TABLE_SUFFIXES)


def is_parquet(path: str | Path) -> bool:
    """Whether the name is that of a Parquet file."""
    return Path(path).suffix.lower() in (".parquet", ".pq")


def table_paths(folder: str | Path) -> list[Path]:
    """All table files below `folder`, sorted; hidden ones and those of ``_`` (markers of Spark's) are left out.

    Raises
    ------
    InvalidInput
        When there is no folder, or no table in it.
    """
    root = existing(folder)
    files = (path for path in root.rglob("*") if is_table(path) and path.is_file())
    found = sorted(path for path in files if not any(part[0] in "._" for part in path.relative_to(root).parts))
    if not found:
        raise InvalidInput(f"{str(folder)!r} must hold tables ({', '.join(TABLE_SUFFIXES)}); got none. Give another.")
    return found


def csv_options(path: str | Path, column_types: Any = None) -> dict[str, Any]:
    """How CSV files are read: an empty cell, NA, NaN or null is missing, in columns of text too; a quoted one is text.

    Parameters
    ----------
    path : str or Path
        Tabs part the cells of a ``.tsv`` file.
    column_types : pyarrow.Schema, optional
        Instead of the types that the cells look like.
    """
    import pyarrow.csv

    tabs = ".tsv" in Path(path).name.lower()
    return {
        "parse_options": pyarrow.csv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True),
        "convert_options": pyarrow.csv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False, column_types=column_types
        ),
    }


def unreadable(path: str | Path, error: Exception) -> InvalidInput:
    """What is raised when a table file is broken."""
    kind = Path(path).suffixes[-2:] if Path(path).suffix == ".gz" else [Path(path).suffix]
    return InvalidInput(f"{str(path)!r} must be a readable {''.join(kind)[1:].lower()} file; got an error: {error}.")


def read_table(path: str | Path) -> pa.Table:
    """A CSV, TSV or Parquet file as an Arrow table; CSV as `csv_options` tells.

    Raises
    ------
    InvalidInput
        When the file is missing, of another kind, or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    file = existing(path)
    if not is_table(file):
        raise InvalidInput(f"A table must be a file in {list(TABLE_SUFFIXES)}; got {str(path)!r}.")
    try:
        if is_parquet(file):
            return pyarrow.parquet.read_table(file)
        return pyarrow.csv.read_csv(file, **csv_options(file))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error


def read_npz(path: str | Path, key: str | None = None) -> npt.NDArray[Any]:
    """One array of an NPZ file: `key`, or ``X``, or the only one there.

    Raises
    ------
    InvalidInput
        When the file cannot be read, holds Python objects, or does not name the array.
    """
    file = existing(path)
    try:
        with file.open("rb") as opened:  # numpy would leave a broken file open
            arrays = np.load(opened, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise InvalidInput(f"{str(path)!r} must be an NPZ file; got an NPY file. Save it with numpy.savez.")
            names = list(arrays.files)
            name = key or ("X" if "X" in names else names[0] if len(names) == 1 else None)
            if name is None or name not in names:
                raise InvalidInput(f"{str(path)!r} must hold the array {key or 'X'!r}; got {names}. Name one of them.")
            return np.asarray(arrays[name])
    except InvalidInput:
        raise
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error, NotImplementedError) as error:
        raise InvalidInput(f"{str(path)!r} must be a readable NPZ file of plain arrays; got: {error}.") from error
