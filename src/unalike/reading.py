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
TABLE_SUFFIXES = frozenset({".csv", ".parquet", ".pq"})


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


def read_table(path: str | Path) -> pa.Table:
    """A CSV or Parquet file as an Arrow table.

    In a CSV file an empty cell, NA, NaN or null is missing, in columns of text too; a quoted one is a text.

    Raises
    ------
    InvalidInput
        When the file is missing, of another kind, or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    file = existing(path)
    suffix = file.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InvalidInput(f"A table must be a file in {sorted(TABLE_SUFFIXES)}; got {str(path)!r}.")
    try:
        if suffix == ".csv":
            nulls = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
            return pyarrow.csv.read_csv(file, convert_options=nulls)
        return pyarrow.parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{str(path)!r} must be a readable {suffix[1:]} file; got an error: {error}.") from error


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
