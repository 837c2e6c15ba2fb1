"""What the benchmarks of planted causes share: options, the run, and the table of what is in the file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import harness
from benchmarks.results import Key, Results, read_rows
from benchmarks.summary import as_markdown, as_text

Table = Sequence[Sequence[str]]


def parser(name: str, description: str | None, data: str) -> argparse.ArgumentParser:
    """With the options that all of them have; `data` is the help of ``--data``."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--data", type=Path, help=data)
    made.add_argument("--show", action="store_true", help="print the table of the file, and run nothing")
    made.add_argument("--markdown", action="store_true", help="as in docs/explanations.md")
    harness.add_run_options(made)
    return made


def run(
    options: argparse.Namespace,
    jobs: Callable[[Path], Sequence[harness.Job]],
    table: Callable[[Sequence[Mapping[str, str]]], Table],
    *,
    extra: Sequence[str],
    preload: Sequence[str],
) -> int:
    """Run the jobs of the folder ``--data``, unless ``--show`` is given, and print the table; the exit status.

    Parameters
    ----------
    options : Namespace
        Of `parser`.
    jobs : callable
        The folder to the jobs.
    table : callable
        Rows of the file to lines.
    extra : sequence of str
        Columns beside those of all benchmarks.
    preload : sequence of str
        As in `harness.run`.
    """
    missing: Sequence[Key] = ()
    if not options.show:
        with Results(options.out, extra) as results:
            missing = harness.run(
                jobs(options.data.resolve()),
                results,
                threads=options.threads,
                time_limit=options.time_limit,
                preload=preload,
            )
    lines = table(read_rows(options.out))
    print(as_markdown(lines) if options.markdown else as_text(lines))
    return harness.exit_status(missing)


def parsed(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; an error where a run has no folder."""
    options = made.parse_args(arguments)
    if options.data is None and not options.show:
        made.error("--data must name a folder, unless --show is given")
    return options
