"""API keys: what is kept of them, and what they open."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from unalike.errors import InvalidParameter
from unalike.service import Keys, Settings, application, new_key


def test_a_key_is_random_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    first, second = new_key(file, "one"), new_key(file, "two")
    assert first != second
    assert len(first) >= 43
    written = file.read_text(encoding="utf-8")
    assert first.removeprefix("unalike_") not in written
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = Keys.read(file)
    assert (keys.name_of(first), keys.name_of(second), keys.name_of(first[:-1]), keys.name_of("")) == (
        "one",
        "two",
        None,
        None,
    )
    (digest,) = re.findall(r"^one sha256:(\w+)$", written, flags=re.MULTILINE)
    assert keys.name_of(digest) is None, "the hash must not open anything"


@pytest.mark.parametrize(
    "text", ["", "# none\n", "one sha256:12\n", "one\n", f"a sha256:{'0' * 64}\na sha256:{'1' * 64}\n"]
)
def test_files_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidParameter, match="key_file"):
        Keys.read(file)


def test_names_are_taken_once_and_have_no_spaces(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    new_key(file, "one")
    before = file.read_bytes()
    for name in ("one", "two words", "", "a\nb"):
        with pytest.raises(InvalidParameter):
            new_key(file, name)
    assert file.read_bytes() == before


def test_requests_need_a_key_and_revoked_ones_do_not_open(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key, other = new_key(file, "one"), new_key(file, "two")
    app = application({"t": place / "table.unalike"}, settings=Settings(watch=0.0), key_file=file)
    with TestClient(app, base_url="http://localhost") as client:
        for path in ("/models", "/models/t", "/nothing"):
            assert client.get(path).status_code == 401
        for path in ("/detect", "/explain", "/embed", "/models/t/reload"):
            refused = client.post(path, json=[], headers={"authorization": f"Bearer {key}x"})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/page.js", "/page.css", "/health", "/openapi.json"):
            assert client.get(path).status_code == 200
        opened = {"authorization": f"Bearer {key}"}
        assert client.get("/models", headers=opened).status_code == 200
        assert client.get("/models", headers={"x-api-key": other}).status_code == 200
        assert client.post("/models/t/reload", headers=opened).status_code == 200
        lines = file.read_text(encoding="utf-8").splitlines()
        file.write_text("\n".join(line for line in lines if not line.startswith("one ")), encoding="utf-8")
        app.state.service.look()
        assert client.get("/models", headers=opened).status_code == 401
        assert client.get("/models", headers={"x-api-key": other}).status_code == 200
        file.write_text("half a li", encoding="utf-8")
        app.state.service.look()
        assert client.get("/models", headers={"x-api-key": other}).status_code == 200
        assert client.get("/models").status_code == 401
