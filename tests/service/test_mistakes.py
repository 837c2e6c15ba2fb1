"""What a client does wrong is told in the library's words, never in a traceback, and never reads our files."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.service.parts import form

from unalike import load, save
from unalike.service import Settings, application, scoring

ROW = {"a": 0.1, "b": 0.2, "c": 0.3, "colour": "red"}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/detect?model=table", [], 422, "at least one"),
        ("/detect?model=table", [{"a": 1}], 422, "none called"),
        ("/detect?model=table", [{**ROW, "a": "x"}], 422, "numbers"),
        ("/detect?model=table", [{**ROW, "a": [1]}], 422, "one value per column"),
        ("/detect?model=table", [[1, 2], [3]], 422, "equally long"),
        ("/detect?model=table", ["rows.csv"], 422, "objects"),
        ("/detect?model=table", "rows.csv", 422, "list"),
        ("/detect?model=table", {"rows": [ROW]}, 422, "samples"),
        ("/detect?model=table&modle=x", [ROW], 422, "Did you mean 'model'"),
        ("/detect?model=tabel", [ROW], 404, "Did you mean 'table'"),
        ("/detect", [ROW], 404, "must name one of"),
        ("/detect?model=table&false_alarm_rate=2", [ROW], 422, "above 0 and below 1"),
        ("/detect?model=table&false_alarm_rate=x", [ROW], 422, "a number"),
        ("/detect?model=table&false_alarm_rate=0.000001", [ROW], 422, "false_alarm_rate"),
        ("/detect?model=table&false_alarm_rate=0.1&false_discovery_rate=0.1", [ROW], 422, "alone"),
        ("/detect?model=table", {"samples": [ROW], "entities": ["x"]}, 422, "PerEntity"),
        ("/detect?model=table", {"samples": [ROW], "dtype": "uint8"}, 422, "dtype"),
        ("/detect?model=series", [1, "x"], 422, "numbers"),
        ("/detect?model=series", {"samples": {"one": "record.csv"}}, 422, "list"),
        ("/detect?model=series", [[1.0], [2.0]], 422, "channels"),
        ("/detect?model=text", [1], 422, "strings"),
        ("/detect?model=text", [""], 422, "empty"),
        ("/detect?model=image", ["photo 1.png"], 422, "numbers"),
        ("/detect?model=image", [[1.0]], 422, "rows of pixels"),
        ("/detect?model=image", {"samples": [[[300]]], "dtype": "uint8"}, 422, "0 to 255"),
        ("/explain?model=table&only=7", [ROW], 422, "positions"),
        ("/explain?model=table&only=x", [ROW], 422, "only"),
        ("/explain?model=table&most_places=0", [ROW], 422, "most_places"),
        ("/embed?model=table&branch=nothing", [ROW], 422, "branch"),
    ],
)
def test_mistakes_are_told(client: TestClient, path: str, body: Any, status: int, words: str) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert "Traceback" not in answer.text
    assert "`X`" not in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"samples": 1e999}', "application/json", 422),
        (b"\xff\xfe\x00", "application/json", 422),
        (b"", "text/csv", 422),
        (b"\x00\x01", "application/vnd.apache.parquet", 422),
        (b"not a picture", "image/png", 422),
        (b"x", "application/x-www-form-urlencoded", 415),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 422),
        (b"x", "multipart/form-data", 400),
    ],
)
def test_broken_bodies_are_told(client: TestClient, content: bytes, kind: str, status: int) -> None:
    for model in ("table", "image"):
        answer = client.post(f"/detect?model={model}", content=content, headers={"content-type": kind})
        assert answer.status_code == status, answer.text
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd.csv", "/etc/x.csv", "..\\..\\x.csv", "a\x00b.csv", "x" * 300 + ".csv", ".csv", "ä b.csv"],
)
def test_names_of_files_lead_nowhere(client: TestClient, place: Path, name: str) -> None:
    rows = (place / "rows.csv").read_bytes()
    answer = client.post("/detect", params={"model": "table", "filename": name}, content=rows)
    uploaded = client.post("/detect", data={"model": "table"}, files={"file": (name, rows)})
    assert {answer.status_code, uploaded.status_code} <= {200, 422}
    assert "/tmp" not in uploaded.text  # noqa: S108
    assert "unalike-" not in uploaded.text


def test_paths_in_what_is_sent_are_never_opened(client: TestClient, place: Path) -> None:
    """For Python a string may be a path; a client's must not be."""
    photo, rows = str(place / "photo 1.png"), str(place / "rows.csv")
    table = f"path\n{photo}\n".encode()
    assert client.post("/detect", data={"model": "image"}, files={"file": ("x.csv", table)}).status_code == 422
    assert client.post("/detect?model=image", json=[photo]).status_code == 422
    assert client.post("/detect?model=image", json=[{"path": photo}]).status_code == 422
    assert client.post("/detect?model=table", json=[rows]).status_code == 422
    assert client.post("/detect?model=series", json=[rows]).status_code == 422
    text = client.post("/detect?model=text", json=[str(place / "lines.txt"), "please send new paper"])
    assert text.json()["count"] == 2, "a text that looks like a path is a text"


