from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unalike.data import Split, count, group_codes, split, take
from unalike.errors import InvalidInput, InvalidParameter

VALUES = list(range(10, 20))
COLUMNS = {"a": VALUES, "b": [str(value) for value in VALUES]}

COLLECTIONS: dict[str, tuple[Any, Any]] = {
    "list": (VALUES, list),
    "tuple": (tuple(VALUES), list),
    "paths": ([Path(str(value)) for value in VALUES], lambda x: [int(path.name) for path in x]),
    "array": (np.array(VALUES), list),
    "array 2": (np.stack([VALUES, VALUES], axis=1), lambda x: x[:, 1].tolist()),
    "tensor": (torch.tensor(VALUES), lambda x: x.tolist()),
    "pandas": (pd.DataFrame(COLUMNS, index=list("jihgfedcba")), lambda x: x["a"].tolist()),
    "pandas series": (pd.Series(VALUES, index=VALUES[::-1]), lambda x: x.tolist()),
    "polars": (pl.DataFrame(COLUMNS), lambda x: x["a"].to_list()),
    "polars series": (pl.Series(VALUES), lambda x: x.to_list()),
    "arrow": (pa.table(COLUMNS), lambda x: x["a"].to_pylist()),
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def parts(made: Split) -> list[set[int]]:
    return [set(part.tolist()) for part in (made.train, made.reference, made.calibration)]


def assert_sound(made: Split, n: int, *, covers: bool = True) -> None:
    for part in (made.train, made.reference, made.calibration):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    everything = np.concatenate([made.train, made.reference, made.calibration])
    assert len(np.unique(everything)) == len(everything)
    assert set(everything.tolist()) <= set(range(n))
    assert not covers or len(everything) == n


# Count and take


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_count_and_take_agree_for_every_collection(kind: str) -> None:
    X, values = COLLECTIONS[kind]
    assert count(X) == 10
    for positions in ([7, 0, 3], [5], [], [2, 2]):
        taken = take(X, np.array(positions, dtype=np.int64))
        assert count(taken) == len(positions)
        assert values(taken) == [VALUES[position] for position in positions]
    assert values(X) == VALUES


@pytest.mark.parametrize("kind", [kind for kind in COLLECTIONS if kind != "tuple"])
def test_take_keeps_the_kind(kind: str) -> None:
    X, _ = COLLECTIONS[kind]
    assert type(take(X, np.array([1]))) is type(X)


def test_take_keeps_labels_of_pandas() -> None:
    assert take(COLLECTIONS["pandas"][0], np.array([9, 0])).index.tolist() == ["a", "j"]


def test_take_copies() -> None:
    X = np.zeros((4, 2))
    take(X, np.array([0, 1]))[:] = 1.0
    assert X.sum() == 0.0


# Splits at random


@pytest.mark.parametrize(("reference", "calibration"), [(0.0, 0.2), (0.25, 0.5), (0.0, 0.0), (0.3, 0.0)])
def test_random_split_has_the_shares(reference: float, calibration: float) -> None:
    made = split(200, reference=reference, calibration=calibration, generator=rng())
    assert_sound(made, 200)
    assert len(made.reference) == round(200 * reference)
    assert len(made.calibration) == round(200 * calibration)


def test_random_split_repeats_by_seed_and_differs_between_seeds() -> None:
    one, two, other = (parts(split(100, generator=rng(seed))) for seed in (1, 1, 2))
    assert one == two != other


def test_random_split_takes_every_row_equally_often() -> None:
    held = np.zeros(20)
    generator = rng()
    for _ in range(2000):
        held[split(20, calibration=0.25, generator=generator).calibration] += 1
    assert abs(held / 2000 - 0.25).max() < 0.05  # about 5 standard deviations


def test_held_out_parts_have_a_largest_size() -> None:
    made = split(1000, reference=0.3, calibration=0.2, largest=50, generator=rng())
    assert [len(part) for part in parts(made)] == [900, 50, 50]


# Splits by group


@settings(deadline=None, max_examples=60)
@given(
    groups=st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60),
    shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)),
    seed=st.integers(0, 99),
)
def test_groups_never_straddle(groups: list[str], shares: tuple[float, float], seed: int) -> None:
    n = len(groups)
    try:
        made = split(n, reference=shares[0], calibration=shares[1], generator=rng(seed), groups=groups)
    except InvalidInput as error:
        assert "`groups` must leave whole groups to train on" in str(error)  # noqa: PT017
        return
    assert_sound(made, n)
    names = [{groups[position] for position in part} for part in parts(made)]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    biggest = max(groups.count(name) for name in set(groups))
    for part, share in zip((made.reference, made.calibration), shares, strict=True):
        wanted = round(n * share)
        assert (len(part) == 0) if wanted == 0 else (wanted <= len(part) < wanted + biggest)


