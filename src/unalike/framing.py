"""Columns as a DataFrame of the library that the user has."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, get_args

from unalike.errors import InvalidParameter, MissingExtra

Backend = Literal["pandas", "polars", "pyarrow"]

_BACKENDS = get_args(Backend)


def as_frame(columns: Mapping[str, Any], backend: Backend | None) -> Any:
    """A DataFrame of these columns, as `Decisions.to_frame` makes it."""
    import narwhals as nw

    if backend is None:
        backend = "pandas" if find_spec("pandas") else "pyarrow"
    if backend not in _BACKENDS:
        raise InvalidParameter(f"`backend` must be one of {list(_BACKENDS)}; got {backend!r}.")
    try:
        return nw.from_dict(columns, backend=backend).to_native()
    except ImportError as error:
        raise MissingExtra(
            f"A {backend} frame needs {backend}. Install it, or use to_frame('pyarrow'), which is always there."
        ) from error
