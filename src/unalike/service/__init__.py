"""The service: detect, explain and embed over HTTP, for many clients at once.

`application` makes it for any ASGI server, `serve` runs it. A request's way: `guard` (host, key, size) →
`bodies` (JSON, files) → `inputs` (what the modality reads) → `scoring` (checked and encoded, joined with the requests
of others by a `batching.Worker`) → `answers`. One process holds the models (`models`); each has one scoring thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.service.app import application
    from unalike.service.keys import Keys, new_key
    from unalike.service.running import serve
    from unalike.service.settings import Settings

_NAMES = {
    "application": "unalike.service.app:application",
    "keys": "unalike.service.keys:Keys",
    "new_key": "unalike.service.keys:new_key",
    "serve": "unalike.service.running:serve",
    "settings": "unalike.service.settings:Settings",
}

__all__ = ["Keys", "Settings", "application", "new_key", "serve"]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _NAMES, name)
