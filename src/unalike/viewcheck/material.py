"""What a check of views works on: normal samples in two halves, the floor's encoder, and names for views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike import views
from unalike.data import count, group_codes, split, take
from unalike.embeddings import embed_batch
from unalike.encoders.build import build_encoder
from unalike.encoders.raw import Raw, RawTable
from unalike.errors import InvalidInput, InvalidParameter
from unalike.judging import untaught_encoders
from unalike.modalities.build import build_modality
from unalike.objectives.build import build_objective
from unalike.seeding import RowGenerator, derive, numpy_generator
from unalike.types import Collection, FloatArray, IntArray, Modality, View
from unalike.views.compose import Compose, PerBatch, PerSample, as_view

TOGETHER = "all together"
LEAST_SAMPLES = 40
"""Half of them are held out, and fewer than 19 of those could not hold a quantile of 95%."""

_LEAST_PER_HALF = LEAST_SAMPLES // 2 - 1
"""Groups stay whole, so that the halves need not be of one size."""

_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Material:
    """Normal samples, as tensors, in two parts that share no group.

    Parameters
    ----------
    modality : Modality
        Fitted on both parts.
    bank, held_out : Tensor
        ``(b, ...)`` and ``(h, ...)``: what the floor is fitted on, and what is viewed.
    group : ndarray
        ``(h,)`` int64: held-out parts of one group are near-copies.
    encoder : nn.Module
        Of the floor; prepared on `bank`.
    seed : int
        Of all draws.
    """

    modality: Modality
    bank: Tensor
    held_out: Tensor
    group: IntArray
    encoder: nn.Module
    seed: int

    def embed(self, data: Tensor) -> FloatArray:
        """``(n, width)`` in the space of the floor."""
        parts = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
        return np.concatenate([embed_batch(self.encoder, part, torch.device("cpu")) for part in parts])

    def draw(self, view: View, name: str, times: int) -> list[Tensor]:
        """`times` views of the held-out samples, ``(h, ...)`` each.

        Raises
        ------
        InvalidParameter
            When the view gives another shape, or values that are not finite.
        """
        ready: View = view.prepare(self.bank) if hasattr(view, "prepare") else view
        generator = RowGenerator(derive(self.seed, "view", name), torch.arange(len(self.held_out)))
        drawn = [ready(self.held_out, generator) for _ in range(times)]
        for made in drawn:
            # In series NaN is a missing value.
            sound = made.isfinite() | (made.isnan() & (self.modality.name == "series"))
            if made.shape != self.held_out.shape or not bool(sound.all()):
                raise InvalidParameter(
                    f"`views` must give finite samples of the shape that they get, {tuple(self.held_out.shape)}; "
                    f"{name!r} gave {tuple(made.shape)}. Leave out what changes the size."
                )
        return drawn


def gather(
    X: Any,
    modality: str | Modality,
    *,
    samples: int,
    groups: Sequence[Any] | None = None,
    encoder: Any = None,
    seed: int = 0,
) -> Material:
    """Fit the modality, choose samples, halve them, and prepare the floor's encoder.

    Raises
    ------
    InvalidInput
        When there are fewer than `LEAST_SAMPLES`, or their groups cannot be halved.
    InvalidParameter
        When `modality`, `samples` or `encoder` cannot be used.
    """
    if not isinstance(samples, int) or samples < LEAST_SAMPLES:
        raise InvalidParameter(f"`samples` must be a whole number of {LEAST_SAMPLES} or more; got {samples!r}.")
    made, X = fitted(X, modality)
    n = count(X)
    if n < LEAST_SAMPLES:
        raise InvalidInput(f"`X` must hold at least {LEAST_SAMPLES} normal samples; got {n}. Give more.")
    generator = numpy_generator(seed, "check-views")
    choose = _windows if hasattr(made, "timing") else _parts
    parts, codes = choose(made, X, samples, groups, generator)
    halves = split(len(codes), calibration=0.5, largest=samples, generator=generator, groups=codes.tolist())
    smaller = min(len(halves.train), len(halves.calibration))
    if smaller < _LEAST_PER_HALF:
        raise InvalidInput(
            f"`groups` must leave at least {_LEAST_PER_HALF} samples in each half, as near-copies stay together; got "
            f"{len(halves.train)} and {len(halves.calibration)} (samples={samples}). Give more groups, or smaller "
            "ones; of series, whose windows are grouped by stretches of time, give longer records."
        )
    data = _tensors(made, parts)
    bank = data[torch.from_numpy(halves.train)]
    given = _floor(made) if encoder is None else encoder
    floor = build_encoder(given, made.schema, derive(seed, "encoder"), sample=bank)
    if getattr(made, "exact", False):
        floor.double()
    floor.eval()
    held_out = data[torch.from_numpy(halves.calibration)]
    return Material(
        modality=made, bank=bank, held_out=held_out, group=codes[halves.calibration], encoder=floor, seed=seed
    )


def _parts(
    made: Modality, X: Collection, samples: int, groups: Sequence[Any] | None, generator: np.random.Generator
) -> tuple[Collection, IntArray]:
    """Parts of randomly chosen samples, and the group of each."""
    n = count(X)
    codes: IntArray = np.arange(n) if groups is None else group_codes(groups, n)
    chosen = np.sort(generator.permutation(n)[:samples])
    parts, owner = made.cut(take(X, chosen))
    few = np.sort(generator.permutation(len(owner))[:samples])
    return take(parts, few), codes[chosen][owner[few]]


def _windows(
    made: Any, X: Collection, samples: int, groups: Sequence[Any] | None, generator: np.random.Generator
) -> tuple[Collection, IntArray]:
    """Randomly chosen windows of series, where samples are steps, and the block of time that each lies in."""
    if groups is not None:
        raise InvalidParameter(
            "`groups` must be left out for series; got some. Windows of one stretch of time are grouped without it."
        )
    parts, _ = made.cut(X)
    few = np.sort(generator.permutation(len(parts))[:samples])
    parts = take(parts, few)
    return parts, made.timing(parts)[1]


def fitted(X: Any, modality: str | Modality) -> tuple[Modality, Collection]:
    """A new modality of this kind, fitted on `X`, and the checked `X`; what was passed stays as it is."""
    made = build_modality(modality)
    X = made.check(X)
    return made.fit(X), X


def named_views(given: Any, modality: Modality) -> dict[str, View]:
    """What is checked, by name.

    Parameters
    ----------
    given : View, callable, str, sequence or mapping, optional
        Of a sequence or a `Compose` each member, and all together; of a mapping each entry under its own
        name. None: the modality's default view.
    modality : Modality
        Fitted.
    """
    if isinstance(given, Mapping):
        if not given:
            raise InvalidParameter("`views` must name at least one view; got an empty mapping. Leave it out.")
        return {str(name): as_view(view) for name, view in given.items()}
    view = modality.view() if given is None else as_view(given)
    if not isinstance(view, Compose) or len(view.views) == 1:
        return _labelled(view.views if isinstance(view, Compose) else (view,))
    return {**_labelled(view.views), TOGETHER: view}


def negative_makers(objectives: Sequence[Any] | None, modality: Modality) -> list[tuple[str, nn.Module]]:
    """Objectives that make negatives: those with ``negatives(data, generator)``, each with its name.

    None: those of the modality's default branches, equal ones once.
    """
    if objectives is None:
        objectives = []
        for branch in modality.branches():
            if branch.objective is not None and branch.objective not in objectives:
                objectives.append(branch.objective)
    made = [build_objective(objective, _NoEncoder(), 0) for objective in objectives]
    return [(type(objective).__name__, objective) for objective in made if hasattr(objective, "negatives")]


class _NoEncoder(nn.Module):
    """Stands where an objective wants an encoder, and is never called."""

    width = channel_width = 1

    def of_channels(self, rows: Tensor) -> Tensor:
        """Of windows of one channel, as ChannelContrast wants it."""
        raise NotImplementedError


def _floor(modality: Modality) -> Any:
    """The encoder of raw input among the modality's default branches, first of all one beside a trained network."""
    frozen = untaught_encoders(modality.branches())
    raw = [encoder for encoder in frozen if isinstance(encoder, (Raw, RawTable))]
    return next(iter([*raw, *frozen]), Raw())


def _tensors(modality: Modality, parts: Collection) -> Tensor:
    n = count(parts)
    return torch.cat([modality.tensors(take(parts, np.arange(at, min(at + _CHUNK, n)))) for at in range(0, n, _CHUNK)])


def _labelled(members: Sequence[Any]) -> dict[str, View]:
    labelled: dict[str, View] = {}
    for view in members:
        label, number = _label(view), 2
        name = label
        while name in labelled:
            name, number = f"{label} {number}", number + 1
        labelled[name] = view
    return labelled


def _label(view: Any) -> str:
    """A short name: that in `views.NAMES`, or of the user's function or class."""
    inner = view.function if isinstance(view, (PerSample, PerBatch)) else view
    short = {entry.rpartition(":")[2]: name for name, entry in views.NAMES.items()}
    kind = type(inner).__name__
    if type(inner).__module__.startswith("unalike.views") and kind in short:
        return short[kind]
    return str(getattr(inner, "__name__", kind))
