"""benchmarks/methods.py: single branches trained alike, and a table that is right."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import methods
from benchmarks.results import COLUMNS, Key, Results

VALUES = dict.fromkeys(COLUMNS[4:], 10.0)


def test_every_row_is_made_by_one_job(tmp_path):
    named = [methods.FLOOR, *methods.NAMES]
    jobs = methods.jobs(tmp_path, ("a", "b"), "clean", (0, 1), named)
    keys = [job.key(method) for job in jobs for method in job.methods]
    assert len(keys) == len(set(keys)) == 2 * 2 * len(methods.METHODS)
    assert methods.METHODS[0] == "floor"
    assert "icl-own (untrained)" not in methods.METHODS


def test_all_methods_train_alike_and_differ():
    branches = [methods.branch(name) for name in methods.NAMES]
    assert len({branch.training for branch in branches}) == 1
    assert len({(repr(branch.encoder), repr(branch.objective), repr(branch.scorer)) for branch in branches}) == 8
    assert [branch.name for branch in branches if branch.scorer == "objective"] == ["icl-own"]


@pytest.mark.parametrize("name", ["floor", "synthetic-piecewise", "icl-own"])
def test_a_method_fits_and_scores(name):
    train = np.random.default_rng(0).normal(size=(40, 3))
    model = methods.make(name, 2, 0)
    model.fit(train)
    assert model.score(train[:7], name).shape == (7,)
    if name == "synthetic-piecewise":
        assert not np.array_equal(model.score(train + 0.1, name), model.score(train + 0.1, name + " (untrained)"))


def test_means_are_over_the_sets_that_all_finished(tmp_path):
    path = tmp_path / "results.csv"
    with Results(path) as results:
        for method, aurocs in (("floor", (0.9, 0.8, 0.1)), ("icl", (0.7, 0.6)), ("icl (untrained)", (0.5, 0.4))):
            for data, auroc in zip("abc", aurocs, strict=False):
                results.append(Key(data, "clean", 0, method), {**VALUES, "auroc": auroc, "auprc": auroc / 2})
    header, *lines = methods.table(methods.read(path))
    assert header[-1] == "sets: 2"
    assert [line[:5] for line in lines] == [
        ["floor", "85.00", "", "42.50", ""],
        ["icl", "65.00", "45.00", "32.50", "22.50"],
    ]
