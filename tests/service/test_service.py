"""Requests and their answers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.service.parts import KINDS, form, local

from unalike import load
from unalike.reading import read_table
from unalike.service import Settings, application
from unalike.service.scoring import decide_together, ready


def rows_of(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["decisions"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_service_says_what_the_loaded_model_says(client: TestClient, place: Path, kind: str) -> None:
    wanted = load(place / f"{kind}.unalike").detect(local(place, kind))
    answer = client.post("/detect", **form(place, kind))
    rows = rows_of(answer)
    assert [row["score"] for row in rows] == wanted.scores.tolist()
    assert [row["p_value"] for row in rows] == wanted.p_values.tolist()
    assert [row["is_anomaly"] for row in rows] == wanted.is_anomaly.tolist()
    assert [row["row"] for row in rows] == list(range(len(wanted)))
    assert answer.json()["threshold"] == wanted.threshold
    assert answer.json()["false_alarm_rate"] == wanted.false_alarm_rate
    assert 0 < answer.json()["anomalies"] == wanted.is_anomaly.sum() < len(wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_joined_requests_get_what_each_gets_alone(place: Path, kind: str) -> None:
    detector = load(place / f"{kind}.unalike")
    modality = detector.modality_
    whole = modality.check(local(place, kind))
    n = len(detector.anomaly_scores(whole))
    pieces = [whole] + (
        []
        if kind == "series"
        else [
            whole.take(np.arange(at, at + 2)) if kind == "table" else whole[np.arange(at, at + 2)]
            for at in range(0, n - 2, 2)
        ]
    )
    pieces += [whole]
    together = decide_together(detector, [ready(detector, X, []) for X in pieces])
    for X, decided in zip(pieces, together, strict=True):
        assert not isinstance(decided, Exception)
        alone = detector.detect(X)
        np.testing.assert_allclose(decided.decisions.scores, alone.scores, rtol=1e-5)
        np.testing.assert_array_equal(decided.decisions.is_anomaly, alone.is_anomaly)
        np.testing.assert_array_equal(decided.decisions.ids, alone.ids)


@pytest.mark.parametrize("kind", ["table", "text"])
def test_many_clients_at_once_get_each_its_own_answer(client: TestClient, place: Path, kind: str) -> None:
    samples: list[Any] = (
        (place / "lines.txt").read_text(encoding="utf-8").splitlines()
        if kind == "text"
        else [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    )
    detector = load(place / f"{kind}.unalike")
    wanted = detector.anomaly_scores(samples)
    before = client.get(f"/models/{kind}").json()

    def ask(at: int) -> float:
        row = rows_of(client.post(f"/detect?model={kind}", json=[samples[at]]))
        assert len(row) == 1
        return float(row[0]["score"])

    order = np.random.default_rng(0).integers(len(samples), size=30).tolist()
    with ThreadPoolExecutor(12) as clients:
        found = list(clients.map(ask, order))
    np.testing.assert_allclose(found, wanted[order], rtol=1e-5)
    after = client.get(f"/models/{kind}").json()
    assert after["requests"] - before["requests"] == len(order)
    assert after["batches"] - before["batches"] < len(order), "none were joined"


def test_every_form_of_a_table_is_read_alike(client: TestClient, place: Path) -> None:
    rows = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    answers = [
        client.post("/detect?model=table", json=rows),
        client.post("/detect", json={"model": "table", "samples": rows}),
        *(
            client.post("/detect", data={"model": "table"}, files={"any": (name, (place / name).read_bytes())})
            for name in ("rows.csv", "rows.parquet", "rows.jsonl")
        ),
        client.post(
            "/detect?model=table", content=(place / "rows.csv").read_bytes(), headers={"content-type": "text/csv"}
        ),
        client.post("/detect?model=table&filename=x.parquet", content=(place / "rows.parquet").read_bytes()),
    ]
    wanted = load(place / "table.unalike").detect(read_table(place / "rows.csv"))
    for answer in answers:
        np.testing.assert_allclose([row["score"] for row in rows_of(answer)], wanted.scores, rtol=1e-9)


def test_series_in_json_and_their_alarms(client: TestClient, place: Path) -> None:
    steps = np.column_stack(list(read_table(place / "record.csv").to_pydict().values()))
    wanted = load(place / "series.unalike").detect(steps)
    answer = client.post("/detect?model=series", json=steps.tolist())
    assert [row["score"] for row in rows_of(answer)] == wanted.scores.tolist()
    events = answer.json()["events"]
    assert [(event["start"], event["end"]) for event in events] == [(e.start, e.end) for e in wanted.events()]
    assert events
    many = client.post("/detect?model=series", json={"samples": {"one": steps.tolist(), "two": steps.tolist()}})
    assert [row["entity"] for row in rows_of(many)] == ["one"] * 90 + ["two"] * 90


def test_images_in_json_and_as_an_array(client: TestClient, place: Path, tmp_path: Path) -> None:
    from PIL import Image as Pillow

    pixels = np.stack([np.asarray(Pillow.open(path)) for path in sorted(place.glob("photo *.png"))])
    np.save(tmp_path / "x.npy", pixels)
    by_file = [row["score"] for row in rows_of(client.post("/detect", **form(place, "image")))]
    in_json = client.post("/detect?model=image", json={"samples": pixels.tolist(), "dtype": "uint8"})
    as_array = client.post("/detect?model=image&filename=x.npy", content=(tmp_path / "x.npy").read_bytes())
    for answer in (in_json, as_array):
        np.testing.assert_allclose([row["score"] for row in rows_of(answer)], by_file, rtol=1e-5)


def test_ids_are_the_clients_names_of_files(client: TestClient, place: Path) -> None:
    rows = rows_of(client.post("/detect", **form(place, "image")))
    assert [row["id"] for row in rows] == [f"photo {number}.png" for number in range(5)]


def test_a_rate_for_one_request(client: TestClient, place: Path) -> None:
    detector = load(place / "table.unalike")
    wanted = detector.detect(local(place, "table"), false_alarm_rate=0.5)
    form_ = form(place, "table")
    form_["data"]["false_alarm_rate"] = "0.5"
    answer = client.post("/detect", **form_)
    assert answer.json()["threshold"] == wanted.threshold
    assert [row["is_anomaly"] for row in rows_of(answer)] == wanted.is_anomaly.tolist()
    assert client.post("/detect", **form(place, "table")).json()["false_alarm_rate"] == pytest.approx(0.05)


def test_explanations_are_those_of_the_model(client: TestClient, place: Path) -> None:
    detector = load(place / "table.unalike")
    X = detector.modality_.check(local(place, "table"))
    (wanted,) = detector.explain(X, only=[7])
    answer = client.post("/explain", **form(place, "table")).json()
    found = next(one for one in answer["explanations"] if one["row"] == 7)
    assert found["score"] == pytest.approx(wanted.score, rel=1e-12)
    assert [(p["place"], p["share"], p["value"]) for p in found["parts"]] == [
        (p.place, p.share, p.value) for p in wanted.parts
    ]
    assert found["parts"][0]["place"] == "a"
    chosen = client.post("/explain?only=2,3&most_places=1", **form(place, "table")).json()
    assert [one["row"] for one in chosen["explanations"]] == [2, 3]


def test_pictures_of_images_and_causes_of_series(client: TestClient, place: Path) -> None:
    answer = client.post("/explain?pictures=true&only=3,0", **form(place, "image")).json()
    odd, normal = answer["explanations"]
    assert np.shape(odd["picture"]) == (16, 16)
    assert np.any(odd["mask"])
    assert not np.any(normal["mask"])
    assert np.max(odd["picture"]) == pytest.approx(odd["score"], rel=1e-4)
    series = client.post("/explain", **form(place, "series")).json()
    events = client.post("/detect", **form(place, "series")).json()["events"]
    assert len(series["explanations"]) == len(events) > 0
    assert {part["place"] for part in series["explanations"][0]["parts"]} <= {"x0", "x1"}


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_the_model(client: TestClient, place: Path, kind: str) -> None:
    wanted = load(place / f"{kind}.unalike").embed(local(place, kind))
    answer = client.post("/embed", **form(place, kind)).json()
    np.testing.assert_allclose(answer["embeddings"], wanted, rtol=1e-5, atol=1e-6)
    assert len(answer["ids"]) == len(wanted) == answer["count"]


def test_models_tell_what_they_take(client: TestClient, place: Path) -> None:
    models = {one["name"]: one for one in client.get("/models").json()["models"]}
    assert list(models) == list(KINDS)
    assert [column["name"] for column in models["table"]["inputs"]["columns"]] == ["a", "b", "c", "colour"]
    assert models["series"]["inputs"]["channels"] == ["x0", "x1"]
    assert models["image"]["inputs"] == {"channels": 1, "size": [16, 16]}
    detector = load(place / "table.unalike")
    one = client.get("/models/table").json()
    assert one["threshold"] == detector.threshold_.threshold_
    assert one["calibration"] == np.sort(detector.calibration_scores_).tolist()


def test_health_needs_nothing_and_tells_little(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "version", "models", "failed", "drifted"}


def test_openapi_has_examples_that_work(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    assert {"/detect", "/explain", "/embed", "/models", "/health"} <= set(told["paths"])
    content = told["paths"]["/detect"]["post"]["requestBody"]["content"]
    assert {"application/json", "multipart/form-data", "text/csv"} <= set(content)
    examples = content["application/json"]["examples"]
    texts = client.post("/detect", json={"model": "text", **examples["texts"]["value"]})
    assert len(rows_of(texts)) == 2


def test_warnings_are_told_to_whom_they_concern(place: Path) -> None:
    loud, quiet = np.full((1, 16, 16), 100.0).tolist(), np.full((1, 16, 16), 0.4).tolist()
    app = application({"image": place / "image.unalike"}, settings=Settings(watch=0.0))
    with TestClient(app, base_url="http://localhost") as own, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda pixels: own.post("/detect", json=pixels).json(), [loud, quiet] * 10))
    for answer, is_loud in zip(answers, [True, False] * 10, strict=True):
        assert any("scale" in text for text in answer["warnings"]) == is_loud


def test_drift_of_one_request_is_that_of_the_detector(client: TestClient, place: Path) -> None:
    rows = np.random.default_rng(1).normal(0.4, 1.0, (80, 3))
    samples = [dict(zip("abc", row, strict=True), colour="red") for row in rows.tolist()]
    detector = load(place / "table.unalike")
    wanted = detector.drift(samples)
    answer = client.post("/detect?model=table&drift=true", json=samples).json()
    assert answer["drift"]["p_value"] == pytest.approx(wanted.p_value, rel=1e-6)
    assert answer["drift"]["told"] == str(wanted)
    assert "drift" not in client.post("/detect?model=table", json=samples).json()


def test_drift_shows_in_what_many_small_requests_brought(place: Path) -> None:
    generator = np.random.default_rng(2)
    app = application({"table": place / "table.unalike"}, settings=Settings(watch=0.0))

    def send(client: TestClient, n: int, shift: float) -> None:
        for rows in generator.normal(shift, 1.0, (n // 10, 10, 3)).tolist():
            client.post("/detect", json=[{**dict(zip("abc", row, strict=True)), "colour": "green"} for row in rows])

    with TestClient(app, base_url="http://localhost") as client:
        send(client, 60, 0.0)
        usual = client.get("/models/table").json()["drift"]
        assert (usual["n"], usual["drifted"], client.get("/health").json()["drifted"]) == (60, False, 0)
        send(client, 60, 4.0)
        changed = client.get("/models/table").json()["drift"]
        assert (changed["n"], changed["drifted"], client.get("/health").json()["drifted"]) == (120, True, 1)
        assert "alarm" in changed["told"]
        client.post("/models/table/reload")
        assert client.get("/models/table").json()["drift"] is None
