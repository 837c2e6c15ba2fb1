"""Count, take and split any collection: list, array, tensor, DataFrame, Arrow table, list of paths.

Splits never put two samples of one group on both sides, and a split by time puts whole blocks, with a
gap, on each side. Positions are always ``(m,)`` int64, sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter
from unalike.types import Collection, IntArray, Skipped


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of the training, reference and calibration samples, ``(m,)`` int64 each, disjoint.

    `gap`: those between blocks of time, which are none of the three.
    """

    train: IntArray
    reference: IntArray
    calibration: IntArray
    gap: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def positions(self) -> IntArray:
        """``(m,)``: all of them but the gaps."""
        return np.concatenate([self.train, self.reference, self.calibration])


def count(X: Collection) -> int:
    """How many samples `X` holds."""
    shape = getattr(X, "shape", None)
    if shape is not None:
        return int(shape[0])
    if hasattr(X, "num_rows"):
        return int(X.num_rows)
    return len(X)


def take(X: Collection, positions: IntArray) -> Collection:
    """The samples at `positions`, in their order, in a collection of the same kind."""
    if isinstance(X, np.ndarray):
        return X[positions]
    if hasattr(X, "iloc"):
        return X.iloc[positions]
    if isinstance(X, (list, tuple)):
        return [X[position] for position in positions.tolist()]
    if hasattr(X, "take") and hasattr(X, "num_rows"):
        return X.take(positions)
    return X[positions]


def skipped(X: Collection) -> tuple[Skipped, ...]:
    """The samples that checked `X` left out because they could not be read."""
    found: tuple[Skipped, ...] = getattr(X, "skipped", ())
    return found


def rows_given(X: Collection, positions: IntArray) -> IntArray:
    """Where the samples at `positions` of checked `X` stand in what the user gave, ``(m,)``."""
    return X.rows[positions].astype(np.int64) if skipped(X) else positions


def split_of_given(X: Collection, split: Split) -> Split:
    """The split with its positions as `rows_given`."""
    parts = (split.train, split.reference, split.calibration, split.gap)
    return Split(*(rows_given(X, positions) for positions in parts))


def aligned(values: Sequence[Any] | None, X: Collection, name: str) -> Sequence[Any] | None:
    """Of one value per sample that the user gave, those of the samples that checked `X` holds.

    Raises
    ------
    InvalidInput
        When samples were left out and `values` has another length than what the user gave; `name` stands in the error.
    """
    if values is None or not skipped(X):
        return values
    given = count(X) + len(skipped(X))
    column = list(values)
    if len(column) != given:
        raise InvalidInput(
            f"`{name}` must have one value per sample given, {given}, of which {len(skipped(X))} could not be read; "
            f"got {len(column)}."
        )
    return [column[row] for row in X.rows.tolist()]


def split(
    n: int,
    *,
    reference: float = 0.0,
    calibration: float = 0.2,
    largest: int = 2000,
    generator: np.random.Generator,
    groups: Sequence[Any] | None = None,
    time: Sequence[Any] | None = None,
    gap: int = 0,
) -> Split:
    """Divide ``n`` samples into train, reference and calibration.

    Parameters
    ----------
    n : int
        Number of samples.
    reference, calibration : float
        Share of each held-out part, in ``[0, 1)``; together below 1.
    largest : int
        No held-out part takes more samples than this (with `groups`: than this, to the next whole group).
    generator : numpy.random.Generator
        Draws the assignment; not used with `time`.
    groups : sequence of length n, optional
        Samples of one group stay on one side.
    time : sequence of length n, optional
        Sortable. The earliest block trains and the latest calibrates.
    gap : int
        With `time`: how many samples between two blocks are left out, so that neighbours are not on
        both sides; 0 or more.

    Raises
    ------
    InvalidParameter
        Shares or `gap` out of range, or both `groups` and `time`.
    InvalidInput
        `groups` or `time` of another length than `n`, with missing values or not sortable; too few samples or
        groups to leave one to train on.
    """
    check_shares(reference, calibration)
    if groups is not None and time is not None:
        raise InvalidParameter("`groups` and `time` must not both be given; got both. Name the one that matters more.")
    if gap < 0:
        raise InvalidParameter(f"`gap` must be 0 or more; got {gap}.")
    sizes = [min(round(n * share), largest) for share in (reference, calibration)]
    if time is not None:
        return _split_time(_codes(time, n, "time"), sizes, gap)
    if groups is not None:
        return _split_groups(group_codes(groups, n), sizes, generator)
    if sum(sizes) >= n:
        raise InvalidInput(f"`X` must hold enough samples to train on; got {n}. Give more, or hold out fewer.")
    order = generator.permutation(n)
    held, train = order[: sum(sizes)], order[sum(sizes) :]
    return Split(np.sort(train), np.sort(held[: sizes[0]]), np.sort(held[sizes[0] :]))


