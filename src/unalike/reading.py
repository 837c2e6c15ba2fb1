"""Read what users have on disk: image folders, CSV, Parquet and NPZ files."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pbm", ".pgm", ".ppm", ".pnm"}
)
PATH_COLUMNS = ("path", "file", "filename", "image")
TEXT_SUFFIXES = frozenset({".txt", ".text", ".log", ".md", ".rst", ".eml"})
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
    """All image files below `folder`, sorted, or its NPY files where there is no other image; one file gives itself.

    Raises
    ------
    InvalidInput
        When there is nothing at `folder`, or no image in it.
    """
    root = existing(folder)
    if root.is_file():
        return [root]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    found = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    found = found or [path for path in files if path.suffix.lower() == ".npy"]
    if not found:
        raise InvalidInput(
            f"`{folder}` must hold images ({', '.join(sorted(IMAGE_SUFFIXES))}); got none. Give another folder."
        )
    return found


def images_at(path: str | Path) -> Any:
    """The array of an NPZ or NPY file, the paths in a table, or the image files of a folder.

    Raises
    ------
    InvalidInput
        When there is nothing at `path`, or it cannot be read.
    """
    if Path(path).suffix.lower() == ".npz":
        return read_npz(path)
    if Path(path).suffix.lower() == ".npy":
        return read_npy(path)
    if is_table(path) and existing(path).is_file():
        return paths_in_table(read_table(path), Path(path).parent)
    return image_paths(path)


def paths_in_table(table: Any, folder: Path | None = None) -> list[Path]:
    """The paths of images in a table of any library, one per row.

    Parameters
    ----------
    table : DataFrame or Arrow table
        With a column named path, file, filename or image.
    folder : Path, optional
        What paths are relative to; None: the current folder.

    Raises
    ------
    InvalidInput
        When there is no such column, or it has missing values.
    """
    import narwhals as nw

    frame = nw.from_native(table, eager_only=True)
    name = path_column(frame.columns)
    values = frame[name].to_list()
    if any(not is_path(value) for value in values):
        raise InvalidInput(f"The column {name!r} must hold a path in every row; got {values[:3]}. Fill or drop them.")
    return [Path(value) if folder is None else folder / value for value in values]


def path_column(names: Sequence[str]) -> str:
    """Which of the columns of a table tells where the images are.

    Raises
    ------
    InvalidInput
        When there is none.
    """
    found = next((name for wanted in PATH_COLUMNS for name in names if name.lower() == wanted), None)
    if found is None:
        raise InvalidInput(
            f"A table of images must have a column named {' or '.join(PATH_COLUMNS)}; got {list(names)}. Rename it."
        )
    return found


def is_table(path: str | Path) -> bool:
    """Whether the name is that of a CSV, TSV or Parquet file."""
    return Path(path).name.lower().endswith(TABLE_SUFFIXES)


def is_parquet(path: str | Path) -> bool:
    """Whether the name is that of a Parquet file."""
    return Path(path).suffix.lower() in (".parquet", ".pq")


def is_jsonl(path: str | Path) -> bool:
    """Whether the name is that of a file of JSON objects, one per line."""
    return Path(path).suffix.lower() in (".jsonl", ".ndjson")


def text_paths(folder: str | Path) -> list[Path]:
    """All text files below `folder`, sorted, or files without a suffix where there are no others; hidden ones are not.

    Raises
    ------
    InvalidInput
        When there is no folder.
    """
    root = existing(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    found = [path for path in files if path.suffix.lower() in TEXT_SUFFIXES]
    return found if found or any(map(is_table, files)) else [path for path in files if not path.suffix]


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


def read_npy(path: str | Path) -> npt.NDArray[Any]:
    """The array of an NPY file.

    Raises
    ------
    InvalidInput
        When the file cannot be read, or holds Python objects.
    """
    try:
        return np.asarray(np.load(existing(path), allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{str(path)!r} must be a readable NPY file of plain numbers; got: {error}.") from error
