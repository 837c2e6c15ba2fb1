"""Which steps of records are held out: whole blocks, with a gap on each side.

Neighbours in time are alike, so that single steps held out at random would be known already. Of each record a few
blocks are held out, the last of them at its end, and between a held-out block and what trains lies one window's length
that does neither.
"""

from __future__ import annotations

import numpy as np

from unalike.data import Split
from unalike.records import Records
from unalike.types import BoolArray, IntArray

_MOST_BLOCKS = 5
_MOST_LOST = 0.1
"""Of a record: the share that gaps may take; it bounds the number of blocks."""
_TRAIN, _GAP, _REFERENCE, _CALIBRATION = range(4)


def split_blocks(records: Records, window: int, reference: float, calibration: float) -> Split:
    """Positions of steps that train, are compared with and calibrate.

    Of a record that is long enough for them, for their gaps and for a window that trains, blocks are held out, those
    to compare with at least a window long. Of shorter records every ``1/share``-th is held out whole.

    Parameters
    ----------
    records : Records
        Checked.
    window : int
        Steps of a window, and of a gap.
    reference, calibration : float
        Share of each held-out part, in ``[0, 1)``; together below 1.
    """
    parts, short = [], 0.0
    for segment in records.segments:
        n = len(segment)
        if reference + calibration == 0.0:
            parts.append(np.full(n, _TRAIN))
        elif _least(n, window, reference, calibration) <= n:
            parts.append(_blocks(n, window, reference, calibration))
        else:
            short += reference + calibration
            parts.append(np.full(n, _TRAIN if short < 1.0 else _CALIBRATION))
            short -= float(short >= 1.0)
    part = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    return Split(*(np.flatnonzero(part == code) for code in (_TRAIN, _REFERENCE, _CALIBRATION, _GAP)))


def _least(n: int, window: int, reference: float, calibration: float) -> int:
    """Steps that a record of `n` must have for one block of each kind, the gaps before them and a window to train."""
    compared = max(round(n * reference), window) + window if reference else 0
    return round(n * calibration) + compared + 2 * window


def _blocks(n: int, window: int, reference: float, calibration: float) -> IntArray:
    """``(n,)``: the part of each step of one record."""
    part = np.full(n, _TRAIN, dtype=np.int64)
    length = n * (reference + calibration)
    blocks = int(np.clip(min(n * _MOST_LOST / (2 * window), length / window), 1, _MOST_BLOCKS))
    each = max(int(length / blocks), 1)
    for end in np.linspace(n / blocks, n, blocks).round().astype(int).tolist():
        compared = round(each * reference / (reference + calibration))
        cut = end - each + compared
        compared = max(compared, window) if reference else 0
        begin = cut - compared - (window if compared else 0)
        part[max(begin - window, 0) : end + window] = _GAP
        part[begin : begin + compared] = _REFERENCE
        part[cut:end] = _CALIBRATION
    return part


def stretches(begins: IntArray, window: int) -> tuple[IntArray, BoolArray]:
    """Windows in stretches of time, and with which windows each stretch may be compared.

    Parameters
    ----------
    begins : ndarray
        ``(n,)``: the first step of each window; those of two entities are further apart than two windows are long.
    window : int
        Steps of a window.

    Returns
    -------
    stretch : ndarray
        ``(n,)``, 0 to 4: of which fifth in time each window is.
    known : ndarray
        ``(5, n)``: windows with at least a window's length between them and all windows of the stretch. So no window
        is judged by one that shares a step with it, and no step by a window that another window on it shares.
    """
    n = len(begins)
    stretch = np.empty(n, dtype=np.int64)
    stretch[np.argsort(begins, kind="stable")] = np.arange(n) * _MOST_BLOCKS // max(n, 1)
    known = np.zeros((_MOST_BLOCKS, n), dtype=np.bool_)
    for number in range(_MOST_BLOCKS):
        own = np.sort(begins[stretch == number])
        after = np.searchsorted(own, begins)
        ends = np.concatenate([[-np.inf], own, [np.inf]])
        known[number] = np.minimum(begins - ends[after], ends[after + 1] - begins) >= 2 * window
    return stretch, known
