"""Commands that judge samples by a fitted model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unalike.cli.options import Data, Device, Entities, Key, Model, Quiet, Rate

if TYPE_CHECKING:
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
    fail: Annotated[bool, typer.Option("--fail", help="Exit with status 1 on any alarm.")] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Decide which samples are anomalies.

    The output has one row per sample: id, score, p_value and is_anomaly.
    """
    from unalike import writing
    from unalike.cli import inputs, outputs

    if output is not None:
        writing.result_path(output)
    X = inputs.read_data(data, key)
    beside = inputs.beside(X, data, entities=entities)
    decisions = loaded(model, device, quiet).detect(
        X, false_alarm_rate=false_alarm_rate, false_discovery_rate=false_discovery_rate, **beside
    )
    if output is not None:
        writing.write_rows(decisions.to_dict(), output)
    if not quiet:
        outputs.show_decisions(outputs.plain_console(), decisions, output)
    if fail and decisions.is_anomaly.any():
        raise typer.Exit(1)


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

    CSV and Parquet: the columns id, e0, e1…; NPZ: the arrays ids and embeddings; NPY: the embeddings alone.
    """
    from unalike import writing
    from unalike.cli import inputs, outputs

    writing.embeddings_path(output)
    X = inputs.read_data(data, key)
    detector = loaded(model, device, quiet)
    embeddings = detector.embed(X, branch=branch)
    writing.write_embeddings(inputs.ids_of_parts(detector, X), embeddings, output)
    if not quiet:
        n, width = embeddings.shape
        outputs.plain_console().print(f"{n} embeddings of width {width} written to {output}", soft_wrap=True)


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
    entities: Entities = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a model on labelled samples, beside what it has to beat.

    The floors are the same networks untrained and the raw input, with the same scorers.
    """
    from unalike import writing
    from unalike.cli import inputs, outputs

    if output is not None:
        writing.writable(output)
    X, flags = inputs.read_labelled(data, labels, key=key, normal=normal or [], anomaly=anomaly or [])
    beside = inputs.beside(X, data, entities=entities)
    detector = loaded(model, device, quiet)
    decisions = detector.detect(X, false_alarm_rate=false_alarm_rate, **beside)
    comparison = outputs.compare(decisions, detector.branch_scores(X), flags)
    if not quiet:
        outputs.show_comparison(outputs.plain_console(), comparison)
    if output is not None:
        writing.write_json({"data": str(data), "model": str(model), **comparison.to_dict()}, output)


def loaded(model: Path, device: str, quiet: bool) -> Detector:
    """A saved model, for this command only."""
    from unalike.persistence import load

    detector = load(model, device=device)
    detector.progress = not quiet and sys.stderr.isatty()
    return detector
