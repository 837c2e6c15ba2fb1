"""The steps of `Detector.fit` that take more than a line: split, set aside, fit the branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unalike.branch import FittedBranch, Parts, fit_branch, load_parts
from unalike.data import Split, count, group_codes, split, take
from unalike.errors import InvalidInput, InvalidParameter
from unalike.progress import show
from unalike.robust import floor_scores, most_suspect
from unalike.seeding import derive, numpy_generator
from unalike.types import Branch, Collection, IntArray, Modality, Training


@dataclass(frozen=True)
class Samples:
    """Checked training data.

    Parameters
    ----------
    X : collection
        ``n`` samples.
    groups, time : ndarray, optional
        ``(n,)`` codes each.
    """

    X: Collection
    groups: IntArray | None
    time: IntArray | None

    @staticmethod
    def of(X: Collection, groups: Sequence[Any] | None, time: Sequence[Any] | None) -> Samples:
        """Samples whose `groups` and `time` are as the user gave them."""
        given = {"groups": groups, "time": time}
        codes = [None if values is None else group_codes(values, count(X), name) for name, values in given.items()]
        return Samples(X, *codes)

    def split(self, reference: float, calibration: float, seed: int) -> Split:
        """Positions that train and that are held out.

        Raises
        ------
        InvalidInput
            When fewer than two would train.
        """
        parts = split(
            count(self.X),
            reference=reference,
            calibration=calibration,
            generator=numpy_generator(seed, "split"),
            groups=None if self.groups is None else self.groups.tolist(),
            time=None if self.time is None else self.time.tolist(),
        )
        if len(parts.train) < 2:
            raise InvalidInput(
                f"`X` must hold at least 2 samples to train on; got n_samples = {count(self.X)}, {len(parts.train)} of "
                "them for training. Give more, or hold out fewer."
            )
        return parts

    def parts(self, modality: Modality, positions: IntArray) -> Parts:
        """The parts of some samples, ready for training."""
        parts, owner = modality.cut(take(self.X, positions))
        groups, time = (None if values is None else values[positions][owner] for values in (self.groups, self.time))
        return Parts(len(owner), load_parts(modality, parts, keep=True), owner, groups, time)


def without_suspects(
    samples: Samples,
    parts: Split,
    modality: Modality,
    branches: Sequence[Branch],
    share: float,
    *,
    seed: int,
    device: torch.device,
) -> Split:
    """The split without that share of the training and reference samples that looks least normal (`robust`).

    Parameters
    ----------
    samples : Samples
        All of them.
    parts : Split
        Of the samples.
    modality : Modality
        Fitted on the training samples.
    branches : sequence of Branch
        As `robust.floor_scores`.
    share : float
        In ``[0, 1)``.
    seed : int
        Of an untrained encoder.
    device : torch.device
        Where to embed.
    """
    rows = np.concatenate([parts.train, parts.reference])
    cut = samples.parts(modality, rows)
    of_parts = floor_scores(modality, branches, cut, seed=seed, device=device)
    scores = modality.join(of_parts, cut.owner, len(rows))
    train, reference = np.split(scores, [len(parts.train)])
    return replace(
        parts,
        train=parts.train[~most_suspect(train, share)],
        reference=parts.reference[~most_suspect(reference, share)],
    )


def labelled_anomalies(X: Any, modality: Modality, branches: Sequence[Branch]) -> Parts | None:
    """The parts of the labelled anomalies that the user gave, if any.

    Raises
    ------
    InvalidInput
        When `X` is unusable, or empty.
    InvalidParameter
        When no branch trains: nothing would learn from them.
    """
    if X is None:
        return None
    if all(branch.objective is None for branch in branches):
        raise InvalidParameter(
            f"`anomalies` must have a branch that trains to learn from them; got {[b.name for b in branches]}, all "
            "frozen. Leave anomalies= out, or give an objective."
        )
    try:
        checked = modality.check(X)
    except InvalidInput as error:
        raise InvalidInput(f"`anomalies` must be of the same kind as the training data. {error}") from error
    return Samples(checked, None, None).parts(modality, np.arange(count(checked)))


def fit_branches(
    branches: Sequence[Branch],
    modality: Modality,
    train: Parts,
    reference: Parts | None,
    anomalies: Parts | None,
    *,
    training: Training | Mapping[str, Any] | None,
    seed: int,
    device: torch.device,
    folder: Path | None,
    progress: bool,
) -> tuple[FittedBranch, ...]:
    """Fit one branch after the other; the parameters are those of `branch.fit_branch`."""
    with show(progress, [branch.name for branch in branches if branch.objective is not None]) as on_epoch:
        return tuple(
            fit_branch(
                branch,
                modality,
                train,
                reference,
                anomalies,
                training=training,
                seed=derive(seed, "branch", branch.name),
                device=device,
                on_epoch=on_epoch,
                folder=folder,
            )
            for branch in branches
        )
