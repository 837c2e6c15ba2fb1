"""The command line: ``unalike fit | detect | evaluate | inspect | demo``.

Whatever is slow to import is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unalike import __version__
from unalike.errors import InvalidParameter, UnalikeError, UnalikeWarning

if TYPE_CHECKING:
    from unalike.types import Modality

app = typer.Typer(
    name="unalike",
    help="Learn what normal samples have in common, and find what is unlike them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[Path, typer.Argument(help="Folder of images, or a CSV, Parquet or NPZ file.", show_default=False)]
Model = Annotated[Path, typer.Option("--model", "-m", help="A model that fit has written.", show_default=False)]
Key = Annotated[str | None, typer.Option(help="Array of an NPZ file; without it X, or the only one.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1…")]
Rate = Annotated[float | None, typer.Option(help="Share of normal samples that may raise an alarm.")]
Seed = Annotated[int, typer.Option(help="One seed gives one result.", min=0)]


@app.command()
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
) -> None:
    """Learn from normal samples and write a model."""
    from unalike import cli_inputs, cli_outputs
    from unalike.detector import Detector
    from unalike.persistence import save
    from unalike.persistence.containers import check_target
    from unalike.thresholds import Conformal

    check_target(output)
    X = cli_inputs.read_data(data, key)
    group_values = None if groups is None else cli_inputs.read_values(X, data, groups, "--groups").tolist()
    kind = _modality(modality, cli_inputs.left_out(X, ignore, groups), id_column)
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
        cli_outputs.show_fit(cli_outputs.plain_console(), detector, output)
    # A stated rate that the held-out samples cannot hold is an error; the model serves with another one.
    _ = detector.threshold_.threshold_


@app.command()
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
    from unalike import cli_inputs, cli_outputs, writing
    from unalike.persistence import load

    if output is not None:
        writing.result_path(output)
    X = cli_inputs.read_data(data, key)
    decisions = load(model, device=device).detect(X, false_alarm_rate=false_alarm_rate)
    console = cli_outputs.plain_console()
    if output is None:
        cli_outputs.show_decisions(console, decisions)
    else:
        writing.write_rows(decisions.to_dict(), output)
        console.print(f"decisions written to {output}", soft_wrap=True)
    console.print(cli_outputs.summary(decisions))
    if fail and decisions.is_anomaly.any():
        raise typer.Exit(1)


@app.command()
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
    from unalike import cli_inputs, cli_outputs, writing
    from unalike.persistence import load

    if output is not None:
        writing.writable(output)
    X, flags = cli_inputs.read_labelled(data, labels, key=key, normal=normal or [], anomaly=anomaly or [])
    detector = load(model, device=device)
    decisions = detector.detect(X, false_alarm_rate=false_alarm_rate)
    comparison = cli_outputs.compare(decisions, detector.branch_scores(X), flags)
    cli_outputs.show_comparison(cli_outputs.plain_console(), comparison)
    if output is not None:
        writing.write_json({"data": str(data), "model": str(model), **comparison.to_dict()}, output)


@app.command()
def inspect(model: Annotated[Path, typer.Argument(help="A model that fit has written.", show_default=False)]) -> None:
    """Tell what a model is, how it was trained and by which versions."""
    from unalike import cli_outputs
    from unalike.persistence import inspect

    cli_outputs.show_model(cli_outputs.plain_console(), inspect(model))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for models and results.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Run everything on handwritten digits and the breast-cancer table, in under two minutes."""
    from unalike import cli_outputs
    from unalike.demo import run

    run(out, seed, console=cli_outputs.plain_console())


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unalike {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exits with status 0; 1 when ``detect --fail`` found an anomaly; 2 for a mistake in the command, its settings or
    its data, told in one line; 130 after Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, optional
        None: those of the process.
    """
    # Termination, too, must run the clean-up that removes half-written files.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            app(args=arguments)
        except UnalikeError as error:
            sys.exit(_refuse(str(error)))
        except OSError as error:
            if error.filename is None:
                raise
            sys.exit(_refuse(f"{error.strerror}: {str(error.filename)!r}."))


def _refuse(message: str) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return 2


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    if issubclass(category, UnalikeWarning):
        typer.echo(f"warning: {' '.join(str(message).split())}", err=True)
    else:
        typer.echo(warnings.formatwarning(str(message), category, filename, lineno), err=True, nl=False)


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
