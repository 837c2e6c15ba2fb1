"""Commands that learn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unalike.cli.options import Data, Device, Key, Quiet, Rate, Seed
from unalike.errors import InvalidParameter

if TYPE_CHECKING:
    from unalike.types import Modality


def fit(
    data: Data,
    modality: Annotated[str, typer.Option("--modality", "-m", help="image or table.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the model.", show_default=False)],
    key: Key = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Column, NPZ array or file that names each sample's group; near-copies share one."),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column that names the rows in the results.")] = None,
    false_alarm_rate: Rate = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training samples.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, instead of --epochs.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Learn from normal samples and write a model."""
    from unalike.cli import inputs, outputs
    from unalike.detector import Detector
    from unalike.persistence import save
    from unalike.persistence.containers import check_target
    from unalike.thresholds import Conformal

    check_target(output)
    X = inputs.read_data(data, key)
    group_values = None if groups is None else inputs.read_values(X, data, groups, "--groups").tolist()
    kind = _modality(modality, inputs.left_out(X, ignore, groups), id_column)
    detector = Detector(
        kind,
        training=_length(epochs, steps),
        threshold="conformal" if false_alarm_rate is None else Conformal(false_alarm_rate=false_alarm_rate),
        device=device,
        random_state=seed,
        progress=not quiet and sys.stdout.isatty(),
    )
    save(detector.fit(X, groups=group_values), output)
    if not quiet:
        outputs.show_fit(outputs.plain_console(), detector, output)
    # A stated rate that the held-out samples cannot hold is an error; the model serves with another one.
    _ = detector.threshold_.threshold_


def _modality(name: str, ignore: Sequence[str], id_column: str | None) -> Modality:
    from unalike.lookup import named
    from unalike.modalities import MODALITIES

    kind = named("-m", MODALITIES, name)
    settings = {"ignore": tuple(ignore), "id": id_column} if name == "table" else {}
    if not settings and (ignore or id_column is not None):
        raise InvalidParameter(f"`--ignore` and `--id` name columns of a table; got -m {name}. Leave them out.")
    made: Modality = kind(**settings)
    return made


def _length(epochs: int | None, steps: int | None) -> dict[str, int | None] | None:
    """What ``--epochs`` or ``--steps`` changes in the training of every branch."""
    if epochs is None and steps is None:
        return None
    if epochs is not None and steps is not None:
        raise InvalidParameter(f"`--epochs` and `--steps` both set the length; got {epochs} and {steps}. Give one.")
    return {"epochs": epochs, "steps": steps}
