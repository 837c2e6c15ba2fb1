"""A model whose file changes is loaded anew; a broken file changes nothing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from unalike import load, save, thresholds
from unalike.errors import CannotLoad, InvalidParameter
from unalike.service import Settings, application

ROW = {"a": 0.1, "b": 0.2, "c": 0.3, "colour": "red"}


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(place / "table.unalike", tmp_path / "own.unalike"))


def other(model: Path) -> None:
    """Another threshold, so that it is another version."""
    detector = load(model)
    save(detector.calibrate(threshold=thresholds.Quantile(false_alarm_rate=0.3)), model)


def test_a_changed_file_is_loaded_by_itself(model: Path) -> None:
    app = application({"own": model}, settings=Settings(watch=0.05))
    with TestClient(app, base_url="http://localhost") as client:
        before = client.get("/models/own").json()
        first = client.post("/detect", json=[ROW]).json()
        other(model)
        until = time.monotonic() + 10
        while (now := client.get("/models/own").json())["version"] == before["version"]:
            assert time.monotonic() < until, "it was not loaded"
            time.sleep(0.05)
        second = client.post("/detect", json=[ROW]).json()
    assert (first["version"], second["version"]) == (before["version"], now["version"])
    assert first["threshold"] != second["threshold"]
    assert first["decisions"][0]["score"] == second["decisions"][0]["score"]
    assert now["failure"] is None


def test_a_broken_file_leaves_the_earlier_model_in_place(model: Path) -> None:
    app = application({"own": model}, settings=Settings(watch=0.0))
    with TestClient(app, base_url="http://localhost") as client:
        before = client.post("/detect", json=[ROW]).json()
        model.write_bytes(model.read_bytes()[:-200])
        refused = client.post("/models/own/reload")
        assert (refused.status_code, "goes on" in refused.json()["detail"]) == (409, True)
        assert client.post("/detect", json=[ROW]).json() == before
        assert client.get("/models/own").json()["failure"] is not None
        assert client.get("/health").json()["failed"] == 1
        model.unlink()
        app.state.service.look()
        assert client.post("/detect", json=[ROW]).json() == before


def test_requests_that_were_accepted_are_judged_by_the_version_that_took_them(model: Path) -> None:
    app = application({"own": model}, settings=Settings(watch=0.0))
    with TestClient(app, base_url="http://localhost") as client:
        served = app.state.service.models.named("own")
        earlier = served.current
        other(model)
        assert client.post("/models/own/reload").status_code == 200
        assert served.current is not earlier
        # Both versions can be at work at once; neither is changed.
        assert earlier.detector.threshold_.threshold_ != served.current.detector.threshold_.threshold_


def test_what_cannot_be_served_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(CannotLoad):
        application({"none": tmp_path / "none.unalike"})
    with pytest.raises(InvalidParameter, match="at least one"):
        application({})


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    import pickle

    file = tmp_path / "evil.unalike"
    file.write_bytes(pickle.dumps({"model": np.zeros(3)}))
    with pytest.raises(CannotLoad):
        application({"evil": file})
