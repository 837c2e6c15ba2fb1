"""What a checkpoint was made from: resuming with anything else would not give what was begun."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import PurePath
from types import MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.data import evenly
from unalike.plain import plain
from unalike.training.modules import module_state
from unalike.training.rows import TrainingRows
from unalike.types import Training, View

_LIBRARIES = ("unalike", "torch", "lightning-fabric", "numpy")
_HASHED_BYTES = 64 * 2**20
_PLAIN = (type(None), bool, int, float, str)
_LONGEST_TEXT = 2000
# Mode, hooks and the registries of weights, which are told by themselves.
_OF_MODULES = frozenset(vars(nn.Module()))


def identity(
    objective: nn.Module,
    rows: TrainingRows,
    view: View,
    settings: Training,
    *,
    seed: int,
    device: torch.device,
    made_from: Any,
) -> dict[str, Any]:
    """All on which the course of training depends, as JSON values.

    Parameters
    ----------
    objective : nn.Module
        Prepared, before training.
    rows, view, settings, seed, device
        As `train` takes them. Of the rows all are hashed, or evenly spaced ones where they exceed 64 MB.
    made_from
        Further settings, such as those of the branch.
    """
    training = {name: value for name, value in asdict(settings).items() if name not in ("checkpoint_every", "cache")}
    return {
        "training": training,
        "seed": seed,
        "rows": {"n": rows.n, "n_anomalies": rows.n_anomalies, "content": _rows_hash(rows)},
        "weights": _hash(module_state(objective).values()),
        "view": describe(view),
        "branch": describe(made_from),
        "device": device.type,
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """Where two identities differ, in words; of another seed, from which much else is drawn, nothing more is told."""
    if not place and old.get("seed") != new.get("seed"):
        return ["`random_state` was another one"]
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        parts = (differences(old.get(name), new.get(name), f"{place}.{name}" if place else name) for name in names)
        return [difference for part in parts for difference in part]
    # As text: NaN is not equal to itself.
    if json.dumps(old) == json.dumps(new):
        return []
    return [f"{place} was {old!r} and is now {new!r}"]


def describe(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """Settings as JSON values, the same in every process: classes and functions by name, arrays by hash.

    Parameters
    ----------
    value : object
        Of another class it is told with all its attributes.
    inside : tuple of int
        Identities of the objects that hold it; one of them is not told again.
    """
    value = plain(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if id(value) in inside:
        return {"again": type(value).__qualname__}
    inside = (*inside, id(value))
    if isinstance(value, (list, tuple)):
        return [describe(item, inside) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((describe(item, inside) for item in value), key=json.dumps)
    if isinstance(value, Mapping):
        return {_key(name, inside): describe(item, inside) for name, item in value.items()}
    if isinstance(value, Tensor):
        return _hash([value])
    if hasattr(value, "__array__") and not isinstance(value, type):
        return _describe_array(np.asarray(value), inside)
    return _describe_callable(value, inside)


def _key(name: Any, inside: tuple[int, ...]) -> str:
    return str(name) if isinstance(name, _PLAIN) else json.dumps(describe(name, inside))


def _describe_array(values: Any, inside: tuple[int, ...]) -> Any:
    if values.dtype.hasobject:
        return _short(describe(values.tolist(), inside))
    return _digest([f"{values.dtype}{values.shape}".encode(), np.ascontiguousarray(values).tobytes()])


def _describe_callable(value: Any, inside: tuple[int, ...]) -> Any:
    if isinstance(value, partial):
        return {"function": describe(value.func, inside), "with": describe([*value.args, value.keywords], inside)}
    if isinstance(value, MethodType):
        return {"function": describe(value.__func__, inside), "of": describe(value.__self__, inside)}
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return _describe_object(value, inside)


def _describe_object(value: Any, inside: tuple[int, ...]) -> Any:
    made_of = {"class": f"{type(value).__module__}:{type(value).__qualname__}"}
    if isinstance(value, nn.Module):
        parts = {name: _attributes(part, inside) for name, part in value.named_modules()}
        return {**made_of, "weights": _hash(module_state(value).values()), "attributes": parts}
    attributes = _attributes(value, inside)
    text = "" if attributes else repr(value)
    # Some objects of other libraries show what they hold in their text only; an address differs in every process.
    return {**made_of, **attributes} if not text or " at 0x" in text else {**made_of, "text": text}


def _attributes(value: Any, inside: tuple[int, ...]) -> dict[str, Any]:
    """Fields, slots and what else is set on an object, but for what it computed from these and kept."""
    kind = type(value)
    names = {part.name: None for part in fields(value)} if is_dataclass(value) else {}
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
    names.update(dict.fromkeys(getattr(value, "__dict__", ())))
    told = [
        name
        for name in names
        if name not in ("__dict__", "__weakref__")
        and not (name in _OF_MODULES and isinstance(value, nn.Module))
        and hasattr(value, name)
        and not isinstance(inspect.getattr_static(kind, name, None), cached_property)
    ]
    return {name: _short(describe(getattr(value, name), inside)) for name in told}


def _short(told: Any) -> Any:
    """What is too long to stand in every checkpoint by its hash."""
    text = json.dumps(told)
    return told if len(text) <= _LONGEST_TEXT else _digest([text.encode()])


def _rows_hash(rows: TrainingRows) -> str:
    first = rows.load(np.arange(1))
    affordable = max(1, _HASHED_BYTES // max(1, first.numel() * first.element_size()))
    tensors = [rows.load(evenly(rows.n, affordable))]
    if rows.n_anomalies:
        tensors.append(rows.load(rows.n + evenly(rows.n_anomalies, affordable)))
    columns = (rows.group, rows.time, rows.label)
    return _hash([*tensors, *(torch.empty(0) if column is None else torch.from_numpy(column) for column in columns)])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _hash(tensors: Iterable[Tensor]) -> str:
    return _digest(part for values in tensors for part in _bytes(values))


def _bytes(values: Tensor) -> Iterator[bytes]:
    yield f"{values.dtype}{tuple(values.shape)}".encode()
    flat = values.detach().cpu().contiguous().reshape(-1)
    yield flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
