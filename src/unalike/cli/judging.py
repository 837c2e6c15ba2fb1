"""Commands that judge samples by a fitted model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unalike.cli.options import (
    AnomalyLabels,
    Data,
    Device,
    Entities,
    Hold,
    Key,
    Labels,
    Merge,
    Model,
    NormalLabels,
    OnError,
    Quiet,
    Rate,
    Shortest,
    Workers,
)

if TYPE_CHECKING:
    from unalike.cli.steps import AlarmOptions
    from unalike.detector import Detector


def detect(
    data: Data,
    model: Model,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write .csv, .jsonl or .parquet.")] = None,
    key: Key = None,
    false_alarm_rate: Rate = None,
    false_discovery_rate: Annotated[
        float | None, typer.Option(help="Instead: share of the anomalies found in DATA that may be normal.")
    ] = None,
    entities: Entities = None,
    events: Annotated[
        Path | None, typer.Option(help="Series: write the alarms, one row each, as .csv, .jsonl or .parquet.")
    ] = None,
    merge: Merge = None,
    shortest: Shortest = None,
    hold: Hold = None,
    on_error: OnError = None,
    workers: Workers = None,
    engine: Annotated[
        str,
        typer.Option(help="local, or ray: on all workers of the cluster that RAY_ADDRESS names, or of this machine."),
    ] = "local",
    concurrency: Annotated[int | None, typer.Option(help="With --engine ray: most workers.", min=1)] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with status 1 on any alarm.")] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Decide which samples are anomalies.

    The output has one row per sample: id, score, p_value and is_anomaly. Of series every step is a sample. Of images
    that could not be read, with --on-error skip, the column error tells why, and the others are empty.
    """
    from unalike import writing
    from unalike.cli import images, inputs, machines, outputs
    from unalike.cli.steps import AlarmOptions

    writing.distinct_paths(output, events)
    if machines.is_ray(engine, concurrency):
        alone = {"events": events, "false_discovery_rate": false_discovery_rate}
        alone |= {"merge": merge, "shortest": shortest, "hold": hold}
        alarmed = machines.detect(
            data,
            model,
            output,
            key=key,
            rate=false_alarm_rate,
            entities=entities,
            concurrency=concurrency,
            device=device,
            reading={"on_error": on_error, "workers": workers},
            others=alone,
            quiet=quiet,
        )
        raise typer.Exit(1 if fail and alarmed else 0)
    options = AlarmOptions(merge=merge, shortest=shortest, hold=hold)
    detector = loaded(model, device, quiet)
    options.check(detector.modality_, events)
    images.read_as(detector, on_error, workers)
    X = inputs.read_data(data, key, detector.modality_)
    beside = inputs.beside(X, data, detector.modality_, entities=entities)
    X, _ = images.checked(detector, X, None)
    rates: dict[str, Any] = {"false_alarm_rate": false_alarm_rate, "false_discovery_rate": false_discovery_rate}
    if inputs.in_time(detector.modality_):
        alarmed = _detect_alarms(detector, X, rates, options, output, events, quiet)
    else:
        decisions = detector.detect(X, **rates, **beside)
        alarmed = bool(decisions.is_anomaly.any())
        if output is not None:
            writing.write_rows(images.columns(decisions), output)
        if not quiet:
            outputs.show_decisions(outputs.plain_console(), decisions, output)
            outputs.show_drift(outputs.plain_console(), detector, X, decisions)
            images.show_skipped(outputs.plain_console(), decisions.skipped, detector.modality_)
    if fail and alarmed:
        raise typer.Exit(1)


def _detect_alarms(
    detector: Detector,
    X: Any,
    rates: dict[str, Any],
    options: AlarmOptions,
    output: Path | None,
    events: Path | None,
    quiet: bool,
) -> bool:
    """Decide about steps, write and tell; whether there is an alarm."""
    from unalike import writing
    from unalike.cli import outputs, steps

    records = detector.modality_.check(X)
    decisions = detector.detect(records, **rates)
    alarms = options.alarms(decisions)
    tables: dict[str | Path, Any] = {} if output is None else {output: decisions.to_dict()}
    if events is not None:
        tables[events] = steps.event_columns(alarms, decisions)
    writing.write_tables(tables)
    if not quiet:
        written = [path for path in (output, events) if path is not None]
        steps.show_alarms(outputs.plain_console(), alarms, decisions, steps.days(records), written)
        outputs.show_drift(outputs.plain_console(), detector, records, decisions)
    return len(alarms) > 0


def embed(
    data: Data,
    model: Model,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Write .npz, .npy, .csv or .parquet.", show_default=False)
    ],
    branch: Annotated[
        str | None, typer.Option(help="Whose encoder; without it, of the first branch that was trained.")
    ] = None,
    key: Key = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Write the embeddings of samples.

    CSV and Parquet: the columns id, e0, e1…; NPZ: the arrays ids and embeddings; NPY: the embeddings alone. Of series
    there is one row per window, named by its first step; where there are many records, the column entity is first.
    """
    from unalike import writing
    from unalike.cli import inputs, outputs

    writing.embeddings_path(output)
    detector = loaded(model, device, quiet)
    X = detector.modality_.check(inputs.read_data(data, key, detector.modality_))
    embeddings = detector.embed(X, branch=branch)
    ids, of_entities = inputs.ids_of_parts(detector, X)
    writing.write_embeddings(ids, embeddings, output, entities=of_entities)
    if not quiet:
        n, width = embeddings.shape
        outputs.plain_console().print(f"{n} embeddings of width {width} written to {output}", soft_wrap=True)


def evaluate(
    data: Data,
    model: Model,
    labels: Labels = None,
    normal: NormalLabels = None,
    anomaly: AnomalyLabels = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the figures as JSON.")] = None,
    key: Key = None,
    false_alarm_rate: Rate = None,
    entities: Entities = None,
    merge: Merge = None,
    shortest: Shortest = None,
    hold: Hold = None,
    on_error: OnError = None,
    workers: Workers = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a model on labelled samples, beside what it has to beat.

    The floors are the same networks untrained and the raw input, with the same scorers. Of series every step is a
    sample; beside, it is told which labelled events raised an alarm, and how late.
    """
    from unalike import writing
    from unalike.cli import images, inputs, outputs
    from unalike.cli.steplabels import read_with_labels
    from unalike.cli.steps import AlarmOptions
    from unalike.comparison import compare

    if output is not None:
        writing.writable(output)
    options = AlarmOptions(merge=merge, shortest=shortest, hold=hold)
    detector = loaded(model, device, quiet)
    options.check(detector.modality_)
    images.read_as(detector, on_error, workers)
    X, flags = read_with_labels(data, labels, detector.modality_, key=key, normal=normal or [], anomaly=anomaly or [])
    beside = inputs.beside(X, data, detector.modality_, entities=entities)
    X, flags = images.checked(detector, X, flags)
    decisions, by_branch = detector._detected_by_branch(X, false_alarm_rate, **beside)
    comparison = compare(decisions, by_branch, flags)
    alarms = options.compared(decisions, flags)
    if not quiet:
        outputs.show_comparison(outputs.plain_console(), comparison, alarms)
    if output is not None:
        found = {} if alarms is None else {"alarms": alarms.to_dict()}
        writing.write_json({"data": str(data), "model": str(model), **comparison.to_dict(), **found}, output)


def loaded(model: Path, device: str, quiet: bool) -> Detector:
    """A saved model, for this command only."""
    from unalike.persistence import load

    detector = load(model, device=device)
    detector.progress = not quiet and sys.stderr.isatty()
    return detector
