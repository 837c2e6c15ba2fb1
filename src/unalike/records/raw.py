"""One record as it was read: not sorted, not yet regular in time; and what training taught of records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.records.collection import Clock, Records
from unalike.types import FloatArray

Times = npt.NDArray[Any]
"""``(t,)`` int64 or float64 numbers, or ``datetime64``, in UTC where there is a time zone."""


@dataclass(frozen=True, eq=False, slots=True)
class Raw:
    """One record.

    Parameters
    ----------
    entity : str
        Whose.
    values : ndarray
        ``(t, channels)`` float64, NaN = missing.
    channels : tuple of str
        Names; of an array ``x0``, ``x1``…
    named : bool
        Whether the user's data named them.
    times : ndarray, optional
        ``(t,)``.
    zone : str, optional
        Time zone of `times`.
    """

    entity: str
    values: FloatArray
    channels: tuple[str, ...]
    named: bool
    times: Times | None = None
    zone: str | None = None

    def called(self) -> str:
        """How errors name it."""
        return f"record {self.entity!r}" if self.entity else "`X`"


@dataclass(frozen=True, slots=True)
class Learned:
    """What training taught of records, which later ones are held against.

    Parameters
    ----------
    channels : tuple of str
        Names.
    named : bool
        Whether the data named them: later frames then go by name, else by position.
    clock : Clock, optional
        Of the training records; None when no times were known.
    """

    channels: tuple[str, ...]
    named: bool
    clock: Clock | None = None

    @staticmethod
    def of(X: Records) -> Learned:
        """What training records teach."""
        return Learned(X.channels, X.named, X.clock)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "channels": list(self.channels)}

    @staticmethod
    def restored(state: Mapping[str, Any]) -> Learned:
        """From what `state` gave."""
        clock = state["clock"]
        return Learned(tuple(state["channels"]), state["named"], None if clock is None else Clock(**clock))


def joined(raws: list[Raw]) -> Raw:
    """Records of one entity, one after the other, as one."""
    first = raws[0]
    if len(raws) == 1:
        return first
    times = None if first.times is None else np.concatenate([np.asarray(raw.times) for raw in raws])
    values = np.concatenate([raw.values for raw in raws])
    return Raw(first.entity, values, first.channels, first.named, times, first.zone)
