"""One file per kind of data: all that is special to it, with its default pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.modalities.image import Image
    from unalike.modalities.series import Series
    from unalike.modalities.table import Table
    from unalike.modalities.text import Text

MODALITIES = {
    "image": "unalike.modalities.image:Image",
    "series": "unalike.modalities.series:Series",
    "table": "unalike.modalities.table:Table",
    "text": "unalike.modalities.text:Text",
}

__all__ = ["MODALITIES", "Image", "Series", "Table", "Text"]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, MODALITIES, name)
