"""The steps of `Detector.fit` that take more than a line: split, set aside, fit the branches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unalike.branch import FittedBranch, fit_branch
from unalike.data import Split, check_shares, count, group_codes, one_of_each_stretch, runs, split, take
from unalike.errors import InputWarning, InvalidInput, InvalidParameter, tell
from unalike.judging import Judge, for_scorer
from unalike.memory import Prints, fingerprints, part_fingerprints
from unalike.modalities import nearcopies
from unalike.modalities.windows import check_some
from unalike.parts import Parts, load_parts
from unalike.passes import Passes
from unalike.progress import show
from unalike.robust import floor_scores, most_suspect
from unalike.scorers.build import build_scorer, takes_anomalies
from unalike.scorers.fusion import Fusion
from unalike.seeding import derive, numpy_generator
from unalike.types import Branch, Collection, FloatArray, IntArray, InTime, Modality, Training

_NAMED = 3


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

    def split(self, modality: Modality, reference: float, calibration: float, seed: int) -> Split:
        """Positions that train and that are held out.

        Raises
        ------
        InvalidInput
            When fewer than two would train.
        InvalidParameter
            `groups` or `time` for a modality whose samples are in order by themselves.
        """
        if isinstance(modality, InTime):
            return self._in_time(modality, reference, calibration)
        rows = self._at_most(getattr(modality, "most_rows", None), seed)
        parts = split(
            len(rows),
            reference=reference,
            calibration=calibration,
            generator=numpy_generator(seed, "split"),
            groups=None if self.groups is None else self.groups[rows].tolist(),
            time=None if self.time is None else self.time[rows].tolist(),
        )
        parts = Split(rows[parts.train], rows[parts.reference], rows[parts.calibration])
        if len(parts.train) < 2:
            raise InvalidInput(
                f"`X` must hold at least 2 samples to train on; got n_samples = {count(self.X)}, {len(parts.train)} of "
                "them for training. Give more, or hold out fewer."
            )
        return parts

    def _in_time(self, modality: InTime, reference: float, calibration: float) -> Split:
        for name, given in (("groups", self.groups), ("time", self.time)):
            if given is not None:
                raise InvalidParameter(
                    f"`{name}` must not be given for records, whose steps are in order; leave it out."
                )
        check_shares(reference, calibration)
        parts: Split = modality.split(self.X, reference, calibration)
        if len(parts.train) < 2:
            raise InvalidInput(f"`X` must hold at least 2 steps to train on; got {len(parts.train)}. Give more.")
        if calibration > 0.0 and len(parts.calibration) == 0:
            raise InvalidInput(
                f"`X` must be long enough to hold out blocks, a window's length free on each side; got {count(self.X)} "
                "steps. Give more, a shorter `window`, or calibration_fraction=0 and calibrate on other records."
            )
        return parts

    def _at_most(self, most: int | None, seed: int) -> IntArray:
        n = count(self.X)
        if most is None or n <= most:
            return np.arange(n)
        tell(
            f"Training takes {most} of {n} samples, one of each of so many equal stretches; the others are left out. "
            "To take more, give the modality another `most_rows`.",
            InputWarning,
        )
        return one_of_each_stretch(n, most, numpy_generator(seed, "rows"))

    def parts(self, modality: Modality, positions: IntArray, most: int | None = None) -> Parts:
        """The parts of some samples, ready for training; at most `most` of them, one of each of as many stretches."""
        parts, owner = modality.cut(take(self.X, positions))
        if isinstance(modality, InTime):
            check_some(owner, len(positions))
        if most is not None and len(owner) > most:
            kept = one_of_each_stretch(len(owner), most, numpy_generator(0, "parts"))
            parts, owner = take(parts, kept), owner[kept]
        if isinstance(modality, InTime):
            begins, blocks = modality.timing(parts)
            return Parts(len(owner), load_parts(modality, parts, keep=True), owner, blocks, begins)
        groups, time = (None if values is None else values[positions][owner] for values in (self.groups, self.time))
        if groups is None and len(owner) > len(positions):  # parts of one sample must not vouch for each other
            groups = owner
        return Parts(len(owner), load_parts(modality, parts, keep=True), owner, groups, time)

    def held_out(self, modality: Modality, parts: Split) -> tuple[Parts, IntArray, IntArray]:
        """The parts of the calibration samples (in time: with the gaps around), their positions, which calibrate."""
        if not isinstance(modality, InTime):
            rows = parts.calibration
            return self.parts(modality, rows), rows, np.arange(len(rows))
        positions = np.union1d(parts.calibration, parts.gap)
        held = self.parts(modality, positions)
        # Neighbours in time would vouch for each other, as they cannot for later steps: a block is judged by the rest.
        held = replace(held, group=runs(positions)[held.owner[:, 0]])
        return held, positions, np.searchsorted(positions, parts.calibration)


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
    kept = parts.train[~most_suspect(train, share)], parts.reference[~most_suspect(reference, share)]
    if isinstance(modality, InTime):
        whole = [modality.whole(samples.X, positions) for positions in kept]
        kept = whole[0] if len(whole[0]) else kept[0], whole[1] if len(whole[1]) else kept[1]
    return replace(parts, train=kept[0], reference=kept[1])


def warn_of_near_copies(modality: Modality, X: Collection) -> None:
    """An `InputWarning` when many of checked images are near copies of others, which a random split tears apart."""
    if hasattr(modality, "tell_of_copies"):
        modality.tell_of_copies(X)
    if not hasattr(modality, "thumbnails"):
        return
    found = nearcopies.look(modality.thumbnails(X))
    if found is None or not (found.many or found.consecutive):
        return
    alike = found.example[:_NAMED] if found.many else found.in_order
    named = ", ".join(repr(str(name)) for name in modality.ids(X)[alike])
    what = f"{found.share:.0%} of the images have a near copy" if found.many else "consecutive images are alike"
    advice = [
        "groups=, one value per photographed thing (unalike.find_groups(X) makes them from the pictures)",
        "time=, such as range(len(X)), as images that follow upon each other are alike",
    ]
    given = " or ".join([*advice[: found.many], *advice[2 - found.consecutive :]])
    tell(
        f"`X` must hold independent images, or be given with what tells which are not; {what}, such as {named}. On "
        f"both sides of a split they make the threshold too low. Give {given}.",
        InputWarning,
    )


def prints_in_scorers(modality: Modality, X: Collection, split: Split, train: Parts, reference: Parts | None) -> Prints:
    """Fingerprints of the samples that the scorers of a fit know or compare with."""
    if isinstance(modality, InTime):
        return fingerprints(modality, X, np.concatenate([split.train, split.reference, split.gap]))
    known = [(train, split.train), *([] if reference is None else [(reference, split.reference)])]
    return np.concatenate([part_fingerprints(parts.load, parts.owner, len(at)) for parts, at in known])


def absorbed_scores(
    branches: Sequence[FittedBranch], fusion: Fusion, parts: Parts, *, passes: Passes, device: torch.device
) -> FloatArray:
    """``(n,)`` fused scores of held-out parts, which scorers with a method ``absorb`` take in.

    Each part is scored without those of its own sample or group, so that it can calibrate all the same.

    Parameters
    ----------
    branches : sequence of FittedBranch
        Their scorers grow, those of the untrained floors too.
    fusion : Fusion
        Fitted before.
    parts : Parts
        ``n`` of them.
    passes : Passes
        Of the branches' encoders.
    device : torch.device
        Where to embed.
    """
    scores = {}
    for branch in branches:
        if branch.untrained is not None:
            _absorb(branch.untrained, parts, device, passes)
        scores[branch.settings.name] = _absorb(branch.judge, parts, device, passes)
    return fusion.score(scores)


def _absorb(judge: Judge, parts: Parts, device: torch.device, passes: Passes) -> FloatArray:
    embeddings = for_scorer(judge.encoder, judge.scorer, parts, device, passes)
    if not hasattr(judge.scorer, "absorb"):
        return judge.scorer.score(embeddings)
    scores: FloatArray = judge.scorer.absorb(embeddings, parts.owner if parts.group is None else parts.group)
    return scores


def labelled_anomalies(X: Any, modality: Modality, branches: Sequence[Branch]) -> Parts | None:
    """The parts of the labelled anomalies that the user gave, if any.

    Raises
    ------
    InvalidInput
        When `X` is unusable, or empty.
    InvalidParameter
        When no branch trains or has a scorer that takes them: nothing would learn from them.
    """
    if X is None:
        return None
    if all(b.objective is None and not takes_anomalies(build_scorer(b.scorer)) for b in branches):
        raise InvalidParameter(
            f"`anomalies` must have a branch that trains to learn from them; got {[b.name for b in branches]}, all "
            "frozen. Leave anomalies= out, or give an objective, or a scorer that takes them (NeighborRatio)."
        )
    try:
        checked = _nameless(modality).check(X)
    except InvalidInput as error:
        raise InvalidInput(f"`anomalies` must be of the same kind as the training data. {error}") from error
    return Samples(checked, None, None).parts(modality, np.arange(count(checked)))


def _nameless(modality: Modality) -> Modality:
    """The modality, not asking for the column that names the rows: no result names the anomalies learned from."""
    nameless: Any = copy.copy(modality)
    if isinstance(getattr(nameless, "id", None), str):
        nameless.id = None
    unnamed: Modality = nameless
    return unnamed


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
    passes = Passes(branches)
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
                passes=passes,
            )
            for branch in branches
        )