def evenly(n: int, at_most: int) -> IntArray:
    """Positions of at most `at_most` of ``n`` samples, evenly spaced, sorted: a sample that needs no seed."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).round().astype(np.int64))


def one_of_each_stretch(n: int, most: int, generator: np.random.Generator) -> IntArray:
    """``(most,)`` sorted positions among ``n > most`` samples, one at random in each of so many equal stretches.

    Evenly spaced ones could meet only one phase of what is periodic, such as one hour of the day.
    """
    starts = np.arange(most + 1) * n // most
    return np.asarray(starts[:-1] + generator.integers(0, np.diff(starts)), dtype=np.int64)


def shared_out(kept: int, seen: int, new: int, most: int) -> tuple[IntArray, IntArray]:
    """Which of `kept` earlier samples and of `new` ones to keep, so that at most `most` stand for all alike.

    Parameters
    ----------
    kept, seen : int
        How many earlier samples there are, and how many they stand for.
    new, most : int
        How many come, and how many may stay; at least 1.

    Returns
    -------
    old, added : ndarray
        ``(m,)`` sorted positions among either, evenly spaced.
    """
    if kept == seen and seen + new <= most:
        return np.arange(kept), np.arange(new)
    # Each kept sample stands for `seen / kept`, and each that is added must not stand for fewer.
    share = min(most / (seen + new), kept / seen)
    added = min(round(new * share), most - 1)
    return evenly(kept, min(kept, most - added)), evenly(new, added)


def group_codes(groups: Sequence[Any], n: int, name: str = "groups") -> IntArray:
    """``(n,)`` int64: the rank of each value among the distinct ones; `name` stands in errors.

    Raises
    ------
    InvalidInput
        When `groups` has another length than `n`, a missing value, or values that cannot be compared.
    """
    return _codes(groups, n, name)


def runs(positions: IntArray) -> IntArray:
    """``(m,)``: numbers sorted `positions` by the run of neighbours that each lies in, from 0."""
    return np.cumsum(np.diff(positions, prepend=positions[:1] - 1) != 1)


def check_shares(reference: float, calibration: float) -> None:
    """Refuse shares of held-out samples that are none, or that leave nothing.

    Raises
    ------
    InvalidParameter
        When they do.
    """
    for name, share in (("reference_fraction", reference), ("calibration_fraction", calibration)):
        if not isinstance(share, (int, float)) or not 0.0 <= share < 1.0:
            raise InvalidParameter(f"`{name}` must be a number of at least 0 and below 1; got {share!r}.")
    if reference + calibration >= 1.0:
        raise InvalidParameter(
            "`reference_fraction` and `calibration_fraction` must leave samples to train on; "
            f"got {reference} + {calibration}."
        )


def _codes(values: Sequence[Any], n: int, name: str) -> IntArray:
    """``(n,)``: the rank of each value among the distinct ones."""
    column = np.asarray(values)
    if column.ndim != 1 or len(column) != n:
        raise InvalidInput(f"`{name}` must have one value per sample, {n}; got shape {column.shape}.")
    missing = sum(map(_is_missing, column)) if column.dtype == object else int((column != column).sum())
    if missing:
        raise InvalidInput(f"`{name}` must have a value for every sample; got {missing} missing. Fill or drop them.")
    try:
        codes = np.unique(column, return_inverse=True)[1]
    except TypeError as error:
        raise InvalidInput(f"`{name}` must hold values of one sortable type; got a mixture: {error}.") from error
    return codes.astype(np.int64)


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA cannot tell whether it equals itself
        return True


def _split_groups(codes: IntArray, sizes: list[int], generator: np.random.Generator) -> Split:
    order = generator.permutation(int(codes.max()) + 1)
    members = np.bincount(codes)
    part_of_group = np.zeros(len(order), dtype=np.int64)
    next_group = 0
    for part, size in enumerate(sizes, start=1):
        held = 0
        while held < size and next_group < len(order):
            part_of_group[order[next_group]] = part
            held += int(members[order[next_group]])
            next_group += 1
    part_of_sample = part_of_group[codes]
    train, reference, calibration = (np.flatnonzero(part_of_sample == part) for part in range(3))
    if len(train) == 0:
        raise InvalidInput(
            f"`groups` must leave whole groups to train on; got {len(order)} groups of {len(codes)} samples. "
            "Give finer groups, or hold out less."
        )
    return Split(train, reference, calibration)


def _split_time(time: IntArray, sizes: list[int], gap: int) -> Split:
    order = np.argsort(time, kind="stable")
    blocks: list[IntArray] = []
    end = len(order)
    for size in reversed(sizes):
        blocks.append(order[end - size : end] if size else order[:0])
        end = max(end - size - (gap if size else 0), 0)
    train = order[:end]
    if len(train) == 0:
        raise InvalidInput(
            f"`time` must leave samples to train on; got {len(order)} samples, {sum(sizes)} held out and a gap "
            f"of {gap}. Give more, or hold out less."
        )
    calibration, reference = blocks
    return Split(np.sort(train), np.sort(reference), np.sort(calibration))
