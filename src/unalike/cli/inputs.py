"""What the command line reads: data, one value per sample beside it, and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unalike import reading, scanning
from unalike.cli import images
from unalike.data import count
from unalike.errors import InvalidInput, InvalidParameter
from unalike.types import Collection, IntArray, InTime

if TYPE_CHECKING:
    import pyarrow as pa

    from unalike.detector import Detector

Values = npt.NDArray[Any]


def read_data(path: Path, key: str | None = None, kind: Any = None) -> Collection:
    """An NPZ file's array, or a CSV, TSV or Parquet file as an Arrow table; a folder of images stays a path.

    A folder of tables without images, and a large file, become rows that are read when they are needed. Of records,
    a folder stays a path, and a file is read whole.

    Parameters
    ----------
    path : Path
        What the user named.
    key : str, optional
        Array of an NPZ file; None: ``X``, or the only one.
    kind : Modality, optional
        Of the data.

    Raises
    ------
    InvalidInput
        When there is nothing at `path`, or it cannot be read.
    InvalidParameter
        When `key` is given for another kind of file.
    """
    if _is_npz(path):
        return reading.read_npz(path, key)
    if is_of_texts(kind) and key is None:
        return read_texts(path, kind)
    if images.is_of_images(kind) and key is None:
        return images.read_images(path)
    if key is not None:
        raise InvalidParameter(f"`--key` names an array of an NPZ file; got {str(path)!r}. Leave it out.")
    if in_time(kind):
        return reading.read_table(path) if reading.existing(path).is_file() else path
    if _holds_tables(reading.existing(path)):
        rows = scanning.open_tables(path)
        return reading.read_table(path) if rows is None else rows
    return path


def is_of_texts(kind: Any) -> bool:
    """Whether the modality reads texts."""
    return getattr(kind, "name", None) == "text"


def read_texts(path: Path, kind: Any) -> Collection:
    """A table, the paths of the text files of a folder, or the lines of a file."""
    from unalike.modalities.textcolumns import opened

    return opened(path, kind.encoding, kind.column)


def read_values(data: Collection, path: Path, source: str, option: str) -> Values:
    """One value per sample of `data`.

    Parameters
    ----------
    data : collection
        What `read_data` made of `path`, or a list of images.
    path : Path
        What the user named as data.
    source : str
        A column of the table, an array of the NPZ file, or a CSV, TSV or Parquet file: for images with the columns
        path and value, else with one value per row in the order of the rows. For images also a pattern of their paths.
    option : str
        The option that held `source`, for the error.

    Raises
    ------
    InvalidInput
        When `source` is none of these, or does not have one value per sample.
    """
    if hasattr(data, "column_names") and source in data.column_names:
        return _values(data[source], option)
    if _is_npz(path) and source in _npz_names(path):
        values = reading.read_npz(path, source).reshape(-1)
    elif images.is_pattern(source) and (paths := images.paths_of(data)) is not None:
        return images.values_from_names(paths, source, option)
    elif not Path(source).is_file():
        raise InvalidInput(f"`{option}` must be a file or {_choices(data, path)}; got {source!r}.")
    elif isinstance(data, Path) or (isinstance(data, list) and all(isinstance(item, Path) for item in data)):
        files = data if isinstance(data, list) else reading.image_paths(data)
        return _values_of_images(files, path, *_path_column(Path(source), option))
    else:
        values = _values(_only_column(reading.read_table(source), source, option), option)
    if len(values) != count(data):
        raise InvalidInput(f"`{option}` must have one value per sample, {count(data)}; got {len(values)}.")
    return values


def beside(
    data: Collection, path: Path, kind: Any, *, groups: str | None = None, entities: str | None = None
) -> dict[str, Any]:
    """What `Detector` takes beside the data: ``groups`` and ``entities``, one value per sample, where they are given.

    Parameters
    ----------
    data, path
        As in `read_values`.
    kind : Modality
        Of the data.
    groups, entities : str, optional
        As `source` of `read_values`.

    Raises
    ------
    InvalidParameter
        When they are given for records.
    """
    given = {"groups": groups, "entities": entities}
    if in_time(kind) and (groups or entities):
        name = "groups" if groups else "entities"
        raise InvalidParameter(
            f"`--{name}` must go with samples in any order; got {kind.name}, whose steps are in order. Name the column "
            "of the machines by --entity when you fit; --threshold per-entity gives each its own threshold."
        )
    if groups == images.NEAR_COPIES and images.is_of_images(kind):
        given["groups"] = None
    found: dict[str, Any] = {
        name: read_values(data, path, source, f"--{name}").tolist()
        for name, source in given.items()
        if source is not None
    }
    if groups == images.NEAR_COPIES and images.is_of_images(kind):
        found["groups"] = images.groups_of_near_copies(data, kind)
    if "entities" in found:
        found["entities"] = [_entity(value) for value in found["entities"]]
    return found


def columns_among(data: Collection, sources: Iterable[str | None]) -> list[str]:
    """Those of the sources that are columns of the table, and so no data."""
    names = getattr(data, "column_names", ())
    return list(dict.fromkeys(source for source in sources if source is not None and source in names))


def _entity(value: Any) -> Any:
    """NPZ files often hold whole numbers as floating-point ones."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def in_time(kind: Any) -> bool:
    """Whether samples are steps of records."""
    return isinstance(kind, InTime)


def ids_of_parts(detector: Detector, X: Collection) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """``(n_parts,)`` each: the id of its sample, or of the first, in the order of `Detector.embed`; and the entity.

    None for the entities where there are none. `X` is checked.
    """
    kind = detector.modality_
    owner = kind.cut(X)[1]
    first = owner if owner.ndim == 1 else owner[:, 0]
    entities = kind.timeline(X)[0][first] if isinstance(kind, InTime) else None
    return kind.ids(X)[first], entities if entities is not None and entities.any() else None


