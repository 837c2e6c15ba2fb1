"""From a fitted detector, or from what was kept, to a stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from unalike.branch import FittedBranch
from unalike.errors import CannotLoad, InvalidParameter, NotCalibrated
from unalike.events import check_settings
from unalike.plain import unlearned
from unalike.records.frames import Roles
from unalike.scorers.fusion import Fusion
from unalike.seeding import resolve_device
from unalike.streaming import keeping
from unalike.streaming.alarms import Alarms
from unalike.streaming.intake import Reader
from unalike.streaming.scoring import InWindows, Scoring
from unalike.streaming.stream import Judges, Stream
from unalike.streaming.ticks import Ticks
from unalike.thresholds import Conformal, build_threshold
from unalike.thresholds.deciding import check_enough, fit_threshold
from unalike.thresholds.entities import Entity
from unalike.types import FloatArray, InTime, Modality, Threshold


class Streamable(Protocol):
    """What a stream reads of a fitted `Detector`."""

    modality_: Modality
    branches_: tuple[FittedBranch, ...]
    fusion_: Fusion
    calibration_entities_: list[Entity] | None
    device: str

    def _need_threshold(self) -> Threshold: ...

    def _at_rate(self, threshold: Threshold, rate: float) -> Threshold: ...


def open_stream(
    detector: Any,
    entity: str,
    rate: float | None,
    events: dict[str, Any],
    state: Mapping[str, Any] | str | os.PathLike[str] | None,
) -> Stream:
    """As `Detector.stream`, of a calibrated one; `events` are the settings of events."""
    modality = detector.modality_
    if not (isinstance(modality, InTime) and isinstance(modality, InWindows)):
        raise InvalidParameter(
            f"`stream` needs samples that are steps of records; got modality {modality.name!r}. Fit one with 'series'."
        )
    model = keeping.fingerprint(modality, detector.branches_, detector.fusion_)
    if state is not None:
        state = _checked(state, model)
        if entity or rate is not None or events != {"shortest": 1, "merge": 0, "hold": None}:
            raise InvalidParameter("`state` must be given alone, for it holds the settings; got others beside it.")
        settings = dict(state["settings"])
        entity, rate = state["entity"], settings.pop("false_alarm_rate")
        events = settings
    check_settings(**events)
    if not isinstance(entity, str):
        raise InvalidParameter(f"`entity` must be a text; got {entity!r}. Give str(...) of it.")
    final, provisional = _thresholds(detector, rate, events["hold"])
    scoring = Scoring(modality, detector.branches_, detector.fusion_, resolve_device(detector.device), entity)
    modality.tell_unknown([entity])
    made = Stream(
        Judges(scoring, provisional, final, model),
        Reader(Roles(modality.time, modality.entity, tuple(modality.ignore)), modality.learned_, entity),
        Ticks(modality.learned_.clock, modality.longest_gap),
        Alarms(**events),
        rate,
    )
    return made if state is None else made.restored(state)


def _thresholds(detector: Streamable, rate: float | None, hold: float | None) -> tuple[Threshold, Threshold]:
    """For final and for provisional scores."""
    final = detector._need_threshold()
    scores, entities = _calibration(detector)
    provisional = build_threshold(unlearned(final))
    if rate is None:
        _check_enough(provisional, len(scores))
    provisional = fit_threshold(provisional, scores, entities)
    if rate is not None:
        final = detector._at_rate(final, rate)
        provisional = (
            provisional.at(rate) if hasattr(provisional, "at") else Conformal(false_alarm_rate=rate).fit(scores)
        )
        _check_enough(provisional, len(scores))
    if hold is not None and np.isnan(provisional.p_values(np.zeros(1))).any():
        raise InvalidParameter("`hold` must have p-values to compare with; the threshold gives none. Leave `hold` out.")
    return final, provisional


def _calibration(detector: Streamable) -> tuple[FloatArray, list[Entity] | None]:
    """Scores of the windows of held-out steps, and whose they are."""
    ends = getattr(detector, "calibration_ends_", None)
    if ends is None or np.isnan(ends).all():
        raise NotCalibrated(
            "Streams must be calibrated on windows of held-out records; this Detector was not. Call `calibrate` with "
            "normal records that did not train, each at least a window long."
        )
    known, names = ~np.isnan(ends), detector.calibration_entities_
    return ends[known], None if names is None else [names[row] for row in np.flatnonzero(known).tolist()]


def _check_enough(threshold: Threshold, n: int) -> None:
    try:
        check_enough(threshold, n)
    except InvalidParameter as error:
        raise InvalidParameter(
            f"`false_alarm_rate` must be one that the calibration of streams can hold: provisional scores are "
            f"calibrated on one window per stride, {n} in all. State a rate of at least {1 / (n + 1):.3g}, or "
            "calibrate with more normal records."
        ) from error


def _checked(state: Mapping[str, Any] | str | os.PathLike[str], model: str) -> dict[str, Any]:
    known = dict(state) if isinstance(state, Mapping) else keeping.read(state)
    if known.get("format") != keeping.FORMAT:
        raise CannotLoad("`state` must be what Stream.state gave or Stream.save wrote; got something else.")
    if known.get("version") != keeping.VERSION:
        raise CannotLoad(
            f"`state` is in version {known.get('version')}; this unalike reads {keeping.VERSION}. Upgrade."
        )
    if known.get("model") != model:
        raise CannotLoad(
            "`state` must be of a stream of this model; got one of another fit or update, whose scores are not alike. "
            "Go on with that model, or open a new stream."
        )
    return known
