"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unalike.cli.judging import loaded
from unalike.cli.options import Data, Device, Entities, Key, Model, OnError, Quiet, Rate, Workers
from unalike.errors import InvalidParameter

if TYPE_CHECKING:
    from unalike.detector import Detector


def report(
    data: Data,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the page, .html.", show_default=False)],
    labels: Annotated[
        str | None,
        typer.Option(
            help="Column, NPZ array or file with 0 for normal and 1 for an anomaly; for images a table of path, label."
        ),
    ] = None,
    normal: Annotated[
        list[str] | None, typer.Option(help="Label, or sub-folder, that is normal; may be repeated.")
    ] = None,
    anomaly: Annotated[
        list[str] | None, typer.Option(help="The same for anomalies; without it, whatever is not normal.")
    ] = None,
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
    from unalike.report import write_report

    if output.suffix.lower() not in (".html", ".htm"):
        raise InvalidParameter(f"`--output` must end in .html; got {str(output)!r}.")
    writing.writable(output)
    detector = loaded(model, device, quiet)
    images.read_as(detector, on_error, workers)
    X, flags = _read(detector, data, labels, key, {"normal": normal or [], "anomaly": anomaly or []})
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


def _read(
    detector: Detector, data: Path, labels: str | None, key: str | None, words: dict[str, Any]
) -> tuple[Any, Any]:
    """Data, and their labels where any are told."""
    from unalike.cli import inputs

    if labels is None and not any(words.values()):
        return inputs.read_data(data, key, detector.modality_), None
    if inputs.in_time(detector.modality_):
        from unalike.cli.steplabels import read_labelled_steps

        return read_labelled_steps(data, labels, detector.modality_, key=key, **words)
    return inputs.read_labelled(data, labels, key=key, kind=detector.modality_, **words)


def _key_of(training: Path, key: str | None) -> str | None:
    """Training data may be another kind of file than the data."""
    return key if training.suffix.lower() == ".npz" else None
