"""The benchmark of explanations on rows whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import explain
from benchmarks.explain import Rows, Spoil


def rows(constant: bool = False) -> Rows:
    X = np.random.default_rng(0).normal(size=(200, 5)) * [1.0, 2.0, 3.0, 4.0, 5.0]
    if constant:
        X[:, 1] = 7.0
    return Rows.of(X, np.zeros(200, dtype=np.int64))


@pytest.mark.parametrize("how", explain.HOW)
def test_only_the_drawn_columns_are_spoilt_and_constant_ones_never(how: str) -> None:
    made = rows(constant=True)
    spoil = Spoil.drawn(made, how, 2)
    changed = spoil.at(0.5) != made.held_out[: len(spoil.rows)]
    assert [sorted(np.flatnonzero(row)) for row in changed] == [sorted(columns) for columns in spoil.columns.tolist()]
    assert 1 not in spoil.columns
    assert (spoil.at(0.0) == spoil.rows).all()
    if how == "shift":
        moved = np.abs(np.take_along_axis(spoil.at(2.0) - spoil.rows, spoil.columns, axis=1))
        np.testing.assert_allclose(moved, 2.0 * made.train.std(axis=0)[spoil.columns])


def test_no_anomaly_and_no_row_on_both_sides() -> None:
    X = np.arange(100.0)[:, None]
    made = Rows.of(X, (np.arange(100) >= 90).astype(np.int64))
    used = np.concatenate([made.train, made.held_out])[:, 0]
    assert sorted(used) == list(range(90))


def test_the_magnitude_gives_the_auroc_that_was_asked_for() -> None:
    made = rows()
    spoil = Spoil.drawn(made, "shift", 1)

    def score(X: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(X / made.train.std(axis=0)).max(axis=1))

    untouched = score(made.held_out)
    found = [explain.magnitude_for(target, spoil, untouched, score) for target in explain.TARGETS]
    assert found == sorted(found)
    for target, magnitude in zip(explain.TARGETS, found, strict=True):
        assert explain.auroc(untouched, score(spoil.at(magnitude))) == pytest.approx(target, abs=0.02)


def test_hits_are_counted_among_the_first_m() -> None:
    columns = np.array([[0, 1], [2, 3]])
    assert explain.hit_rate([[1, 0, 9], [9, 2, 3]], columns) == 0.75
    assert explain.hit_rate([[], [3]], columns) == 0.25


def test_the_largest_z_is_in_training_deviations_and_leaves_constant_columns_out() -> None:
    made = rows(constant=True)
    row = made.train.mean(axis=0)[None] + [[3.0, 100.0, 3.0, 3.0, 3.0]]
    assert explain.largest_z(made.train, row)[0] == [0, 2, 3, 4, 1]


def test_the_table_leaves_out_what_did_not_reach_its_auroc() -> None:
    line = {"data": "6_cardio", "method": "shift/1/0.99", "hit": "1", "largest_z": "0.5", "chance": "0.1"}
    lines = [{**line, "explain_s": "0.01", "reached": reached} for reached in ("0.99", "0.95", "")]
    assert explain.table(lines)[1:] == [["tune", "shift", "1", "0.99", "1", "100.0%", "50.0%", "10.0%", "10"]]
