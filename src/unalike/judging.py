"""A judge, an encoder with its scorer: made, and asked for embeddings and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.embeddings import embed, embed_batch
from unalike.encoders.build import build_encoder
from unalike.encoders.skip import SkipConnection
from unalike.errors import InvalidParameter
from unalike.objectives.build import build_objective
from unalike.objectives.own import OwnScore
from unalike.parts import Loader, Parts
from unalike.scorers.build import build_scorer, takes_anomalies
from unalike.scorers.objective import ObjectiveScore
from unalike.types import Branch, FloatArray, IntArray, Schema, Scorer

_CHUNK, _LARGEST_CHUNK = 1024, 16_384
_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Judge:
    """An encoder and the scorer fitted on its embeddings."""

    encoder: nn.Module
    scorer: Scorer


def fit_judge(
    encoder: nn.Module,
    branch: Branch,
    parts: Parts,
    reference: Parts | None,
    anomalies: Parts | None,
    device: torch.device,
    exact: bool,
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
    """
    if exact:
        encoder.double()
    scorer = build_scorer(branch.scorer)
    held_out = None if reference is None else embed(encoder, reference.load, reference.n, device=device)
    fit: Callable[..., Any] = scorer.fit
    if anomalies is not None and takes_anomalies(scorer):
        fit = partial(fit, anomalies=embed(encoder, anomalies.load, anomalies.n, device=device))
    fit(embed(encoder, parts.load, parts.n, device=device), held_out, parts.group)
    encoder.to("cpu")
    encoder.requires_grad_(False)
    return Judge(encoder, scorer)


def what_embeds(branch: Branch, objective: nn.Module, sample: Tensor | None = None) -> nn.Module:
    """What embeds: the encoder of an objective, or the objective with its own score; `sample` prepares that."""
    if not _scores_itself(branch):
        return objective.get_submodule("encoder")
    if sample is not None and hasattr(objective, "prepare"):
        objective.prepare(sample)  # type: ignore[operator]
    return OwnScore(objective)


def with_skip(encoder: nn.Module, branch: Branch, schema: Schema, sample: Tensor, device: torch.device) -> nn.Module:
    """The encoder with its branch's skip connection, if it has one; the weights are final."""
    if branch.skip is None or _scores_itself(branch):
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
    if _scores_itself(branch):
        raise InvalidParameter(
            f"`scorer='objective'` must have an objective in its branch; {branch.name!r} has none. Give "
            "objective='icl' for a table, or another scorer."
        )


def blank_encoder(branch: Branch, schema: Schema) -> nn.Module:
    """What embeds in a branch, of the right shape, for weights that are read from a file."""
    encoder = build_encoder(branch.encoder, schema, 0, blank=True)
    if not _scores_itself(branch):
        return encoder if branch.skip is None else _skipping(encoder, branch, schema, None)
    shape = (2, *(max(length, 1) for length in schema.shape))
    return what_embeds(branch, build_objective(branch.objective, encoder, 0), torch.zeros(shape))


def untaught_encoders(branches: Sequence[Branch]) -> list[Any]:
    """The encoders of branches that do not train: first those beside a trained one, then those of frozen branches."""
    skips = [branch.skip for branch in branches if branch.skip is not None]
    return [*skips, *(branch.encoder for branch in branches if branch.objective is None)]


def _skipping(encoder: nn.Module, branch: Branch, schema: Schema, sample: Tensor | None) -> SkipConnection:
    return SkipConnection(encoder, build_encoder(branch.skip, schema, 0, sample=sample), branch.skip_weight)


def _scores_itself(branch: Branch) -> bool:
    scorer = build_scorer(branch.scorer) if isinstance(branch.scorer, str) else branch.scorer
    return isinstance(scorer, ObjectiveScore)


def score_parts(judges: Mapping[str, Judge], load: Loader, n: int, device: torch.device) -> dict[str, FloatArray]:
    """``(n,)`` scores by each judge; the parts are loaded once, a chunk at a time."""
    scores: dict[str, list[FloatArray]] = {name: [] for name in judges}
    for judge in judges.values():
        judge.encoder.eval().to(device)
    start, chunk = 0, _CHUNK
    while start < n:
        data = load(np.arange(start, min(start + chunk, n)))
        for name, judge in judges.items():
            scores[name].append(judge.scorer.score(embed_batch(judge.encoder, data, device)))
        start += chunk
        # Small parts come many at a time: a search that may ask each chunk what pays is then quicker.
        part = data.numel() * data.element_size() / len(data)
        chunk = int(np.clip(_CHUNK_BYTES / max(part, 1.0), _CHUNK, _LARGEST_CHUNK))
    return {name: np.concatenate(chunks) if chunks else np.zeros(0) for name, chunks in scores.items()}


def embed_parts(judge: Judge, load: Loader, n: int, device: torch.device) -> FloatArray:
    """``(n, width)`` embeddings by one judge."""
    return embed(judge.encoder, load, n, device=device)
