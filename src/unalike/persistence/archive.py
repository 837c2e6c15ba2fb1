"""A saved model on disk: a manifest, ``model.json``, and the entries that it vouches for.

The manifest is the root of a hash tree: it states size and SHA-256 of every other entry, and its own SHA-256
without that line. One entry too many, too few or changed refuses the whole. Hashes find damage, not malice
(whoever changes a file can hash it anew): what is safe to *do* with contents is the business of `codec`.

Nothing here imports torch, so that `inspect` answers at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unalike.errors import CannotLoad
from unalike.persistence.containers import ENTRY, MANIFEST, DirectoryReader, ZipReader, damaged, foreign, reader
from unalike.persistence.containers import write_files as _write_files

FORMAT = "unalike model"
FORMAT_VERSION = 1


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a saved model says of itself, from its ``model.json`` alone.

    Parameters
    ----------
    path : str or Path
        A file or directory that `unalike.save` wrote.

    Returns
    -------
    dict
        Among others ``format_version``, ``versions`` (of the libraries that wrote it), ``summary`` (modality,
        schema, branches, threshold, sample counts), ``entries`` (``bytes`` and ``sha256`` of each) and
        ``sha256`` (of the whole).

    Raises
    ------
    CannotLoad
        When it is not there, no model, of a newer format, or its ``model.json`` is damaged.
    """
    with reader(Path(path)) as opened:
        return _manifest(opened)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and entries of a saved model, whole and unchanged.

    Raises
    ------
    CannotLoad
        As `inspect`; and when an entry is missing, too many, or not as the manifest states.
    """
    with reader(Path(path)) as opened:
        manifest = _manifest(opened)
        return manifest, _entries(opened, manifest["entries"])


def write(path: str | os.PathLike[str], manifest: Mapping[str, Any], entries: Mapping[str, bytes]) -> Path:
    """Write a model whole or not at all; the same contents give the same bytes.

    Parameters
    ----------
    path : str or Path
        See `containers.check_target` and `containers.is_directory_form`. An existing model stays until it is
        replaced.
    manifest : mapping
        JSON values.
    entries : mapping of str to bytes
        By name: ``weights.safetensors``, ``arrays.safetensors``, ``skops/<number>.skops``, ``bytes/<number>.bin``.
    """
    tree = {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in entries.items()}
    body = {"format": FORMAT, "format_version": FORMAT_VERSION, **manifest, "entries": tree}
    sealed = canonical({**body, "sha256": _digest(canonical(body))})
    return _write_files(path, {MANIFEST: sealed, **entries})


def canonical(value: Any) -> bytes:
    """JSON text that is the same for the same value, and is the same again after it was read."""
    return json.dumps(value, allow_nan=False, ensure_ascii=True, indent=1).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _manifest(opened: DirectoryReader | ZipReader) -> dict[str, Any]:
    path = opened.path
    try:
        manifest = json.loads(opened.read(MANIFEST))
    except (ValueError, RecursionError) as error:
        if isinstance(error, CannotLoad):
            raise
        raise damaged(path, f"{MANIFEST}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise foreign(path, f"its {MANIFEST} is of something else")
    # Before the hash: what a newer format hashes is its own affair.
    version = manifest.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CannotLoad(
            f"{str(path)!r} was written in format {version}; this unalike reads up to {FORMAT_VERSION}. Upgrade "
            "unalike (pip install --upgrade unalike)."
        )
    body = {name: value for name, value in manifest.items() if name != "sha256"}
    if version != FORMAT_VERSION or _digest_of(body) != manifest.get("sha256"):
        raise damaged(path, f"{MANIFEST} does not match its hash")
    _check_entries(path, opened.sizes, manifest.get("entries"))
    return manifest


def _digest_of(body: dict[str, Any]) -> str | None:
    try:
        return _digest(canonical(body))
    except (ValueError, RecursionError):  # NaN, or too deep: nothing that `write` makes
        return None


def _check_entries(path: Path, sizes: Mapping[str, int], entries: Any) -> None:
    """The entries must be those of the manifest, by name and size."""
    well_formed = isinstance(entries, dict) and all(
        ENTRY.fullmatch(name) and isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys()
        for name, entry in entries.items()
    )
    if not well_formed:
        raise damaged(path, f"{MANIFEST} lists entries that no model has")
    expected = {MANIFEST: sizes[MANIFEST], **{name: entry["bytes"] for name, entry in entries.items()}}
    differing = sorted(name for name in sizes.keys() | expected.keys() if sizes.get(name) != expected.get(name))
    if differing:
        raise damaged(path, f"missing, additional or of another size: {', '.join(map(repr, differing[:5]))}")


def _entries(opened: DirectoryReader | ZipReader, stated: Mapping[str, Any]) -> dict[str, bytes]:
    entries = {name: opened.read(name) for name in stated}
    for name, data in entries.items():
        if _digest(data) != stated[name]["sha256"]:
            raise damaged(opened.path, f"{name} does not match its hash")
    return entries
