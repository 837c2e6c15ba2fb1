"""What a service remembers of the latest samples."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from unalike.decisions import Decisions
from unalike.service import recent
from unalike.types import FloatArray


def decided(scores: FloatArray) -> Decisions:
    n = len(scores)
    return Decisions(
        ids=np.arange(n),
        scores=scores,
        p_values=np.full(n, np.nan),
        is_anomaly=scores > 2.0,
        threshold=2.0,
        false_alarm_rate=None,
    )


def test_drift_is_found_anew_when_fifty_samples_came_and_not_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    detector = SimpleNamespace(
        calibration_scores_=generator.normal(size=400), threshold_=SimpleNamespace(threshold_=2.0), modality_=None
    )
    calls = []
    compared = recent.compared
    monkeypatch.setattr(recent, "compared", lambda *two: calls.append(len(two[0].scores)) or compared(*two))
    known = recent.Recent(detector)  # type: ignore[arg-type]
    for number in range(recent.LEAST):
        assert known.drift() is None
        known.add(decided(generator.normal(size=1)))
        assert len(calls) == 0, number
    first = known.drift()
    assert first is not None
    assert (first["n"], first["drifted"]) == (50, False)
    known.add(decided(generator.normal(5.0, size=49)))
    assert known.drift() == first
    known.add(decided(generator.normal(5.0, size=1)))
    second = known.drift()
    assert second is not None
    assert (second["n"], second["drifted"], calls) == (100, True, [50, 100])
