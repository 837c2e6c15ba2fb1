"""From a fitted detector to a file."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor, nn

from unalike import __version__
from unalike.branch import FittedBranch
from unalike.detector import Detector
from unalike.embeddings import floating_type
from unalike.errors import InvalidParameter, UnalikeError
from unalike.judging import Judge
from unalike.persistence import archive, containers, parity
from unalike.persistence.absent import Unavailable
from unalike.persistence.codec import Packer, user_name
from unalike.ready import check_detector
from unalike.types import Collection, Stateful

_LIBRARIES = ("torch", "numpy", "scikit-learn", "safetensors", "skops")
_STORED_APART = ("modality_", "branches_", "fusion_", "threshold_", "history_", "skipped_")
"""Learned attributes that are stored in their own way, or told once and not stored; every other one as it is."""


def save(detector: Detector, path: str | os.PathLike[str], *, examples: Collection = None) -> Path:
    """Write a fitted detector, whole or not at all; saving twice gives the same bytes.

    Parameters
    ----------
    detector : Detector
        Fitted; calibrated or not.
    path : str or Path
        With a suffix (``model.unalike``): one zip file. Without one, with a slash at the end, or an existing
        folder: a directory. A saved model in its place is replaced.
    examples : as `Detector.fit` takes, optional
        Samples of which up to 8 (and 1 MB) are kept, *encoded as the modality does*, to prove at loading that
        the model still gives their scores. None: random numbers do that, and no example of yours is kept.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    NotFitted
        Before anything is written.
    InvalidParameter
        Something that is no model is in the way, or a scorer, threshold, modality or encoder of yours cannot be
        stored. Before anything is written.
    """
    check_detector(detector, "to be saved")
    containers.check_target(path)
    packer = Packer()
    manifest = {
        "versions": _versions(),
        "summary": _summary(detector),
        "detector": packer.settings(detector.get_params(deep=False), "detector"),
        "modality": _pack_part(packer, detector.modality_, "modality"),
        "branches": [_pack_branch(packer, number, branch) for number, branch in enumerate(detector.branches_)],
        "same_weights": _same_weights(detector.branches_),
        "fusion": _pack_part(packer, detector.fusion_, "fusion"),
        "threshold": _pack_part(packer, detector.threshold_, "threshold") if hasattr(detector, "threshold_") else None,
        "learned": packer.state(_other_learned(detector), "learned"),
        "parity": packer.state(parity.record(detector, examples), "parity"),
    }
    entries = {
        "weights.safetensors": safetensors.torch.save(_weights(detector.branches_)),
        "arrays.safetensors": safetensors.numpy.save(packer.arrays),
        **packer.blobs,
    }
    return archive.write(path, manifest, entries)


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"unalike": __version__, "python": platform.python_version(), **libraries}


def _summary(detector: Detector) -> dict[str, Any]:
    """What `inspect` tells a person; loading does not read it."""
    schema, split, threshold = detector.modality_.schema, detector.split_, getattr(detector, "threshold_", None)
    limit, rate, limits = None, None, {}
    with suppress(UnalikeError):  # a stated rate that the samples cannot hold leaves no threshold
        limit = None if threshold is None else float(threshold.threshold_)
        rate = None if threshold is None else threshold.false_alarm_rate_
        limits = {str(name): value for name, value in getattr(threshold, "thresholds_", {}).items()}
    return {
        "modality": detector.modality_.name,
        "shape": list(schema.shape),
        "levels": list(schema.levels),
        "trained_on": len(split.train),
        "calibrated_on": len(getattr(detector, "calibration_scores_", ())),
        "threshold": limit,
        "thresholds": limits,
        "false_alarm_rate": None if rate is None else float(rate),
        "branches": {branch.settings.name: _described(branch) for branch in detector.branches_},
    }


def _described(branch: FittedBranch) -> dict[str, Any]:
    settings = branch.settings
    parts = {"encoder": settings.encoder, "objective": settings.objective, "scorer": settings.scorer}
    weights = sum(parameter.numel() for parameter in branch.judge.encoder.parameters())
    steps = int(branch.history[-1]["step"]) if branch.history else 0
    return {**{name: _short(part) for name, part in parts.items()}, "weights": weights, "steps": steps}


def _short(part: Any) -> str | None:
    if part is None or isinstance(part, str):
        return part
    if isinstance(part, Unavailable):
        return part.name
    return repr(part)[:500] if is_dataclass(part) and not isinstance(part, type) else user_name(part)


def _pack_part(packer: Packer, part: Any, place: str) -> dict[str, Any]:
    """Settings and learned state of a scorer, fusion, threshold or modality."""
    if not isinstance(part, Stateful):
        raise InvalidParameter(
            f"The {place} must have `state()` and `restore(state)` to be saved; {type(part).__name__} has not. Add "
            "them (see unalike.types.Stateful), or use one of unalike's."
        )
    return {"settings": packer.settings(part, place), "state": packer.state(part.state(), place)}


def _pack_branch(packer: Packer, number: int, branch: FittedBranch) -> dict[str, Any]:
    place = f"branch/{number}"
    return {
        "settings": packer.settings(branch.settings, place),
        "trained": _pack_judge(packer, branch.judge, f"{place}/trained"),
        "untrained": None if branch.untrained is None else _pack_judge(packer, branch.untrained, f"{place}/untrained"),
        "history": packer.state(branch.history, f"{place}/history"),
    }


def _pack_judge(packer: Packer, judge: Judge, place: str) -> dict[str, Any]:
    scorer = _pack_part(packer, judge.scorer, f"{place}/scorer")
    return {"precision": str(floating_type(judge.encoder)).removeprefix("torch."), "scorer": scorer}


def _same_weights(branches: tuple[FittedBranch, ...]) -> dict[str, str]:
    """The places whose encoder is that of an earlier place, by that place."""
    first: dict[nn.Module, str] = {}
    places = {place: first.setdefault(judge.encoder, place) for place, judge in parity.judges(branches).items()}
    return {place: earlier for place, earlier in places.items() if place != earlier}


def _weights(branches: tuple[FittedBranch, ...]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    again = _same_weights(branches)
    for place, judge in parity.judges(branches).items():
        if place in again:
            continue
        for name, values in judge.encoder.state_dict().items():
            if not isinstance(values, Tensor):
                raise InvalidParameter(
                    f"`encoder` must hold only tensors in its state_dict() to be saved; {name!r} of "
                    f"{type(judge.encoder).__name__} is a {type(values).__name__}. Store it in a buffer."
                )
            # Own memory each: safetensors refuses tensors that share theirs.
            weights[f"{place}/{name}"] = values.detach().cpu().clone(memory_format=torch.contiguous_format)
    return weights


def _other_learned(detector: Detector) -> dict[str, Any]:
    learned = {name: value for name, value in vars(detector).items() if name.endswith("_") and not name.startswith("_")}
    return {name: value for name, value in learned.items() if name not in _STORED_APART}
