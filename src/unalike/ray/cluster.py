"""Ray itself: imported when it is asked for, started where none runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unalike.encoders.checks import needs
from unalike.errors import UnalikeError

_ADDED = "\nFailed to apply UDF"


def started() -> Any:
    """The module ``ray.data``, with a Ray that runs.

    One that the process has initialised is taken, or the cluster that ``RAY_ADDRESS`` names; else one is started on
    this machine, without dashboard and usage statistics.

    Raises
    ------
    MissingExtra
        Ray is not installed.
    """
    with quiet():
        data = needs("unalike.ray", "ray.data", "ray")
        import ray

        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(include_dashboard=False)
    return data


@contextmanager
def quiet() -> Iterator[None]:
    """Inside the block Ray's warnings about its own settings are not shown."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield


@contextmanager
def told() -> Iterator[None]:
    """Inside the block, an error of unalike's that a worker raised is raised as it was there."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if not isinstance(cause, UnalikeError):
            raise
        # What Ray adds is about its own retries.
        raise type(cause)(str(cause).partition(_ADDED)[0]) from error
