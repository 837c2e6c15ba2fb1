"""Settings and learned state to JSON and back, without running anything that a file asks for.

JSON holds None, booleans, numbers, strings, lists and dicts as themselves; everything else is a dict with one
key that starts with ``$``. Numpy arrays and bytes lie beside the JSON and are named in it. Classes are named as
in the public interface, ``scorers.KNN``; reading looks such a name up in the stages' literal dicts, and nothing
else in a file can cause an import. What is the user's own is kept as its name only and comes back as
`Unavailable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike import encoders, modalities, objectives, scorers, thresholds, views
from unalike.errors import CannotLoad, InvalidParameter
from unalike.persistence.absent import Unavailable
from unalike.persistence.steady import steady_skops

_MORE_TYPES = {
    "Branch": "unalike.types:Branch",
    "Kept": "unalike.watching:Kept",
    "Memory": "unalike.memory:Memory",
    "Split": "unalike.data:Split",
    "Training": "unalike.types:Training",
    "objectives.InjectAnomalies": "unalike.objectives.anomalies:InjectAnomalies",
    "objectives.SpoilImage": "unalike.objectives.spoiling:SpoilImage",
    "objectives.SyntheticDefect": "unalike.objectives.defects:SyntheticDefect",
    "scorers.Fusion": "unalike.scorers.fusion:Fusion",
    "scorers.Outlier": "unalike.scorers.adapter:Outlier",
    "scorers.PerBlock": "unalike.scorers.blocks:PerBlock",
    "views.Compose": "unalike.views.compose:Compose",
    "views.PerBatch": "unalike.views.compose:PerBatch",
    "views.PerSample": "unalike.views.compose:PerSample",
}
_NUMBERS = tuple(
    f"{kind}{bits}" for kind, several in (("int", (8, 16, 32, 64)), ("float", (16, 32, 64))) for bits in several
)
_DTYPES = frozenset({"bool", *_NUMBERS, *(f"u{name}" for name in _NUMBERS if name.startswith("int"))})


@cache
def types() -> dict[str, str]:
    """Public name to ``"module:Name"`` of every class that a file may name."""
    stages = {
        "encoders": encoders.NAMES,
        "modalities": modalities.MODALITIES,
        "objectives": objectives.NAMES,
        "scorers": scorers.SCORERS,
        "thresholds": thresholds.THRESHOLDS,
        "views": views.NAMES,
    }
    named = {f"{stage}.{_attribute(entry)}": entry for stage, names in stages.items() for entry in names.values()}
    return {**named, **_MORE_TYPES}


def _attribute(entry: str) -> str:
    return entry.rpartition(":")[2]


def _resolved(entry: str) -> Any:
    module, _, attribute = entry.partition(":")
    return getattr(import_module(module), attribute)


def _public_name(cls: type) -> str | None:
    """How files name `cls`, or None when it is not ours."""
    if not cls.__module__.startswith("unalike.") or not is_dataclass(cls):
        return None
    candidates = (name for name, entry in types().items() if _attribute(entry) == cls.__qualname__)
    return next((name for name in candidates if _resolved(types()[name]) is cls), None)


def user_name(value: Any) -> str:
    """``"module:Name"`` of the user's class or function, or of an object's class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def _is_plain(value: npt.NDArray[Any] | np.generic) -> bool:
    """Numbers or text; scikit-learn keeps names of columns as an array of objects that are strings."""
    return value.dtype.kind in "biufU" or (
        value.dtype.kind == "O" and all(isinstance(item, str) for item in np.ravel(value))
    )


