"""What stands before the routes: hosts, origins, sizes and headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from unalike.errors import InvalidParameter
from unalike.service import Settings, application
from unalike.service.running import is_loopback, made


@pytest.fixture(scope="module")
def small(place: Path) -> Iterator[TestClient]:
    """A service that takes at most 0.02 MB and 40 samples."""
    settings = Settings(watch=0.0, most_megabytes=0.02, most_samples=40)
    with TestClient(application({"t": place / "table.unalike"}, settings=settings), base_url="http://localhost") as own:
        yield own


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]"])
def test_other_names_of_this_machine_are_refused(small: TestClient, host: str) -> None:
    answer = small.get("/models", headers={"host": host})
    assert answer.status_code == 400
    assert "Host" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:9", "[::1]:80", "LOCALHOST"])
def test_its_own_names_are_not(small: TestClient, host: str) -> None:
    assert small.get("/models", headers={"host": host}).status_code == 200


def test_pages_of_other_origins_may_not_post(small: TestClient) -> None:
    ours, theirs = "http://localhost", "http://evil.example"
    assert small.post("/models/t/reload", headers={"origin": theirs}).status_code == 403
    assert small.post("/models/t/reload", headers={"origin": "null"}).status_code == 403
    assert small.post("/models/t/reload", headers={"origin": ours}).status_code == 200
    asked = small.options("/detect", headers={"origin": theirs, "access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize("path", ["/", "/page.js", "/models", "/nothing", "/detect"])
def test_every_answer_has_the_headers_that_browsers_heed(small: TestClient, path: str) -> None:
    headers = small.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


def test_large_bodies_are_refused_told_or_not(small: TestClient) -> None:
    rows = b"a,b,c,colour\n" + b"0.1,0.2,0.3,red\n" * 2000
    told = small.post("/detect", content=rows, headers={"content-type": "text/csv"})
    assert (told.status_code, "0.02 MB" in told.json()["detail"]) == (413, True)

    def pieces() -> Iterator[bytes]:
        yield from (rows[at : at + 1000] for at in range(0, len(rows), 1000))

    untold = small.post("/detect", content=pieces(), headers={"content-type": "text/csv"})
    assert untold.status_code == 413
    form = small.post("/detect", files={"file": ("rows.csv", rows)})
    assert form.status_code == 413
    assert small.get("/health").status_code == 200


def test_many_samples_are_refused(small: TestClient) -> None:
    rows = b"a,b,c,colour\n" + b"0.1,0.2,0.3,red\n" * 41
    answer = small.post("/detect", content=rows, headers={"content-type": "text/csv"})
    assert (answer.status_code, "at most 40 samples" in answer.json()["detail"]) == (413, True)


def test_files_that_are_large_unpacked_are_refused(small: TestClient, tmp_path: Path) -> None:
    import gzip

    packed = gzip.compress(b"a,b,c,colour\n" + b"0.1,0.2,0.3,red\n" * 100_000)
    assert len(packed) < 20_000
    answer = small.post("/detect", files={"file": ("rows.csv.gz", packed)})
    assert (answer.status_code, "unpacked" in answer.json()["detail"]) == (413, True)


def test_beyond_this_machine_there_must_be_keys(place: Path) -> None:
    models = {"t": place / "table.unalike"}
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):  # noqa: S104
        assert not is_loopback(host)
        with pytest.raises(InvalidParameter, match="new-key"):
            made(models, host=host, settings=Settings())
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert is_loopback(host)


@pytest.mark.parametrize(
    "settings",
    [{"batch_rows": 0}, {"most_waiting": 1.5}, {"time_out": 0}, {"batch_wait": -1}, {"hosts": "a"}, {"watch": None}],
)
def test_limits_that_are_none_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        Settings(**settings)  # type: ignore[arg-type]
