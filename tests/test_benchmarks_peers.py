"""Peers in another environment, and the table with categories under stress."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import deepod, harness, mixed, tables
from benchmarks.deepod import Elsewhere
from benchmarks.peers import Peer
from benchmarks.results import Key
from benchmarks.summary import Row
from sklearn.svm import OneClassSVM


def test_a_detector_elsewhere_scores_as_here_and_tells_its_costs():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(80, 3)), rng.normal(size=(40, 3))
    labels = (np.arange(40) < 10).astype(np.int64)
    test[:10] += 4
    elsewhere = Elsewhere(Path(sys.executable), "sklearn.svm", "OneClassSVM", {"gamma": 0.5})
    try:
        far, near = Peer(lambda seed, rows: elsewhere, 0), Peer(lambda seed, rows: OneClassSVM(gamma=0.5), 0)
        rated = harness.measure(far, train, test, labels, ("m",))["m"]
        near.fit(train)
        np.testing.assert_array_equal(far.score(test), near.score(test))
        assert 0 < rated["fit_s"] < 10
        assert 0 < rated["score_s"] < 10
        assert 0 <= rated["peak_mb"] < 500
        assert rated["score_s"] != elsewhere.costs["score_s"]  # of the second scoring
        with pytest.raises(RuntimeError, match="ValueError: "):
            elsewhere.fit(np.full((5, 3), np.nan))
    finally:
        elsewhere.close()


def test_what_cannot_be_made_elsewhere_is_told():
    with pytest.raises(RuntimeError, match=r"TypeError: .*unknown"):
        Elsewhere(Path(sys.executable), "fractions", "Fraction", {"unknown": 3})


def test_without_their_environment_deepods_are_skipped_and_others_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(deepod, "ENVIRONMENT", tmp_path / "none")
    assert tables._available(["deepod-icl", "floor"]) == ["floor"]
    assert "deepod-icl skipped: " in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / ".ready").touch()
    assert tables._available(["deepod-icl", "floor"]) == ["deepod-icl", "floor"]


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    n = 1_000
    services = rng.choice(["http", "smtp", "ftp", "dns", "irc"], n, p=[0.8, 0.08, 0.04, 0.04, 0.04])
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "service": services})
    frame["protocol_type"], frame["flag"] = "tcp", "SF"
    frame = frame.astype(dict.fromkeys(mixed.CATEGORIES, object))
    labels = (np.arange(n) < 100).astype(np.int64)
    frame.loc[labels == 1, "a"] += 6
    return frame, labels


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mixed, "CALIBRATED", 100)


def test_no_row_of_the_mixed_table_is_in_two_parts(frame, small):
    table, labels = frame
    parts = mixed.split(table, labels, 0)
    assert [len(parts.train), len(parts.calibration), len(parts.test)] == [450, 100, 450]
    assert parts.labels.sum() == 100
    values = np.concatenate([parts.train["b"], parts.calibration["b"], parts.test["b"]])
    assert len(np.unique(values)) == 1_000
    assert parts.train["a"].max() < 5


def test_services_that_are_left_out_are_in_the_test_rows_only(frame, small):
    parts = mixed.split(*frame, 0)
    fewer = mixed.without_services(parts, 0)
    gone = set(parts.train["service"]) - set(fewer.train["service"])
    assert gone
    assert gone <= {"ftp", "dns", "irc"}
    assert not gone & set(fewer.calibration["service"])
    assert gone <= set(fewer.test["service"])
    assert 0.05 <= 1 - len(fewer.train) / len(parts.train) < 0.12
    assert fewer.test.equals(parts.test)


def test_stress_changes_its_share_of_the_cells_and_no_other(frame, small):
    test = mixed.split(*frame, 0).test
    assert mixed.altered(test, "clean", 0).equals(test)
    unseen = mixed.altered(test, "unseen", 0)
    changed = unseen.ne(test)
    assert 0.15 < changed.any(axis=1).mean() < 0.25
    assert changed.sum(axis=1).max() == 1
    assert (unseen.to_numpy()[changed.to_numpy()] == "never seen").all()
    assert not changed[["a", "b"]].any(axis=None)
    missing = mixed.altered(test, "missing", 0)
    assert 0.07 < missing.isna().to_numpy().mean() < 0.13
    kept = missing.notna()
    assert missing.where(kept).equals(test.where(kept))


@pytest.mark.parametrize("method", ["floor", "pyod-knn"])
def test_one_hot_peers_are_judged_on_every_test_of_one_fit(frame, small, monkeypatch, method):
    monkeypatch.setattr(mixed, "load", lambda folder: frame)
    rows = mixed.judge(Path(), "half", 0, method)
    assert list(rows) == [f"{method}/{kind}" for kind in mixed.KINDS]
    assert rows[f"{method}/clean"]["auroc"] > 0.9
    assert rows[f"{method}/clean"]["false_alarms"] < 0.15
    assert rows[f"{method}/clean"]["found"] > 0.5
    assert list(mixed.judge(Path(), "services", 0, method)) == [f"{method}/clean"]


def test_unseen_categories_and_gaps_reach_the_peers_as_numbers(frame):
    table, _ = frame
    seen = []

    class Spy:
        def fit(self, train):
            seen.append(train)

        def score(self, test, method):
            seen.append(test)
            return test.sum(axis=1)

    model = mixed.OneHot(lambda seed: Spy(), 0)
    model.fit(table)
    odd = table.head(2).copy()
    odd.loc[0, "service"], odd.loc[1, "a"] = "never seen", np.nan
    model.score(odd)
    train, test = seen
    assert train.shape[1] == 2 + 5 + 1 + 1
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-9)
    assert np.isfinite(test).all()
    assert (test[0, 1:6] < 0).all()  # no service at all
    assert test[1, 7] == pytest.approx(0, abs=1e-9)  # the training mean


def test_the_table_tells_what_each_stress_costs():
    def row(protocol, method, auroc, seed):
        values = {"auroc": auroc, "auprc": 0.5, "false_alarms": 0.05, "found": 0.9, "fit_s": 1.0, "score_s": 0.5}
        return Row(**Key("kdd99", protocol, seed, method)._asdict(), values=values)

    rows = [row("half", "floor/clean", 0.9, 1), row("half", "floor/clean", 0.92, 2)]
    rows += [row("half", "floor/missing", 0.8, 1), row("half", "floor/missing", 0.82, 2)]
    _, clean, missing = mixed.table(rows)
    assert clean[:3] == ["clean", "floor", "91.00"]
    assert missing[:4] == ["missing", "floor", "81.00 (-10.00)", "50.00 (+0.00)"]