@dataclass
class Packer:
    """Values to JSON; collects the arrays and bytes that lie beside it.

    Attributes
    ----------
    arrays : dict of str to ndarray
        For ``arrays.safetensors``.
    blobs : dict of str to bytes
        By name of entry.
    """

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def settings(self, value: Any, place: str) -> Any:
        """Settings as JSON; what is the user's own is kept as a name.

        Parameters
        ----------
        value : object
            Dataclasses of ours, plain values, or anything of the user's.
        place : str
            Names its arrays.
        """
        return self._pack(value, place, strict=False)

    def state(self, value: Any, place: str) -> Any:
        """Learned state as JSON: as `settings`, but nothing may be left out.

        Raises
        ------
        InvalidParameter
            When it holds what no file can hold without pickle.
        """
        return self._pack(value, place, strict=True)

    def _pack(self, value: Any, place: str, strict: bool) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, np.str_):
            return str(value)
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, (np.generic, np.ndarray)) and _is_plain(value):
            return self._array(value, place)
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            packed = [self._pack(item, f"{place}/{position}", strict) for position, item in enumerate(value)]
            return packed if isinstance(value, list) else {"$tuple": packed}
        if isinstance(value, Mapping):
            return self._mapping(value, place, strict)
        return self._object(value, place, strict)

    def _array(self, value: Any, place: str) -> Any:
        name = value.dtype.name
        if value.dtype.kind in "UO":
            return {"$strings": [value.dtype.kind, list(value.shape), [str(item) for item in np.ravel(value)]]}
        if name not in _DTYPES:
            raise InvalidParameter(f"{place} must be of a type that a model file can hold; got {name}. Use float64.")
        if isinstance(value, np.generic):
            return {"$number": [name, self._pack(value.item(), place, True)]}
        key = place
        while key in self.arrays:
            key += "'"
        # Safetensors wants C order and its own byte order; `ascontiguousarray` would lose a shape of ().
        self.arrays[key] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {"$array": key}

    def _mapping(self, value: Mapping[Any, Any], place: str, strict: bool) -> Any:
        items = [(key, self._pack(item, f"{place}/{key}", strict)) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key, _ in items):
            return dict(items)
        return {"$dict": [[self._pack(key, place, strict), item] for key, item in items]}

    def _object(self, value: Any, place: str, strict: bool) -> Any:
        if isinstance(value, Unavailable):
            return {"$user": value.name}
        if isinstance(value, PurePath):
            return {"$path": str(value)}
        if isinstance(value, bytes):
            return {"$bytes": self._blob(value)}
        name = None if isinstance(value, type) else _public_name(type(value))
        if name is not None:
            # Fields outside of comparison hold what a part has learned, such as the rows that a view draws from.
            settings = {part.name: getattr(value, part.name) for part in fields(value) if part.init and part.compare}
            packed = {key: self._pack(item, f"{place}/{key}", strict) for key, item in settings.items()}
            return {"$type": name, "fields": packed}
        if strict:
            found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else user_name(value)
            raise InvalidParameter(
                f"{place} must hold numbers, strings, lists, dicts, bytes, or arrays of numbers or strings to be "
                f"saved; got {found}. Return such values from its state()."
            )
        return {"$user": user_name(value)}

    def _blob(self, data: bytes) -> str:
        steady = steady_skops(data)
        number = len(self.blobs)
        name = f"bytes/{number}.bin" if steady is None else f"skops/{number}.skops"
        self.blobs[name] = data if steady is None else steady
        return name


@dataclass(frozen=True)
class Unpacker:
    """JSON back to values.

    Parameters
    ----------
    arrays, blobs : mapping
        As `Packer` collected them.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    blobs: Mapping[str, bytes]

    def value(self, packed: Any) -> Any:
        """The value that was packed.

        Raises
        ------
        CannotLoad
            When `packed` names a class that is not of unalike's.
        KeyError, TypeError, ValueError
            When it is not what `Packer` makes.
        """
        if isinstance(packed, list):
            return [self.value(item) for item in packed]
        if not isinstance(packed, dict):
            return packed
        tag = next((key for key in packed if key.startswith("$")), None)
        if tag is None:
            return {key: self.value(item) for key, item in packed.items()}
        if tag == "$type":
            return self._typed(packed["$type"], packed["fields"])
        (content,) = packed.values()
        return self._tagged(tag, content)

    def _typed(self, name: Any, settings: Mapping[str, Any]) -> Any:
        if name not in types():
            raise CannotLoad(
                f"A model file must name parts of unalike only; got {name!r}. If a newer unalike wrote it, upgrade; "
                "otherwise do not use it."
            )
        return _resolved(types()[name])(**{key: self.value(item) for key, item in settings.items()})

    def _tagged(self, tag: str, content: Any) -> Any:
        if tag == "$user":
            return Unavailable(str(content))
        if tag == "$tuple":
            return tuple(self.value(item) for item in content)
        if tag == "$dict":
            return {self.value(key): self.value(item) for key, item in content}
        if tag == "$float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
        if tag == "$path":
            return Path(content)
        return self._numeric(tag, content)

    def _numeric(self, tag: str, content: Any) -> Any:
        if tag == "$array":
            # A copy of its own: what safetensors gives is read-only and not aligned.
            return self.arrays[content].copy()
        if tag == "$bytes":
            return self.blobs[content]
        if tag == "$number" and content[0] in _DTYPES:
            return np.dtype(content[0]).type(self.value(content[1]))
        if tag == "$strings":
            kind, shape, items = content
            return np.array(items, dtype=np.str_ if kind == "U" else np.object_).reshape(shape)
        raise ValueError(f"unknown kind of value {tag!r}")
