"""A progress bar that shows the loss, the time left and the signs of collapse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

OnEpoch = Callable[[str, int, dict[str, float]], None]


@contextmanager
def show(progress: bool, names: Sequence[str]) -> Iterator[OnEpoch | None]:
    """Inside the block, a bar for each trained branch; None when `progress` is off.

    Parameters
    ----------
    progress : bool
        Whether to show anything.
    names : sequence of str
        Branches that train, in order.

    Yields
    ------
    callable or None
        To be called with the branch's name, its number of steps in all, and each row of its history.
    """
    if not progress or not names:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  rank {task.fields[rank]:.1f}  spread {task.fields[spread]:.3f}"),
    )
    with Progress(*columns) as bar:
        tasks = {name: bar.add_task(name, total=None, loss=float("nan"), rank=0.0, spread=0.0) for name in names}

        def on_epoch(name: str, steps: int, row: dict[str, float]) -> None:
            bar.update(
                tasks[name],
                total=steps,
                completed=row["step"],
                loss=row["loss"],
                rank=row["effective_rank"],
                spread=row["spread"],
            )

        yield on_epoch
