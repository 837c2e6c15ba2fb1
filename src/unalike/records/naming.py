"""How the steps of records are called in results."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.records.collection import Records


def names(X: Records) -> npt.NDArray[Any]:
    """``(n,)``: the time of each step where times are known, else its number in its record, from 0.

    Dates are ``datetime64`` of the coarsest unit that holds all of them exactly; those with a time zone are texts as
    ISO 8601 has them, by the clock of that zone: ``"2024-05-31T14:00:00+02:00"``.
    """
    parts = [np.arange(s.start, s.start + len(s)) if s.times is None else s.times for s in X.segments]
    together: npt.NDArray[Any] = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    if together.dtype.kind != "M":
        return together
    coarse = _coarsest(together)
    zone = None if X.clock is None else X.clock.zone
    return coarse if zone is None else _texts(coarse, zone)


def entities(X: Records) -> npt.NDArray[np.str_]:
    """``(n,)``: whose each step is; empty texts where there is one record without a name."""
    lengths = [len(segment) for segment in X.segments]
    return np.repeat(np.array([segment.entity for segment in X.segments], dtype=np.str_), lengths)


def _coarsest(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    for unit in ("s", "ms", "us"):
        coarse = times.astype(f"datetime64[{unit}]")
        if (coarse == times).all():
            return coarse
    return times


def _texts(times: npt.NDArray[np.datetime64], zone: str) -> npt.NDArray[np.str_]:
    """By the clock of the zone, with its offset from UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unit = np.datetime_data(times.dtype)[0]
    local = pc.local_timestamp(pa.array(times).cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone)))
    clock = local.to_numpy(zero_copy_only=False).astype(times.dtype)
    minutes = ((clock - times).astype("timedelta64[m]")).astype(np.int64)
    offsets, which = np.unique(minutes, return_inverse=True)
    told = np.array([f"{'-' if m < 0 else '+'}{abs(m) // 60:02d}:{abs(m) % 60:02d}" for m in offsets.tolist()])
    return np.char.add(np.datetime_as_string(clock), told[which])
