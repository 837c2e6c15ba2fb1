"""Missing cells take the value of the nearest training row.

Nearest-neighbour hot-deck imputation (Andridge and Little, "A review of hot deck imputation for survey non-response",
International Statistical Review 2010; Troyanskaya et al., "Missing value estimation methods for DNA microarrays",
Bioinformatics 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.data import evenly
from unalike.types import FloatArray

SELDOM = 0.01
"""A column of which a smaller share of the training cells is missing counts as one that is usually there."""

_MOST_ROWS = 2_000
_MOST_CELLS = 500_000
_CHUNK = 256

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Donors:
    """Training rows that lend their values to rows with gaps.

    Only gaps in columns that are usually there are filled: where training had many, a gap is itself something that
    is normal or not. A row that lacks more than half of these columns keeps its gaps: too little is known of it.

    The donor is the training row at the smallest distance over the cells that the row has: squared differences of
    numbers, 1 for another category, 1 for a cell that only one of the two has. Of equal ones it is the first.

    Parameters
    ----------
    values : ndarray
        ``(donors, columns)`` float32: standardised numbers and codes, 0 where missing.
    missing : ndarray
        ``(donors, columns)`` bool; nowhere in a column that is usually there.
    usual : ndarray
        ``(columns,)`` bool: the columns that are usually there.
    """

    values: npt.NDArray[np.float32]
    missing: Flags
    usual: Flags

    @classmethod
    def among(cls, values: FloatArray, missing: Flags) -> Donors:
        """At most 2,000 of the training rows ``(m, columns)`` that have no gaps in the columns usually there.

        Fewer when the table is wide: 500,000 cells at most. Without such a row nothing is filled.
        """
        usual = missing.mean(axis=0) < SELDOM
        complete = np.flatnonzero(~missing[:, usual].any(axis=1))
        most = max(1, min(_MOST_ROWS, _MOST_CELLS // values.shape[1]))
        rows = complete[evenly(len(complete), most)] if len(complete) else complete
        return cls(values=values[rows].astype(np.float32), missing=missing[rows], usual=usual)

    @classmethod
    def restored(cls, state: Mapping[str, Any], columns: int) -> Donors:
        """From a table's state; from one that was saved before there were donors, what fills nothing."""
        empty = np.zeros((0, columns))
        return cls(
            values=np.asarray(state.get("donors", empty), dtype=np.float32),
            missing=np.asarray(state.get("donors_missing", empty), dtype=bool),
            usual=np.asarray(state.get("usual", np.zeros(columns)), dtype=bool),
        )

    def fill(self, values: FloatArray, missing: Flags, coded: Sequence[bool]) -> tuple[FloatArray, Flags]:
        """Values and gaps of the rows ``(n, columns)`` after filling; a row's are the same whatever is beside it.

        Parameters
        ----------
        values : ndarray
            ``(n, columns)``: standardised numbers and codes, 0 where missing.
        missing : ndarray
            ``(n, columns)`` bool.
        coded : sequence of bool
            Which columns hold codes.
        """
        gaps = missing & self.usual
        known = 2 * gaps.sum(axis=1) <= self.usual.sum()
        rows = np.flatnonzero(gaps.any(axis=1) & known)
        if not len(self.values) or not len(rows):
            return values, missing
        values, missing = values.copy(), missing.copy()
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            lent = self.values[self._nearest(values[chunk], missing[chunk], coded)]
            values[chunk] = np.where(gaps[chunk], lent, values[chunk])
        missing[rows] &= ~self.usual
        return values, missing

    def state(self) -> dict[str, Any]:
        """What `restored` takes, beside what else a table keeps."""
        return {"donors": self.values, "donors_missing": self.missing, "usual": self.usual}

    def _nearest(self, values: FloatArray, missing: Flags, coded: Sequence[bool]) -> npt.NDArray[np.intp]:
        """``(n,)`` positions of the donors."""
        distance = np.zeros((len(values), len(self.values)))
        # Column by column: a matrix product's last bits would depend on how many rows there are.
        for column, is_code in enumerate(coded):
            there = ~missing[:, column, None]  # (n, 1)
            lent, absent = self.values[:, column], self.missing[:, column]  # (donors,) each
            apart = values[:, column, None] - lent  # (n, donors)
            apart = (apart != 0).astype(np.float64) if is_code else np.square(apart, out=apart)
            apart *= there
            if not self.usual[column]:
                apart = np.where(absent, there, np.where(there, apart, 1.0))
            distance += apart
        nearest: npt.NDArray[np.intp] = distance.argmin(axis=1)
        return nearest
