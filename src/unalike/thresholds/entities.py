"""A threshold for each entity: machine, customer, camera."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from unalike.errors import CalibrationWarning, InvalidInput, InvalidParameter, NotCalibrated, UnalikeError, tell
from unalike.thresholds.build import build_threshold
from unalike.thresholds.checks import ROUNDING, calibration, judged
from unalike.types import BoolArray, FloatArray, IntArray, Threshold

Entity = str | int


@dataclass
class PerEntity:
    """A threshold of its own for each entity that has enough calibration samples; one pooled for all others.

    One threshold for all holds its false-alarm rate over all samples, but not for each machine or customer: one
    whose normal scores run high gives nearly all the alarms. With a threshold of its own each entity has the rate
    ("Mondrian" conformal prediction: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005,
    section 4.5). An entity uses the pooled threshold, which is fitted to all calibration samples, when it has fewer
    than `least` of them, when they cannot hold the rate in force, or when it was not among them. How many do, a
    `CalibrationWarning` says once.

    Parameters
    ----------
    each : Threshold or str
        The kind of threshold, pooled and own.
    least : int
        Calibration samples that an entity needs for its own. A conformal one needs as many as the rate besides (99
        for 1%), which it sees to itself; the fitted laws are good from about 100.

    Attributes
    ----------
    pooled_ : Threshold
        Fitted to all.
    own_ : dict of str or int to Threshold
        By entity, where there are at least `least` samples.
    counts_ : dict of str or int to int
        Calibration samples by entity.
    using_pooled_ : tuple of str or int
        Entities of the calibration that use the pooled threshold.
    threshold_, false_alarm_rate_ : float
        Those of `pooled_`.

    Raises
    ------
    InvalidParameter
        `least` is no positive integer; `each` cannot be used; by ``at(rate)``, `each` is of a kind without a rate.
    InvalidInput
        `entities` are not strings or whole numbers, one per score.
    NotCalibrated
        Anything but `fit` before `fit`.
    """

    takes_entities: ClassVar[bool] = True

    each: Any = "conformal"
    least: int = 30

    def __post_init__(self) -> None:
        if isinstance(self.least, bool) or not isinstance(self.least, (int, np.integer)) or self.least < 1:
            raise InvalidParameter(f"`least` must be a whole number of at least 1; got {self.least!r}.")

    @property
    def samples_needed(self) -> int:
        """Calibration samples, of all entities together, without which the pooled threshold cannot hold its rate."""
        return int(getattr(build_threshold(self.each), "samples_needed", 1))

    def fit(self, calibration_scores: FloatArray, entities: Sequence[Any] | None = None) -> Self:
        """Fit to ``(n,)`` scores of held-out normal samples; without `entities` ``(n,)``, one threshold for all."""
        scores = np.asarray(calibration_scores, dtype=np.float64)
        calibration(scores)
        names = None if entities is None else entity_names(entities, len(scores))
        rows = {} if names is None else dict(_rows(names))
        self.pooled_: Threshold = build_threshold(self.each).fit(scores)
        self.counts_: dict[Entity, int] = {name: len(positions) for name, positions in rows.items()}
        self._told: set[Entity] = set()
        with warnings.catch_warnings():
            # Of one entity each; `_settle` counts those for which it matters.
            warnings.simplefilter("ignore", CalibrationWarning)
            self.own_: dict[Entity, Threshold] = {
                name: build_threshold(self.each).fit(scores[positions])
                for name, positions in rows.items()
                if len(positions) >= self.least
            }
        self._settle(names is None)
        return self

    @property
    def threshold_(self) -> float:
        """The largest score that is still normal by the pooled threshold."""
        return self._pooled().threshold_

    @property
    def false_alarm_rate_(self) -> float | None:
        """The rate in force for every entity."""
        return self._pooled().false_alarm_rate_

    @property
    def using_pooled_(self) -> tuple[Entity, ...]:
        """Entities of the calibration that use the pooled threshold."""
        self._pooled()
        return tuple(name for name in self.counts_ if name not in self._in_force)

    @property
    def thresholds_(self) -> dict[Entity, float]:
        """The largest score that is still normal for each entity of the calibration; of some it is the pooled one."""
        pooled = self._pooled()
        return {name: float(self._in_force.get(name, pooled).threshold_) for name in self.counts_}

    def p_values(self, scores: FloatArray, entities: Sequence[Any] | None = None) -> FloatArray:
        """``(n,)`` by the threshold of each score's entity; by the pooled one for all without `entities`."""
        values: FloatArray = self._by_entity(
            scores, entities, np.float64, lambda threshold, own: threshold.p_values(own)
        )
        return values

    def is_anomaly(self, scores: FloatArray, entities: Sequence[Any] | None = None) -> BoolArray:
        """``(n,)`` bool, by the threshold of each score's entity."""
        flags: BoolArray = self._by_entity(scores, entities, np.bool_, lambda threshold, own: threshold.is_anomaly(own))
        return flags

    def at(self, rate: float | None) -> Self:
        """The same calibration with another false-alarm rate for all; this one is not changed."""
        pooled: Any = self._pooled()
        if not hasattr(pooled, "at"):
            raise InvalidParameter(
                f"`each` must be a threshold with a rate for `false_alarm_rate` to be changed; got {self.each!r}. "
                "Calibrate with thresholds.PerEntity('conformal')."
            )
        moved = pooled.at(rate)
        each = replace(moved) if is_dataclass(moved) and not isinstance(moved, type) else self.each
        own: dict[Entity, Any] = dict(self.own_)
        other = replace(self, each=each)
        other.pooled_ = moved
        other.own_ = {name: threshold.at(rate) for name, threshold in own.items()}
        other.counts_, other._told = self.counts_, self._told
        other._settle(False)
        return other

    def state(self) -> dict[str, Any]:
        pooled = self._pooled()
        parts = {"pooled": pooled, **{f"own/{number}": own for number, own in enumerate(self.own_.values())}}
        stated = {f"{place}/{key}": value for place, part in parts.items() for key, value in _state(part).items()}
        return {"entities": list(self.counts_), "counts": list(self.counts_.values()), "own": list(self.own_), **stated}

    def restore(self, state: dict[str, Any]) -> None:
        self.pooled_ = self._restored(state, "pooled")
        self.counts_ = dict(zip(state["entities"], state["counts"], strict=True))
        self.own_ = {name: self._restored(state, f"own/{number}") for number, name in enumerate(state["own"])}
        self._told = set()
        self._in_force = self._holding()

    def _restored(self, state: dict[str, Any], place: str) -> Threshold:
        threshold: Any = build_threshold(self.each)
        start = f"{place}/"
        threshold.restore({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
        restored: Threshold = threshold
        return restored

    def _pooled(self) -> Threshold:
        if not hasattr(self, "pooled_"):
            raise NotCalibrated("`PerEntity` must be fitted on held-out normal scores; it is not. Call `fit` first.")
        return self.pooled_

    def _settle(self, without_entities: bool) -> None:
        """Who has its own threshold in force; tell how many have not."""
        self._in_force = self._holding()
        if without_entities:
            tell("`entities` must be given for thresholds per entity; got none, and one pooled threshold decides. Give "
                 "fit(X, entities=...) or calibrate(X, entities=...).")  # fmt: skip
        pooled = [name for name in self.using_pooled_ if name not in self._told]
        # When the pooled one cannot hold the rate either, an error will say so where a decision is asked for.
        if pooled and _holds(self.pooled_, None):
            self._told.update(pooled)
            tell(
                f"{len(self.using_pooled_)} of {len(self.counts_)} entities use the pooled threshold, having fewer "
                f"than {self._least_of_one()}: {_listed(pooled)}. Calibrate on more of their normal samples."
            )

    def _least_of_one(self) -> str:
        """How many calibration samples an entity needs for its own, in words: for the rate in force, or `least`."""
        pooled: Any = self._pooled()
        rate = pooled.false_alarm_rate_
        at_rate = pooled.at(rate) if rate is not None and hasattr(pooled, "at") else pooled
        needs = int(getattr(at_rate, "samples_needed", 1))
        if needs > self.least:
            return f"the {needs} calibration samples that a false-alarm rate of {rate:.3g} needs"
        return f"{self.least} calibration samples"

    def _holding(self) -> dict[Entity, Threshold]:
        rate = self._pooled().false_alarm_rate_
        return {name: own for name, own in self.own_.items() if _holds(own, rate)}

    def _by_entity(
        self,
        scores: FloatArray,
        entities: Sequence[Any] | None,
        dtype: type[np.generic],
        judge: Callable[[Threshold, FloatArray], Any],
    ) -> Any:
        pooled, scores = self._pooled(), judged(scores)
        if entities is None:
            return judge(pooled, scores)
        result = np.empty(len(scores), dtype=dtype)
        unseen = []
        for name, positions in _rows(entity_names(entities, len(scores))):
            result[positions] = judge(self._in_force.get(name, pooled), scores[positions])
            if name not in self.counts_ and name not in self._told:
                unseen.append(name)
        if unseen:
            self._told.update(unseen)
            tell(f"{len(unseen)} entities were not among the calibration samples and use the pooled threshold: "
                 f"{_listed(unseen)}. Calibrate on their normal samples.")  # fmt: skip
        return result


def entity_names(entities: Any, n: int) -> list[Entity]:
    """`n` entities as plain strings and whole numbers, which a model file can hold.

    Raises
    ------
    InvalidInput
        When there are not `n`, or one is neither.
    """
    single = isinstance(entities, (str, bytes)) or not hasattr(entities, "__iter__")
    if single or hasattr(entities, "columns"):
        raise InvalidInput(
            f"`entities` must be a list or column of names; got {type(entities).__name__}. Give one for each sample."
        )
    names = list(entities)
    if len(names) != n:
        raise InvalidInput(f"`entities` must be one per sample; got {len(names)} for {n} samples.")
    return [_entity(name) for name in names]


def _entity(name: Any) -> Entity:
    if isinstance(name, str):
        return str(name)
    if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
        return int(name)
    raise InvalidInput(f"`entities` must be strings or whole numbers; got {name!r}. Name every sample's entity.")


def _rows(names: list[Entity]) -> Iterator[tuple[Entity, IntArray]]:
    """Each entity with its positions, in order of appearance."""
    positions: dict[Entity, list[int]] = {}
    for position, name in enumerate(names):
        positions.setdefault(name, []).append(position)
    return ((name, np.array(found, dtype=np.int64)) for name, found in positions.items())


def _holds(threshold: Threshold, rate: float | None) -> bool:
    """Whether a threshold can decide, at a rate no coarser than `rate`."""
    try:
        own, limit = threshold.false_alarm_rate_, threshold.threshold_
    except UnalikeError:
        return False
    return math.isfinite(limit) and (rate is None or own is None or own <= rate * ROUNDING)


def _state(part: Any) -> dict[str, Any]:
    stated: dict[str, Any] = part.state()
    return stated


def _listed(names: Sequence[Entity]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
