"""Named byte strings in one zip file or one directory: written whole or not at all, read by name.

Entries of a zip file are stored uncompressed and without dates: the same contents give the same bytes, and none
can swell when it is read. Nothing is ever extracted to a path that a file names.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from unalike.errors import CannotLoad, InvalidParameter
from unalike.writing import whole_file

MANIFEST = "model.json"
ENTRY = re.compile(r"(?:weights|arrays)\.safetensors|skops/\d+\.skops|bytes/\d+\.bin")
"""What an entry beside the manifest may be called."""

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of every entry: the first that a zip file can tell."""

# What Python's zipfile raises on damaged files.
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    struct.error,
    zlib.error,
    EOFError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def check_target(path: str | os.PathLike[str]) -> Path:
    """The path, when a model can be saved there; to be asked before the work.

    Raises
    ------
    InvalidParameter
        When its folder does not exist, or something that is no model is in the way.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InvalidParameter(f"`path` must lie in an existing folder; got {str(path)!r}. Make the folder first.")
    if is_directory_form(path) and target.exists() and not (target.is_dir() and _replaceable(target)):
        raise InvalidParameter(
            f"`path` must be free, an empty folder or a saved model; {str(path)!r} holds something else. "
            "Choose another name; one that ends in .unalike makes a single file."
        )
    return target


def is_directory_form(path: str | os.PathLike[str]) -> bool:
    """Whether `path` means a directory: it is one, ends in a slash, or has no suffix."""
    text = os.fspath(path)
    return text.endswith(("/", os.sep)) or Path(path).is_dir() or not Path(path).suffix


def write_files(path: str | os.PathLike[str], files: Mapping[str, bytes]) -> Path:
    """Write `files`, in the form that `path` asks for, in the place of what is there; see `check_target`."""
    target = check_target(path)
    if is_directory_form(path):
        _write_directory(target, files)
    else:
        _write_zip(target, files)
    return target


def reader(path: Path) -> DirectoryReader | ZipReader:
    """Opens a model of either form.

    Raises
    ------
    CannotLoad
        When there is nothing, or no model.
    """
    try:
        if not path.exists():
            raise CannotLoad(f"`path` must be a saved model; there is nothing at {str(path)!r}. Check the name.")
        opened = DirectoryReader(path) if path.is_dir() else ZipReader(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if MANIFEST not in opened.sizes:
        opened.close()
        raise foreign(path, f"it has no {MANIFEST}")
    return opened


class DirectoryReader:
    """Entries of a directory.

    Attributes
    ----------
    path : Path
        Of the model.
    sizes : dict of str to int
        Bytes of each entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = [place for place in sorted(path.rglob("*")) if place.is_symlink() or not place.is_dir()]
        # A pipe or a dangling link has a size that no manifest states.
        self.sizes = {
            place.relative_to(path).as_posix(): place.stat().st_size if place.is_file() else -1 for place in files
        }

    def __enter__(self) -> DirectoryReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    def read(self, name: str) -> bytes:
        """One entry."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise damaged(self.path, f"{name}: {error}") from error


class ZipReader:
    """Entries of a zip file; otherwise as `DirectoryReader`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _BROKEN_ZIP as error:
            raise _no_zip(path, error) from error
        infos = self._zip.infolist()
        self.sizes = {info.filename: info.file_size for info in infos}
        once = len(self.sizes) == len(infos) and sum(self.sizes.values()) <= path.stat().st_size
        all_plain = once and all(map(_is_plain, infos))
        # A newer format may compress; its manifest must still be read, to say that it is newer.
        self._plain = {info.filename: all_plain or (info.filename == MANIFEST and _is_plain(info)) for info in infos}

    def __enter__(self) -> ZipReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def read(self, name: str) -> bytes:
        """One entry."""
        if not self._plain[name]:
            raise damaged(self.path, "entries must be stored once, uncompressed and unencrypted")
        try:
            return self._zip.read(name)
        except _BROKEN_ZIP as error:
            raise damaged(self.path, f"{name}: {error}") from error


def damaged(path: Path, how: str) -> CannotLoad:
    """The error for a model that is not as it was written."""
    return CannotLoad(
        f"{str(path)!r} must be a saved model as it was written; it is corrupted or was changed ({how}). Copy it "
        "again from where it came from, or save the model again."
    )


def foreign(path: Path, why: str) -> CannotLoad:
    """The error for what is no model of unalike's."""
    return CannotLoad(f"{str(path)!r} holds no unalike model: {why}. Give what `unalike.save` wrote.")


def _unreadable(path: Path, error: BaseException) -> CannotLoad:
    return CannotLoad(f"`path` must be a saved model that you may read; got {str(path)!r}: {error}. Check its rights.")


def _no_zip(path: Path, error: BaseException) -> CannotLoad:
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError:
        return _unreadable(path, error)
    if start == b"PK":
        return damaged(path, f"its end is missing or broken: {error}")
    return foreign(path, "it is no zip file" if start else "it is empty")


def _is_plain(info: zipfile.ZipInfo) -> bool:
    stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
    return stored and not info.flag_bits & 0x1


def _write_zip(target: Path, files: Mapping[str, bytes]) -> None:
    with whole_file(target) as temporary, zipfile.ZipFile(temporary, "x") as file:
        for name, data in files.items():
            file.writestr(_dateless(name), data)


def _dateless(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EARLIEST)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


def _write_directory(target: Path, files: Mapping[str, bytes]) -> None:
    target = Path(os.path.realpath(target))
    temporary = _sibling(target, "tmp")
    try:
        for name, data in files.items():
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _exchange(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(made: Path, target: Path) -> None:
    """Put `made` in the place of `target`; a directory cannot be replaced in one step, so the old one steps aside."""
    if not target.exists():
        made.rename(target)
        return
    old = _sibling(target, "old")
    target.rename(old)
    try:
        made.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _sibling(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{suffix}")


def _replaceable(directory: Path) -> bool:
    """Whether it holds nothing but what a model has, so that replacing it destroys no other work of the user's."""
    names = set(DirectoryReader(directory).sizes)
    return not names or (MANIFEST in names and all(ENTRY.fullmatch(name) for name in names - {MANIFEST}))
