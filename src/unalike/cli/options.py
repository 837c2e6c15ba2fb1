"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(help="Folder of images or of tables, or a CSV, TSV, Parquet or NPZ file.", show_default=False),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="A model that fit has written.", show_default=False)]
Key = Annotated[str | None, typer.Option(help="Array of an NPZ file; without it X, or the only one.")]
Entities = Annotated[
    str | None,
    typer.Option(help="Column, NPZ array or file that names each sample's machine, customer or camera."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1…")]
Rate = Annotated[float | None, typer.Option(help="Share of normal samples that may raise an alarm.")]
ThresholdName = Annotated[
    str | None, typer.Option("--threshold", help="Kind of threshold: conformal, quantile, normal, gamma…")
]
Seed = Annotated[int, typer.Option(help="One seed gives one result.", min=0)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]
