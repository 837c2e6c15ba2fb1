from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unalike.records import collected, entities, names


def test_steps_without_times_are_called_by_their_number_in_their_record() -> None:
    X = collected({"a": np.zeros(3), "b": np.zeros(2)})
    assert names(X).tolist() == [0, 1, 2, 0, 1]
    assert entities(X).tolist() == ["a", "a", "a", "b", "b"]
    some = X[np.array([1, 2, 4])]
    assert names(some).tolist() == [1, 2, 1]
    assert entities(some).tolist() == ["a", "a", "b"]
    none = X[np.array([], dtype=np.int64)]
    assert len(names(none)) == len(entities(none)) == 0


def test_one_record_has_no_name() -> None:
    assert entities(collected(np.zeros(2))).tolist() == ["", ""]


@pytest.mark.parametrize(
    ("freq", "unit"), [("1D", "s"), ("1s", "s"), ("250ms", "ms"), ("250us", "us"), ("1ns", "ns"), ("1500ns", "ns")]
)
def test_dates_have_the_coarsest_unit_that_holds_them(freq: str, unit: str) -> None:
    times = pd.date_range("2024-05-31", periods=3, freq=freq, unit="ns")
    made = names(collected(pd.Series(range(3), index=times)))
    assert made.dtype == np.dtype(f"M8[{unit}]")
    assert (made == times.to_numpy()).all()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "UTC", "+05:30"])
def test_dates_with_a_zone_are_texts_that_read_back_equal(zone: str) -> None:
    times = pd.date_range("2024-10-26 22:00", periods=60, freq="37min", tz=zone)
    made = names(collected(pd.Series(range(60), index=times)))
    assert made.tolist() == [time.isoformat() for time in times]
    assert (pd.to_datetime(made, utc=True) == times).all()
