"""Shifts: changes after which a normal sample is normal no more, and whether they are.

A shift is a name in `SHIFTS`, a function from batch tensor to batch tensor, or a view. Whether it changes the data
is told without labels, from training samples alone.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unalike.data import evenly
from unalike.errors import InvalidInput, InvalidParameter, TrainingWarning
from unalike.seeding import RowGenerator, derive
from unalike.symmetry import change_by

SHIFTS = {"rotate-90": 1, "rotate-180": 2, "rotate-270": 3}
"""Name to quarters of a turn, counter-clockwise."""

_COMPARED = 512


def check_shifts(shifts: Any) -> None:
    """Refuse what is no tuple of shifts.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not isinstance(shifts, (tuple, list)) or not shifts:
        raise InvalidParameter(
            f"`shifts` must be a tuple of at least one of {sorted(SHIFTS)} or functions; got {shifts!r}. "
            "For none, use SimCLR."
        )
    for shift in shifts:
        if not (shift in SHIFTS if isinstance(shift, str) else callable(shift) and not isinstance(shift, type)):
            raise InvalidParameter(
                f"`shifts` must hold names of {sorted(SHIFTS)} or functions from batch tensor to batch tensor; got "
                f"{shift!r}."
            )


def shifted(shift: Any, data: Tensor, generator: RowGenerator) -> Tensor:
    """The shifted ``(n, ...)`` data.

    Raises
    ------
    InvalidInput
        A named shift cannot be done to such data.
    InvalidParameter
        A function of the user's returns anything but a tensor of the same shape.
    """
    if isinstance(shift, str):
        return _rotated(data, SHIFTS[shift], shift)
    result = shift(data, generator) if _takes_generator(shift) else shift(data.clone())
    if not isinstance(result, Tensor) or result.shape != data.shape:
        found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise InvalidParameter(
            f"`shifts` must return tensors of the shape they are given, {tuple(data.shape)}; got {found} from "
            f"{shift!r}."
        )
    return result.to(data)


def telling(shifts: Sequence[Any], sample: Tensor, least: float) -> list[bool]:
    """Which shifts change the data, with a warning for those that do not.

    Parameters
    ----------
    shifts : sequence
        As in `CSI`.
    sample : Tensor
        ``(m, ...)`` training data.
    least : float
        As `CSI.least_change`, for `change_by`.
    """
    positions = torch.from_numpy(evenly(len(sample), _COMPARED))
    rows = sample.detach()[positions.to(sample.device)]
    generator = RowGenerator(derive(0, "shifts"), positions.to(sample.device))
    kept = []
    for shift in shifts:
        change = change_by(rows, shifted(shift, rows, generator))
        kept.append(math.isnan(change) or change >= least)
        if not kept[-1]:
            warnings.warn(
                f"The shift {shift!r} hardly changes this data: it takes a sample farther from its nearest training "
                f"sample with a probability of {change:.2f}, and least_change= is {least:g}. It is left out. Choose "
                "shifts that make a normal sample abnormal, or use SimCLR.",
                TrainingWarning,
                stacklevel=2,
            )
    return kept


def _rotated(data: Tensor, quarters: int, name: str) -> Tensor:
    if data.ndim != 4:
        raise InvalidInput(
            f"The shift {name!r} turns images (n, channels, height, width); got data of shape {tuple(data.shape)}. "
            "Give shifts= of your own, functions from batch tensor to batch tensor after which a normal sample is "
            "normal no more, or use SimCLR."
        )
    if quarters % 2 and data.shape[2] != data.shape[3]:
        raise InvalidInput(
            f"The shift {name!r} turns square images; got {data.shape[2]} x {data.shape[3]} pixels. Give "
            "modalities.Image(size=...) a square, or use shifts=('rotate-180',)."
        )
    return torch.rot90(data, quarters, (2, 3))


def _takes_generator(shift: Any) -> bool:
    try:
        parameters = inspect.signature(shift).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is inspect.Parameter.empty for one in parameters) == 2
