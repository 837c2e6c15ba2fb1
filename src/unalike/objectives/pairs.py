"""What several objectives share: two views of every sample, full precision, and settings whose numbers are Python's."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unalike.plain import plain
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


def two_views(batch: Batch, views: View, generator: RowGenerator) -> Tensor:
    """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
    # The generator advances between the two calls, so they draw different numbers.
    first = views(batch.data, generator)
    second = views(batch.data, generator)
    return torch.cat((first, second))


def full_precision(values: Tensor) -> Tensor:
    """In single precision at least: mixed precision gives logits of 8 bits, too few to sum."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def at_unit_length(rows: Tensor) -> Tensor:
    """``(n, d)`` rows at length 1, in full precision."""
    return functional.normalize(full_precision(rows), dim=1)


def make_plain(settings: Any) -> None:
    """Turn NumPy's numbers among the fields of a frozen dataclass into Python's, at its making."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        made = tuple(map(plain, value)) if isinstance(value, tuple) else plain(value)
        object.__setattr__(settings, field.name, made)
