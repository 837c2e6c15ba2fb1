"""A saved model over partitions of the data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unalike.data import count
from unalike.errors import InvalidInput, InvalidParameter
from unalike.persistence import load
from unalike.plain import is_whole
from unalike.ray import cluster
from unalike.ray.scoring import DECIDED, Batches, Job, Partitions
from unalike.ray.sources import Source, check_parts, source_of
from unalike.thresholds.deciding import check_enough, takes_entities
from unalike.types import InTime

if TYPE_CHECKING:
    from unalike.detector import Detector

_BATCH = 4096


def detect(
    model: str | os.PathLike[str],
    data: Any,
    *,
    false_alarm_rate: float | None = None,
    entities: Sequence[Any] | None = None,
    concurrency: int | None = None,
    cpus: int = 1,
    gpus: float = 0,
    rows: int | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Any:
    """Decide which samples are anomalies, by a saved model on all workers of a Ray cluster.

    Parameters
    ----------
    model : str or path
        A file that `unalike.save` wrote. Every machine must see it there.
    data : path, array, frame, list or ray.data.Dataset
        As `Detector.detect` takes it. What lies in files is read by the workers, a partition at a time, from paths that
        every machine must see; what is in memory is put into Ray's object store once. A Ray data set is judged batch by
        batch. Of series: a folder of files, which are the partitions; files with rows of one entity are one.
    false_alarm_rate : float, optional
        As in `Detector.detect`.
    entities : sequence of length n, optional
        The entity of each sample, for a threshold per entity; not for series, which tell it, nor for a Ray data set.
    concurrency : int, optional
        Most workers; each is a process with a copy of the model. None: as many as the cluster has processors for.
    cpus : int
        Processors of a worker, and threads that it computes with; at least 1.
    gpus : float
        GPUs of a worker; above 0 it computes there.
    rows : int, optional
        Samples in a partition, which is what is run anew when a worker is lost; of series files. None: 65,536 rows of
        a table, 4,096 of a Ray data set, 1,024 images or texts, one file of a series.
    reading : mapping, optional
        Settings of the modality for this call: ``on_error`` or ``workers``.

    Returns
    -------
    ray.data.Dataset
        Lazy, in the order of the data: the columns of `Decisions.to_dict`, which `write_decisions` writes. Of a Ray
        data set instead its own columns, and ``score``, ``p_value`` and ``is_anomaly``. With ``on_error="skip"`` a
        column ``error`` tells why a sample has no decision.

    Raises
    ------
    MissingExtra
        Ray is not installed.
    CannotLoad
        The model cannot be read here.
    InvalidInput, InvalidParameter
        As `Detector.detect`; or what belongs together would lie in two partitions: records that are no files, texts
        that are joined by session or window. What a worker finds is raised when the result is used.

    Notes
    -----
    A threshold decides about each sample by itself, so that a false-alarm rate holds as in one process; a false
    discovery rate is about all samples together and is not offered. Scores are those of one process up to the rounding
    of a network in batches of another size.
    """
    _check_counts({"concurrency": concurrency, "rows": rows}, {"cpus": cpus}, gpus)
    rd = cluster.started()
    detector = load(model, device="cpu")
    path, device = str(Path(model).absolute()), "cuda" if gpus else "cpu"
    job = Job(path, device, cpus, false_alarm_rate, _settled(detector, reading))
    _check_threshold(detector, false_alarm_rate, entities)
    with cluster.quiet():
        options = _options(rd, concurrency, cpus, gpus)
        if isinstance(data, rd.Dataset):
            return _over_batches(detector, data, job, entities, rows or _BATCH, options)
        return _over_partitions(rd, source_of(detector.modality_, data, rows), job, entities, options)


def in_order(data: Any) -> Any:
    """The Ray data set, whose results keep its order, and whose errors come as a worker raised them."""
    data.context.execution_options.preserve_order = True
    data.context.raise_original_map_exception = True
    return data


def _over_partitions(rd: Any, source: Source, job: Job, entities: Sequence[Any] | None, options: dict[str, Any]) -> Any:
    import ray

    if entities is not None and len(entities) != count(source.data):
        raise InvalidInput(f"`entities` must have one value per sample, {count(source.data)}; got {len(entities)}.")
    spans = [{"start": start, "stop": stop} for start, stop in source.spans]
    partitions = in_order(rd.from_items(spans, override_num_blocks=len(spans)))
    kept = None if entities is None else list(entities)
    held = {"job": job, "source": ray.put(source), "entities": ray.put(kept)}
    return partitions.map_batches(
        Partitions, fn_constructor_kwargs=held, batch_size=1, batch_format="pyarrow", **options
    )


def _over_batches(
    detector: Detector, data: Any, job: Job, entities: Sequence[Any] | None, rows: int, options: dict[str, Any]
) -> Any:
    modality = detector.modality_
    check_parts(modality)
    if isinstance(modality, InTime):
        raise InvalidParameter(
            "`data` must be a folder of files for a model of series, whose windows reach over the borders of batches; "
            "got a Ray data set. Write the records into a folder, one file each."
        )
    if entities is not None:
        raise InvalidParameter("`entities` must be None for a Ray data set, which has no count yet. Give a path.")
    taken = [name for name in (*DECIDED, "error") if name in (data.columns() or ())]
    if taken:
        raise InvalidInput(f"`data` must have no columns {taken}, which the decisions get. Rename them.")
    return in_order(data).map_batches(
        Batches, fn_constructor_kwargs={"job": job}, batch_size=rows, batch_format="pyarrow", **options
    )


def _options(rd: Any, concurrency: int | None, cpus: int, gpus: float) -> dict[str, Any]:
    import ray

    resources: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    found = max(int(resources.get("CPU", 1)) // cpus, 1)
    if gpus:
        found = max(min(found, int(resources.get("GPU", 0) / gpus)), 1)
    pool = {"min_size": 1, "max_size": found} if concurrency is None else {"size": min(concurrency, found)}
    return {"compute": rd.ActorPoolStrategy(**pool), "num_cpus": cpus, "num_gpus": gpus or None}


def _settled(detector: Detector, reading: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings, tried on the modality here."""
    modality = detector.modality_
    for name, value in (reading or {}).items():
        if name not in ("on_error", "workers") or not hasattr(modality, name):
            raise InvalidParameter(
                f"`reading` must name on_error or workers of a model of images or texts; got {name!r} for one of "
                f"{modality.name}. Leave it out."
            )
        setattr(modality, name, value)
    if reading:
        modality.__post_init__()  # type: ignore[attr-defined]
    return dict(reading or {})


def _check_threshold(detector: Detector, rate: float | None, entities: Sequence[Any] | None) -> None:
    """What would fail in every worker fails here, before the first is started."""
    threshold = detector._need_threshold()
    if rate is not None:
        check_enough(detector._at_rate(threshold, rate), len(detector.calibration_scores_))
    if entities is not None and (isinstance(detector.modality_, InTime) or not takes_entities(threshold)):
        raise InvalidParameter(
            "`entities` must go with a threshold that takes them and samples in any order; this model has none. Leave "
            "it out."
        )


def _check_counts(optional: Mapping[str, Any], needed: Mapping[str, Any], gpus: float) -> None:
    for name, value in {**{n: v for n, v in optional.items() if v is not None}, **needed}.items():
        if not is_whole(value, 1):
            raise InvalidParameter(f"`{name}` must be a whole number of at least 1; got {value!r}.")
    if not isinstance(gpus, (int, float)) or isinstance(gpus, bool) or not 0 <= gpus < float("inf"):
        raise InvalidParameter(f"`gpus` must be a number of at least 0; got {gpus!r}.")
