"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.judging import loaded
from unalike.cli.options import (
    AnomalyLabels,
    Data,
    Device,
    Entities,
    Key,
    Labels,
    Model,
    NormalLabels,
    OnError,
    Quiet,
    Rate,
    Workers,
)
from unalike.errors import InvalidParameter


def report(
    data: Data,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the page, .html.", show_default=False)],
    labels: Labels = None,
    normal: NormalLabels = None,
    anomaly: AnomalyLabels = None,
    training: Annotated[
        Path | None,
        typer.Option(help="What the model was trained on, to be looked through and shown beside the anomalies."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heads the page.")] = None,
    shown: Annotated[int, typer.Option(help="At most so many anomalies are shown one by one.", min=0)] = 10,
    key: Key = None,
    false_alarm_rate: Rate = None,
    entities: Entities = None,
    on_error: OnError = None,
    workers: Workers = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Write one HTML page: what was found, the anomalies themselves, how far to trust it, and how it was made.

    The page needs no network and no script. With --labels it tells how good the scores are, beside their floors.
    """
    from unalike import writing
    from unalike.cli import images, inputs, outputs
    from unalike.cli.steplabels import read_with_labels
    from unalike.report import write_report

    if output.suffix.lower() not in (".html", ".htm"):
        raise InvalidParameter(f"`--output` must end in .html; got {str(output)!r}.")
    writing.writable(output)
    detector = loaded(model, device, quiet)
    images.read_as(detector, on_error, workers)
    if labels is None and not (normal or anomaly):
        X, flags = inputs.read_data(data, key, detector.modality_), None
    else:
        words = {"normal": normal or [], "anomaly": anomaly or []}
        X, flags = read_with_labels(data, labels, detector.modality_, key=key, **words)
    beside = inputs.beside(X, data, detector.modality_, entities=entities)
    known = None if training is None else inputs.read_data(training, _key_of(training, key), detector.modality_)
    write_report(
        detector,
        X,
        output,
        labels=flags,
        training=known,
        false_alarm_rate=false_alarm_rate,
        title=title,
        shown=shown,
        **beside,
    )
    if not quiet:
        outputs.plain_console().print(f"report written to {output}", soft_wrap=True)


def _key_of(training: Path, key: str | None) -> str | None:
    """Training data may be another kind of file than the data."""
    return key if training.suffix.lower() == ".npz" else None
