"""Our text detector, read in several ways.

With MiniLM (`modalities.Text(model=)`), all of one fit:

- ``unalike``: the default;
- ``frozen+lexical``: its branches ``meaning`` and ``lexical`` with its weights, nothing contrastive;
- ``untrained``: the same fusion, every trained network as it was before training;
- ``only-NAME``: the branch of that name alone.

Without a model (`modalities.Text()`): ``unalike-scratch``, the default.

Either with ``-5%`` behind it is told that 5% of the training texts may be anomalies, with ``-updated`` it takes in what
comes later by `Detector.update`, four fifths of it into the scorers and the rest into the calibration.

Readings of one fit are of the same embeddings; the seconds of ``unalike`` are whole, those of the other readings are
without the pretrained network.

A reading that the default has no branches for fails and leaves no line; so does ``untrained`` where nothing trains.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.harness import Maker
from benchmarks.series_ours import reading
from benchmarks.texts_peers import minilm
from unalike.encoders.pretrained import TextModel
from unalike.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from unalike import Detector

RATE = 0.05
"""Of false alarms, stated."""
HELD_OUT = 0.2
"""Share of what comes later that calibrates."""
DEFAULTS = tuple(f"{name}{how}" for name in ("unalike", "unalike-scratch") for how in ("", "-5%", "-updated"))
LATER_ONLY = ("unalike-updated", "unalike-scratch-updated")
"""Methods that there is something for under ``update`` alone."""


class TextDefault:
    """`Detector` at its defaults, but for the rate of its alarms, behind the harness' contract."""

    def __init__(self, seed: int, *, model: bool = True, expected: float = 0.0, update: bool = False) -> None:
        from unalike import Detector
        from unalike.modalities import Text
        from unalike.thresholds import Conformal

        self._model = model
        modality: Any = Text(model=minilm() if model else None)
        self.detector = Detector(
            modality,
            threshold=Conformal(false_alarm_rate=RATE),
            random_state=seed,
            expected_anomalies=expected,
        )
        self._update = update
        self._scores: dict[str, FloatArray] = {}

    def fit(self, train: Sequence[str], anomalies: Sequence[str] = (), later: Sequence[str] = ()) -> None:
        self.detector.fit(list(train), anomalies=list(anomalies) or None)
        if self._update and later:
            calibrated = [train[at] for at in self.detector.split_.calibration]
            held = later[:: round(1 / HELD_OUT)]
            self.detector.update(
                [text for at, text in enumerate(later) if at % round(1 / HELD_OUT)],
                into="scorer",
                calibration=[*calibrated, *held],
            )

    def score(self, test: Sequence[str], method: str) -> FloatArray:
        self._scores[method] = read(self.detector, method).anomaly_scores(list(test))
        if method in DEFAULTS and self._model:
            remember(self.detector)  # only now, so that the default's own seconds are whole
        return self._scores[method]

    def alarms(self, method: str) -> tuple[BoolArray, float] | None:
        """Which texts are raised, and the stated rate, of a default that was scored; None of other readings."""
        if method not in DEFAULTS:
            return None
        threshold = self.detector.threshold_
        rate = threshold.false_alarm_rate_
        return threshold.is_anomaly(self._scores[method]), float("nan") if rate is None else rate


def remember(detector: Detector) -> None:
    """Let pretrained networks embed every text once from now on, for readings that differ in other things."""
    for encoder in {branch.judge.encoder for branch in detector.branches_}:
        if isinstance(encoder, TextModel):
            encoder.forward = _remembering(encoder.forward)  # type: ignore[assignment, method-assign]


def _remembering(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    known: dict[bytes, Tensor] = {}

    def remembered(data: Tensor) -> Tensor:
        keys = [row.tobytes() for row in data.numpy()]
        new = [at for at, key in enumerate(keys) if key not in known]
        if new:
            known.update(zip([keys[at] for at in new], forward(data[new]), strict=True))
        return torch.stack([known[key] for key in keys])

    return remembered


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
    weights = {name: detector.fusion_.weight(name) for name in wanted}
    told.fusion_ = replace(detector.fusion_, weights=weights).fit(
        {branch.settings.name: branch.judge.scorer.reference_scores_ for branch in told.branches_}
    )
    return told


def pretrained(seed: int) -> TextDefault:
    return TextDefault(seed)


ALONE = ("meaning", "lexical", "tokens", "background")

OURS: dict[str, Maker] = {
    **dict.fromkeys(("unalike", "frozen+lexical", "untrained", *(f"only-{name}" for name in ALONE)), pretrained),
    "unalike-5%": partial(TextDefault, expected=0.05),
    "unalike-updated": partial(TextDefault, update=True),
    "unalike-scratch": partial(TextDefault, model=False),
    "unalike-scratch-5%": partial(TextDefault, model=False, expected=0.05),
    "unalike-scratch-updated": partial(TextDefault, model=False, update=True),
}
