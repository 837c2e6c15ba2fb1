"""Samples beside their views on one page: HTML without scripts or anything from elsewhere.

`page` puts it together; `images`, `lines`, `cells` and `passages` draw the samples of one kind of data;
`style` is how it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.viewpage.page import view_page

_NAMES = {"view_page": "unalike.viewpage.page:view_page"}

__all__ = ["view_page"]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _NAMES, name)
