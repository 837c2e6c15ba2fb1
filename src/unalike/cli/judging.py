"""Commands that judge samples by a fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import Data, Device, Key, Model, Rate


def detect(
    data: Data,
    model: Model,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write .csv, .jsonl or .parquet.")] = None,
    key: Key = None,
    false_alarm_rate: Rate = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with status 1 on any alarm.")] = False,
    device: Device = "auto",
) -> None:
    """Decide which samples are anomalies.

    The output has one row per sample: id, score, p_value and is_anomaly.
    """
    from unalike import writing
    from unalike.cli import inputs, outputs
    from unalike.persistence import load

    if output is not None:
        writing.result_path(output)
    X = inputs.read_data(data, key)
    decisions = load(model, device=device).detect(X, false_alarm_rate=false_alarm_rate)
    console = outputs.plain_console()
    if output is None:
        outputs.show_decisions(console, decisions)
    else:
        writing.write_rows(decisions.to_dict(), output)
        console.print(f"decisions written to {output}", soft_wrap=True)
    console.print(outputs.summary(decisions))
    if fail and decisions.is_anomaly.any():
        raise typer.Exit(1)


def evaluate(
    data: Data,
    model: Model,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Column, NPZ array or file with 0 for normal and 1 for an anomaly; for images a table of path, label."
        ),
    ] = None,
    normal: Annotated[
        list[str] | None, typer.Option(help="Label, or sub-folder of images, that is normal; may be repeated.")
    ] = None,
    anomaly: Annotated[
        list[str] | None, typer.Option(help="The same for anomalies; without it, whatever is not normal.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the figures as JSON.")] = None,
    key: Key = None,
    false_alarm_rate: Rate = None,
    device: Device = "auto",
) -> None:
    """Measure a model on labelled samples, beside what it has to beat.

    The floors are the same networks untrained and the raw input, with the same scorers.
    """
    from unalike import writing
    from unalike.cli import inputs, outputs
    from unalike.persistence import load

    if output is not None:
        writing.writable(output)
    X, flags = inputs.read_labelled(data, labels, key=key, normal=normal or [], anomaly=anomaly or [])
    detector = load(model, device=device)
    decisions = detector.detect(X, false_alarm_rate=false_alarm_rate)
    comparison = outputs.compare(decisions, detector.branch_scores(X), flags)
    outputs.show_comparison(outputs.plain_console(), comparison)
    if output is not None:
        writing.write_json({"data": str(data), "model": str(model), **comparison.to_dict()}, output)
