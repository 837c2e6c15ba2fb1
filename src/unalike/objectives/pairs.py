"""What several objectives share: two views of every sample, and settings whose numbers are Python's."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from unalike.plain import plain
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


def two_views(batch: Batch, views: View, generator: RowGenerator) -> Tensor:
    """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
    # The generator advances between the two calls, so they draw different numbers.
    first = views(batch.data, generator)
    second = views(batch.data, generator)
    return torch.cat((first, second))


def make_plain(settings: Any) -> None:
    """Turn NumPy's numbers among the fields of a frozen dataclass into Python's, at its making."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        made = tuple(map(plain, value)) if isinstance(value, tuple) else plain(value)
        object.__setattr__(settings, field.name, made)