def test_groups_of_one_give_the_exact_shares_and_largest_holds() -> None:
    made = split(100, calibration=0.2, generator=rng(), groups=range(100))
    assert len(made.calibration) == 20
    made = split(100, calibration=0.5, largest=7, generator=rng(), groups=np.arange(100) // 5)
    assert len(made.calibration) == 10  # to the next whole group


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(InvalidInput, match=r"`groups` must leave whole groups to train on; got 1 groups of 8 samples"):
        split(8, generator=rng(), groups=["a"] * 8)


def test_group_codes_are_dense_whatever_names_the_groups() -> None:
    expected = [1, 0, 1, 2]
    dates = [dt.date(2024, 1, day) for day in (2, 1, 2, 3)]
    for groups in (list("bacd")[:1] + list("abc"), [5, 1, 5, 9], (0.5, 0.1, 0.5, 0.9), dates, pd.Series(dates)):
        codes = group_codes(groups, 4)
        assert codes.tolist() == expected
        assert codes.dtype == np.int64
    assert group_codes(pd.Series(["y", "x", "y", "z"], dtype="category"), 4).tolist() == expected
    assert group_codes(pl.Series(["y", "x", "y", "z"]), 4).tolist() == expected
    assert group_codes(pd.to_datetime(pd.Series(dates)), 4).tolist() == expected


# Splits by time


def test_time_blocks_are_in_order_with_a_gap() -> None:
    time = rng(3).permutation(100)
    made = split(100, reference=0.1, calibration=0.2, generator=rng(), time=time, gap=5)
    assert_sound(made, 100, covers=False)
    train, reference, calibration = (np.sort(time[part]) for part in (made.train, made.reference, made.calibration))
    assert calibration.tolist() == list(range(80, 100))
    assert reference.tolist() == list(range(65, 75))
    assert train.tolist() == list(range(60))


def test_time_without_a_gap_covers_everything() -> None:
    made = split(50, reference=0.2, calibration=0.2, generator=rng(), time=np.arange(50))
    assert_sound(made, 50)
    assert made.train.max() < made.reference.min()
    assert made.reference.max() < made.calibration.min()


def test_time_may_be_dates_and_needs_no_held_out_part() -> None:
    stamps = pd.date_range("2024-01-01", periods=10, tz="Europe/Paris")[::-1]
    assert split(10, calibration=0.3, generator=rng(), time=stamps).calibration.tolist() == [0, 1, 2]
    made = split(10, calibration=0.0, generator=rng(), time=stamps, gap=4)
    assert len(made.train) == 10


def test_time_needs_samples_before_the_gap() -> None:
    with pytest.raises(InvalidInput, match=r"`time` must leave samples to train on; got 10 samples, 2 held out and a"):
        split(10, generator=rng(), time=range(10), gap=8)
    with pytest.raises(InvalidInput, match=r"`time` must leave samples to train on"):
        split(10, reference=0.3, calibration=0.5, generator=rng(), time=range(10), gap=3)


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"calibration": 1.0}, r"`calibration_fraction` must be a number of at least 0 and below 1; got 1.0"),
        ({"calibration": float("nan")}, r"`calibration_fraction` must be a number of at least 0 and below 1; got nan"),
        ({"reference": -0.1}, r"`reference_fraction` must be a number of at least 0 and below 1; got -0.1"),
        ({"reference": 0.5, "calibration": 0.5}, r"must leave samples to train on; got 0.5 \+ 0.5"),
        ({"groups": range(10), "time": range(10)}, r"`groups` and `time` must not both be given"),
        ({"time": range(10), "gap": -1}, r"`gap` must be 0 or more; got -1"),
    ],
)
def test_settings_that_cannot_be_used(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        split(10, generator=rng(), **arguments)


@pytest.mark.parametrize("name", ["groups", "time"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (range(9), r"must have one value per sample, 10; got shape \(9,\)"),
        (np.zeros((10, 2)), r"must have one value per sample, 10; got shape \(10, 2\)"),
        ([*range(8), float("nan"), float("nan")], r"must have a value for every sample; got 2 missing"),
        ([*"abcdefghi", None], r"must have a value for every sample; got 1 missing"),
        (pd.Series([*"abcdefghi", None]), r"must have a value for every sample; got 1 missing"),
        (pd.array([*range(9), None], dtype="Int64"), r"must have a value for every sample; got 1 missing"),
        (pd.Series([pd.NaT, *pd.date_range("2024", periods=9)]), r"must have a value for every sample; got 1 missing"),
        (np.array([*range(9), "a"], dtype=object), r"must hold values of one sortable type; got a mixture"),
    ],
)
def test_groups_and_times_that_cannot_be_used(name: str, values: Any, message: str) -> None:
    arguments: dict[str, Any] = {name: values}
    with pytest.raises(InvalidInput, match=f"`{name}` {message}"):
        split(10, generator=rng(), **arguments)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_samples(n: int) -> None:
    with pytest.raises(InvalidInput, match=f"`X` must hold enough samples to train on; got {n}"):
        split(n, calibration=0.9, generator=rng())


def test_a_split_is_frozen() -> None:
    made = split(5, generator=rng())
    with pytest.raises(AttributeError):
        made.train = np.arange(2)  # type: ignore[misc]
