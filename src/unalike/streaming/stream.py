"""A record judged step by step as it comes."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unalike.decisions import Decisions
from unalike.errors import CannotLoad, InvalidParameter
from unalike.events import Event, Events
from unalike.records import Segment
from unalike.streaming import keeping
from unalike.streaming.alarms import Alarms, Open, told
from unalike.streaming.intake import Reader
from unalike.streaming.joining import Running, delay_of
from unalike.streaming.scoring import Scoring
from unalike.streaming.ticks import Ticks
from unalike.thresholds.deciding import decide, takes_entities
from unalike.types import FloatArray, Threshold


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """What a push into a stream tells.

    Parameters
    ----------
    provisional : Decisions
        One row per new step, missing steps before it included: by the score of the window that ends with it. Where
        there is no such window yet, or less than half of it was measured: score NaN, p-value 1 and no anomaly.
    final : Decisions
        Of earlier steps that are complete now: as `Detector.detect` decides them in the whole record.
    begun, ended : Events
        Of the provisional decisions: alarms that have begun since the last push (that reached their shortest length),
        as they stand, and alarms that are over.
    """

    provisional: Decisions
    final: Decisions
    begun: Events
    ended: Events


@dataclass(frozen=True, slots=True, eq=False)
class Judges:
    """What decides in a stream.

    Parameters
    ----------
    scoring : Scoring
        Scores windows.
    provisional, final : Threshold
        Calibrated on scores of single windows, and on those of steps.
    model : str
        Fingerprint of the model (`keeping.fingerprint`).
    """

    scoring: Scoring
    provisional: Threshold
    final: Threshold
    model: str


class Stream:
    """One record, step by step; made by `Detector.stream`.

    Memory is bounded: it holds one window of steps, and does not grow with the record. Nothing of the detector is
    copied or changed, so that a stream for each of many entities costs little.

    Attributes
    ----------
    entity : str
        Whose record it is.
    settings : dict
        ``false_alarm_rate shortest merge hold``, as given.
    """

    def __init__(self, judges: Judges, reader: Reader, ticks: Ticks, alarms: Alarms, rate: float | None) -> None:
        modality = judges.scoring.modality
        self.entity = reader.entity
        self.settings = {
            "false_alarm_rate": rate,
            "shortest": alarms.shortest,
            "merge": alarms.merge,
            "hold": alarms.hold,
        }
        self._judges, self._reader = judges, reader
        self._ticks, self._alarms = ticks, alarms
        self._running = Running(modality.window_, modality.stride_, judges.scoring.fusion.least)
        self._start = 0
        self._values: FloatArray = np.zeros((0, len(modality.learned_.channels)))
        self._times: npt.NDArray[Any] | None = None
        self._closed = False

    def __len__(self) -> int:
        """Steps so far, missing ones included."""
        return self._ticks.next

    @property
    def delay(self) -> int:
        """Steps after which a step's score is final."""
        return delay_of(self._running.length, self._running.stride)

    @property
    def threshold(self) -> float:
        """The largest provisional score that is still normal."""
        return self._judges.provisional.threshold_

    @property
    def event(self) -> Event | None:
        """The alarm that goes on, as it stands; None when there is none, or it is shorter than an event must be."""
        event = self._alarms.open
        return self._told([event])[0] if event is not None and len(event) >= self._alarms.shortest else None

    def push(self, chunk: Any, *, time: Any = None) -> Pushed:
        """Judge the next step or steps.

        Parameters
        ----------
        chunk : array-like, frame, dict or list of dicts
            One step, ``(channels,)``, or some, ``(t, channels)`` (of one channel also ``(t,)``), by position; a frame
            or a dict, by name. NaN is missing. A column of the time or the entity may lack.
        time : scalar or array-like of length t, optional
            When each step was, of the kind of the training times. Where times are given and those of training were
            known, steps without a row are missing steps, and after more than the modality's longest gap a new segment
            begins, as in the batch. Without times the rows are one step of training apart.

        Returns
        -------
        Pushed

        Raises
        ------
        InvalidInput
            The steps cannot be used: as `Detector.detect`; times that do not rise, or of some steps only; another
            entity. The stream is then as before.
        InvalidParameter
            The stream is closed.
        """
        if self._closed:
            raise InvalidParameter(
                "`push` must come before `close`; this stream is closed. Call `detector.stream` anew."
            )
        raw = self._reader.read(chunk, time)
        fresh = copy.copy(self)  # a push that fails leaves no trace
        fresh._ticks, pieces = self._ticks.placed(raw)
        final, provisional = list[Segment](), list[Segment]()
        for piece in pieces:
            if piece.start != fresh._start + fresh._running.n:
                final.append(fresh._finish())
                fresh._begin(piece.start)
            ends, done = fresh._extend(piece)
            provisional.append(_scored(piece, ends))
            final.append(done)
        decided = fresh._decided_early(provisional)
        fresh._alarms, begun, ended = self._alarms.advanced(decided, _times(provisional))
        pushed = Pushed(decided, fresh._decided(final), fresh._told(begun), fresh._told(ended))
        self.__dict__.update(fresh.__dict__)
        return pushed

    def close(self) -> Pushed:
        """The final scores of the last steps, and the end of the event that went on; nothing can be pushed any more.

        Returns
        -------
        Pushed
            With no provisional decisions.

        Raises
        ------
        InvalidParameter
            The stream is closed already.
        """
        if self._closed:
            raise InvalidParameter("`close` must be called once; this stream is closed. Call `detector.stream` anew.")
        final = self._decided([self._finish()])
        self._closed = True
        return Pushed(self._decided_early([]), final, self._told([]), self._told(self._alarms.closed()))

    def state(self) -> dict[str, Any]:
        """All of the stream as JSON values and NumPy arrays, for ``detector.stream(state=...)``.

        Raises
        ------
        InvalidParameter
            The stream is closed.
        """
        if self._closed:
            raise InvalidParameter("`state` must be taken before `close`; this stream is closed.")
        return {
            "format": keeping.FORMAT,
            "version": keeping.VERSION,
            "model": self._judges.model,
            "entity": self.entity,
            "settings": dict(self.settings),
            "ticks": self._ticks.state(),
            "alarms": self._alarms.state(),
            "running": self._running.state(),
            "start": self._start,
            "values": self._values.copy(),
            "times": None if self._times is None else self._times.copy(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `state` as one NPZ file, whole or not at all, for ``detector.stream(state=path)``.

        Raises
        ------
        InvalidParameter
            The stream is closed; `path` lies in no folder, or is one.
        """
        return keeping.write(self.state(), path)

    def restored(self, state: dict[str, Any]) -> Self:
        """With the state that another stream of the same model gave."""
        try:
            self._ticks = self._ticks.restored(state["ticks"])
            self._alarms = self._alarms.restored(state["alarms"])
            self._running = self._running.restored(state["running"])
            self._start, values, times = int(state["start"]), np.array(state["values"]), state["times"]
            kept = len(self._running.total)
            if values.shape[1:] != self._values.shape[1:] or kept > self._running.length:
                raise ValueError("shapes of another stream")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise CannotLoad(f"`state` must be what Stream.state gave; it is damaged: {error!r}.") from error
        self._values, self._times = values, None if times is None else np.array(times)
        return self

    def _begin(self, start: int) -> None:
        """A new segment, at that step."""
        self._running = Running(self._running.length, self._running.stride, self._running.least)
        self._start, self._values, self._times = start, self._values[:0], None

    def _extend(self, piece: Segment) -> tuple[FloatArray, Segment]:
        """With the steps of a piece; the score of the window that ends at each, and the steps that are final now."""
        ends = self._judges.scoring.ends(self._values, piece.values)
        first = self._start + self._running.n - len(self._running.total)
        self._running, scores = self._running.extended(ends)
        times = piece.times
        if times is not None and self._times is not None:
            times = np.concatenate([self._times, times])
        reach = self._running.length - 1
        self._values = np.concatenate([self._values, piece.values])[-reach:].copy()
        self._times = None if times is None else times[len(scores) :].copy()
        named = None if times is None else times[: len(scores)]
        return ends, Segment(scores[:, None], self.entity, first, named)

    def _finish(self) -> Segment:
        """The steps of the segment that were not final, when it ends here."""
        n, kept = self._running.n, len(self._running.total)
        short = self._judges.scoring.short(self._values) if 0 < n < self._running.length else float("nan")
        return Segment(self._running.closed(short)[:, None], self.entity, self._start + n - kept, self._times)

    def _decided_early(self, pieces: list[Segment]) -> Decisions:
        """Provisional decisions; the values of the pieces are scores, NaN where no window was judged."""
        judged = ~np.isnan(_column(pieces))
        if judged.all():
            return self._decisions(self._judges.provisional, pieces)
        known = [replace(piece, values=np.nan_to_num(piece.values)) for piece in pieces]
        decided = self._decisions(self._judges.provisional, known)
        promised = not np.isnan(decided.p_values).any()
        return replace(
            decided,
            scores=np.where(judged, decided.scores, np.nan),
            p_values=np.where(judged, decided.p_values, 1.0 if promised else np.nan),
            is_anomaly=decided.is_anomaly & judged,
        )

    def _decided(self, pieces: list[Segment]) -> Decisions:
        return self._decisions(self._judges.final, pieces)

    def _decisions(self, threshold: Threshold, pieces: list[Segment]) -> Decisions:
        scores = _column(pieces)
        owners = np.full(len(scores), self.entity)
        entities = owners.tolist() if takes_entities(threshold) else None
        decided = decide(threshold, scores, self._ticks.names(pieces), entities)
        steps = [np.arange(piece.start, piece.start + len(piece)) for piece in pieces]
        return replace(decided, entities=owners, steps=np.concatenate([np.zeros(0, dtype=np.int64), *steps]))

    def _told(self, several: list[Open]) -> Events:
        return told(several, self._name, self.entity)

    def _name(self, step: int, time: npt.NDArray[Any] | None) -> Any:
        """The id of a step."""
        return self._ticks.names([Segment(np.zeros((1, 1)), self.entity, step, time)])[0]


def _scored(piece: Segment, scores: FloatArray) -> Segment:
    return replace(piece, values=scores[:, None])


def _column(pieces: list[Segment]) -> FloatArray:
    return np.concatenate([np.zeros(0), *(piece.values[:, 0] for piece in pieces)])


def _times(pieces: list[Segment]) -> npt.NDArray[Any] | None:
    known = [piece.times for piece in pieces if piece.times is not None]
    return np.concatenate(known) if known else None
