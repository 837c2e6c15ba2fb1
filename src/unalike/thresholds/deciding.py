"""From a fitted threshold and the scores of one call to decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from unalike.decisions import Decisions
from unalike.errors import InvalidParameter, tell
from unalike.thresholds.checks import needed
from unalike.thresholds.entities import Entity, PerEntity, entity_names
from unalike.thresholds.multiple import discoveries
from unalike.types import BoolArray, EntityThreshold, FloatArray, Threshold


def fit_threshold(threshold: Threshold, scores: FloatArray, entities: Sequence[Entity] | None) -> Threshold:
    """Fit on calibration scores ``(n,)``; `entities` go to a threshold that takes them."""
    if takes_entities(threshold):
        return threshold.fit(scores, entities)
    return threshold.fit(scores)


def check_enough(threshold: Threshold, n: int) -> None:
    """Refuse a threshold that `n` calibration samples cannot hold, where it tells how many it needs.

    Raises
    ------
    InvalidParameter
        When its ``samples_needed`` are more than `n`.
    """
    needs = getattr(threshold, "samples_needed", 1)
    if n < needs:
        raise InvalidParameter(
            f"`false_alarm_rate` must be one that the calibration samples can hold, with n = {n} at least 1/(n + 1) = "
            f"{1 / (n + 1):.3g}; got {threshold!r}. It needs {needs} of them: state a larger rate, or give more normal "
            "samples. `fit` holds out `calibration_fraction` of them, at most 2,000; `calibrate` takes all."
        )


def tell_few_windows(threshold: Threshold, n: int, window: int) -> None:
    """Warn where `n` calibration steps are too few windows for the rate in force.

    Steps that share a window are alike: what backs a rate is the number of windows of `window` steps that do not
    overlap, as if each were one sample (hierarchical conformal prediction counts so: Dunn, Wasserman and Ramdas, JASA
    2023; Lee, Barber and Willett, arXiv 2306.06342). With thresholds per entity, the one with the fewest steps counts.
    """
    rate = getattr(threshold, "false_alarm_rate_", None)
    if rate is None:
        return
    whose = ""
    if isinstance(threshold, PerEntity):
        own = {name: steps for name, steps in threshold.counts_.items() if name not in threshold.using_pooled_}
        fewest = min(own, key=lambda name: own[name], default=None)
        if fewest is not None:
            n, whose = own[fewest], f" of entity {fewest!r}"
    windows = n // window
    if needed(rate) > windows:
        tell(
            f"A false-alarm rate of {rate:.3g} needs at least {needed(rate)} calibration windows that do not overlap; "
            f"the {n} calibration steps{whose} are no more than {windows}, of {window} steps each, and back a rate of "
            f"{1 / (windows + 1):.2g}. What new steps realise may be far from the rate. State a larger one, or "
            "calibrate on more normal records."
        )


def takes_entities(threshold: Threshold) -> TypeGuard[EntityThreshold]:
    """Whether a threshold has the optional capability (see `unalike.types.Threshold`)."""
    return bool(getattr(threshold, "takes_entities", False))


def decide(
    threshold: Threshold,
    scores: FloatArray,
    ids: npt.NDArray[Any],
    entities: Sequence[Any] | None = None,
    false_discovery_rate: float | None = None,
) -> Decisions:
    """What `Detector.detect` returns.

    Parameters
    ----------
    threshold : Threshold
        Fitted.
    scores, ids : ndarray
        ``(n,)`` each.
    entities : sequence of length n, optional
        For a threshold that takes them.
    false_discovery_rate : float, optional
        Decide by `benjamini_hochberg` over these `n` samples instead of one by one.

    Raises
    ------
    InvalidInput
        `entities` of another length or kind.
    InvalidParameter
        `entities` for a threshold that has no use for them; a rate that cannot be held.
    """
    names = _names(threshold, entities, len(scores))
    p_values = _p_values(threshold, scores, names)
    if false_discovery_rate is None:
        flagged, limit = _flagged(threshold, scores, names), threshold.threshold_
    else:
        least = _p_values(threshold, np.full(len(scores), np.inf), names)
        flagged = discoveries(p_values, least, false_discovery_rate)
        limit = _largest_normal(scores, flagged)
    return Decisions(
        ids=ids,
        scores=scores,
        p_values=p_values,
        is_anomaly=flagged,
        threshold=limit,
        false_alarm_rate=threshold.false_alarm_rate_ if false_discovery_rate is None else None,
        false_discovery_rate=false_discovery_rate,
    )


def _names(threshold: Threshold, entities: Sequence[Any] | None, n: int) -> list[Entity] | None:
    if entities is not None:
        if not takes_entities(threshold):
            raise InvalidParameter(
                "`entities` must go with a threshold that takes them, such as thresholds.PerEntity(); got "
                f"{type(threshold).__name__}. Calibrate with that one, or leave `entities` out."
            )
        return entity_names(entities, n)
    if isinstance(threshold, PerEntity) and threshold.own_:
        tell(
            f"`entities` must be given for the thresholds of {len(threshold.own_)} entities to be used; got none, and "
            "the pooled threshold decides. Give detect(X, entities=...)."
        )
    return None


def _p_values(threshold: Threshold, scores: FloatArray, names: list[Entity] | None) -> FloatArray:
    return threshold.p_values(scores, names) if takes_entities(threshold) else threshold.p_values(scores)


def _flagged(threshold: Threshold, scores: FloatArray, names: list[Entity] | None) -> BoolArray:
    return threshold.is_anomaly(scores, names) if takes_entities(threshold) else threshold.is_anomaly(scores)


def _largest_normal(scores: FloatArray, flagged: BoolArray) -> float:
    if len(scores) == 0:
        return float("nan")
    if flagged.all():
        return float(np.nextafter(scores.min(), -np.inf))
    return float(scores[~flagged].max())
