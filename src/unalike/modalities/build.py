"""From what the user wrote as ``modality`` to one that may be fitted."""

from __future__ import annotations

from typing import Any

from unalike.errors import InvalidParameter
from unalike.lookup import named
from unalike.modalities import MODALITIES
from unalike.plain import unlearned
from unalike.types import Modality


def build_modality(modality: Any) -> Modality:
    """A modality that may be fitted without changing what the user passed.

    Parameters
    ----------
    modality : str or Modality
        A name in `MODALITIES`, or a modality (copied, without what it has learned).

    Raises
    ------
    InvalidParameter
        An unknown name, or an object of another shape.
    """
    if isinstance(modality, str):
        made: Modality = named("modality", MODALITIES, modality)()
        return made
    # isinstance(x, Modality) would ask an unfitted modality for its schema, which is not there yet.
    verbs = ("check", "fit", "cut", "tensors")
    if isinstance(modality, type) or not all(callable(getattr(modality, verb, None)) for verb in verbs):
        raise InvalidParameter(f"`modality` must be one of {sorted(MODALITIES)} or a Modality; got {modality!r}.")
    copied: Modality = unlearned(modality)
    return copied
