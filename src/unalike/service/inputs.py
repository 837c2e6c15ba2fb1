"""From the JSON or the files of a request to what a modality reads.

Nothing that a client sends may name a file of this machine: in Python a string can be a path, here it never is.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike import reading, tabular
from unalike.errors import InvalidInput, InvalidParameter, UnalikeError
from unalike.types import Modality

KINDS = ("table", "series", "image", "text")
_DTYPES = ("float32", "uint8", "uint16")
_ARRAYS = (".npz", ".npy")


class TooLarge(UnalikeError):
    """A request is larger than the service takes."""


def from_json(samples: Any, modality: Modality, dtype: str | None) -> Any:
    """What a modality reads, of ``samples`` in JSON.

    Parameters
    ----------
    samples : list or dict
        Tables: objects with a value for each column, or lists of numbers. Series: lists of numbers, one per step, or
        numbers, objects with a value for each channel, or an object with such a list for each record. Texts: strings,
        or objects. Images: nested lists of numbers.
    modality : Modality
        Fitted.
    dtype : {"float32", "uint8", "uint16"}, optional
        Of images.

    Raises
    ------
    InvalidInput
        When it is none of it.
    InvalidParameter
        When `dtype` is none, or given for other samples.
    """
    if dtype is not None and (modality.name != "image" or dtype not in _DTYPES):
        raise InvalidParameter(f"`dtype` must be one of {list(_DTYPES)}, and only of images; got {dtype!r}.")
    if modality.name == "series" and isinstance(samples, Mapping):
        return {name: _of_record(record) for name, record in samples.items()}
    if not isinstance(samples, list):
        raise InvalidInput(f"`samples` must be a list; got {_told(samples)}. Put one sample into a list of one.")
    if not samples:
        raise InvalidInput("`samples` must hold at least one sample; got none. Send some.")
    readers: dict[str, Callable[[list[Any]], Any]] = {
        "table": lambda given: _dated(_rows(given), modality) if _are_objects(given) else _lists(given, 2),
        "series": _of_record,
        "text": _texts,
        "image": lambda given: [_image(one, dtype or "float32") for one in given],
    }
    return readers[modality.name](samples)


def from_files(files: Sequence[Path], modality: Modality, most_bytes: float) -> Any:
    """What a modality reads, of uploaded files.

    Parameters
    ----------
    files : sequence of Path
        Where they lie, under the names that the client gave.
    modality : Modality
        Fitted.
    most_bytes : float
        What they may hold unpacked.

    Raises
    ------
    InvalidInput
        When they are none, of another kind, or cannot be read.
    TooLarge
        When they hold more than `most_bytes`.
    """
    if not files:
        raise InvalidInput("The request must hold samples or at least one file; got none. Send one: -F file=@NAME.")
    for file in files:
        _check_unpacked(file, most_bytes)
    arrays = [file for file in files if file.suffix.lower() == ".npz" or file.suffix.lower() == ".npy"]
    if arrays and len(files) == 1 and modality.name != "text":
        return reading.read_npz(files[0]) if files[0].suffix.lower() == ".npz" else reading.read_npy(files[0])
    if modality.name == "image":
        return _images(files)
    if modality.name == "text":
        return _text_files(files, modality)
    if modality.name == "series" and len(files) > 1:
        return {file.name.partition(".")[0]: _table(file) for file in files}
    if len(files) > 1:
        raise InvalidInput(f"A table must be one file; got {len(files)}. Send them one by one.")
    return _dated(_table(files[0]), modality) if modality.name == "table" else _table(files[0])


def _are_objects(given: Sequence[Any]) -> bool:
    return bool(given) and all(isinstance(one, Mapping) for one in given)


def _rows(given: Sequence[Any]) -> Any:
    for number, row in enumerate(given):
        odd = next((name for name, cell in row.items() if isinstance(cell, (list, dict))), None)
        if odd is not None:
            raise InvalidInput(
                f"Row {number} of `samples` must have one value per column; got {_told(row[odd])} in {odd!r}."
            )
    return tabular.of_rows(given)


def _lists(given: Any, axes: int) -> npt.NDArray[Any]:
    """Numbers, null among them as NaN."""
    try:
        made = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"`samples` must be objects, or lists of numbers that are equally long; got: {error}. Correct them."
        ) from error
    if made.ndim > axes or made.size == 0 or (axes == 2 and made.ndim < 1):
        raise InvalidInput(f"`samples` must have at most {axes} axes and hold numbers; got shape {made.shape}.")
    return made


def _of_record(given: Any) -> Any:
    if not isinstance(given, list):
        raise InvalidInput(f"A record must be a list, one entry per step; got {_told(given)}.")
    return _rows(given) if _are_objects(given) else _lists(given, 2)


def _texts(given: Sequence[Any]) -> Any:
    if _are_objects(given):
        return list(given)
    odd = next((number for number, one in enumerate(given) if not isinstance(one, str)), None)
    if odd is not None:
        raise InvalidInput(f"`samples` must be strings, or objects; got {_told(given[odd])} in place {odd}.")
    return list(given)


def _image(given: Any, dtype: str) -> npt.NDArray[Any]:
    pixels = _lists(given, 3)
    kind = np.dtype(dtype)
    if pixels.ndim < 2:
        raise InvalidInput(f"An image in JSON must be rows of pixels; got shape {pixels.shape}. Or send files.")
    if kind.kind == "u" and not (np.isfinite(pixels).all() and (pixels == pixels.round()).all()
                                 and pixels.min() >= 0 and pixels.max() <= np.iinfo(kind).max):  # fmt: skip
        raise InvalidInput(f"An image of {dtype} must hold whole numbers from 0 to {np.iinfo(kind).max}; it does not.")
    return pixels.astype(kind)


def _told(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _dated(table: Any, modality: Modality) -> Any:
    """JSON has no dates: strings in columns that held dates in training become some, where they can."""
    import pyarrow as pa

    kinds = {column.name: column.kind for column in getattr(modality, "inputs_", ())}
    for place, name in enumerate(table.column_names):
        if kinds.get(name) == "date" and pa.types.is_string(table.column(place).type):
            zone = next(column.zone for column in modality.inputs_ if column.name == name)  # type: ignore[attr-defined]
            try:
                made = table.column(place).cast(pa.timestamp("us", None if zone is None else "UTC"))
            except pa.ArrowException as error:
                raise InvalidInput(
                    f"Column {name!r} must hold dates such as '2026-01-31T12:00:00{'' if zone is None else 'Z'}'; got: "
                    f"{error}. Correct them."
                ) from error
            table = table.set_column(place, name, made)
    return table


def _images(files: Sequence[Path]) -> list[Path]:
    odd = [file.name for file in files if file.suffix.lower() not in (*reading.IMAGE_SUFFIXES, ".npy")]
    if odd:
        raise InvalidInput(
            f"Images must be files in {sorted(reading.IMAGE_SUFFIXES)}, or one array (.npy, .npz); got {odd[:3]}."
        )
    return list(files)


def _text_files(files: Sequence[Path], modality: Modality) -> Any:
    """A table or the lines of one file; of several files each is one text."""
    from unalike.modalities.textcolumns import opened

    if len(files) > 1:
        return list(files)
    return opened(files[0], getattr(modality, "encoding", None), getattr(modality, "column", None))


def _table(file: Path) -> Any:
    if reading.is_jsonl(file):
        from unalike.modalities.textcolumns import jsonl

        return jsonl(file, None)
    if not reading.is_table(file):
        raise InvalidInput(
            f"A table must be a file in {[*reading.TABLE_SUFFIXES, '.jsonl', *_ARRAYS]}; got {file.name!r}. Convert it."
        )
    return reading.read_table(file)


def _check_unpacked(file: Path, most: float) -> None:
    """Refuse small files that are large when they are unpacked."""
    suffix = file.suffix.lower()
    try:
        if suffix == ".gz":
            size = _unzipped(file, most)
        elif suffix == ".npz":
            with zipfile.ZipFile(file) as opened:
                size = sum(entry.file_size for entry in opened.infolist())
        elif reading.is_parquet(file):
            size = _parquet_bytes(file)
        else:
            return
    except UnalikeError:
        raise
    except Exception as error:  # broken files make readers raise nearly anything
        raise InvalidInput(f"{str(file)!r} must be a readable file; got an error: {error}. Mend it.") from error
    if size > most:
        raise TooLarge(
            f"{file.name!r} must hold at most {most / 2**20:g} MB unpacked; it holds more. Send parts of it."
        )


def _unzipped(file: Path, most: float) -> int:
    size = 0
    with gzip.open(file) as opened:
        while size <= most and (chunk := opened.read(2**20)):
            size += len(chunk)
    return size


def _parquet_bytes(file: Path) -> int:
    import pyarrow.parquet

    about = pyarrow.parquet.ParquetFile(file).metadata
    held = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    return max(int(held), int(about.num_rows * about.num_columns))
