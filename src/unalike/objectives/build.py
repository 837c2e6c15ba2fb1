"""From a name, settings or a user's callable to an objective that holds the encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import nn

from unalike.errors import InvalidParameter
from unalike.lookup import named
from unalike.objectives import NAMES
from unalike.seeding import isolated
from unalike.types import ObjectiveSettings


def build_objective(
    objective: str | ObjectiveSettings | Callable[[nn.Module], nn.Module], encoder: nn.Module, seed: int
) -> nn.Module:
    """Put `encoder` into `objective`.

    Parameters
    ----------
    objective : str, ObjectiveSettings or callable
        A name in `unalike.objectives.NAMES`, settings with a method ``build(encoder)``, or a callable
        ``encoder -> module``, such as a class of the user's.
    encoder : Module
        Becomes the objective's attribute `encoder`; it is not copied.
    seed : int
        Of what the objective draws at its making; the global generators are left as they were.

    Returns
    -------
    Module
        An `unalike.types.Objective`.

    Raises
    ------
    InvalidParameter
        `objective` is nothing of these, or what it makes is not a module that contains `encoder`.
    """
    make = _maker(objective)
    with isolated(seed):
        built = make(encoder)
    if not isinstance(built, nn.Module):
        raise InvalidParameter(
            f"`objective` must make a torch.nn.Module; got {type(built).__name__} from {_name(objective)}. "
            "Return a module whose forward(batch, views, generator) gives the loss."
        )
    if getattr(built, "encoder", None) is not encoder:
        raise InvalidParameter(
            f"`objective` must make a module whose attribute `encoder` is the encoder it was given; "
            f"{_name(objective)} did not. Set `self.encoder = encoder` in its __init__."
        )
    return built


def _maker(objective: Any) -> Callable[[nn.Module], Any]:
    if isinstance(objective, str):
        objective = named("objective", NAMES, objective)()
    if isinstance(objective, nn.Module):
        raise InvalidParameter(
            f"`objective` must be a name, settings or a callable that takes the encoder; got a module that is "
            f"already made, {_name(objective)}. Give its class, or a function that puts an encoder into it."
        )
    build = getattr(objective, "build", None)
    if callable(build) and isinstance(objective, type) and not issubclass(objective, nn.Module):
        raise InvalidParameter(
            f"`objective` must be an instance of its settings; got the class {_name(objective)}. "
            f"Give {_name(objective)}()."
        )
    make: Any = build if callable(build) and not isinstance(objective, type) else objective
    if not callable(make):
        raise InvalidParameter(
            f"`objective` must be one of {sorted(NAMES)}, settings with a method `build(encoder)` or a callable "
            f"that takes the encoder; got {objective!r}."
        )
    return cast(Callable[[nn.Module], Any], make)


def _name(objective: Any) -> str:
    if isinstance(objective, str):
        return repr(objective)
    return str(getattr(objective, "__name__", type(objective).__name__))
