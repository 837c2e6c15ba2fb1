"""The branches that texts are judged by, where the user names none."""

from __future__ import annotations

from typing import Any

from unalike.errors import InvalidParameter
from unalike.types import Branch


def branches(model: Any) -> tuple[Branch, ...]:
    """The tuned branches.

    Parameters
    ----------
    model
        As in `modalities.Text`.
    """
    raise InvalidParameter("`branches` must be given for texts as yet.")
