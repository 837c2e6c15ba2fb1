"""When checkpoints of a running training are written, and how it comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from unalike.errors import InvalidParameter
from unalike.parallel import all_equal, rank
from unalike.training.checkpoints import Checkpoint


class Running(Protocol):
    """A training under way."""

    history: list[dict[str, float]]

    def begin(self) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Keeper:
    """Writes checkpoints of a training and brings it back; without a checkpoint it begins it and does no more.

    Of several processes all read and the first one writes.

    Parameters
    ----------
    loop : Running
        The training.
    checkpoint : Checkpoint, optional
        Where.
    identity : dict
        From `identity.identity`.
    every : float
        Seconds between two.
    """

    def __init__(self, loop: Running, checkpoint: Checkpoint | None, identity: dict[str, Any], every: float) -> None:
        self.loop, self.checkpoint, self.identity, self.every = loop, checkpoint, identity, every
        self.own = checkpoint if rank() == 0 else None
        self.written = time.monotonic()

    def resume(self, on_epoch: Callable[[dict[str, float]], None] | None) -> None:
        """Bring the loop to where the checkpoint is, or to its beginning."""
        state = None if self.checkpoint is None else self.checkpoint.read(self.identity)
        if not all_equal([0] * 4 if state is None else [1 + int(state["finished"]), *state.get("at", (0, 0, 0))]):
            raise InvalidParameter(
                "`checkpoint` must be a folder that all processes share; they found different states there. Give one "
                "on storage that every machine sees."
            )
        if state is None:
            self.loop.begin()
            return
        self.loop.restore(state)
        if on_epoch is not None and len(self.loop.history) > 1:
            on_epoch(self.loop.history[-1])

    def after_step(self) -> None:
        """Write when it is time."""
        if self.own is not None and time.monotonic() - self.written >= self.every:
            self.own.write(self.identity, self.loop.state())
            self.written = time.monotonic()

    def finish(self) -> None:
        """Write the end, so that a finished branch is not trained again."""
        if self.own is not None:
            self.own.write(self.identity, self.loop.state())
