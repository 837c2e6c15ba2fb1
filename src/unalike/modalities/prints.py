"""Fingerprints of steps: of each together with the steps before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unalike.types import FloatArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_BASE = np.uint64(0xD1342543DE82EF95)
"""Odd, so that it has an inverse modulo 2**64."""


def step_prints(values: FloatArray, length: int) -> npt.NDArray[np.uint64]:
    """``(t,)``: equal for steps that are equal, and of which the up to ``length - 1`` steps before are equal.

    A rolling polynomial modulo 2**64 of a hash of each step (Karp and Rabin, "Efficient randomized pattern-matching
    algorithms", IBM Journal of Research and Development 1987); one step is hashed by the finaliser of SplitMix64.

    Parameters
    ----------
    values : ndarray
        ``(t, channels)``; all NaN are equal, and so are both zeros.
    length : int
        Steps that count, at least 1.
    """
    clean = np.where(np.isnan(values), np.nan, values + 0.0).astype(np.float64)
    bits = np.ascontiguousarray(clean).view(np.uint64)
    hashed = np.zeros(len(values), dtype=np.uint64)
    for channel in bits.T:
        hashed = _mixed(hashed * _GOLDEN + _mixed(channel + _GOLDEN))
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    summed = np.cumsum(hashed * _powers(inverse, len(hashed)))
    before = np.concatenate([np.zeros(min(length, len(summed)), dtype=np.uint64), summed[:-length]])
    return _mixed((summed - before) * _powers(_BASE, len(hashed)))


def _powers(base: np.uint64, n: int) -> npt.NDArray[np.uint64]:
    """``(n,)``: base to the powers 0, 1, … modulo 2**64."""
    steps = np.full(n, base, dtype=np.uint64)
    steps[:1] = 1
    return np.cumprod(steps)


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))
