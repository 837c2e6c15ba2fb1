"""A branch at work: fit its encoder and scorer, embed and score samples."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.data import count, evenly, take
from unalike.embeddings import embed, embed_batch
from unalike.encoders.build import build_encoder
from unalike.encoders.skip import SkipConnection
from unalike.errors import InvalidParameter, TrainingWarning
from unalike.objectives.build import build_objective
from unalike.objectives.own import OwnScore
from unalike.scorers.build import build_scorer, takes_anomalies
from unalike.scorers.fusion import Fusion
from unalike.scorers.objective import ObjectiveScore
from unalike.seeding import derive
from unalike.training import History, TrainingRows, branch_checkpoint, settle, total_steps, train
from unalike.types import Branch, Collection, FloatArray, IntArray, Modality, Schema, Scorer, Training, View
from unalike.views.compose import as_view

FROZEN = "frozen"

_KEPT_BYTES = 512 * 2**20
_SAMPLE = 10_000
_CHUNK, _LARGEST_CHUNK = 1024, 16_384
_CHUNK_BYTES = 2**20

Loader = Callable[[IntArray], Tensor]


@dataclass(frozen=True)
class Judge:
    """An encoder and the scorer fitted on its embeddings."""

    encoder: nn.Module
    scorer: Scorer


@dataclass(frozen=True)
class FittedBranch:
    """What `fit_branch` made.

    Parameters
    ----------
    settings : Branch
        What it was made from; its training settings are filled in.
    judge : Judge
        The trained encoder (or the frozen one) with its scorer.
    untrained : Judge or None
        The same encoder before training with a scorer of the same kind: the floor that training has to
        beat. None for a branch that does not train.
    history : list of dict
        Rows of training; empty for a branch that does not train.
    """

    settings: Branch
    judge: Judge
    untrained: Judge | None
    history: History


@dataclass(frozen=True)
class Parts:
    """Parts of samples with what is known of them; `load` makes the tensor of some, `owner` names their samples."""

    n: int
    load: Loader
    owner: IntArray
    group: IntArray | None = None
    time: IntArray | None = None

    def sample(self) -> Tensor:
        """At most 10,000 of them, for what is learned before training: scales, ranges, pools to draw from."""
        return self.load(evenly(self.n, _SAMPLE))


def load_parts(modality: Modality, parts: Collection, *, keep: bool) -> Loader:
    """A function from positions to the tensor of these parts.

    With `keep` the tensors of all parts stay in memory for the many passes of training: up to 512 MB, and those of
    parts that are larger than memory themselves in any case.
    """

    def load(positions: IntArray) -> Tensor:
        return modality.tensors(take(parts, positions))

    n = count(parts)
    if not keep or n == 0:
        return load
    first = load(np.arange(1))
    # What is read in passes cannot be gone through in random order.
    if first.numel() * first.element_size() * n > _KEPT_BYTES and not getattr(parts, "lazy", False):
        return load
    kept = torch.cat([load(np.arange(start, min(start + 512, n))) for start in range(0, n, 512)])
    return lambda positions: kept[torch.from_numpy(positions)]


def fit_branch(
    branch: Branch,
    modality: Modality,
    train_parts: Parts,
    reference_parts: Parts | None,
    anomalies: Parts | None = None,
    *,
    training: Training | Mapping[str, Any] | None,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[str, int, dict[str, float]], None] | None = None,
    folder: Path | None = None,
) -> FittedBranch:
    """Build, train and judge one branch.

    Parameters
    ----------
    branch : Branch
        Settings; nothing in it is changed.
    modality : Modality
        Fitted; gives the schema and the default views.
    train_parts, reference_parts : Parts
        Training parts, and held-out ones for the reference scores.
    anomalies : Parts, optional
        Labelled anomalies, for the objective, and for a scorer that takes them.
    training : Training or mapping, optional
        Overrides the branch's own, whole or field by field.
    seed : int
        Of this branch.
    device : torch.device
        Where to compute.
    on_epoch : callable, optional
        Called with the branch's name, its number of steps in all, and each row of the history.
    folder : Path, optional
        From `training.open_folder`; training is kept there and resumed from there.
    """
    sample = train_parts.sample()
    encoder = build_encoder(branch.encoder, modality.schema, derive(seed, "encoder"), sample=sample)
    exact = bool(getattr(modality, "exact", False))
    if branch.objective is None:
        _check_own_score(branch)
        encoder = _with_skip(encoder, branch, modality.schema, sample, device)
        judge = _judge(encoder, branch, train_parts, reference_parts, anomalies, device, exact)
        return FittedBranch(branch, judge, None, [])
    settings = settle(branch.training, training, device)
    objective = build_objective(branch.objective, encoder, derive(seed, "objective"))
    floor = _judging(branch, copy.deepcopy(objective), sample)
    floor = _with_skip(floor, branch, modality.schema, sample, device)
    untrained = _judge(floor, branch, train_parts, reference_parts, anomalies, device, exact)
    view = prepared(modality.view() if branch.views is None else as_view(branch.views), sample)
    history = train(
        objective,
        _training_rows(train_parts, anomalies),
        view,
        settings,
        seed=derive(seed, "training"),
        device=device,
        on_epoch=None if on_epoch is None else partial(on_epoch, branch.name, total_steps(train_parts.n, settings)),
        checkpoint=branch_checkpoint(
            folder,
            branch.name,
            {"encoder": branch.encoder, "objective": branch.objective, "views": branch.views},
        ),
    )
    encoder = _with_skip(_judging(branch, objective), branch, modality.schema, sample, device)
    judge = _judge(encoder, branch, train_parts, reference_parts, anomalies, device, exact)
    return FittedBranch(replace(branch, training=settings), judge, untrained, history)


def blank_encoder(branch: Branch, schema: Schema) -> nn.Module:
    """What embeds in a branch, of the right shape, for weights that are read from a file."""
    encoder = build_encoder(branch.encoder, schema, 0, blank=True)
    if not _scores_itself(branch):
        return encoder if branch.skip is None else _skipping(encoder, branch, schema, None)
    shape = (2, *(max(length, 1) for length in schema.shape))
    return _judging(branch, build_objective(branch.objective, encoder, 0), torch.zeros(shape))


def _with_skip(encoder: nn.Module, branch: Branch, schema: Schema, sample: Tensor, device: torch.device) -> nn.Module:
    """The encoder with its branch's skip connection, if it has one; the weights are final."""
    if branch.skip is None or _scores_itself(branch):
        return encoder
    joined = _skipping(encoder, branch, schema, sample)

    def load(positions: IntArray) -> Tensor:
        return sample[torch.from_numpy(positions)]

    joined.measure(*(embed(part, load, len(sample), device=device) for part in (joined.encoder, joined.skip)))
    return joined


