"""What is asked of a fitted detector: scores, decisions, explanations, another threshold, an update."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

from unalike.branch import FittedBranch, encoded_scores, named_branch
from unalike.bridge import ScikitLearnBridge
from unalike.data import aligned, count, skipped
from unalike.decisions import Decisions, Explanations
from unalike.drift import Drift
from unalike.errors import InvalidInput, InvalidParameter, NotCalibrated
from unalike.explanation import Reader, Viewer, explain
from unalike.judging import Judge, embed_parts, score_parts
from unalike.memory import Memory
from unalike.modalities.windows import check_some, ends_of_parts, tell_unjudged, with_least
from unalike.parts import load_parts
from unalike.progress import watched
from unalike.scorers.fusion import Fusion
from unalike.seeding import resolve_device
from unalike.streaming import Stream, open_stream
from unalike.thresholds import Conformal, build_threshold
from unalike.thresholds.deciding import check_enough, decide, fit_threshold, takes_entities, tell_few_windows
from unalike.thresholds.entities import Entity, entity_names
from unalike.types import Collection, FloatArray, IntArray, InTime, Modality, Pictured, Threshold, Worded
from unalike.updating import calibrated_anew, memory_of, update
from unalike.watching import Kept, drift_of


class Detecting(ScikitLearnBridge):
    """The methods of `unalike.Detector` that need what its `fit` has learned; the attributes are told there."""

    threshold: str | Threshold
    device: str
    progress: bool

    modality_: Modality
    branches_: tuple[FittedBranch, ...]
    fusion_: Fusion
    threshold_: Threshold
    calibration_scores_: FloatArray
    calibration_entities_: list[Entity] | None
    calibration_ends_: FloatArray
    memory_: Memory
    watched_: Kept

    @property
    def calibration_windows_(self) -> int:
        """Of records: how many windows that do not overlap the calibration steps make, at the most.

        Steps that share a window are alike, so that ``n`` windows back a false-alarm rate of about ``1 / (n + 1)``,
        however many the steps are. `fit` and `calibrate` warn where the rate in force is finer.

        Raises
        ------
        NotFitted, NotCalibrated
            Before that.
        AttributeError
            Of data that are no records, whose samples are counted as they are.
        """
        self._need_threshold()
        if not isinstance(self.modality_, InTime):
            raise AttributeError(f"`calibration_windows_` is of records; the modality is {self.modality_.name!r}.")
        return len(self.calibration_scores_) // int(self.modality_.schema.shape[-1])

    def calibrate(
        self, X: Any = None, *, threshold: str | Threshold | None = None, entities: Sequence[Any] | None = None
    ) -> Self:
        """Set the threshold anew, without training.

        Parameters
        ----------
        X : as in `fit`, optional
            Normal samples that were not trained on, or there is a warning; they replace the earlier calibration
            samples. None keeps those.
        threshold : Threshold or str, optional
            Another kind or rate; None takes that of the constructor.
        entities : sequence of length n, optional
            The entity of each calibration sample, for a threshold per entity. When `X` is None too, those of `fit`.

        Raises
        ------
        InvalidParameter
            The calibration samples cannot hold the stated false-alarm rate; the earlier threshold stays.
        """
        self._need_fit()
        if X is None and not hasattr(self, "calibration_scores_"):
            raise NotCalibrated("`X` must hold normal samples the first time; got None. Give some that did not train.")
        built = build_threshold(self.threshold if threshold is None else threshold)
        if X is not None:
            calibrated_anew(self, X, built, entities)
            return self
        names = self.calibration_entities_
        if entities is not None:
            names = entity_names(entities, len(self.calibration_scores_))
        self._calibrate(built, self.calibration_scores_, names, getattr(self, "calibration_ends_", None))
        return self

    def anomaly_scores(self, X: Any) -> FloatArray:
        """``(n,)`` float64, higher = more anomalous."""
        self._need_fit()
        return self._scores(self.modality_.check(X))

    def detect(
        self,
        X: Any,
        *,
        false_alarm_rate: float | None = None,
        false_discovery_rate: float | None = None,
        entities: Sequence[Any] | None = None,
    ) -> Decisions:
        """Decide which samples are anomalies.

        Parameters
        ----------
        X : as in `fit`
            Samples to judge.
        false_alarm_rate : float, optional
            For this call only; None keeps the rate of the threshold. A kind without a rate gives way to a
            conformal threshold from the same calibration samples.
        false_discovery_rate : float, optional
            Instead of a false-alarm rate: decide about the samples of this call together, so that at most this
            share of the anomalies found is normal in the mean (Benjamini and Hochberg, 1995).
        entities : sequence of length n, optional
            The entity of each sample, for a threshold per entity; without them its pooled threshold decides.

        Raises
        ------
        NotCalibrated
            When nothing was held out for calibration.
        InvalidParameter
            When the calibration samples cannot hold the rate; when both rates are given.
        """
        threshold = self._need_threshold()
        if false_alarm_rate is not None and false_discovery_rate is not None:
            raise InvalidParameter("`false_discovery_rate` must be alone; got a `false_alarm_rate` too. Leave one out.")
        if false_alarm_rate is not None:
            threshold = self._at_rate(threshold, false_alarm_rate)
        X = self.modality_.check(X)
        scores, _, owner = self._fused(X)
        return self._decided(X, scores, owner, threshold, entities, false_discovery_rate)

    def drift(
        self,
        X: Any,
        *,
        decisions: Decisions | None = None,
        entities: Sequence[Any] | None = None,
        allowed_anomalies: float = 0.05,
    ) -> Drift:
        """Whether new data still is like the data that set the threshold (docs/drift.md).

        Alarms, scores and embeddings of `X` are compared with those of the calibration samples; when they differ by
        more than chance, the false-alarm rate may no longer hold.

        Parameters
        ----------
        X : as in `fit`
            New samples, a batch that is judged as a whole. From about 50 on something can be found.
        decisions : Decisions, optional
            What `detect` found of the same `X`, so that it is not scored again.
        entities : sequence of length n, optional
            As in `detect`, where no `decisions` are given.
        allowed_anomalies : float
            So large a share of `X` may be anomalies; that is no drift.

        Raises
        ------
        NotCalibrated
            When nothing was held out for calibration.
        InvalidInput
            `decisions` are of other samples.
        InvalidParameter
            `allowed_anomalies` is no share.

        Notes
        -----
        Cost: one pass of one encoder over at most 500 samples, and about 0.3 s.
        """
        self._need_threshold()
        X = self.modality_.check(X)
        if decisions is None:
            decisions = self.detect(X, entities=entities)
        if len(decisions) != count(X):
            raise InvalidInput(
                f"`decisions` must be those about `X`, {count(X)} samples; got {len(decisions)}. Give what detect(X) "
                "found."
            )
        return drift_of(self, X, decisions, allowed_anomalies)

    def explain(self, X: Any, *, only: Any = None, most_places: int = 5) -> Explanations:
        """Which columns, channels or words cause the score, what is usual there, and which normal samples are nearest.

        A column's share is by how much the score falls when its cell is replaced by what the nearest normal rows have
        there (`unalike.explanation`). Of the training rows the model keeps at most 5,000 to find them among. Of records
        windows take the place of rows and channels that of columns, and each run of chosen steps gets one explanation.
        Of images the causes are regions of a heat map, whose mask is not empty exactly when the image is an anomaly
        at the threshold in force (docs/images.md). Of texts they are words, with their place in the text as you gave
        it; a word's share is by how much the score falls when it is left out.

        Parameters
        ----------
        X : as in `fit`
            Samples to explain: rows of tables, steps of records, images or texts.
        only : array-like or Events, optional
            Mask ``(n,)``, such as ``decisions.is_anomaly``, or positions: explain these alone. Of records also
            ``decisions.events()``.
        most_places : int
            At most so many causes per sample.

        Returns
        -------
        Explanations
            A sequence of `Explanation`, in the order of the samples; ``to_frame()``.

        Raises
        ------
        InvalidInput
            `X` is unusable; `only` is neither a mask nor positions in it.
        InvalidParameter
            The kind of data has no places to name; `most_places` is no count.

        Notes
        -----
        Cost: for each cause of a sample, a distance to each kept row and scores of up to 64 variants of the sample,
        one per column. About 10 ms a sample with 10 columns; give `only` when `X` is large. Of a text at most 128
        variants are scored, and one for each word that is named, however long it is.
        """
        self._need_fit()
        X = self.modality_.check(X)
        if isinstance(self.modality_, Pictured):
            threshold = getattr(self, "threshold_", None)
            device = resolve_device(self.device)
            viewer = Viewer(self.modality_, self.branches_, self.fusion_, threshold, self._scores, device)
            return viewer.explain(X, only, most_places)
        device = resolve_device(self.device)
        if isinstance(self.modality_, Worded):
            reader = Reader(self.modality_, self.branches_, self.fusion_, self._fused, memory_of(self), device)
            return reader.explain(X, only, most_places)
        score = partial(encoded_scores, self.branches_, self.fusion_, device=device)
        return explain(self.modality_, memory_of(self), X, score, only, most_places)

    def stream(
        self,
        entity: str = "",
        *,
        false_alarm_rate: float | None = None,
        shortest: int = 1,
        merge: int = 0,
        hold: float | None = None,
        state: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> Stream:
        """Judge a record step by step as it comes (docs/streaming.md).

        Each step gets a provisional score at once, of the window that ends with it, and after `Stream.delay` steps the
        score that `anomaly_scores` gives it in the whole record. Provisional scores have a threshold of their own,
        of the same kind, calibrated on windows of the steps that calibrate `detect`.

        Parameters
        ----------
        entity : str
            Whose record it is, for a threshold per entity and in results.
        false_alarm_rate : float, optional
            As in `detect`, for provisional and for final decisions.
        shortest, merge, hold : optional
            Of the events of the provisional decisions, as in `Decisions.events`.
        state : mapping or path, optional
            What `Stream.state` gave or `Stream.save` wrote: go on where that stream was, with its entity and settings.

        Returns
        -------
        Stream
            What this detector has learned by now decides in it; a later `fit` or `update` does not change it.

        Raises
        ------
        NotCalibrated
            When nothing was held out for calibration, or the model was calibrated before streams were.
        InvalidParameter
            The modality has no records; a setting is out of range, or given beside `state`; the calibration windows,
            one per stride, cannot hold the rate.
        CannotLoad
            `state` is damaged, or of another model.
        """
        self._need_threshold()
        return open_stream(self, entity, false_alarm_rate, {"shortest": shortest, "merge": merge, "hold": hold}, state)

    def update(
        self,
        X: Any,
        *,
        into: str,
        groups: Sequence[Any] | None = None,
        entities: Sequence[Any] | None = None,
        calibration: Any = None,
    ) -> Self:
        """New normal samples into the scorers or the calibration, without training.

        Samples that the detector has seen are left out with a warning, so that none is in both. Fails as a whole.

        Parameters
        ----------
        X : as in `fit`
            Normal samples; they count as normal as they come.
        into : {"scorer", "calibration"}
            The scorers: what these samples look like is normal from now on; reference scores, fusion and threshold
            are computed anew. The calibration: they join the calibration samples.
        groups : sequence of length n, optional
            Near-copies among these samples, as in `fit`.
        entities : sequence of length n, optional
            The entity of each new calibration sample.
        calibration : as `X`, optional
            Into the scorers: calibration samples instead of the earlier ones. Must be given for images, of which
            the model keeps no copies to score anew.

        Raises
        ------
        InvalidInput
            `X` is unusable, or all of it has been seen.
        InvalidParameter
            `into` is neither; a scorer can take no new samples; `calibration` or `entities` are needed or too many.
        """
        self._need_fit()
        fresh = copy.copy(self)
        update(fresh, X, into, groups, entities, calibration)
        self.__dict__.update(fresh.__dict__)
        return self

    def embed(self, X: Any, *, branch: str | None = None) -> FloatArray:
        """``(n, width)`` embeddings of a branch: the named one, or the first that was trained, or the first.

        Of records ``(n_windows, width)``.
        """
        self._need_fit()
        chosen = named_branch(self.branches_, branch)
        load, n, _, _ = self._parts(self.modality_.check(X))
        with watched(self.progress, "embedding", n, load) as load:
            return embed_parts(chosen.judge, load, n, resolve_device(self.device))

    def branch_scores(self, X: Any) -> dict[str, FloatArray]:
        """``(n,)`` scores by each branch alone, in the units of its scorer.

        A trained branch stands beside its floor, ``"<name> (untrained)"``: the same network before training,
        with a scorer of the same kind.
        """
        self._need_fit()
        scores, join, _ = self._scored_parts(self.modality_.check(X), floors=True)
        return {name: join(values) for name, values in scores.items()}

    def _detected_by_branch(
        self, X: Any, false_alarm_rate: float | None = None, entities: Sequence[Any] | None = None
    ) -> tuple[Decisions, dict[str, FloatArray]]:
        """What `detect` and `branch_scores` give, from one pass over the samples."""
        threshold = self._need_threshold()
        if false_alarm_rate is not None:
            threshold = self._at_rate(threshold, false_alarm_rate)
        X = self.modality_.check(X)
        of_parts, join, owner = self._scored_parts(X, floors=True)
        own = {branch.settings.name: of_parts[branch.settings.name] for branch in self.branches_}
        scores = self._joined(self.fusion_.score(own), join, owner)
        decisions = self._decided(X, scores, owner, threshold, entities)
        return decisions, {name: join(values) for name, values in of_parts.items()}

    def _calibrate(
        self,
        threshold: Threshold,
        scores: FloatArray,
        entities: list[str | int] | None,
        ends: FloatArray | None = None,
    ) -> None:
        """`ends`: of records, what `modalities.windows.at_ends` gives of the same steps; it calibrates streams."""
        check_enough(threshold, len(scores))
        threshold = fit_threshold(threshold, scores, entities)
        if isinstance(self.modality_, InTime):
            tell_few_windows(threshold, len(scores), self.modality_.schema.shape[-1])
        self.threshold_ = threshold
        self.calibration_scores_ = scores
        self.calibration_entities_ = entities
        self.__dict__.pop("calibration_ends_", None)
        if ends is not None:
            self.calibration_ends_ = ends

    def _decided(
        self,
        X: Collection,
        scores: FloatArray,
        owner: IntArray,
        threshold: Threshold,
        entities: Sequence[Any] | None = None,
        false_discovery_rate: float | None = None,
    ) -> Decisions:
        """Decisions on the ``(n,)`` scores of checked samples; `owner` as `Modality.cut` says."""
        if not isinstance(self.modality_, InTime):
            entities = aligned(entities, X, "entities")
            found = decide(threshold, scores, self.modality_.ids(X), entities, false_discovery_rate)
            return replace(found, rows=X.rows, skipped=skipped(X)) if skipped(X) else found
        own, steps = self.modality_.timeline(X)
        if entities is None and takes_entities(threshold):
            entities = own.tolist()
        tell_unjudged(owner, count(X))
        decisions = decide(threshold, scores, self.modality_.ids(X), entities, false_discovery_rate)
        return replace(decisions, entities=own, steps=steps)

    def _calibration_scores(self, X: Collection) -> tuple[FloatArray, FloatArray | None]:
        """``(n,)`` scores of checked samples and, in time, those of the windows that end with them (`at_ends`)."""
        scores, of_parts, owner = self._fused(X)
        if isinstance(self.modality_, InTime):
            check_some(owner, count(X))
        return scores, ends_of_parts(self.modality_, of_parts, owner, count(X))

    def _scores(self, X: Collection) -> FloatArray:
        return self._fused(X)[0]

    def _scored(self, X: Collection) -> tuple[dict[str, FloatArray], FloatArray]:
        """``(n,)`` by each branch in the units of its scorer, and fused."""
        scores, join, owner = self._scored_parts(X)
        fused = self._joined(self.fusion_.score(scores), join, owner)
        return {name: join(of_parts) for name, of_parts in scores.items()}, fused

    def _fused(self, X: Collection) -> tuple[FloatArray, FloatArray, IntArray]:
        """Fused scores ``(n,)`` of samples and ``(n_parts,)`` of their parts, and the samples that each part is of."""
        scores, join, owner = self._scored_parts(X)
        of_parts = self.fusion_.score(scores)
        return self._joined(of_parts, join, owner), of_parts, owner

    def _joined(self, of_parts: FloatArray, join: Callable[[FloatArray], FloatArray], owner: IntArray) -> FloatArray:
        if not isinstance(self.modality_, InTime):  # the least score is for steps alone, and takes time to find
            return join(of_parts)
        return with_least(self.modality_, join(of_parts), owner, self.fusion_.least)

    def _scored_parts(
        self, X: Collection, floors: bool = False
    ) -> tuple[dict[str, FloatArray], Callable[[FloatArray], FloatArray], IntArray]:
        """``(n_parts,)`` scores by each branch, what joins them to samples, and the samples that each part is of.

        With `floors` also by the untrained networks beside trained branches, ``"<name> (untrained)"``.
        """
        load, n, join, owner = self._parts(X)
        judges: dict[str, Judge] = {}
        for branch in self.branches_:
            judges[branch.settings.name] = branch.judge
            if floors and branch.untrained is not None:
                judges[f"{branch.settings.name} (untrained)"] = branch.untrained
        with watched(self.progress, "scoring", n, load) as load:
            return score_parts(judges, load, n, resolve_device(self.device)), join, owner

    def _parts(
        self, X: Collection
    ) -> tuple[Callable[[IntArray], Any], int, Callable[[FloatArray], FloatArray], IntArray]:
        parts, owner = self.modality_.cut(X)
        n = count(X)
        load = load_parts(self.modality_, parts, keep=False)
        return load, len(owner), lambda scores: self.modality_.join(scores, owner, n), owner

    def _at_rate(self, threshold: Threshold, rate: float) -> Threshold:
        if hasattr(threshold, "at"):
            moved: Threshold = threshold.at(rate)
            return moved
        return Conformal(false_alarm_rate=rate).fit(self.calibration_scores_)
