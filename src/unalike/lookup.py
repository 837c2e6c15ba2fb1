"""Names to objects: each stage's ``__init__`` holds one literal dict of lazy ``"module:Name"`` entries."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from unalike.errors import InvalidParameter


def named(what: str, names: Mapping[str, str], name: str) -> Any:
    """The object that `name` stands for in `names`.

    Parameters
    ----------
    what : str
        The parameter that held the name, for the error.
    names : mapping
        Short name to ``"module:Name"``.
    name : str
        The short name.

    Raises
    ------
    InvalidParameter
        When the name is unknown; the message lists the known ones.
    """
    if name not in names:
        raise InvalidParameter(
            f"`{what}` must be one of {sorted(names)} or an object of the right shape; got {name!r}."
        )
    module, _, attribute = names[name].partition(":")
    return getattr(import_module(module), attribute)


def exported(module: str, names: Mapping[str, str], attribute: str) -> Any:
    """What a stage's ``__getattr__`` gives: the entry of `names` whose object is called `attribute`."""
    for entry in names.values():
        if entry.rpartition(":")[2] == attribute:
            return getattr(import_module(entry.partition(":")[0]), attribute)
    raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
