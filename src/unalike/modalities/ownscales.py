"""Centre and scale of each entity's channels, for machines of very different size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Self

import numpy as np

from unalike.errors import InputWarning, tell
from unalike.modalities.moments import center_and_scale
from unalike.records import Records
from unalike.types import BoolArray, FloatArray, IntArray

LEAST_WINDOWS = 2
"""An entity must have so many windows' steps in training: the spread of fewer says little."""
_MOST_NAMES = 5


@dataclass(frozen=True, eq=False)
class OwnScales:
    """Of the entities that training saw enough of.

    Parameters
    ----------
    names : tuple of str
        The entities.
    center, scale : ndarray
        ``(1 + entities, channels)``; the first row is that of all entities together, for those that are not named.
    """

    names: tuple[str, ...]
    center: FloatArray
    scale: FloatArray
    _rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {name: row for row, name in enumerate(self.names, start=1)})

    @classmethod
    def learned(cls, X: Records, center: FloatArray, scale: FloatArray, least: int) -> Self:
        """From the training steps.

        Parameters
        ----------
        X : Records
            Steps that train.
        center, scale : ndarray
            ``(channels,)`` of all entities together: for entities with fewer than `least` steps, and for channels of
            which an entity measured fewer.
        least : int
            Steps.
        """
        names, centers, scales = [], [center], [scale]
        found = _by_entity(X)
        least = 0 if len(found) == 1 else least  # the scale of all is its own
        for entity, values in found.items():
            if len(values) < least:
                continue
            enough: BoolArray = (~np.isnan(values)).sum(axis=0) >= least
            own = center_and_scale(values, ["number"] * len(X.channels))
            names.append(entity)
            centers.append(np.where(enough, own[0], center))
            scales.append(np.where(enough, own[1], scale))
        return cls(tuple(names), np.stack(centers), np.stack(scales))

    def rows(self, entities: Iterable[str]) -> IntArray:
        """``(n,)``: which row of `center` and `scale` is that of each."""
        return np.array([self._rows.get(entity, 0) for entity in entities], dtype=np.int64)

    def salt(self, entity: str) -> np.uint64:
        """What tells fingerprints of equal steps apart that are not alike in the units of their entities."""
        row = self._rows.get(entity, 0)
        content = self.center[row].tobytes() + self.scale[row].tobytes()
        return np.uint64(int.from_bytes(blake2b(content, digest_size=8).digest(), "little"))

    def warn_of_others(self, entities: Iterable[str], why: str) -> None:
        """One warning that names the entities without a scale of their own."""
        others = [entity for entity in dict.fromkeys(entities) if entity not in self._rows]
        if others:
            more = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
            tell(
                f"Every entity must have {why} for a scale of its own; {others[:_MOST_NAMES]}{more} had not. Their "
                "values are told in the scale of all entities together. Fit with records of them, or take "
                "scale='together'.",
                InputWarning,
            )

    def state(self) -> dict[str, Any]:
        """As JSON values and arrays."""
        return {"entities": list(self.names), "center": self.center, "scale": self.scale}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """From what `state` gave."""
        return cls(tuple(state["entities"]), state["center"], state["scale"])


def _by_entity(X: Records) -> dict[str, FloatArray]:
    """``(t, channels)`` all steps of each."""
    found: dict[str, list[FloatArray]] = {}
    for segment in X.segments:
        found.setdefault(segment.entity, []).append(segment.values)
    return {entity: np.concatenate(several).astype(np.float64) for entity, several in found.items()}
