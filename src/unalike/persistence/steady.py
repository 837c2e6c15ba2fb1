"""skops archives that are the same bytes for the same object.

skops names the parts of an archive by the memory addresses that they had and dates them, so that two dumps of
one object differ.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import PurePath
from typing import Any

from unalike.persistence.containers import EARLIEST


def steady_skops(data: bytes) -> bytes | None:
    """The archive with running numbers for addresses and without dates; None when `data` is no skops archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            parts = {name: file.read(name) for name in file.namelist()}
        schema = json.loads(parts["schema.json"])
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None
    names: dict[str, str] = {}
    _renumber(schema, {}, names)
    steady = io.BytesIO()
    with zipfile.ZipFile(steady, "w") as file:
        for old, new in names.items():
            file.writestr(zipfile.ZipInfo(new, EARLIEST), parts[old])
        file.writestr(zipfile.ZipInfo("schema.json", EARLIEST), json.dumps(schema))
    return steady.getvalue()


def _renumber(node: Any, numbers: dict[int, int], names: dict[str, str]) -> None:
    """Change addresses and names of files in place, in the order in which they are met."""
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _renumber(item, numbers, names)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("__id__"), int):
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
    if isinstance(node.get("file"), str):
        node["file"] = names.setdefault(node["file"], f"{len(names)}{PurePath(node['file']).suffix}")
