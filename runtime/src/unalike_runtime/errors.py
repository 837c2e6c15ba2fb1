"""What this package raises."""

from __future__ import annotations


class RuntimeRefusal(Exception):
    """Any error of this package."""


class CannotLoad(RuntimeRefusal):
    """A file is no exported detector, or one that this version cannot run."""


class InvalidInput(RuntimeRefusal, ValueError):
    """Data that the model cannot judge."""
