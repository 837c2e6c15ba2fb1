"""The command line: ``unalike fit | calibrate | update | detect | explain | embed | …``.

A command is a function in one of this folder's files and a name in `COMMANDS`. Whatever is slow to import is
imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from unalike import __version__
from unalike.cli.explaining import explain
from unalike.cli.exporting import export
from unalike.cli.fitting import calibrate, fit
from unalike.cli.judging import detect, embed, evaluate
from unalike.cli.reporting import report
from unalike.cli.serving import serve
from unalike.cli.telling import demo, inspect
from unalike.cli.updating import update
from unalike.cli.viewing import views
from unalike.errors import UnalikeError, UnalikeWarning

COMMANDS: tuple[Callable[..., None], ...] = (
    fit,
    calibrate,
    update,
    detect,
    explain,
    embed,
    evaluate,
    report,
    inspect,
    export,
    serve,
    views,
    demo,
)
"""In the order of ``--help``."""

app = typer.Typer(
    name="unalike",
    help="Learn what normal samples have in common, and find what is unlike them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in COMMANDS:
    app.command()(_command)


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

    Exits with status 0; 1 when ``detect --fail`` found an anomaly; 2 for a mistake in the command, its settings, its
    data or its files, told in one line; 3 for an error that unalike does not know, with its traceback; 130 after
    Ctrl-C and 143 when terminated.

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
            if error.strerror is None:
                sys.exit(_tell_bug())
            where = "" if error.filename is None else f": {str(error.filename)!r}"
            sys.exit(_refuse(f"{error.strerror}{where}."))
        except Exception:
            sys.exit(_tell_bug())


def _refuse(message: str) -> int:
    typer.echo(f"error: {_in_options(message)}", err=True)
    return 2


def _in_options(message: str) -> str:
    """In one line, and in the words of the command line where it names what Python takes."""
    text = " ".join(message.split()).replace("`X`", "DATA")
    return re.sub(r"\bignore=\['([^']*)'\]", r"--ignore '\1'", text)


def _tell_bug() -> int:
    """Not 1, which Python would give: that is an alarm."""
    traceback.print_exc()
    return 3


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    if issubclass(category, UnalikeWarning):
        typer.echo(f"warning: {_in_options(str(message))}", err=True)
    else:
        typer.echo(warnings.formatwarning(str(message), category, filename, lineno), err=True, nl=False)
