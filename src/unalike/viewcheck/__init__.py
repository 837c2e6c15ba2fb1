"""Are these views fit for this data? What can be told without labels.

`material` takes the data apart and names the views, `check` measures, `results` holds the figures and turns them
into words. docs/choosing-views.md tells how to read them, and what they cannot know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.viewcheck.check import check_views
    from unalike.viewcheck.results import ViewCheck, ViewChecks

_NAMES = {
    "check_views": "unalike.viewcheck.check:check_views",
    "check": "unalike.viewcheck.results:ViewCheck",
    "checks": "unalike.viewcheck.results:ViewChecks",
}

__all__ = ["ViewCheck", "ViewChecks", "check_views"]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _NAMES, name)
