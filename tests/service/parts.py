"""What the tests of the service share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unalike.reading import read_table

KINDS = ("table", "series", "image", "text")


def files(place: Path, kind: str) -> list[Path]:
    """Samples of a kind as files."""
    if kind == "image":
        return sorted(place.glob("photo *.png"))
    return [place / {"table": "rows.csv", "series": "record.csv", "text": "lines.txt"}[kind]]


def local(place: Path, kind: str) -> Any:
    """The same samples as `Detector` takes them."""
    found = files(place, kind)
    return found if kind == "image" else found[0] if kind == "text" else read_table(found[0])


def form(place: Path, kind: str) -> dict[str, Any]:
    """The same samples as a form with files."""
    return {
        "files": [("file", (path.name, path.read_bytes())) for path in files(place, kind)],
        "data": {"model": kind},
    }
