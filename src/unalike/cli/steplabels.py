"""Labels of the steps of records."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unalike import reading
from unalike.cli.inputs import Values, flags_of, in_time, read_data, read_labelled, read_values
from unalike.errors import InvalidInput, InvalidParameter, UnalikeWarning
from unalike.records import Records
from unalike.records.intake import record_name
from unalike.records.raw import Learned
from unalike.types import IntArray

if TYPE_CHECKING:
    from unalike.modalities.series import Series

_FLAG = "is anomaly"


@dataclass(frozen=True)
class _Words:
    """Which labels are of which kind, as `inputs.read_labelled` takes them."""

    normal: Sequence[str]
    anomaly: Sequence[str]

    def flags(self, values: Values) -> IntArray:
        return flags_of(values, self.normal, self.anomaly)


def read_with_labels(
    path: Path, labels: str | None, kind: Any, *, key: str | None, normal: Sequence[str], anomaly: Sequence[str]
) -> tuple[Any, IntArray]:
    """Samples without their labels, and the ``(n,)`` label of each, of series of each step; 1 for an anomaly.

    Parameters and errors as `inputs.read_labelled`.
    """
    if in_time(kind):
        return read_labelled_steps(path, labels, kind, key=key, normal=normal, anomaly=anomaly)
    return read_labelled(path, labels, key=key, kind=kind, normal=normal, anomaly=anomaly)


def read_labelled_steps(
    path: Path, labels: str | None, kind: Any, *, key: str | None, normal: Sequence[str], anomaly: Sequence[str]
) -> tuple[Records, IntArray]:
    """Records without their labels, and the ``(n,)`` label of each step, 1 for an anomaly.

    A step is an anomaly when one of its rows is; one without a row has the label of the step before.

    Parameters
    ----------
    path, key, normal, anomaly
        As in `inputs.read_labelled`.
    labels : str, optional
        A column, in a folder one of each file; an array of the NPZ file; or a file with one value per row.
    kind : Series
        Fitted modality.

    Raises
    ------
    InvalidInput, InvalidParameter
        As `inputs.read_labelled`; or `labels` is None.
    """
    if labels is None:
        raise InvalidParameter(
            f"`--labels` must say which steps of {str(path)!r} are anomalies; got none. Name a column with 0 for "
            "normal steps and 1 for anomalies."
        )
    words = _Words(normal, anomaly)
    data = read_data(path, key, kind)
    if isinstance(data, Path):
        files = {record_name(file.relative_to(data)): reading.read_table(file) for file in reading.table_paths(data)}
        flagged = {name: _flagged(table, path, labels, words) for name, table in files.items()}
        return _of_tables({name: _without(table, labels) for name, table in files.items()}, flagged, kind)
    if hasattr(data, "column_names"):
        return _of_tables(_without(data, labels), _flagged(data, path, labels, words), kind)
    return _of_array(data, read_values(data.reshape(_steps(data), -1), path, labels, "--labels"), words, kind)


def _flagged(table: Any, path: Path, labels: str, words: _Words) -> Any:
    """The table with a column of 0 and 1 more."""
    import pyarrow as pa

    flags = words.flags(read_values(table, path, labels, "--labels"))
    return table.append_column(_FLAG, pa.array(flags))


def _without(table: Any, labels: str) -> Any:
    return table.drop_columns([labels]) if labels in table.column_names else table


def _of_tables(tables: Any, flagged: Any, kind: Series) -> tuple[Records, IntArray]:
    X = kind.check(tables)
    reader = replace(kind, ignore=())
    # As if the flags alone had been the channel in training: they come to lie on the grid of the values.
    reader.learned_ = Learned((_FLAG,), True, kind.learned_.clock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnalikeWarning)  # they were told of the values
        found = reader.check(flagged)
    values = np.concatenate([_filled(segment.values[:, 0]) for segment in found.segments])
    return X, (values > 0).astype(np.int64)


def _filled(flags: Any) -> Any:
    """``(t,)``: where there was no row, what the last one says."""
    last = np.maximum.accumulate(np.where(np.isnan(flags), 0, np.arange(len(flags))))
    return flags[last]


def _of_array(data: Any, values: Values, words: _Words, kind: Series) -> tuple[Records, IntArray]:
    flags = words.flags(values)
    X = kind.check(data)
    if len(flags) != len(X):
        raise InvalidInput(f"`--labels` must have one value per step, {len(X)}; got {len(flags)}.")
    return X, flags


def _steps(data: Any) -> int:
    return int(np.prod(data.shape[: max(data.ndim - 1, 1)]))
