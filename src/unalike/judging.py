"""A judge, an encoder with its scorer: made, and asked for embeddings and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.data import split
from unalike.embeddings import Located, embed, embed_batch, ready
from unalike.encoders.build import build_encoder
from unalike.encoders.skip import SkipConnection
from unalike.errors import InvalidParameter
from unalike.objectives.build import build_objective
from unalike.objectives.own import OwnScore
from unalike.parts import Loader, Parts
from unalike.passes import Passes
from unalike.scorers.build import build_scorer, takes_anomalies, takes_background
from unalike.scorers.objective import ObjectiveScore
from unalike.seeding import numpy_generator
from unalike.types import Branch, FloatArray, IntArray, Schema, Scorer

_CHUNK, _LARGEST_CHUNK = 1024, 16_384
_CHUNK_BYTES = 2**20
_LARGEST_BYTES = 64 * 2**20
_FIRST = 64
"""Parts, before it is known how large they are."""


@dataclass(frozen=True)
class Judge:
    """An encoder and the scorer fitted on its embeddings, or on those of its places."""

    encoder: nn.Module
    scorer: Scorer

    def score(self, data: Tensor, device: torch.device, embeddings: FloatArray | None = None) -> FloatArray:
        """``(m,)`` scores of ``(m, ...)`` parts; the encoder is in evaluation mode on `device`.

        Where its ``(m, width)`` embeddings of them are known, they are taken.
        """
        if not judges_places(self.scorer):
            return self.scorer.score(embed_batch(self.encoder, data, device) if embeddings is None else embeddings)
        return self.scorer.score(self.located(data, device))  # type: ignore[arg-type]

    def located(self, data: Tensor, device: torch.device) -> Located:
        """The places of these parts, for a scorer that judges them."""
        return Located(self.encoder, lambda at: data[torch.from_numpy(at)], len(data), device)


def fit_judge(
    encoder: nn.Module,
    branch: Branch,
    parts: Parts,
    reference: Parts | None,
    anomalies: Parts | None,
    device: torch.device,
    exact: bool,
    passes: Passes | None = None,
) -> Judge:
    """Fit the branch's scorer on the embeddings of the parts by an encoder whose weights are final.

    Parameters
    ----------
    encoder : nn.Module
        From `with_skip`; it comes to the CPU and asks for no gradients any more.
    branch : Branch
        Names the scorer.
    parts, reference : Parts
        Training parts, and held-out ones for the reference scores.
    anomalies : Parts, optional
        Labelled anomalies, for a scorer that takes them.
    device : torch.device
        Where to embed.
    exact : bool
        Embed in double precision.
    passes : Passes, optional
        Of this fit: an encoder that several branches share embeds the parts once.
    """
    if exact:
        encoder.double()
    scorer = build_scorer(branch.scorer)
    if judges_places(scorer):
        _need_places(encoder, branch)
    held_out = None if reference is None else for_scorer(encoder, scorer, reference, device, passes)
    fit = fit_beside_background(scorer, encoder, branch.name, device, passes)
    if anomalies is not None and takes_anomalies(scorer):
        fit = partial(fit, anomalies=for_scorer(encoder, scorer, anomalies, device, passes))
    fit(for_scorer(encoder, scorer, parts, device, passes), held_out, parts.group)
    encoder.to("cpu")
    encoder.requires_grad_(False)
    return Judge(encoder, scorer)


def judges_places(scorer: Any) -> bool:
    """Whether a scorer judges samples place by place: a `unalike.types.PlaceScorer`."""
    return bool(getattr(scorer, "judges_places", False))


def to_judge(encoder: nn.Module, scorer: Any, load: Loader, n: int, device: torch.device) -> Any:
    """What a scorer takes: ``(n, width)`` embeddings or, where it judges places, what embeds these on demand."""
    if not judges_places(scorer):
        return embed(encoder, load, n, device=device)
    return Located(ready(encoder, device), load, n, device)


def for_scorer(encoder: nn.Module, scorer: Any, parts: Parts, device: torch.device, passes: Passes | None) -> Any:
    """What a scorer takes (`to_judge`) of parts, which an encoder that several branches share embeds once."""
    if passes is None or judges_places(scorer):
        return to_judge(encoder, scorer, parts.load, parts.n, device)
    return passes.embed(encoder, parts, device)


def fit_beside_background(
    scorer: Scorer, encoder: nn.Module, branch: str, device: torch.device, passes: Passes | None
) -> Callable[..., Any]:
    """The ``fit`` of a scorer; where it takes a background, with the embeddings of that which the encoder offers.

    Raises
    ------
    InvalidParameter
        The encoder offers none.
    """
    fit: Callable[..., Any] = scorer.fit
    if not takes_background(scorer):
        return fit
    if not callable(getattr(encoder, "background", None)):
        raise InvalidParameter(
            f"`encoder` must offer what {type(scorer).__name__} of branch {branch!r} compares with, by `background()`; "
            f"{type(encoder).__name__} does not. Take PretrainedText, or another scorer, such as Mahalanobis."
        )
    passes = Passes() if passes is None else passes
    return partial(fit, background=passes.background(encoder, device))


def _need_places(encoder: nn.Module, branch: Branch) -> None:
    if getattr(encoder, "locations", None) is None or getattr(encoder, "grid", None) is None:
        raise InvalidParameter(
            f"`encoder` must give the places that {type(branch.scorer).__name__} of branch {branch.name!r} judges, by "
            f"`locations` and `grid`; {type(encoder).__name__} does not. Take ConvNet, ResNet18, or Timm with layers="
            "(2, 3), and no skip."
        )


def what_embeds(branch: Branch, objective: nn.Module, sample: Tensor | None = None) -> nn.Module:
    """What embeds: the encoder of an objective, or the objective with its own score; `sample` prepares that."""
    if not scores_itself(branch):
        return objective.get_submodule("encoder")
    if sample is not None and hasattr(objective, "prepare"):
        objective.prepare(sample)  # type: ignore[operator]
    return OwnScore(objective)


def with_skip(encoder: nn.Module, branch: Branch, schema: Schema, sample: Tensor, device: torch.device) -> nn.Module:
    """The encoder with its branch's skip connection, if it has one; the weights are final."""
    if branch.skip is None or scores_itself(branch):
        return encoder
    joined = _skipping(encoder, branch, schema, sample)

    def load(positions: IntArray) -> Tensor:
        return sample[torch.from_numpy(positions)]

    joined.measure(*(embed(part, load, len(sample), device=device) for part in (joined.encoder, joined.skip)))
    return joined


