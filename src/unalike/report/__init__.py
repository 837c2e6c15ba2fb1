"""What a model says of data as one HTML file that opens anywhere: summary, charts, and the anomalies themselves.

`page` puts it together of sections; `material` measures; `charts` draws. `summary`, `cautions`, `scores`, `shown`,
`mapping` and `learning` are the sections, `pictures`, `steps`, `rows` and `passages` show samples of one kind of data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.report.page import write_report

_NAMES = {"write_report": "unalike.report.page:write_report"}

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _NAMES, name)
