"""How far a long computation has come: bars on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from unalike.types import IntArray

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

OnEpoch = Callable[[str, int, dict[str, float]], None]

T = TypeVar("T")

_SIGNS = "loss {loss:.3f}  rank {rank:.1f}  spread {spread:.2f}"
_BAR = 10
"""Cells of a bar: all fits into the 80 columns of a usual terminal."""


@contextmanager
def show(progress: bool, names: Sequence[str]) -> Iterator[OnEpoch | None]:
    """Inside the block, a bar for each trained branch, or a line per row of its history where there is no terminal.

    Parameters
    ----------
    progress : bool
        Whether to show anything.
    names : sequence of str
        Branches that train, in order.

    Yields
    ------
    callable or None
        To be called with the branch's name, its number of steps in all, and each row of its history. None when
        `progress` is off, or nothing trains.
    """
    if not progress or not names:
        yield None
        return
    console = _console()
    if not _is_live(console):
        yield lambda name, steps, row: console.print(
            f"{name}: epoch {row['epoch']:.0f}, step {row['step']:.0f} of {steps}, {_signs(row)}", soft_wrap=True
        )
        return
    with _bars(console) as bars:
        tasks = {name: bars.add_task(name, total=None, told="waits") for name in names}

        def on_epoch(name: str, steps: int, row: dict[str, float]) -> None:
            told = f"epoch {row['epoch']:.0f}  {_signs(row)}"
            bars.update(tasks[name], total=steps, completed=row["step"], told=told)

        yield on_epoch


@contextmanager
def watched(progress: bool, doing: str, n: int, load: Callable[[IntArray], T]) -> Iterator[Callable[[IntArray], T]]:
    """Inside the block, the same `load` with a bar that tells how many of `n` samples it has been asked for.

    The bar vanishes at the end. Where there is no terminal, nothing is shown.

    Parameters
    ----------
    progress : bool
        Whether to show anything.
    doing : str
        What is done to them.
    n : int
        How many there are.
    load : callable
        Positions ``(m,)`` to what lies there.
    """
    console = _console() if progress else None
    if console is None or not _is_live(console):
        yield load
        return
    with _bars(console, transient=True) as bar:
        task = bar.add_task(doing, total=n, told=f"0 of {n}")

        def counted(positions: IntArray) -> T:
            loaded = load(positions)
            bar.advance(task, len(positions))
            bar.update(task, told=f"{bar.tasks[task].completed:.0f} of {n}")
            return loaded

        yield counted


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False)


def _is_live(console: Console) -> bool:
    return console.is_terminal or console.is_jupyter


def _bars(console: Console, *, transient: bool = False) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=_BAR),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    return Progress(*columns, console=console, transient=transient)


def _signs(row: dict[str, float]) -> str:
    """The loss, and the signs of collapse."""
    return _SIGNS.format(loss=row.get("loss", math.nan), rank=row["effective_rank"], spread=row["spread"])
