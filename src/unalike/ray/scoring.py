"""What a worker does: it loads the model once and judges partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unalike.data import count, take
from unalike.decisions import Decisions
from unalike.errors import InvalidInput
from unalike.ray.sources import Source
from unalike.reading import is_path
from unalike.types import Collection, InTime, Modality, Skipped

if TYPE_CHECKING:
    import pyarrow as pa

    from unalike.detector import Detector

DECIDED = ("score", "p_value", "is_anomaly")


@dataclass(frozen=True)
class Job:
    """How workers judge.

    Parameters
    ----------
    model : str
        Path of the saved model, the same on every machine.
    device : str
        ``"cpu"`` or ``"cuda"``.
    threads : int
        That torch computes with.
    false_alarm_rate : float, optional
        As in `Detector.detect`.
    reading : dict
        Settings of the modality that are about reading: ``on_error``, ``workers``.
    """

    model: str
    device: str = "cpu"
    threads: int = 1
    false_alarm_rate: float | None = None
    reading: Mapping[str, Any] | None = None


class _Judge:
    """The model of a worker."""

    def __init__(self, job: Job) -> None:
        import torch

        from unalike.persistence import load

        torch.set_num_threads(job.threads)
        # Whoever starts the job has loaded it with the check of parity.
        self.detector = load(job.model, device=job.device, check_parity=False)
        for name, value in (job.reading or {}).items():
            setattr(self.detector.modality_, name, value)
        self.rate = job.false_alarm_rate

    def decisions(self, data: Collection, entities: Sequence[Any] | None = None) -> Decisions:
        return self.detector.detect(data, false_alarm_rate=self.rate, entities=entities)


class Partitions:
    """Judges partitions of a `Source` that lies in Ray's object store; called with the row of one partition.

    Parameters
    ----------
    job : Job
        How.
    source, entities : ObjectRef
        Of the `Source`; and of a list with one entity per sample, or None.
    """

    def __init__(self, job: Job, source: Any, entities: Any) -> None:
        import ray

        self._judge = _Judge(job)
        self._source: Source = ray.get(source)
        self._entities: Sequence[Any] | None = ray.get(entities)

    def __call__(self, rows: pa.Table) -> pa.Table:
        import pyarrow as pa

        return pa.concat_tables([self._decided(row["start"], row["stop"]) for row in rows.to_pylist()])

    def _decided(self, start: int, stop: int) -> pa.Table:
        modality = self._judge.detector.modality_
        part = self._source.part(start, stop)
        if isinstance(modality, InTime):
            return as_table(self._judge.decisions(dict(part)), modality, None, 0)
        own = None if self._entities is None else self._entities[start:stop]
        try:
            decisions = self._judge.decisions(part, own)
        except InvalidInput:
            if getattr(modality, "on_error", None) != "skip":
                raise
            decisions = _none_usable(self._judge.detector, part)
        return as_table(decisions, modality, part, start)


class Batches:
    """Judges batches of a Ray data set: its columns, and those of `DECIDED`."""

    def __init__(self, job: Job) -> None:
        self._judge = _Judge(job)

    def __call__(self, batch: pa.Table) -> pa.Table:
        decisions = self._judge.decisions(batch)
        table = as_table(decisions, self._judge.detector.modality_, batch, 0)
        for name in table.column_names:
            if name != "id":
                batch = batch.append_column(name, table[name])
        return batch


def _none_usable(detector: Detector, part: Collection) -> Decisions:
    """Of a partition in which no sample can be read, which is no reason to stop; any other error is raised."""
    skipped = []
    for row in range(count(part)):
        try:
            detector.modality_.check(take(part, np.array([row])))
        except InvalidInput as error:
            item = part[row] if isinstance(part, list) else row
            skipped.append(Skipped(row, str(item), str(error)))
        else:
            raise
    named = isinstance(part, list) and all(map(is_path, part))
    ids: npt.NDArray[Any] = np.zeros(0, dtype=np.str_ if named else np.int64)
    nothing, threshold = np.zeros(0), detector.threshold_
    return Decisions(
        *(ids, nothing, nothing, np.zeros(0, dtype=bool)),
        *(threshold.threshold_, threshold.false_alarm_rate_),
        rows=np.zeros(0, dtype=np.int64),
        skipped=tuple(skipped),
    )


def as_table(decisions: Decisions, modality: Modality, part: Collection, start: int) -> pa.Table:
    """The columns that `Detector.detect` gives, a row for each sample of `part`, the first of which is number `start`.

    With ``on_error="skip"`` there is one more column, ``error``, and samples that could not be read have no decision.
    """
    import pyarrow as pa

    ids = decisions.ids
    if not _own_names(modality, part) and ids.dtype.kind == "i":
        ids = ids + start
    columns = {
        "score": pa.array(decisions.scores),
        "p_value": pa.array(decisions.p_values, mask=np.isnan(decisions.p_values)),
        "is_anomaly": pa.array(decisions.is_anomaly),
    }
    if decisions.entities is not None and decisions.entities.any():
        columns = {"entity": pa.array(decisions.entities.tolist(), type=pa.string()), "id": _names(ids), **columns}
    else:
        columns = {"id": _names(ids), **columns}
    table = pa.table(columns)
    return _with_skipped(table, decisions, part, start) if getattr(modality, "on_error", None) == "skip" else table


def _own_names(modality: Modality, part: Collection) -> bool:
    """Whether ids are names, and not places in the partition."""
    if isinstance(modality, InTime):
        return True
    by_index = modality.name == "table" and hasattr(part, "iloc")
    return by_index or (getattr(modality, "id", None) is not None and not isinstance(part, np.ndarray))


def _names(ids: npt.NDArray[Any]) -> pa.Array:
    """Of one type for all partitions of a column."""
    import pyarrow as pa

    if ids.dtype.kind == "M":  # each partition finds its own coarsest unit
        try:
            return pa.array(ids).cast(pa.timestamp("us"))
        except pa.ArrowInvalid as error:
            raise InvalidInput(
                "Times must be whole microseconds to be put together from partitions; got finer ones. Detect without "
                "Ray, or count the steps by numbers."
            ) from error
    if ids.dtype.kind in "biuf":
        return pa.array(ids)
    values = ids.tolist()
    if ids.dtype.kind == "O" and all(value is None or type(value) is int for value in values):
        return pa.array(values, type=pa.int64())
    return pa.array([str(value).encode("utf-8", "backslashreplace").decode() for value in values], type=pa.string())


def _with_skipped(table: pa.Table, decisions: Decisions, part: Collection, start: int) -> pa.Table:
    """The rows in the order of the data, with those that could not be read, and why."""
    import pyarrow as pa

    rows = np.arange(len(decisions)) if decisions.rows is None else decisions.rows
    place = np.full(count(part), -1)
    place[rows] = np.arange(len(decisions))
    spread = table.take(pa.array(place, mask=place < 0))
    reasons: list[str] = [""] * len(place)
    names = spread["id"].to_pylist()
    for sample in decisions.skipped:
        reasons[sample.row] = sample.reason
        names[sample.row] = sample.id if table["id"].type == pa.string() else start + sample.row
    spread = spread.set_column(spread.column_names.index("id"), "id", pa.array(names, type=table["id"].type))
    return spread.append_column("error", pa.array(reasons))