def check_own_score(branch: Branch) -> None:
    """Refuse the objective as the scorer of a branch that has none.

    Raises
    ------
    InvalidParameter
        When it does.
    """
    if scores_itself(branch):
        raise InvalidParameter(
            f"`scorer='objective'` must have an objective in its branch; {branch.name!r} has none. Give "
            "objective='icl' for a table, or another scorer."
        )


def with_reference(branch: Branch, parts: Parts, reference: Parts | None, seed: int) -> tuple[Parts, Parts | None]:
    """Training and reference parts; where there are none of these, those that `ObjectiveScore` holds out."""
    share = getattr(_own_scorer(branch), "held_out", 0.0)
    alike = parts.group if parts.group is not None else parts.time
    largest = 1 if alike is None else int(np.unique(alike, return_counts=True)[1].max())
    if reference is not None or not 1 <= round(parts.n * share) <= parts.n - largest:
        return parts, reference
    groups, numbers = None if alike is None else alike.tolist(), numpy_generator(seed, "held out")
    drawn = split(parts.n, reference=share, calibration=0.0, generator=numbers, groups=groups)
    return parts.some(drawn.train), parts.some(drawn.reference)


def blank_encoder(branch: Branch, schema: Schema) -> nn.Module:
    """What embeds in a branch, of the right shape, for weights that are read from a file."""
    encoder = build_encoder(branch.encoder, schema, 0, blank=True)
    if not scores_itself(branch):
        return encoder if branch.skip is None else _skipping(encoder, branch, schema, None)
    shape = (2, *(max(length, 1) for length in schema.shape))
    return what_embeds(branch, build_objective(branch.objective, encoder, 0), torch.zeros(shape))


def untaught_encoders(branches: Sequence[Branch]) -> list[Any]:
    """The encoders of branches that do not train: first those beside a trained one, then those of frozen branches."""
    skips = [branch.skip for branch in branches if branch.skip is not None]
    return [*skips, *(branch.encoder for branch in branches if branch.objective is None)]


def _skipping(encoder: nn.Module, branch: Branch, schema: Schema, sample: Tensor | None) -> SkipConnection:
    return SkipConnection(encoder, build_encoder(branch.skip, schema, 0, sample=sample), branch.skip_weight)


def scores_itself(branch: Branch) -> bool:
    """Whether a branch is judged by its objective's own score, and not by its embedding."""
    return _own_scorer(branch) is not None


def _own_scorer(branch: Branch) -> ObjectiveScore | None:
    scorer = build_scorer(branch.scorer) if isinstance(branch.scorer, str) else branch.scorer
    return scorer if isinstance(scorer, ObjectiveScore) else None


def score_parts(judges: Mapping[str, Judge], load: Loader, n: int, device: torch.device) -> dict[str, FloatArray]:
    """``(n,)`` scores by each judge; the parts are loaded once, a chunk at a time."""
    scores: dict[str, list[FloatArray]] = {name: [] for name in judges}
    for judge in judges.values():
        ready(judge.encoder, device)
    embedding = [judge.encoder for judge in judges.values() if not judges_places(judge.scorer)]
    several = {encoder for encoder in embedding if embedding.count(encoder) > 1}
    start, chunk = 0, _FIRST
    while start < n:
        data = load(np.arange(start, min(start + chunk, n)))
        embedded: dict[nn.Module, FloatArray] = {}
        for name, judge in judges.items():
            if judge.encoder in several and judge.encoder not in embedded:
                embedded[judge.encoder] = embed_batch(judge.encoder, data, device)
            scores[name].append(judge.score(data, device, embedded.get(judge.encoder)))
        start += chunk
        # Small parts come many at a time: a search that may ask each chunk what pays is then quicker.
        part = max(data.numel() * data.element_size() / len(data), 1.0)
        chunk = int(np.clip(_CHUNK_BYTES / part, min(_CHUNK, _LARGEST_BYTES // part + 1), _LARGEST_CHUNK))
    return {name: np.concatenate(chunks) if chunks else np.zeros(0) for name, chunks in scores.items()}


def embed_parts(judge: Judge, load: Loader, n: int, device: torch.device) -> FloatArray:
    """``(n, width)`` embeddings by one judge."""
    return embed(judge.encoder, load, n, device=device)
