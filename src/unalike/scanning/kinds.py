"""One type for a column of several files."""

from __future__ import annotations

from typing import Any


def value_type(kind: Any) -> Any:
    """Texts are texts, whether a file has a dictionary of them or not; an order of theirs is kept."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind) and not kind.ordered:
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def wider(one: Any, other: Any) -> Any:
    """A type that holds the values of both, or None."""
    import pyarrow as pa

    if one.equals(other):
        return one
    dates = [kind for kind in (one, other) if pa.types.is_date(kind)]
    if len(dates) == 2:
        return pa.date64()
    if dates:  # a day is its midnight
        moment = other if dates[0] is one else one
        return moment if pa.types.is_timestamp(moment) and moment.tz is None else None
    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None
