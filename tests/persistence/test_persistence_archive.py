from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from unalike.errors import CannotLoad, InvalidParameter
from unalike.persistence import archive, containers, inspect

MANIFEST = {"versions": {"unalike": "0.1.0"}, "summary": {"loss": 0.1}, "history": ["ä", None, 1e-300]}
ENTRIES = {"weights.safetensors": b"weights" * 50, "arrays.safetensors": b"", "skops/0.skops": bytes(range(256))}
FORMS = ("model.unalike", "model")


@pytest.fixture(params=FORMS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return archive.write(tmp_path / request.param, MANIFEST, ENTRIES)


def files(folder: Path) -> dict[str, bytes]:
    return {place.relative_to(folder).as_posix(): place.read_bytes() for place in folder.rglob("*") if place.is_file()}


def rezip(path: Path, contents: dict[str, bytes], **settings: Any) -> Path:
    with zipfile.ZipFile(path, "w", **settings) as file:
        for name, data in contents.items():
            file.writestr(name, data)
    return path


def unzip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_contents_come_back(written: Path) -> None:
    manifest, entries = archive.read(written)
    assert entries == ENTRIES
    assert {name: manifest[name] for name in MANIFEST} == MANIFEST
    assert inspect(written) == manifest
    assert manifest["entries"]["weights.safetensors"] == {
        "bytes": 350,
        "sha256": hashlib.sha256(b"weights" * 50).hexdigest(),
    }


def test_the_path_decides_the_form(tmp_path: Path) -> None:
    assert archive.write(tmp_path / "a.unalike", MANIFEST, ENTRIES).is_file()
    assert archive.write(str(tmp_path / "b"), MANIFEST, ENTRIES).is_dir()
    assert archive.write(f"{tmp_path / 'c.unalike'}/", MANIFEST, ENTRIES).is_dir()
    (tmp_path / "d.unalike").mkdir()
    assert archive.write(tmp_path / "d.unalike", MANIFEST, ENTRIES).is_dir()
    assert files(tmp_path / "b") == files(tmp_path / "c.unalike") == files(tmp_path / "d.unalike")
    assert files(tmp_path / "b") == unzip(tmp_path / "a.unalike")


def test_the_same_contents_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = archive.write(tmp_path / f"again{written.suffix}", MANIFEST, ENTRIES)
    if written.is_file():
        assert again.read_bytes() == written.read_bytes()
        with zipfile.ZipFile(written) as file:
            assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
    else:
        assert files(again) == files(written)


def test_the_manifest_is_hashed_too(tmp_path: Path) -> None:
    model = archive.write(tmp_path / "model", MANIFEST, ENTRIES)
    text = (model / "model.json").read_text()
    (model / "model.json").write_text(text.replace("0.1.0", "0.1.9"))
    with pytest.raises(CannotLoad, match=r"model'.*corrupted or was changed \(model.json does not match its hash\)"):
        inspect(model)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CannotLoad, match=r"nothing at '.*gone.unalike'. Check the name"):
        archive.read(tmp_path / "gone.unalike")


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"", "it is empty"),
        (b"a,b\n1,2\n", "it is no zip file"),
        (b"\x80\x04\x95pickle", "it is no zip file"),
    ],
)
def test_foreign_files(tmp_path: Path, contents: bytes, why: str) -> None:
    path = tmp_path / "data.unalike"
    path.write_bytes(contents)
    with pytest.raises(CannotLoad, match=rf"data.unalike' holds no unalike model: {why}. Give what `unalike.save`"):
        archive.read(path)


