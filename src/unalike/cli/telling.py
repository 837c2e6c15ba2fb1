"""Commands that tell what a model is, and what unalike does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unalike.cli.options import Seed
from unalike.errors import InvalidParameter


def inspect(
    model: Annotated[Path, typer.Argument(help="A model that fit has written.", show_default=False)],
    toml: Annotated[
        bool, typer.Option("--toml", help="Print its settings instead, as a file that fit --config takes.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--json", help="Print all that the model says of itself, as JSON.")
    ] = False,
) -> None:
    """Tell what a model is, how it was trained and by which versions."""
    if toml and everything:
        raise InvalidParameter("`--toml` and `--json` print different things; got both. Give one.")
    if toml:
        from unalike.configuration import settings_as_toml
        from unalike.persistence import load

        typer.echo(settings_as_toml(load(model).get_params(deep=False)), nl=False)
        return
    from unalike.persistence import inspect

    manifest = inspect(model)
    if everything:
        typer.echo(json.dumps(manifest, indent=1))
        return
    from unalike.cli import outputs, summary

    summary.show_model(outputs.plain_console(), manifest)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for models and results.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Run everything on handwritten digits and the breast-cancer table, in under two minutes."""
    from unalike.cli import outputs
    from unalike.demo import run

    run(out, seed, console=outputs.plain_console())
