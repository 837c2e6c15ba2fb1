"""Checkpoints on disk: one file per trained branch, whole at every moment, read without pickle.

A file is in the format of safetensors; what is no tensor is JSON in its header.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from unalike.errors import CannotLoad, InvalidParameter
from unalike.training.identity import differences

_MARKER = "unalike-checkpoint.json"
_FORMAT = {"format": "unalike checkpoint", "format_version": 1}
_KEY = "unalike"
_SEED = "random_state"
_LONGEST_NAME = 200
"""Characters of a branch's name in that of its file: with what stands around them below the usual limit of 255."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the course of one training is kept.

    Parameters
    ----------
    path : Path
        Of the file; its folder exists.
    made_from
        Settings of the branch on which training depends: with others it is not resumed.
    """

    path: Path
    made_from: Any = None

    def write(self, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Put a state in the place of the earlier one; killed at any moment, one of the two is there."""
        tensors: dict[str, Tensor] = {}
        body = json.dumps({**_FORMAT, "identity": identity, "state": _pack(state, tensors)})
        _write_whole(self.path, safetensors.torch.save(tensors, {_KEY: body}))

    def read(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """The state to go on from; None when there is none.

        Raises
        ------
        InvalidParameter
            When it was made from other data or settings.
        CannotLoad
            When the file is damaged, or of a newer format.
        """
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                body = json.loads(file.metadata()[_KEY])
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            _check_version(self.path, body)
            different = differences(body["identity"], dict(identity))
            state: dict[str, Any] = _unpack(body["state"], tensors)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            if isinstance(error, CannotLoad):
                raise
            raise CannotLoad(
                f"{str(self.path)!r} must be a checkpoint as it was written; it is damaged ({error}). Delete it to "
                "train this branch anew."
            ) from error
        if different:
            raise InvalidParameter(
                f"`checkpoint` must be from a fit with the same data and settings; in {str(self.path)!r} "
                f"{'; '.join(different)}. Fit as before to go on, delete the folder to start anew, or choose another."
            )
        return state


def open_folder(path: str | os.PathLike[str], random_state: Any = 0) -> Path:
    """The folder of a fit's checkpoints, made when it is not there.

    Parameters
    ----------
    path : str or Path
        Free, an empty folder, or the folder of earlier checkpoints.
    random_state : as in `Detector`
        Must give the same seed again.

    Raises
    ------
    InvalidParameter
        When something else is there, or `random_state` is None.
    CannotLoad
        When a newer unalike wrote there.
    """
    if random_state is None:
        raise InvalidParameter(
            "`random_state` must be fixed for `checkpoint`: with None a resumed fit would draw other numbers. "
            "Give a number."
        )
    folder = Path(path)
    marker = folder / _MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = [place.name for place in folder.iterdir() if not _is_temporary(place)]
        if not marker.exists() and not strange:
            _write_whole(marker, json.dumps({**_FORMAT, **_seed(random_state)}).encode())
    except OSError as error:
        raise InvalidParameter(
            f"`checkpoint` must be a folder that can be written; got {str(path)!r}: {error}. Choose another."
        ) from error
    if not marker.exists():
        raise InvalidParameter(
            f"`checkpoint` must be free, an empty folder or one of earlier checkpoints; {str(path)!r} holds "
            f"{sorted(strange)[:3]}. Choose another."
        )
    try:
        found = json.loads(marker.read_bytes())
    except ValueError:
        found = {}
    _check_version(marker, found)
    begun, given = found.get(_SEED), _seed(random_state).get(_SEED)
    if strange == [_MARKER] and given != begun:  # nothing has been trained there yet
        _write_whole(marker, json.dumps({**_FORMAT, **_seed(random_state)}).encode())
    elif begun is not None and given != begun:
        raise InvalidParameter(
            f"`random_state` must be {begun}, that of the fit that {str(path)!r} was begun with; got {random_state!r}. "
            "Give that one to go on, or choose another folder."
        )
    return folder


def branch_checkpoint(folder: Path | None, name: str, made_from: Any) -> Checkpoint | None:
    """The checkpoint of the branch `name` in a folder from `open_folder`; None without one."""
    if folder is None:
        return None
    text = quote(name, safe="")
    if len(text) > _LONGEST_NAME:
        text = f"{text[: _LONGEST_NAME // 2]}-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
    return Checkpoint(folder / f"branch-{text}.safetensors", made_from)


def _check_version(path: Path, found: Any) -> None:
    if not isinstance(found, dict) or found.get("format") != _FORMAT["format"]:
        raise InvalidParameter(f"`checkpoint` must hold unalike's checkpoints; {str(path)!r} is none. Choose another.")
    if found.get("format_version") != _FORMAT["format_version"]:
        raise CannotLoad(
            f"{str(path)!r} was written in format {found.get('format_version')}; this unalike reads "
            f"{_FORMAT['format_version']}. Use the unalike that wrote it, or delete the folder to start anew."
        )


def _seed(random_state: Any) -> dict[str, int]:
    """What the marker tells of it; what a generator will draw is not known here."""
    is_whole = isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool)
    return {_SEED: int(random_state)} if is_whole else {}


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _write_whole(path: Path, data: bytes) -> None:
    # One name, not a new one each time: what a killed process left is overwritten, never piled up.
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; its tensors go to `tensors`, under the number that stands in their place."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "tuple":
        return tuple(_unpack(item, tensors) for item in content)
    return {key: _unpack(item, tensors) for key, item in content}
