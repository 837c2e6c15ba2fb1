"""What is cut into partitions: rows, images, texts, or whole files of records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unalike import reading, tabular
from unalike.data import count, take
from unalike.errors import InvalidInput, InvalidParameter
from unalike.modalities import textcolumns
from unalike.records.intake import record_name
from unalike.scanning import ArrowRows, open_tables
from unalike.types import Collection, InTime, Modality

_ROWS = {"table": 65_536}
_FEW_ROWS = 1024


@dataclass(frozen=True)
class Source:
    """Samples that workers take their partitions from.

    Parameters
    ----------
    data : collection
        Of rows, images or texts; of records a list of ``(name, path)``.
    spans : list of (int, int)
        The partitions: the first item of each and the one after its last.
    """

    data: Collection
    spans: list[tuple[int, int]]

    def part(self, start: int, stop: int) -> Collection:
        """The items of a partition, in memory; records by name."""
        found = take(self.data, np.arange(start, stop))
        return found.table() if isinstance(found, ArrowRows) else found


def source_of(modality: Modality, data: Any, rows: int | None) -> Source:
    """The partitions of whatever a modality reads.

    Parameters
    ----------
    modality : Modality
        Fitted.
    data : object
        As `Detector.detect` takes it.
    rows : int, optional
        Samples in a partition; of records, files.

    Raises
    ------
    InvalidInput
        `data` holds nothing, or what the modality cannot read.
    InvalidParameter
        What belongs together would lie in two partitions.
    """
    if isinstance(modality, InTime):
        return _files_of_records(modality, data, rows or 1)
    items = _items(modality, data)
    n, step = count(items), rows or _ROWS.get(modality.name, _FEW_ROWS)
    if n == 0:
        raise InvalidInput("`data` must hold at least one sample; got none. Give more.")
    return Source(items, [(start, min(start + step, n)) for start in range(0, n, step)])


def check_parts(modality: Modality) -> None:
    """Refuse to cut between samples that a modality looks at together.

    Raises
    ------
    InvalidParameter
        When it joins rows to sessions or windows.
    """
    joining = [name for name in ("session", "window") if getattr(modality, name, None) is not None]
    if joining and not isinstance(modality, InTime):
        raise InvalidParameter(
            f"`data` must be samples that stand alone; this model joins rows by {' and '.join(joining)}, and those of "
            "one text may lie in different partitions. Detect without Ray, or join them before you fit and give "
            "one text per row."
        )


def _items(modality: Modality, data: Any) -> Collection:
    """What is counted and taken; files are not read but where their rows must be known."""
    check_parts(modality)
    if modality.name == "table":
        return modality.check(data)  # of what is larger than memory, the first rows
    if not reading.is_path(data):
        return tabular.collected(data) if tabular.has_names(data) else data
    if modality.name == "image":
        return reading.images_at(data)
    if modality.name == "text":
        return textcolumns.opened(data, getattr(modality, "encoding", None), getattr(modality, "column", None))
    return modality.check(data)


def _files_of_records(modality: Any, data: Any, files: int) -> Source:
    if not (reading.is_path(data) and reading.existing(data).is_dir()):
        raise InvalidParameter(
            "`data` must be a folder with a file for each record, or some of them; windows of a series reach over "
            f"any other border, so that whole files are the partitions. Got {type(data).__name__}. Write the records "
            "into a folder, or detect without Ray."
        )
    paths = reading.table_paths(data)
    named = [(record_name(path.relative_to(Path(data))), path) for path in paths]
    borders = _borders([_entities(path, modality.entity) for path in paths])
    starts = borders[:-1][::files]
    return Source(named, list(zip(starts, [*starts[1:], len(named)], strict=True)))


def _entities(path: Path, column: str | None) -> set[Any]:
    """Whose rows are in a file; nothing is read where it is all of one record."""
    if column is None:
        return {path}
    rows = open_tables(path) or reading.read_table(path)
    tabular.check_named([column], rows.column_names, "`entity`")
    return set(rows[column].unique().to_pylist())


def _borders(entities: list[set[Any]]) -> list[int]:
    """Where partitions may begin, and the end: no entity has rows on both sides of a border."""
    first: dict[Any, int] = {}
    together = np.zeros(len(entities) + 1, dtype=np.int64)
    for number, own in enumerate(entities):
        for entity in own:
            start = first.setdefault(entity, number)
            # Borders between the first file of an entity and this one are none.
            together[start + 1] += 1
            together[number + 1] -= 1
    return [number for number in range(len(entities)) if together[: number + 1].sum() == 0] + [len(entities)]
