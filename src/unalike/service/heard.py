"""Warnings of unalike go into the answer of the request that led to them, and nowhere else.

Python's filters of warnings belong to the process and what they record to nobody. Here every thread has a list of its
own, in which the warnings of one request are collected.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unalike.errors import UnalikeWarning


class _Own(threading.local):
    heard: list[str] | None = None


_own = _Own()


@contextmanager
def hearing() -> Iterator[list[str]]:
    """The warnings that this thread gives inside the block, each once; they need `listening`."""
    before, _own.heard = _own.heard, []
    try:
        yield _own.heard
    finally:
        _own.heard = before


@contextmanager
def listening() -> Iterator[None]:
    """Inside the block, which is that of a whole service, warnings of unalike go to the threads' lists."""
    with warnings.catch_warnings():
        # "always" keeps no register of texts that were told, which would grow with every request.
        warnings.simplefilter("always", UnalikeWarning)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: Any = None,
            line: Any = None,
        ) -> None:
            if not issubclass(category, UnalikeWarning) or _own.heard is None:
                others(message, category, filename, lineno, file, line)
            elif str(message) not in _own.heard:
                _own.heard.append(str(message))

        warnings.showwarning = show
        yield
