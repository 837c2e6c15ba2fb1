from __future__ import annotations

import numpy as np
import pytest
from benchmarks import harness, robust
from benchmarks.peers import PEERS
from benchmarks.summary import read


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tables").mkdir()
    rng = np.random.default_rng(0)
    y = (np.arange(400) < 60).astype(int)
    np.savez(tmp_path / "tables" / "1_two.npz", X=rng.normal(size=(400, 3)) + 8.0 * y[:, None], y=y)
    return tmp_path


@pytest.mark.parametrize("percent", [0, 2, 5])
def test_anomalies_among_the_training_rows_are_not_tested(percent):
    y = (np.random.default_rng(1).uniform(size=3000) < 0.1).astype(int)
    train, test = robust.mixed(y, percent, 0)
    assert set(train).isdisjoint(test)
    assert y[train].mean() == pytest.approx(percent / 100, abs=0.001)
    assert (y[train] == 0).sum() == (y == 0).sum() // 2
    assert sorted([*train, *test]) == list(range(3000))
    again = robust.mixed(y, percent, 0)
    np.testing.assert_array_equal(again[0], train)


def test_the_threshold_is_the_conformal_one():
    from unalike.thresholds import Conformal

    scores = np.random.default_rng(0).gamma(2.0, size=219)
    for rate in (0.01, 0.05, 0.1):
        assert robust._conformal(scores, rate) == Conformal(false_alarm_rate=rate).fit(scores).threshold_
    assert robust._conformal(scores[:20], 0.01) == scores[:20].max()


def test_a_run_writes_detection_and_alarms(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(robust, "_PRELOAD", ("pytest",))
    for variable in harness.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")
    out = tmp_path / "out.csv"
    status = robust.main(
        ["--data", str(folder), "--sets", "two", "--methods", "floor", "--threads", "1", "--out", str(out)]
    )
    assert status == 0
    rows = {row.protocol: row.values for row in read(out)}
    assert set(rows) == {"0%", "2%", "5%"}
    assert rows["0%"]["auroc"] == 1.0
    assert rows["0%"]["found_0.05"] == 1.0
    assert rows["5%"]["false_alarms_0.05"] < rows["0%"]["false_alarms_0.05"] + 0.05
    assert "floor" in capsys.readouterr().out


def test_peers_are_calibrated_on_rows_that_did_not_train():
    rows = np.random.default_rng(0).normal(size=(100, 2))
    peer = robust.Peer(PEERS["pyod-knn"], "pyod-knn", 0)
    peer.fit(rows)
    assert len(peer.calibration) == 20
    assert (peer.calibration > 0).all()
