"""Centre and scale of the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unalike.types import FloatArray

LARGEST = float(np.finfo(np.float32).max)

_CELLS = 2**22
"""Cells that are worked on at a time."""


def center_and_scale(raw: FloatArray, units: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the observed cells.

    Parameters
    ----------
    raw : ndarray
        ``(n, columns)`` float64, NaN where missing.
    units : sequence of str
        Per column ``"number"``; ``"code"``, whose centre is 0 and scale 1; or ``"sine"`` and, after it, ``"cosine"``,
        which share the scale that gives both together a variance of 1.

    Returns
    -------
    center, scale : ndarray
        ``(columns,)``. The scale of a constant column is 1.
    """
    step = max(1, _CELLS // max(len(raw), 1))
    found = [_moments(raw[:, start : start + step]) for start in range(0, raw.shape[1], step)]
    center, scale, constant = (np.concatenate(several) for several in zip(*found, strict=True))
    sine = np.flatnonzero(np.array(units) == "sine")
    scale[constant] = 0.0
    scale[sine] = scale[sine + 1] = np.hypot(scale[sine], scale[sine + 1])
    code = np.array(units) == "code"
    return np.where(code, 0.0, center), np.where(code | (scale == 0.0), 1.0, scale)


def _moments(raw: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means, standard deviations, and which columns are constant."""
    observed = ~np.isnan(raw)
    seen = np.maximum(observed.sum(axis=0), 1)
    # Sums run over the distance to one observed cell: exactly 0 in a constant column, however long it is.
    origin = np.nan_to_num(raw[observed.argmax(axis=0), np.arange(raw.shape[1])])
    center = origin + np.where(observed, (raw - origin) / seen, 0.0).sum(axis=0)
    deviation = np.where(observed, raw - center, 0.0)
    largest = np.abs(deviation).max(axis=0)
    unit = np.where(largest > 0, largest, 1.0)  # squares of huge cells would overflow
    scale = unit * np.sqrt(((deviation / unit) ** 2).sum(axis=0) / seen)
    constant = (scale <= 10 * np.finfo(np.float64).eps * np.abs(center)) | (scale == 0.0)
    return center, scale, constant
