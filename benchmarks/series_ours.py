"""Our series detector, read in several ways from one fit.

- ``unalike``: ``Detector("series")`` as it comes.
- ``untrained``: the same fusion with every trained network replaced by itself before training.
- ``contrast``: the trained networks alone.
- ``untrained-alone``: the same networks before training, alone.
- ``no-network``: the branches that do not train.
- ``floor``: of those, raw windows' nearest neighbours and window statistics, fused.
- ``stream``: the default's provisional scores and alarms, of each step from the past alone.

A reading is the detector with other branches, and scores windows, fuses and joins them as that does. The columns
``fit_s`` and ``peak_mb`` are those of the whole detector.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness import Maker
from unalike.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from unalike import Detector
    from unalike.branch import FittedBranch

READINGS = ("unalike", "untrained", "contrast", "untrained-alone", "no-network", "floor", "stream")
FLOOR = ("windows", "statistics")

_CHUNK = 1_000


class SeriesDefault:
    """``Detector("series")`` at its defaults, behind the harness' contract."""

    def __init__(self, seed: int) -> None:
        from unalike import Detector

        self.detector = Detector("series", random_state=seed)

    def fit(self, train: FloatArray) -> None:
        self.detector.fit(train)

    def score(self, test: FloatArray, method: str) -> FloatArray:
        if method == "stream":
            self._told = self._streamed(test)
            return self._told[0]
        return reading(self.detector, method).anomaly_scores(test)

    def alarms(self, test: FloatArray, method: str) -> tuple[BoolArray, float] | None:
        """Which steps are raised, and the stated rate: of the default and of its stream, that was scored last."""
        if method == "stream":
            return self._told[1:]
        if method != "unalike":
            return None
        decisions = self.detector.detect(test)
        return decisions.is_anomaly, _rate(decisions.false_alarm_rate)

    def _streamed(self, test: FloatArray) -> tuple[FloatArray, BoolArray, float]:
        """Scores, alarms and stated rate as a stream tells them at once; steps without a score get the lowest."""
        stream = self.detector.stream()
        told = [stream.push(test[at : at + _CHUNK]).provisional for at in range(0, len(test), _CHUNK)]
        scores = np.concatenate([part.scores for part in told])
        known = np.nan_to_num(scores, nan=float(np.nanmin(scores)) if np.isfinite(scores).any() else 0.0)
        return known, np.concatenate([part.is_anomaly for part in told]), _rate(told[0].false_alarm_rate)


def reading(detector: Detector, method: str) -> Detector:
    """The fitted detector with the branches that `method` reads; the fitted one stays as it is.

    Raises
    ------
    ValueError
        When the detector has no such branch: none trains and a network is asked for, say.
    """
    if method == "unalike":
        return detector
    branches = chosen(detector.branches_, method)
    if not branches:
        names = ", ".join(branch.settings.name for branch in detector.branches_)
        raise ValueError(f"there is no {method!r} of the branches {names}: none of them is of that kind")
    weights = {branch.settings.name: detector.fusion_.weight(branch.settings.name) for branch in branches}
    fusion = replace(detector.fusion_, weights=weights if any(weights.values()) else None)
    read = copy.copy(detector)
    read.branches_ = branches
    read.fusion_ = fusion.fit({branch.settings.name: branch.judge.scorer.reference_scores_ for branch in branches})
    return read


def chosen(branches: tuple[FittedBranch, ...], method: str) -> tuple[FittedBranch, ...]:
    """The branches of a reading; an untrained network takes its trained one's name and weight."""
    raw = tuple(branch for branch in branches if branch.untrained is None)
    trained = tuple(branch for branch in branches if branch.untrained is not None)
    before = {
        branch.settings.name: replace(branch, judge=branch.untrained)
        for branch in branches
        if branch.untrained is not None
    }
    if method == "untrained":
        return tuple(before.get(branch.settings.name, branch) for branch in branches) if trained else ()
    floor = tuple(branch for branch in raw if branch.settings.name in FLOOR)
    return {"no-network": raw, "floor": floor, "contrast": trained, "untrained-alone": tuple(before.values())}[method]


def _rate(stated: float | None) -> float:
    return float("nan") if stated is None else stated


def default(seed: int) -> SeriesDefault:
    return SeriesDefault(seed)


OURS: dict[str, Maker] = dict.fromkeys(READINGS, default)
