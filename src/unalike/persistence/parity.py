"""A few inputs with the scores that a model gave them, so that a loaded model proves that it gives the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unalike.branch import FittedBranch
from unalike.data import count, take
from unalike.detector import Detector
from unalike.errors import CannotLoad, InvalidInput
from unalike.judging import Judge, score_parts
from unalike.seeding import RowGenerator, derive
from unalike.types import Collection, FloatArray, Modality, Schema

_SAMPLES = 8
_BYTES = 2**20
_TOLERANCE = 1e-5
_ANY_LENGTH = 32
_CPU = torch.device("cpu")


def judges(branches: tuple[FittedBranch, ...]) -> dict[str, Judge]:
    """Every judge of a detector by its place in the file, ``branch/<number>/trained`` or ``.../untrained``."""
    trained = {f"branch/{number}/trained": branch.judge for number, branch in enumerate(branches)}
    floors = {f"branch/{number}/untrained": branch.untrained for number, branch in enumerate(branches)}
    return {**trained, **{place: judge for place, judge in floors.items() if judge is not None}}


def record(detector: Detector, examples: Collection = None) -> dict[str, Any] | None:
    """Inputs and the scores that they get on a CPU.

    Parameters
    ----------
    detector : Detector
        Fitted.
    examples : as `Detector.fit` takes, optional
        Of which the first few are taken. None: random numbers that fit the schema.

    Returns
    -------
    dict or None
        ``inputs`` ``(n, *shape)`` and ``scores``, ``(n,)`` by place. None when the detector refuses random numbers,
        as an encoder or a scorer of the user's may.
    """
    if examples is not None:
        inputs = _encoded(detector.modality_, examples)
        return {"inputs": inputs.numpy(), "scores": _scores(detector, inputs)}
    inputs = _drawn(detector.modality_.schema)
    try:
        return {"inputs": inputs.numpy(), "scores": _scores(detector, inputs)}
    except Exception:
        return None


def check(detector: Detector, recorded: dict[str, Any] | None, path: str) -> None:
    """Compare with what was recorded when the model was saved.

    Raises
    ------
    CannotLoad
        When a score differs by more than 1e-5 of the largest one.
    """
    if recorded is None:
        return
    scores = _scores(detector, torch.from_numpy(recorded["inputs"]))
    for place, before in recorded["scores"].items():
        differing = scores[place] != before
        largest = float(np.max(np.abs(before)))
        worst = float(np.max(np.abs(scores[place] - before), where=differing, initial=0.0))
        if not worst <= _TOLERANCE * largest:
            raise CannotLoad(
                f"{path!r} must give the scores that it gave when it was saved; those of {place} differ by {worst:.1g} "
                f"where the largest is {largest:.1g}. Install the library versions that unalike inspect shows; or load "
                "with check_parity=False and calibrate anew."
            )


def _scores(detector: Detector, inputs: Tensor) -> dict[str, FloatArray]:
    scores = score_parts(
        judges(detector.branches_), lambda positions: inputs[torch.from_numpy(positions)], len(inputs), _CPU
    )
    names = [branch.settings.name for branch in detector.branches_]
    fused = detector.fusion_.score({name: scores[f"branch/{number}/trained"] for number, name in enumerate(names)})
    return {**scores, "fusion": fused}


def _encoded(modality: Modality, examples: Collection) -> Tensor:
    parts, _ = modality.cut(modality.check(examples))
    if count(parts) == 0:
        raise InvalidInput("`examples` must hold at least one sample; got none.")
    first = modality.tensors(take(parts, np.arange(1)))
    n = min(count(parts), _affordable(first.numel() * first.element_size()))
    return modality.tensors(take(parts, np.arange(n)))


def _drawn(schema: Schema) -> Tensor:
    """Token ids, cells of a table within two standard deviations, or values in ``[0, 1)``."""
    shape = tuple(length if length > 0 else _ANY_LENGTH for length in schema.shape)
    n = _affordable(4 * math.prod(shape))
    generator = RowGenerator(derive(0, "parity"), torch.arange(n))
    if not schema.levels:
        return generator.uniform(*shape)
    if len(shape) == 1:
        return generator.integers(schema.levels[0], *shape)
    levels = torch.tensor(schema.levels)
    codes = (generator.uniform(len(levels)) * levels).floor()
    values = torch.where(levels > 0, codes, generator.uniform(len(levels), low=-2.0, high=2.0))
    return torch.stack([values, torch.zeros_like(values)], dim=2)


def _affordable(bytes_each: int) -> int:
    return max(1, min(_SAMPLES, _BYTES // max(bytes_each, 1)))
