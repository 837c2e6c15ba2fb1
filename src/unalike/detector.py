"""The detector: its settings, and the whole pipeline on one page."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unalike.branch import choose_branches, fusion_weights, warn_if_constant
from unalike.calibrating import Calibration, in_time
from unalike.data import Split, aligned, count, rows_given, skipped, split_of_given, take
from unalike.detecting import Detecting
from unalike.fitting import (
    Samples,
    absorbed_scores,
    fit_branches,
    labelled_anomalies,
    prints_in_scorers,
    warn_of_near_copies,
    without_suspects,
)
from unalike.memory import memory_of_fit
from unalike.modalities.build import build_modality
from unalike.modalities.windows import ends_of_parts, with_least
from unalike.robust import check_share, robust_branches, unexplained_by_any, untaught
from unalike.scorers.fusion import Fusion
from unalike.seeding import derive, isolated, resolve_device, root_seed
from unalike.thresholds import build_threshold
from unalike.thresholds.deciding import check_enough, takes_entities
from unalike.thresholds.entities import entity_names
from unalike.training import open_folder, settle
from unalike.types import Branch, InTime, Modality, Skipped, Threshold, Training
from unalike.updating import absorbing
from unalike.watching import passes_to_watch, watch, watch_parts


class Detector(Detecting):
    """Learns what normal samples have in common and finds what is unlike them.

    Parameters
    ----------
    modality : {"image", "series", "table", "text"} or Modality
        The kind of data.
    encoder, objective, scorer, views : optional
        Sugar for one branch: the first trained branch of the modality's default with these parts exchanged.
        Names, settings, or objects of the right shape (`unalike.types`). ``objective="frozen"`` does not train.
    branches : sequence of Branch, optional
        Instead of the modality's tuned default; their tail probabilities are fused.
    switch_off : sequence of str
        Names of branches to leave out.
    training : Training or mapping, optional
        Overrides the branches' own settings; a mapping such as ``{"epochs": 10}`` changes these fields only.
    threshold : Threshold or str
        Default: conformal at a false-alarm rate of 1%, or the finest that the calibration samples can hold.
    calibration_fraction : float
        Share of `X` (at most 2,000 samples) that `fit` holds out, never trains on, and calibrates with. 0 leaves
        calibration to `calibrate`.
    reference_fraction : float
        Share of `X` held out for the scores that tail probabilities compare with. 0: leave-one-out or cross-fit
        on the training samples.
    expected_anomalies : float
        Largest share of `X` that may be anomalies, from 0 to 0.3, when nobody could clean it. That share of the
        training samples, those that look least normal, is set aside before training; neighbours vote; and
        calibration samples are set aside where the law of the others does not explain their scores, at most that
        share of them, by which the false-alarm rate can at most rise. 0: all of `X` counts as normal. `calibrate`
        takes its samples as they come.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``…
    random_state : int, None or numpy generator
        One seed gives one result; the global generators are not touched.
    progress : bool
        Show progress on standard error: bars, or a line per row of the history where there is no terminal.

    Attributes
    ----------
    modality_ : Modality
        With its learned schema.
    branches_ : tuple of FittedBranch
        Trained encoders and fitted scorers, each beside its untrained floor.
    fusion_ : Fusion
        Joins the branches.
    threshold_ : Threshold
        Fitted on `calibration_scores_` ``(m,)``, the scores of held-out normal samples, and on
        `calibration_entities_`, None or a list of ``m``. Of records these are all steps, each judged by what was
        learned of other times (docs/series.md), and `calibration_ends_` ``(m,)`` are the scores of the windows that end
        with each of them, NaN where none does; streams are calibrated on those. `calibration_windows_` tells how many
        windows that do not overlap they are.
    history_ : dict of str to list of dict
        Per trained branch the rows of its training.
    split_ : Split
        Which samples of `X` trained and which were held out.
    set_aside_ : ndarray
        ``(m,)`` positions in `X`, sorted: suspected anomalies that neither trained nor calibrated; empty unless
        `expected_anomalies` is above 0.
    skipped_ : tuple of Skipped
        Samples of `X` that could not be read and were left out: rows, ids and reasons. Not saved.
    memory_ : Memory
        Fingerprints of all samples that were learned from, and encoded rows of some, for `explain` and `update`.
    watched_ : Kept
        Embeddings and scores of some held-out samples, for `drift`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from unalike import Detector, thresholds
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> detector = Detector("table", threshold=thresholds.Conformal(false_alarm_rate=0.05))
    >>> decisions = detector.fit(X[y == 1][:200]).detect(X)  # doctest: +SKIP
    """

    skipped_: tuple[Skipped, ...] = ()

    def __init__(
        self,
        modality: str | Modality = "table",
        *,
        encoder: Any = None,
        objective: Any = None,
        scorer: Any = None,
        views: Any = None,
        branches: Sequence[Branch] | None = None,
        switch_off: Sequence[str] = (),
        training: Training | Mapping[str, Any] | None = None,
        threshold: str | Threshold = "conformal",
        calibration_fraction: float = 0.2,
        reference_fraction: float = 0.0,
        expected_anomalies: float = 0.0,
        device: str = "auto",
        random_state: Any = 0,
        progress: bool = False,
    ) -> None:
        self.modality = modality
        self.encoder = encoder
        self.objective = objective
        self.scorer = scorer
        self.views = views
        self.branches = branches
        self.switch_off = switch_off
        self.training = training
        self.threshold = threshold
        self.calibration_fraction = calibration_fraction
        self.reference_fraction = reference_fraction
        self.expected_anomalies = expected_anomalies
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Sequence[Any] | None = None,
        time: Sequence[Any] | None = None,
        entities: Sequence[Any] | None = None,
        anomalies: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Detector:
        """Learn from normal samples.

        Parameters
        ----------
        X : folder, file, list, array or DataFrame
            Normal samples, in a form that the modality reads.
        y : ignored
            For scikit-learn's pipelines.
        groups : sequence of length n, optional
            Near-copies (photos of one part, rows of one customer) share a value and stay on one side of every
            split.
        time : sequence of length n, optional
            Sortable; the latest block calibrates.
        entities : sequence of length n, optional
            Strings or ints: the machine, customer or camera that each sample is of, for a threshold per entity.
        anomalies : as `X`, optional
            A few labelled anomalies; what trains learns to keep normal samples apart from them, and for tables,
            series and texts more branches ask which is nearer, something normal or a labelled anomaly. The column that
            names the rows of a table may be missing. Of series: records that hold the anomaly and no more around it.
        checkpoint : str or Path, optional
            Folder in which training is kept; made when it is not there. The same fit with the same folder goes on
            where an earlier one was stopped, and does not train finished branches again.

        Raises
        ------
        InvalidInput
            `X` is unusable, or too small to train on.
        InvalidParameter
            A setting is out of range or unknown; the samples that are held out cannot hold the stated false-alarm
            rate; `checkpoint` is of another fit, or no such folder.
        CannotLoad
            A checkpoint is damaged.
        TrainingFailed
            The loss stopped being finite, or no weight moved.
        """
        fresh = copy.copy(self)
        fresh._forget()
        folder = None if checkpoint is None else open_folder(checkpoint, self.random_state)
        seed = root_seed(self.random_state)
        # Libraries below us draw from the global generators when first imported, or in a dropout layer.
        with isolated(derive(seed, "fit")):
            fresh._learn(X, anomalies, (groups, time, entities), seed, folder)
        # Only now: a fit that fails leaves what was learned before as it was.
        self._forget()
        self.__dict__.update(fresh.__dict__)
        return self

    def _learn(
        self, X: Any, anomalies: Any, known: tuple[Sequence[Any] | None, ...], seed: int, folder: Path | None
    ) -> None:
        threshold = build_threshold(self.threshold)
        modality = build_modality(self.modality)
        X = modality.check(X)
        groups, time, entities = map(aligned, known, (X, X, X), ("groups", "time", "entities"))
        if groups is None and time is None:
            warn_of_near_copies(modality, X)
        if entities is None and isinstance(modality, InTime) and takes_entities(threshold):
            entities = modality.timeline(X)[0].tolist()
        names = None if entities is None else entity_names(entities, count(X))
        samples = Samples.of(X, groups, time)
        drawn = samples.split(modality, self.reference_fraction, self.calibration_fraction, seed)
        if len(drawn.calibration):  # of records all steps calibrate
            check_enough(threshold, len(drawn.calibration) + (len(drawn.train) if isinstance(modality, InTime) else 0))
        self.modality_ = modality.fit(take(X, drawn.train))
        parts, branches = self._without_suspects(samples, drawn, anomalies is not None, seed)
        train = samples.parts(self.modality_, parts.train, getattr(modality, "most_windows", None))
        reference = samples.parts(self.modality_, parts.reference) if len(parts.reference) else None
        prints = prints_in_scorers(self.modality_, X, parts, train, reference)
        self.branches_ = fit_branches(
            branches,
            self.modality_,
            train,
            reference,
            labelled_anomalies(anomalies, self.modality_, branches),
            training=self.training,
            seed=seed,
            device=resolve_device(self.device),
            folder=folder,
            progress=self.progress,
        )
        references = {branch.settings.name: branch.judge.scorer.reference_scores_ for branch in self.branches_}
        self.fusion_ = Fusion(how=getattr(modality, "fusion", "sum"), weights=fusion_weights(self.branches_)).fit(
            references
        )
        self.history_ = {b.settings.name: b.history for b in self.branches_ if b.history}
        if hasattr(self.modality_, "inputs_"):
            self.n_features_in_ = len(self.modality_.inputs_)
        warn_if_constant(self.branches_)
        split = self._calibrate_on_held_out(samples, parts, names, threshold)
        self.memory_ = memory_of_fit(self.modality_, X, split, samples.groups, prints, absorbing(self.branches_))
        self.set_aside_ = rows_given(X, np.setdiff1d(drawn.positions(), split.positions()))
        self.split_ = split_of_given(X, split)
        if skipped(X):
            self.skipped_ = skipped(X)

    def _without_suspects(
        self, samples: Samples, parts: Split, labelled: bool, seed: int
    ) -> tuple[Split, tuple[Branch, ...]]:
        """What trains, and the branches to fit, when some of the samples may be anomalies."""
        share, branches = check_share(self.expected_anomalies), self._chosen_branches(labelled)
        if share == 0.0:
            return parts, branches
        device = resolve_device(self.device)
        parts = without_suspects(samples, parts, self.modality_, branches, share, seed=seed, device=device)
        self.modality_ = self.modality_.fit(take(samples.X, parts.train))
        return parts, robust_branches(self._chosen_branches(labelled))

    def _calibrate_on_held_out(
        self, samples: Samples, parts: Split, names: list[str | int] | None, threshold: Threshold
    ) -> Split:
        """Set the threshold; the split comes back without calibration samples that were set aside."""
        if not len(parts.calibration):
            return parts
        ends = None
        if self.expected_anomalies > 0.0 or samples.time is not None:
            by_branch, scores = self._scored(take(samples.X, parts.calibration))
            several = untaught(by_branch, self.branches_, self.fusion_)
            kept = ~unexplained_by_any(several, scores, self.expected_anomalies)
            parts, scores = replace(parts, calibration=parts.calibration[kept]), scores[kept]
        if samples.time is None:  # neighbours in time would vouch for each other, as they cannot for later samples
            held, rows, calibrating = samples.held_out(self.modality_, parts)
            passes, device = passes_to_watch(self.branches_), resolve_device(self.device)
            of_parts = absorbed_scores(self.branches_, self.fusion_, held, passes=passes, device=device)
            scores = self.modality_.join(of_parts, held.owner, len(rows))
            scores = with_least(self.modality_, scores, held.owner, self.fusion_.least)[calibrating]
            ends = ends_of_parts(self.modality_, of_parts, held.owner, len(rows))
            ends = None if ends is None else ends[calibrating]
        known = Calibration(parts.calibration, scores, ends)
        if isinstance(self.modality_, InTime):
            clean, device = self.expected_anomalies == 0.0, resolve_device(self.device)
            learned = (self.branches_, self.fusion_, self.modality_)
            known = in_time(*learned, samples.X, parts, known, clean=clean, device=device)
        names = None if names is None else [names[row] for row in known.positions]
        self._calibrate(threshold, known.scores, names, known.ends)
        if samples.time is None and not isinstance(self.modality_, InTime):
            self.watched_ = watch_parts(self, held, scores, passes)
        else:
            self.watched_ = watch(self, take(samples.X, parts.calibration), scores)
        return parts

    def _forget(self) -> None:
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    def _chosen_branches(self, labelled: bool) -> tuple[Branch, ...]:
        """Where there are no labelled anomalies, without the default branches that exist for them alone."""
        settle(None, self.training, resolve_device(self.device))
        exchanged = {"encoder": self.encoder, "objective": self.objective, "scorer": self.scorer, "views": self.views}
        for_anomalies = self.modality_.labelled_branches() if hasattr(self.modality_, "labelled_branches") else ()
        default = (*self.modality_.branches(), *for_anomalies)
        chosen = choose_branches(default, self.branches, exchanged, self.switch_off)
        if labelled or self.branches is not None:
            return chosen
        return tuple(branch for branch in chosen if branch not in for_anomalies)