def _skipping(encoder: nn.Module, branch: Branch, schema: Schema, sample: Tensor | None) -> SkipConnection:
    return SkipConnection(encoder, build_encoder(branch.skip, schema, 0, sample=sample), branch.skip_weight)


def _scores_itself(branch: Branch) -> bool:
    scorer = build_scorer(branch.scorer) if isinstance(branch.scorer, str) else branch.scorer
    return isinstance(scorer, ObjectiveScore)


def _check_own_score(branch: Branch) -> None:
    if _scores_itself(branch):
        raise InvalidParameter(
            f"`scorer='objective'` must have an objective in its branch; {branch.name!r} has none. Give "
            "objective='icl' for a table, or another scorer."
        )


def _judging(branch: Branch, objective: nn.Module, sample: Tensor | None = None) -> nn.Module:
    """What embeds: the encoder of an objective, or the objective with its own score; `sample` prepares that."""
    if not _scores_itself(branch):
        return objective.get_submodule("encoder")
    if sample is not None and hasattr(objective, "prepare"):
        objective.prepare(sample)  # type: ignore[operator]
    return OwnScore(objective)


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
    return {name: np.concatenate(chunks) for name, chunks in scores.items()}


def encoded_scores(branches: Sequence[FittedBranch], fusion: Fusion, data: Tensor, device: torch.device) -> FloatArray:
    """``(n,)`` fused scores of ``(n, *shape)`` encoded parts."""
    judges = {branch.settings.name: branch.judge for branch in branches}
    return fusion.score(score_parts(judges, lambda at: data[torch.from_numpy(at)], len(data), device))


def fusion_weights(branches: Sequence[FittedBranch]) -> dict[str, float]:
    """The weight of each branch: its own, or 0 when it must agree with the first branch and does not.

    Agreement is Spearman's rank correlation of the reference scores: do both order the normal samples alike?
    A global scorer (one centre) tells anomalies well where normal data has one centre, and badly where it has
    several; there its order of the normal samples differs from that of the nearest neighbours
    (docs/decisions/0005).
    """
    anchor = branches[0].judge.scorer.reference_scores_
    weights = {}
    for branch in branches:
        least = branch.settings.agreement
        agrees = least is None or _rank_correlation(anchor, branch.judge.scorer.reference_scores_) >= least
        weights[branch.settings.name] = branch.settings.weight if agrees else 0.0
    return weights


