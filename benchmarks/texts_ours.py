"""Our text detector, read in several ways.

With MiniLM (`modalities.Text(model=)`), all of one fit:

- ``unalike``: the default;
- ``frozen+lexical``: its branches ``meaning`` and ``lexical`` with equal weights, nothing contrastive;
- ``untrained``: the same fusion, every trained network as it was before training;
- ``only-NAME``: the branch of that name alone.

Without a model (`modalities.Text()`): ``unalike-scratch``, the default.

A reading that the default has no branches for fails and leaves no line; so does ``untrained`` where nothing trains.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Maker
from benchmarks.series_ours import reading
from benchmarks.texts_peers import minilm
from unalike.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from unalike import Detector

RATE = 0.05
"""Of false alarms, stated."""
DEFAULTS = ("unalike", "unalike-scratch")


class TextDefault:
    """`Detector` at its defaults, but for the rate of its alarms, behind the harness' contract."""

    def __init__(self, seed: int, *, model: bool = True) -> None:
        from unalike import Detector
        from unalike.modalities import Text
        from unalike.thresholds import Conformal

        modality: Any = Text(model=minilm() if model else None)
        self.detector = Detector(
            modality,
            threshold=Conformal(false_alarm_rate=RATE),
            random_state=seed,
        )
        self._scores: dict[str, FloatArray] = {}

    def fit(self, train: Sequence[str]) -> None:
        self.detector.fit(list(train))

    def score(self, test: Sequence[str], method: str) -> FloatArray:
        self._scores[method] = read(self.detector, method).anomaly_scores(list(test))
        return self._scores[method]

    def alarms(self, method: str) -> tuple[BoolArray, float] | None:
        """Which texts are raised, and the stated rate, of a default that was scored; None of other readings."""
        if method not in DEFAULTS:
            return None
        threshold = self.detector.threshold_
        rate = threshold.false_alarm_rate_
        return threshold.is_anomaly(self._scores[method]), float("nan") if rate is None else rate


def read(detector: Detector, method: str) -> Detector:
    """The fitted detector with the branches that `method` reads; the fitted one stays as it is.

    Raises
    ------
    ValueError
        When it has no such branches.
    """
    if method in DEFAULTS:
        return detector
    if method == "untrained":
        return reading(detector, "untrained")
    wanted = ("meaning", "lexical") if method == "frozen+lexical" else (method.removeprefix("only-"),)
    names = [branch.settings.name for branch in detector.branches_]
    if not set(wanted) <= set(names):
        raise ValueError(f"there is no {method!r} of the branches {', '.join(names)}")
    told = copy.copy(detector)
    told.branches_ = tuple(branch for branch in detector.branches_ if branch.settings.name in wanted)
    told.fusion_ = replace(detector.fusion_, weights=None).fit(
        {branch.settings.name: branch.judge.scorer.reference_scores_ for branch in told.branches_}
    )
    return told


def pretrained(seed: int) -> TextDefault:
    return TextDefault(seed)


def scratch(seed: int) -> TextDefault:
    return TextDefault(seed, model=False)


ALONE = ("meaning", "lexical", "tokens", "relative")

OURS: dict[str, Maker] = {
    **dict.fromkeys(("unalike", "frozen+lexical", "untrained", *(f"only-{name}" for name in ALONE)), pretrained),
    "unalike-scratch": scratch,
}
