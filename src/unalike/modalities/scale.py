"""Are images on the scale of those that trained? Floats of 0 to 255 after floats of 0 to 1 look all anomalous."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.errors import InputWarning, tell

_APART = 8.0
"""Ranges in use differ by more (1, 16, 255, 4095, 65535); exposures and kinds of scene by less."""


def reach(images: Iterable[npt.NDArray[Any]]) -> float | None:
    """How far the values of typical images go: the median of their largest absolute values.

    Parameters
    ----------
    images : iterable of ndarray
        As they were given: 8-bit and 16-bit ones are brought to [0, 1] by their type, and reach 1 however dark.

    Returns
    -------
    float or None
        None for images that are 0 throughout, which are on any scale.
    """
    typical = float(np.median([_largest(pixels) for pixels in images]))
    return typical if typical > 0.0 else None


def tell_of_another_scale(learned: float | None, found: float | None) -> None:
    """An `InputWarning` when two reaches differ more than images of one scale do."""
    if learned is None or found is None or 1.0 / _APART <= found / learned <= _APART:
        return
    tell(
        f"`X` must be on the scale of the training images, whose values typically go up to {learned:.3g}; got images "
        f"that go up to {found:.3g}, and nearly all may be called anomalies. Scale them as those: 8-bit and 16-bit "
        "images are brought to 0 to 1, any other numbers are taken as they are.",
        InputWarning,
    )


def _largest(pixels: npt.NDArray[Any]) -> float:
    if pixels.dtype.kind == "b" or (pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2):
        return 1.0
    return max(float(pixels.max(initial=0)), -float(pixels.min(initial=0)))