def _rank_correlation(first: FloatArray, second: FloatArray) -> float:
    from scipy.stats import spearmanr

    rows = min(len(first), len(second))
    first, second = first[evenly(len(first), rows)], second[evenly(len(second), rows)]
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def prepared(view: View, sample: Tensor) -> View:
    """The view after it has seen training samples, when it wants to."""
    made: View = view.prepare(sample) if hasattr(view, "prepare") else view
    return made


def choose_branches(
    default: Sequence[Branch], branches: Sequence[Any] | None, exchanged: Mapping[str, Any], switch_off: Sequence[str]
) -> tuple[Branch, ...]:
    """The branches to fit.

    Parameters
    ----------
    default : sequence of Branch
        The modality's.
    branches : sequence of Branch, optional
        The user's, instead of the default.
    exchanged : mapping
        Parts that make one branch, named ``main``, out of the first default branch that trains; None = as there.
    switch_off : sequence of str
        Names to leave out.

    Raises
    ------
    InvalidParameter
        When both ways are used, a name is unknown or doubled, or no branch is left.
    """
    if isinstance(switch_off, str):
        raise InvalidParameter(f"`switch_off` must be a list of names; got {switch_off!r}. Give [{switch_off!r}].")
    given = {name: value for name, value in exchanged.items() if value is not None}
    if given and branches is not None:
        raise InvalidParameter(f"`branches` must not be given beside {sorted(given)}. Put them into a Branch.")
    if given:
        if given.get("objective") == FROZEN:
            given["objective"] = None
        base = next((branch for branch in default if branch.objective is not None), default[0])
        own = {"encoder", "objective"} & set(given)  # the skip connection belongs to what was tuned with it
        branches = (replace(base, name="main", skip=None if own else base.skip, **given),)
    chosen = default if branches is None else branches
    if not all(isinstance(branch, Branch) for branch in chosen):
        raise InvalidParameter(f"`branches` must be a sequence of Branch; got {branches!r}.")
    names = [branch.name for branch in chosen]
    if len(set(names)) < len(names):
        raise InvalidParameter(f"`branches` must have different names; got {names}.")
    unknown = sorted(set(switch_off) - set(names))
    if unknown:
        raise InvalidParameter(f"`switch_off` must name branches among {names}; got {unknown}.")
    kept = tuple(branch for branch in chosen if branch.name not in switch_off)
    if not kept:
        raise InvalidParameter(f"`branches` and `switch_off` must leave a branch; got {names} and {list(switch_off)}.")
    return kept


def _training_rows(parts: Parts, anomalies: Parts | None) -> TrainingRows:
    """The training parts, and behind them the labelled anomalies."""
    if anomalies is None:
        return TrainingRows(parts.n, parts.load, parts.group, parts.time)

    def load(positions: IntArray) -> Tensor:
        labelled = positions >= parts.n
        order = np.argsort(labelled, kind="stable")
        normal, anomalous = positions[~labelled], positions[labelled] - parts.n
        loaded = [source.load(at) for source, at in ((parts, normal), (anomalies, anomalous)) if len(at)]
        return torch.cat(loaded)[torch.from_numpy(np.argsort(order))]

    return TrainingRows(parts.n, load, parts.group, parts.time, n_anomalies=anomalies.n)


def _judge(
    encoder: nn.Module,
    branch: Branch,
    parts: Parts,
    reference: Parts | None,
    anomalies: Parts | None,
    device: torch.device,
    exact: bool,
) -> Judge:
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


def embed_parts(judge: Judge, load: Loader, n: int, device: torch.device) -> FloatArray:
    """``(n, width)`` embeddings by one judge."""
    return embed(judge.encoder, load, n, device=device)


def named_branch(branches: Sequence[FittedBranch], name: str | None) -> FittedBranch:
    """The branch of that name; None: the first that was trained, or the first.

    Raises
    ------
    InvalidParameter
        When there is none of that name.
    """
    by_name = {branch.settings.name: branch for branch in branches}
    if name is None:
        return next((branch for branch in branches if branch.history), branches[0])
    if name not in by_name:
        raise InvalidParameter(f"`branch` must be one of {sorted(by_name)}; got {name!r}.")
    return by_name[name]


def warn_if_constant(branches: Sequence[FittedBranch]) -> None:
    """Warn of branches that score all normal samples alike."""
    for branch in branches:
        reference = branch.judge.scorer.reference_scores_
        if len(reference) >= 8 and np.ptp(reference) == 0.0:
            warnings.warn(
                f"Branch {branch.settings.name!r} gives every normal sample the same score, {reference[0]:.3g}: it "
                "cannot tell anything apart. Check that the training samples differ.",
                TrainingWarning,
                stacklevel=4,
            )
