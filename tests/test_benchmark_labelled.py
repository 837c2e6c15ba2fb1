from __future__ import annotations

import numpy as np
import pytest
from benchmarks import harness, labelled
from benchmarks.summary import Row, read

Y = (np.arange(400) < 60).astype(int)
CENTERS = np.where(np.arange(400) < 30, 8.0, np.where(np.arange(400) < 45, -8.0, 20.0)) * Y
X = np.random.default_rng(0).normal(size=(400, 2)) + CENTERS[:, None]


@pytest.mark.parametrize("protocol", labelled.PROTOCOLS)
def test_labelled_anomalies_neither_train_nor_test(protocol):
    train, told, test = labelled.parts(X, Y, protocol, 0)
    assert not set(told) & (set(train) | set(test))
    assert not set(train) & set(test)
    assert len(told) == 10
    assert Y[told].all()
    assert not Y[train].any()
    assert len(train) == 170
    others = 50 if protocol == "any" else 30  # the largest kind has 30
    assert Y[test].sum() == others
    assert (Y[test] == 0).sum() == 170
    if protocol == "one-kind":
        assert (told < 30).all()


def test_sets_with_few_anomalies_are_left_out():
    few = (np.arange(400) < 19).astype(int)
    assert labelled.parts(X, few, "any", 0) is None
    uneven = np.isin(np.arange(400), [*range(18), 40, 50]).astype(int)  # two are of other kinds
    assert labelled.parts(X, uneven, "any", 0) is not None
    assert labelled.parts(X, uneven, "one-kind", 0) is None


def test_kinds_are_numbered_by_size():
    assert np.bincount(labelled.kinds(X[:60], X[60:])).tolist() == [30, 15, 15]


def test_a_run_leaves_out_what_it_must_and_tests_all_methods_alike(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(labelled, "_PRELOAD", ("pytest",))
    monkeypatch.setattr(labelled, "METHODS", {"0 labelled": 0})
    for variable in harness.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")
    np.savez(tmp_path / "1_few.npz", X=X, y=(np.arange(400) < 12).astype(int))
    arguments = ["--data", str(tmp_path), "--threads", "1", "--out", str(tmp_path / "out.csv")]
    assert labelled.main(arguments) == 0
    assert read(tmp_path / "out.csv") == []
    assert "labelled from" in capsys.readouterr().out


def test_the_table_compares_sets_that_all_methods_finished():
    def row(data, method, value):
        return Row(data=data, protocol="any", seed=0, method=method, values={"auroc": value, "auprc": value / 2})

    rows = [row("a", method, value) for method, value in zip(labelled.METHODS, (0.5, 0.6, 0.7), strict=True)]
    rows += [row("b", method, value) for method, value in zip(labelled.METHODS, (0.9, 0.8, 0.9), strict=True)]
    rows += [row("c", "0 labelled", 0.1)]
    lines = labelled.table(rows, ["a", "b", "c"])
    assert lines[1:] == [
        ["any", "0 labelled", "70.00", "35.00", "2", "+0.00", "+0.00"],
        ["any", "5 labelled", "70.00", "35.00", "2", "-10.00", "-5.00"],
        ["any", "10 labelled", "80.00", "40.00", "2", "+0.00", "+0.00"],
    ]
