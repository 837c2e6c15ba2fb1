"""The command that tells why samples score as they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.judging import loaded
from unalike.cli.options import Data, Device, Entities, Key, Model, Quiet, Rate


def explain(
    data: Data,
    model: Model,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write .csv, .jsonl or .parquet.")] = None,
    only_anomalies: Annotated[bool, typer.Option("--only-anomalies", help="Explain no normal samples.")] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Write images with heat maps (PNG), or texts with marked words (HTML), here.", metavar="DIR"),
    ] = None,
    most_places: Annotated[int, typer.Option(help="At most so many causes per sample.", min=1)] = 5,
    key: Key = None,
    false_alarm_rate: Rate = None,
    entities: Entities = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Tell which columns cause the score of each row, and what is usual there.

    The output has one row per cause: id, score, place, share, value, usual and nearest, the ids of normal rows. Of
    images the causes are regions, and --pictures writes heat maps. Of texts they are words, with their start and end in
    the text and the score without them, and --pictures writes a page of texts in which they are marked.
    """
    from unalike import writing
    from unalike.cli import images, inputs, outputs

    if output is not None:
        writing.result_path(output)
    detector = loaded(model, device, quiet)
    X = inputs.read_data(data, key, detector.modality_)
    beside = inputs.beside(X, data, detector.modality_, entities=entities)
    only = None
    if only_anomalies:
        only = detector.detect(X, false_alarm_rate=false_alarm_rate, **beside).is_anomaly
    explanations = detector.explain(X, only=only, most_places=most_places)
    if output is not None:
        writing.write_rows(explanations.to_dict(), output)
    if pictures is not None:
        images.write_pictures(detector, X, explanations, pictures, only)
    if not quiet:
        outputs.show_explanations(outputs.plain_console(), explanations, output)