def test_foreign_zips_and_folders(tmp_path: Path) -> None:
    contents = {"word/document.xml": b"<xml/>"}
    with pytest.raises(CannotLoad, match=r"no unalike model: it has no model.json"):
        archive.read(rezip(tmp_path / "letter.docx", contents, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(CannotLoad, match=r"no unalike model: its model.json is of something else"):
        archive.read(rezip(tmp_path / "other.zip", {"model.json": b'{"format": "onnx"}'}))
    with pytest.raises(CannotLoad, match=r"no unalike model: its model.json is of something else"):
        archive.read(rezip(tmp_path / "list.zip", {"model.json": b"[1]"}))
    with pytest.raises(CannotLoad, match=r"no unalike model: it has no model.json"):
        archive.read(tmp_path)


def test_what_may_not_be_read(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for place in ("io.open", "pathlib.Path.exists"):
        with monkeypatch.context() as patch:
            patch.setattr(place, denied)
            with pytest.raises(CannotLoad, match="Permission denied"):
                archive.read(written)


@pytest.mark.parametrize("form", FORMS)
def test_newer_formats_say_upgrade_whatever_else_they_changed(tmp_path: Path, form: str) -> None:
    manifest = {"format": "unalike model", "format_version": 2, "hash": "of another kind"}
    path = tmp_path / form
    if path.suffix:
        rezip(path, {"model.json": json.dumps(manifest).encode()})
        with zipfile.ZipFile(path, "a", compression=zipfile.ZIP_DEFLATED) as file:
            file.writestr("new.bin", bytes(1000))
    else:
        path.mkdir()
        (path / "model.json").write_text(json.dumps(manifest))
    for reading in (archive.read, inspect):
        with pytest.raises(CannotLoad, match=r"written in format 2; this unalike reads up to 1. Upgrade unalike"):
            reading(path)


@pytest.mark.parametrize("text", ["{", '{"format": "unalike model"}', "[" * 100_000, '{"a": NaN}', "\xff", "1" * 5000])
def test_broken_manifests(tmp_path: Path, text: str) -> None:
    with pytest.raises(CannotLoad):
        archive.read(rezip(tmp_path / "model.unalike", {"model.json": text.encode("latin-1")}))


def test_entries_too_many_too_few_or_changed(written: Path) -> None:
    contents = files(written) if written.is_dir() else unzip(written)
    additional = {**contents, "payload.pkl": b"cos\nsystem\n"}
    missing = {name: data for name, data in contents.items() if name != "arrays.safetensors"}
    longer = {**contents, "arrays.safetensors": b"longer"}
    changed = {**contents, "weights.safetensors": b"veights" * 50}
    for broken, named in (
        (additional, "payload.pkl"),
        (missing, "arrays.safetensors"),
        (longer, "arrays.safetensors"),
        (changed, "weights.safetensors"),
    ):
        if written.is_dir():
            for name, data in broken.items():
                (written / name).write_bytes(data)
            for name in files(written).keys() - broken.keys():
                (written / name).unlink()
        else:
            rezip(written, broken)
        with pytest.raises(CannotLoad, match=rf"corrupted or was changed \(.*{named}"):
            archive.read(written)
        if written.is_dir():
            (written / "payload.pkl").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["../../evil.bin", "/etc/evil", "..\\evil", "skops/../x", "skops/0.skops/", "C:evil"])
def test_entries_cannot_lead_out_of_the_model(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    path = inside / "model.unalike"
    with zipfile.ZipFile(path, "w") as file:
        body = {
            "format": "unalike model",
            "format_version": 1,
            "entries": {name: {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}},
        }
        sealed = {**body, "sha256": hashlib.sha256(archive.canonical(body)).hexdigest()}
        file.writestr("model.json", archive.canonical(sealed))
        file.writestr(name, b"x")
    with pytest.raises(CannotLoad, match="lists entries that no model has"):
        archive.read(path)
    assert list(tmp_path.rglob("*evil*")) == []


def test_compressed_entries_are_refused_so_that_none_can_swell(tmp_path: Path) -> None:
    path = archive.write(tmp_path / "model.unalike", MANIFEST, {"weights.safetensors": bytes(10_000_000)})
    rezip(path, unzip(path), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CannotLoad, match="must be stored once, uncompressed"):
        archive.read(path)


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = archive.write(tmp_path / "model.unalike", MANIFEST, ENTRIES)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("weights.safetensors", b"weights" * 50)
    with pytest.raises(CannotLoad, match="must be stored once"):
        archive.read(path)


def test_links_that_lead_nowhere_and_pipes_are_refused(tmp_path: Path) -> None:
    model = archive.write(tmp_path / "model", MANIFEST, ENTRIES)
    for make in (lambda place: place.symlink_to("/nowhere"), os.mkfifo):
        make(model / "stray")
        with pytest.raises(CannotLoad, match=r"of another size: 'stray'"):
            archive.read(model)
        (model / "stray").unlink()
    (model / "weights.safetensors").unlink()
    os.mkfifo(model / "weights.safetensors")
    with pytest.raises(CannotLoad, match=r"weights\.safetensors"):
        archive.read(model)


@pytest.mark.parametrize("place", ["while writing", "at the end"])
def test_an_interrupted_save_leaves_the_old_model(written: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = archive.read(written)
    last = "os.replace" if written.is_file() else "os.rename"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync" if place == "while writing" else last, interrupted)
        with pytest.raises(KeyboardInterrupt):
            archive.write(written, MANIFEST, {"weights.safetensors": b"new" * 1000})
    assert archive.read(written) == before
    assert list(written.parent.iterdir()) == [written]


def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive.write(tmp_path / "model.unalike", MANIFEST, ENTRIES)
    before = path.read_bytes()
    original = zipfile.ZipFile.writestr

    def full(self: zipfile.ZipFile, info: Any, data: bytes) -> None:
        if info.filename != "model.json":
            raise OSError(28, "No space left on device")
        original(self, info, data)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        archive.write(path, MANIFEST, {"weights.safetensors": b"new"})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_steps_back_when_its_place_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive.write(tmp_path / "model", MANIFEST, ENTRIES)
    before = files(path)
    original = Path.rename

    def failing(self: Path, target: Any) -> Path:
        if self.name.endswith(".tmp"):
            raise OSError("device is gone")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="device is gone"):
        archive.write(path, MANIFEST, {"weights.safetensors": b"new"})
    assert files(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_replaces_a_model(written: Path) -> None:
    archive.write(written, MANIFEST, {"weights.safetensors": b"new"})
    assert archive.read(written)[1] == {"weights.safetensors": b"new"}
    assert [found.name for found in written.parent.iterdir()] == [written.name]


def test_other_work_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    assert containers.check_target(folder) == folder
    for name in ("holiday.jpg", "model.json"):
        (folder / name).write_bytes(b"x")
        with pytest.raises(InvalidParameter, match=r"must be free, an empty folder or a saved model; .*photos'"):
            archive.write(folder, MANIFEST, ENTRIES)
    assert sorted(files(folder)) == ["holiday.jpg", "model.json"]
    plain = tmp_path / "plain"
    plain.write_bytes(b"text")
    with pytest.raises(InvalidParameter, match="holds something else"):
        archive.write(plain, MANIFEST, ENTRIES)
    assert plain.read_bytes() == b"text"


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"must lie in an existing folder.*Make the folder first"):
        archive.write(tmp_path / "gone" / "model.unalike", MANIFEST, ENTRIES)


def test_inspect_does_not_import_torch(written: Path) -> None:
    code = (
        "import sys; from unalike.persistence import inspect; "
        f"assert inspect({str(written)!r})['summary'] == {{'loss': 0.1}}; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
