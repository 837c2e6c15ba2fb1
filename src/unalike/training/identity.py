"""What a checkpoint was made from: resuming with anything else would not give what was begun."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.data import evenly
from unalike.training.modules import module_state
from unalike.training.rows import TrainingRows
from unalike.types import Training, View

_LIBRARIES = ("unalike", "torch", "lightning-fabric", "numpy")
_HASHED_BYTES = 64 * 2**20
_PLAIN = (type(None), bool, int, float, str)


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
    training = {name: value for name, value in asdict(settings).items() if name != "checkpoint_every"}
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
    """Where two identities differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        parts = (differences(old.get(name), new.get(name), f"{place}.{name}" if place else name) for name in names)
        return [difference for part in parts for difference in part]
    # As text: NaN is not equal to itself.
    if json.dumps(old) == json.dumps(new):
        return []
    return [f"{place} was {old!r} and is now {new!r}"]


def describe(value: Any) -> Any:
    """Settings as JSON values, the same in every process: classes and functions by name, arrays by hash."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, (Tensor, np.ndarray)):
        return _hash([torch.as_tensor(value)])
    if isinstance(value, partial):
        return {"function": describe(value.func), "with": describe([*value.args, value.keywords])}
    return _describe_object(value)


def _describe_object(value: Any) -> Any:
    named = value if hasattr(value, "__qualname__") else type(value)
    name = f"{named.__module__}:{named.__qualname__}"
    if named is value:
        return name
    if isinstance(value, nn.Module):
        return {"class": name, "weights": _hash(module_state(value).values())}
    if is_dataclass(value):
        return {"class": name, **{part.name: describe(getattr(value, part.name)) for part in fields(value)}}
    plain = {key: item for key, item in getattr(value, "__dict__", {}).items() if isinstance(item, _PLAIN)}
    return {"class": name, **plain}


def _rows_hash(rows: TrainingRows) -> str:
    first = rows.load(np.arange(1))
    affordable = max(1, _HASHED_BYTES // max(1, first.numel() * first.element_size()))
    tensors = [rows.load(evenly(rows.n, affordable))]
    if rows.n_anomalies:
        tensors.append(rows.load(rows.n + evenly(rows.n_anomalies, affordable)))
    columns = (rows.group, rows.time, rows.label)
    return _hash([*tensors, *(torch.empty(0) if column is None else torch.from_numpy(column) for column in columns)])


def _hash(tensors: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for values in tensors:
        digest.update(f"{values.dtype}{tuple(values.shape)}".encode())
        flat = values.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()