def test_a_broken_picture_is_named_as_the_client_named_it(client: TestClient, place: Path) -> None:
    sent = form(place, "image")
    sent["files"].append(("file", ("broken one.png", b"\x89PNG nonsense")))
    answer = client.post("/detect", **sent)
    assert answer.status_code == 422
    assert "'broken one.png'" in answer.json()["detail"]
    assert "/tmp" not in answer.text  # noqa: S108


def test_a_model_without_a_threshold_says_so(place: Path, tmp_path: Path) -> None:
    from unalike import Detector

    generator = np.random.default_rng(0)
    detector = Detector("table", calibration_fraction=0.0, training={"steps": 2}).fit(generator.normal(size=(60, 2)))
    save(detector, tmp_path / "raw.unalike")
    app = application({"raw": tmp_path / "raw.unalike"}, settings=Settings(watch=0.0))
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.post("/detect", json=[[0.0, 1.0]])
        assert answer.status_code == 409
        assert "calibrat" in answer.json()["detail"]
        assert client.post("/embed", json=[[0.0, 1.0]]).status_code == 200


def test_a_failure_of_ours_tells_nothing_but_that(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: object, **named: object) -> None:
        raise RuntimeError("secret path /etc/x")

    monkeypatch.setattr(scoring, "ready", broken)
    answer = client.post("/detect?model=table", json=[ROW])
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def slowed(place: Path, settings: Settings) -> tuple[Any, threading.Event]:
    """A service of the table model whose thread waits for an event before it scores."""
    app = application({"t": place / "table.unalike"}, settings=settings)
    go = threading.Event()
    served = app.state.service.models.named("t")
    scored = served.current.detector.fusion_.score

    def held(scores: Any) -> Any:
        go.wait(10)
        return scored(scores)

    object.__setattr__(served.current.detector.fusion_, "score", held)
    return app, go


def test_when_time_runs_out_it_is_said(place: Path) -> None:
    app, go = slowed(place, Settings(watch=0.0, time_out=0.3))
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.post("/detect", json=[ROW])
        assert (answer.status_code, "0.3 s" in answer.json()["detail"]) == (504, True)
        go.set()
        assert client.post("/detect", json=[ROW]).status_code == 200


def test_too_many_at_once_are_sent_back_and_none_is_lost(place: Path) -> None:
    app, go = slowed(place, Settings(watch=0.0, most_waiting=3, batch_rows=1))

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = [asyncio.create_task(client.post("/detect", json=[{**ROW, "a": at / 10}])) for at in range(12)]
            await asyncio.wait(asked, timeout=1.5, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.3)
            go.set()
            return list(await asyncio.gather(*asked))

    answers = asyncio.run(ask())
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    wanted = load(place / "table.unalike").anomaly_scores([{**ROW, "a": at / 10} for at in range(12)])
    for at, answer in enumerate(answers):
        if answer.status_code == 200:
            assert json.loads(answer.content)["decisions"][0]["score"] == pytest.approx(wanted[at], rel=1e-5)
    app.state.service.close()


def test_who_hangs_up_while_sending_leaves_no_traceback(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    heard = [
        {"type": "http.request", "body": b"[", "more_body": True},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/detect",
        "raw_path": b"/detect",
        "query_string": b"model=table",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 9),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }

    async def receive() -> Any:
        return heard.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert [record for record in caplog.records if record.name.startswith("unalike")] == []
    assert sent[0]["status"] == 499
