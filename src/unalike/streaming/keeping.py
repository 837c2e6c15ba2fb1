"""The state of a stream in a file, and whose it is; without pickle."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.branch import FittedBranch
from unalike.errors import CannotLoad
from unalike.scorers.fusion import Fusion
from unalike.types import Stateful
from unalike.writing import whole_file, writable

FORMAT = "unalike stream"
VERSION = 1
_MANIFEST = "manifest"
_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)


def fingerprint(modality: Any, branches: tuple[FittedBranch, ...], fusion: Fusion) -> str:
    """Of what scores a stream: equal for a model and its loaded copy, another one after `fit` or an update.

    The threshold is not part of it: a stream may go on after a new calibration.
    """
    digest = hashlib.sha256()
    parts: dict[str, Any] = {"modality": modality.state() if isinstance(modality, Stateful) else None}
    parts["weights"] = [fusion.weight(name) for name in fusion.references_]
    for branch in branches:
        weights = branch.judge.encoder.state_dict()
        parts[f"branch {branch.settings.name}"] = {
            "weights": {name: tensor.cpu().numpy() for name, tensor in weights.items() if hasattr(tensor, "numpy")},
            "reference": branch.judge.scorer.reference_scores_,
        }
    told, arrays = packed(parts)
    digest.update(json.dumps(told, sort_keys=True, default=repr).encode())
    for name, values in arrays.items():
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def write(state: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """A state as one file of NumPy arrays, whole or not at all.

    Raises
    ------
    InvalidParameter
        When its folder does not exist, or `path` is a folder.
    """
    target = writable(os.fspath(path))
    told, arrays = packed(state)
    manifest = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
    entries: dict[str, Any] = {_MANIFEST: manifest, **arrays}
    with whole_file(target) as temporary, temporary.open("wb") as file:
        np.savez(file, **entries)
    return target


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state in a file that `write` made.

    Raises
    ------
    CannotLoad
        When there is none, or it is damaged.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as entries:
            arrays = {name: entries[name] for name in entries.files}
        state = unpacked(json.loads(arrays.pop(_MANIFEST).tobytes()), arrays)
        if not isinstance(state, dict):
            raise ValueError("no state")
    except _BROKEN as error:
        raise CannotLoad(
            f"`state` must be a file that Stream.save wrote; {str(path)!r} is none, or damaged: {error}"
        ) from error
    return state


def packed(value: Any, place: str = "") -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """JSON values, in which arrays are named, and the arrays by name."""
    if isinstance(value, np.ndarray):
        return {"$array": place}, {place: value}
    if isinstance(value, Mapping):
        parts = {str(name): packed(part, f"{place}.{name}".lstrip(".")) for name, part in value.items()}
    elif isinstance(value, (list, tuple)):
        parts = {str(number): packed(part, f"{place}.{number}".lstrip(".")) for number, part in enumerate(value)}
    else:
        return value.item() if isinstance(value, np.generic) else value, {}
    arrays = {name: values for _, own in parts.values() for name, values in own.items()}
    told = {name: part for name, (part, _) in parts.items()}
    return (told if isinstance(value, Mapping) else list(told.values())), arrays


def unpacked(told: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """What `packed` was given."""
    if isinstance(told, list):
        return [unpacked(part, arrays) for part in told]
    if not isinstance(told, dict):
        return told
    if set(told) == {"$array"}:
        return arrays[told["$array"]]
    return {name: unpacked(part, arrays) for name, part in told.items()}
