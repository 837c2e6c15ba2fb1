"""What users give, made plain: numbers of NumPy's, and settings that may have learned something already."""

from __future__ import annotations

import copy
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def is_number(value: object) -> bool:
    """Whether `value` is a number, and no bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def is_whole(value: object, least: int) -> bool:
    """Whether `value` is a whole number of `least` or more, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def plain(value: Any) -> Any:
    """A NumPy number as Python's, which JSON, TOML and what is printed want; all else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def unlearned(settings: T) -> T:
    """A copy of what the user passed: of a dataclass only its settings, without what an earlier `fit` learned."""
    if is_dataclass(settings) and not isinstance(settings, type):
        return replace(settings)
    return copy.deepcopy(settings)
