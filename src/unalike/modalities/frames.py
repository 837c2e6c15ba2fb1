"""Frames of any library, in memory or read when needed, by their columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import narwhals as nw

from unalike.scanning import ArrowRows
from unalike.types import Collection


def frame(X: Any) -> Any:
    """A frame in memory as one of narwhals."""
    return nw.from_native(X, eager_only=True)


def column_names(X: Collection) -> list[Any]:
    """Its columns, in order."""
    return list(X.column_names) if hasattr(X, "column_names") else list(frame(X).columns)


def blocks(X: Collection) -> Iterator[Any]:
    """All rows, in blocks that fit into memory; what is in memory is one."""
    yield from X.blocks() if isinstance(X, ArrowRows) else [X]