def read_labelled(
    path: Path,
    labels: str | None,
    *,
    key: str | None,
    normal: Sequence[str],
    anomaly: Sequence[str],
    kind: Any = None,
) -> tuple[Collection, IntArray]:
    """Data without their labels, and the labels.

    Parameters
    ----------
    path : Path
        What the user named as data.
    labels : str, optional
        As `source` of `read_values`; images may be listed in part. None: `normal` and `anomaly` name sub-folders
        of `path`.
    key : str, optional
        As in `read_data`.
    normal, anomaly : sequence of str
        Label values, or sub-folders, of either kind. Without `anomaly`, whatever is not normal. Without both, the
        labels are 0 for normal and 1 for an anomaly.
    kind : Modality, optional
        Of the data.

    Returns
    -------
    data : collection
        What a detector judges.
    flags : ndarray
        ``(n,)`` int64, 1 for an anomaly.

    Raises
    ------
    InvalidInput, InvalidParameter
        When the labels are missing, or a value is neither normal nor an anomaly.
    """
    if labels is None:
        return _subfolders(path, normal, anomaly, reading.text_paths if is_of_texts(kind) else reading.image_paths)
    data = read_data(path, key, kind)
    if isinstance(data, Path):
        paths, values = _path_column(Path(labels), "--labels")
        return [_image_in(data, name) for name in paths], flags_of(values, normal, anomaly)
    flags = flags_of(read_values(data, path, labels, "--labels"), normal, anomaly)
    if hasattr(data, "column_names") and labels in data.column_names:
        data = data.drop_columns([labels])
    return data, flags


def flags_of(values: Values, normal: Sequence[str], anomaly: Sequence[str]) -> IntArray:
    """``(n,)`` int64, 1 for an anomaly, of labels; the parameters and errors are those of `read_labelled`."""
    if not normal and not anomaly:
        if values.dtype.kind in "biuf" and np.isin(values, (0, 1)).all():
            return values.astype(np.int64)
        raise InvalidInput(
            f"Labels must be 0 for normal and 1 for an anomaly; got {_some(values)}. Name the normal ones by --normal."
        )
    texts = values.astype(str)
    is_normal = np.isin(texts, normal) if normal else ~np.isin(texts, anomaly)
    is_anomaly = np.isin(texts, anomaly) if anomaly else ~is_normal
    if (is_normal == is_anomaly).any():
        wrong = _some(texts[is_normal == is_anomaly])
        raise InvalidInput(f"Every label must be one of --normal or --anomaly; got {wrong} in neither or both.")
    return is_anomaly.astype(np.int64)


def _subfolders(
    folder: Path, normal: Sequence[str], anomaly: Sequence[str], files: Callable[[Path], list[Path]]
) -> tuple[list[Path], IntArray]:
    if not folder.is_dir() or not normal:
        raise InvalidParameter(
            f"`--labels` must say which samples of {str(folder)!r} are anomalies. For a folder of images, "
            "--normal and --anomaly can name its sub-folders instead."
        )
    others = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name not in normal)
    paths: list[Path] = []
    flags: list[int] = []
    for flag, names in ((0, normal), (1, anomaly or others)):
        for name in names:
            found = files(folder / name)
            paths += found
            flags += [flag] * len(found)
    return paths, np.array(flags, dtype=np.int64)


def _holds_tables(path: Path) -> bool:
    """Whether it is a table, or a folder with tables and no image: labels of images may lie beside them."""
    if path.is_file():
        return reading.is_table(path)
    files = [entry for entry in path.rglob("*") if entry.is_file()]
    images = any(entry.suffix.lower() in reading.IMAGE_SUFFIXES for entry in files)
    return not images and any(reading.is_table(entry) for entry in files)


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _npz_names(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as arrays:
        return list(arrays.files)


def _choices(data: Collection, path: Path) -> str:
    if hasattr(data, "column_names"):
        return f"one of the columns {data.column_names}"
    return f"one of the arrays {_npz_names(path)}" if _is_npz(path) else "a table with the columns path and value"


def _values(column: pa.ChunkedArray, option: str) -> Values:
    if column.null_count:
        raise InvalidInput(f"`{option}` must have a value for every sample; got {column.null_count} missing ones.")
    return np.asarray(column.to_numpy())


def _only_column(table: pa.Table, source: str, option: str) -> pa.ChunkedArray:
    if table.num_columns != 1:
        raise InvalidInput(f"`{option}` {source!r} must have one column; got {table.column_names}.")
    return table.column(0)


def _path_column(source: Path, option: str) -> tuple[list[str], Values]:
    """Paths and values of a table with two columns."""
    table = reading.read_table(source)
    if table.num_columns != 2:
        raise InvalidInput(
            f"`{option}` {str(source)!r} must have two columns, path and value; got {table.column_names}."
        )
    return [str(name) for name in _values(table.column(0), option)], _values(table.column(1), option)


def _image_in(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else reading.existing(name)


def _values_of_images(images: Sequence[Path], folder: Path, names: list[str], values: Values) -> Values:
    position = {_image_in(folder, name).resolve(): number for number, name in enumerate(names)}
    lacking = [str(path) for path in images if path.resolve() not in position]
    if lacking:
        raise InvalidInput(f"Every image must have a value; got none for {lacking[:3]} ({len(lacking)} images).")
    return values[[position[path.resolve()] for path in images]]


def _some(values: Values) -> list[Any]:
    found: list[Any] = np.unique(values).tolist()
    return found if len(found) <= 5 else [*found[:5], "…"]
