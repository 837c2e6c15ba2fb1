"""``fit`` on data that is only mostly normal."""

from __future__ import annotations

import numpy as np
from tests.cli.parts import run

from unalike import load

STEPS = ["--steps", "3", "--false-alarm-rate", "0.1"]


def test_suspected_anomalies_are_set_aside_and_named(tmp_path, capsys):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(200, 3))
    X[7] = 60.0
    np.savez(tmp_path / "mixed.npz", X=X)
    model = tmp_path / "model.unalike"
    fit = ["fit", tmp_path / "mixed.npz", "-m", "table", "-o", model, *STEPS]
    assert run(*fit, "--expected-anomalies", "0.02") == 0
    told = " ".join(capsys.readouterr().out.split())
    detector = load(model)
    assert 7 in detector.set_aside_
    assert detector.expected_anomalies == 0.02
    assert f"set aside {len(detector.set_aside_)} suspected anomalies: samples " in told
    assert "7" in told.split("suspected anomalies: samples ")[1].split(" (counted")[0].split(", ")
    assert run(*fit) == 0
    assert "set aside" not in capsys.readouterr().out
    assert run(*fit, "--expected-anomalies", "0.5") == 2
