"""The command that takes new normal samples in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import Data, Device, Entities, Key, Model, Quiet


def update(
    data: Data,
    model: Model,
    into: Annotated[
        str, typer.Option(help="scorer: such samples are normal from now on; or calibration.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the model; without it, in its place.")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Column, NPZ array or file that names each sample's group; near-copies share one."),
    ] = None,
    entities: Entities = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Into the scorer: other calibration samples; needed for images.")
    ] = None,
    key: Key = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Take new normal samples into the scorer or the calibration, without training.

    Samples that the model has seen are left out. The model is written whole, or stays as it was.
    """
    from unalike.cli import inputs, outputs
    from unalike.persistence import load, save
    from unalike.persistence.containers import check_target

    target = model if output is None else output
    check_target(target)
    detector = load(model)
    kind = detector.modality_
    X = inputs.read_data(data, key, kind)
    held_out = None if calibration is None else inputs.read_data(calibration, key, kind)
    beside = inputs.beside(X, data, kind, groups=groups)
    if entities is not None and calibration is not None:
        beside |= inputs.beside(held_out, calibration, kind, entities=entities)
    elif entities is not None:
        beside |= inputs.beside(X, data, kind, entities=entities)
    own = {"device": detector.device, "progress": detector.progress}
    detector.set_params(device=device, progress=not quiet and sys.stderr.isatty())
    detector.update(X, into=into, calibration=held_out, **beside)
    save(detector.set_params(**own), target)
    if not quiet:
        outputs.show_update(outputs.plain_console(), detector, target)
