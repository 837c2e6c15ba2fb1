"""The command that writes a model as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import Key, Quiet


def export(
    model: Annotated[Path, typer.Argument(help="A saved model.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write; ends in .onnx.", show_default=False)],
    examples: Annotated[
        Path | None,
        typer.Option(help="Normal samples; the first 8 prove that the file gives the model's scores."),
    ] = None,
    pixels: Annotated[str, typer.Option(help="Images: uint8, uint16 or float32.")] = "uint8",
    layout: Annotated[str, typer.Option(help="Images: channels-last or channels-first.")] = "channels-last",
    resize: Annotated[bool, typer.Option("--resize", help="Images: take any size and resize in the graph.")] = False,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Write a model as one ONNX file, from raw input to decision, and prove that it gives the same scores."""
    from unalike.cli import inputs
    from unalike.exporting import export as write
    from unalike.persistence import load

    detector = load(model)
    some = None if examples is None else inputs.read_data(examples, key, detector.modality_)
    write(detector, output, pixels=pixels, layout=layout, resize=resize, examples=some)  # type: ignore[arg-type]
    if not quiet:
        typer.echo(f"{output} written; onnxruntime gives the scores of {model}")
