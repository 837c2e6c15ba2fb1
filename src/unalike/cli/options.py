"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(
        help="Folder of images, texts, tables or records, or a CSV, TSV, Parquet, JSONL, NPZ or text file.",
        show_default=False,
    ),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="A model that fit has written.", show_default=False)]
Key = Annotated[str | None, typer.Option(help="Array of an NPZ file; without it X, or the only one.")]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Column, NPZ array or file with 0 for normal and 1 for an anomaly; for images a table of path, label."
    ),
]
NormalLabels = Annotated[
    list[str] | None, typer.Option(help="Label, or sub-folder of images, that is normal; may be repeated.")
]
AnomalyLabels = Annotated[
    list[str] | None, typer.Option(help="The same for anomalies; without it, whatever is not normal.")
]
Entities = Annotated[
    str | None,
    typer.Option(help="Column, NPZ array or file that names each sample's machine, customer or camera."),
]
Time = Annotated[str | None, typer.Option(help="Series: column that tells when a row was measured.")]
Entity = Annotated[str | None, typer.Option(help="Series: column that names the machine or sensor of a row.")]
Window = Annotated[
    int | None,
    typer.Option(
        help="Series: steps looked at together; without it, the period of the data. Texts: successive lines that are "
        "one text.",
        min=1,
    ),
]
Step = Annotated[
    str | None, typer.Option(help="Series: time between two steps, such as 5min; without it, the usual one.")
]
LongestGap = Annotated[
    int | None, typer.Option(help="Series: after more steps without a row, a new stretch begins.", min=1)
]
Scale = Annotated[
    str | None,
    typer.Option(help="Series: standardise all records together, or each entity by its own scale: together, entity."),
]
OnError = Annotated[
    str | None,
    typer.Option(
        help="Images and texts: what becomes of one that cannot be read or used: raise (stop, and name it) or skip."
    ),
]
Column = Annotated[str | None, typer.Option(help="Texts: column or field that holds them.")]
Session = Annotated[str | None, typer.Option(help="Texts: column that tells which lines are one text.")]
Mask = Annotated[
    str | None, typer.Option(help="Texts: log masks numbers, times, addresses, paths… of log lines; none by default.")
]
Encoding = Annotated[str | None, typer.Option(help="Texts: of the files, such as gb18030; without it, UTF-8.")]
Workers = Annotated[
    int | None, typer.Option(help="Images: threads that decode files; without it, one per core, at most 8.", min=1)
]
Merge = Annotated[
    int | None, typer.Option(help="Series: alarms with at most so many steps between them are one.", min=0)
]
Shortest = Annotated[int | None, typer.Option(help="Series: an alarm has at least so many steps.", min=1)]
Hold = Annotated[
    float | None, typer.Option(help="Series: an alarm goes on as long as p-values are at most this, such as 0.1.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1…")]
Rate = Annotated[float | None, typer.Option(help="Share of normal samples that may raise an alarm.")]
ThresholdName = Annotated[
    str | None, typer.Option("--threshold", help="Kind of threshold: conformal, quantile, normal, gamma…")
]
Seed = Annotated[int, typer.Option(help="One seed gives one result.", min=0)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]
