"""Frozen results: decisions and explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidParameter
from unalike.events import Events, Timeline, find_events
from unalike.framing import Backend, as_frame
from unalike.types import BoolArray, FloatArray, IntArray, Skipped


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What `Detector.detect` found, one row per sample.

    Parameters
    ----------
    ids : ndarray
        ``(n,)`` names of the samples: file paths, index labels, or row numbers.
    scores : ndarray
        ``(n,)`` float64, higher = more anomalous.
    p_values : ndarray
        ``(n,)`` share of normal samples expected to score at least as high; NaN where the kind of
        threshold gives none.
    is_anomaly : ndarray
        ``(n,)`` bool.
    threshold : float
        The largest score that is still normal.
    false_alarm_rate : float or None
        The rate that the threshold promises on normal data.
    false_discovery_rate : float or None
        When the call was decided as a whole: the share of its anomalies that are expected to be normal. Then there is
        no false-alarm rate, and `threshold` is the largest score that is still normal in this call.
    entities, steps : ndarray or None
        Where samples are steps of records: ``(n,)`` the entity of each (empty where there is only one) and its number
        in the record.
    rows : ndarray or None
        Where samples were left out: ``(n,)`` the place of each of these in what was given.
    skipped : tuple of Skipped
        The samples that could not be read and have no decision: their rows, ids and the reasons.
    """

    ids: npt.NDArray[Any]
    scores: FloatArray
    p_values: FloatArray
    is_anomaly: BoolArray
    threshold: float
    false_alarm_rate: float | None
    false_discovery_rate: float | None = None
    entities: npt.NDArray[Any] | None = None
    steps: IntArray | None = None
    rows: IntArray | None = None
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ids", "scores", "p_values", "is_anomaly", "entities", "steps", "rows"):
            if getattr(self, name) is None:
                continue
            values = getattr(self, name).view()  # a view, so that the caller's own array stays writeable
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        rate = "no stated rate" if self.false_alarm_rate is None else f"false-alarm rate {self.false_alarm_rate:.3g}"
        if self.false_discovery_rate is not None:
            rate = f"false discovery rate {self.false_discovery_rate:.3g}"
        unread = f", {len(self.skipped)} could not be read" if self.skipped else ""
        return (
            f"Decisions({int(self.is_anomaly.sum())} of {len(self)} anomalous, threshold {self.threshold:.4g}, "
            f"{rate}{unread})"
        )

    def to_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Columns ``id``, ``score``, ``p_value``, ``is_anomaly``; before them ``entity``, where there are many."""
        columns = {"id": self.ids, "score": self.scores, "p_value": self.p_values, "is_anomaly": self.is_anomaly}
        if self.entities is None or not self.entities.any():
            return columns
        return {"entity": self.entities, **columns}

    def events(self, *, shortest: int = 1, merge: int = 0, hold: float | None = None) -> Events:
        """Runs of anomalous steps, as alarms that somebody looks at.

        Parameters
        ----------
        shortest : int
            Steps that an event must have, after joining; shorter ones are dropped.
        merge : int
            Runs with at most so many steps between them are one event.
        hold : float, optional
            Once an alarm has begun, it goes on as long as steps have at most this p-value (hysteresis); the rate in
            force is for its beginning. None: it ends with the last anomalous step.

        Raises
        ------
        InvalidParameter
            The samples are no steps of records; a setting is out of range; `hold` without p-values.
        """
        if self.entities is None or self.steps is None:
            raise InvalidParameter(
                "`events` needs samples that are steps of records; these are not. Detect with modality 'series'."
            )
        return find_events(
            Timeline(self.entities, self.steps, self.ids, self.scores, self.p_values, self.is_anomaly),
            shortest=shortest,
            merge=merge,
            hold=hold,
        )

    def to_frame(self, backend: Backend | None = None) -> Any:
        """A DataFrame with one row per sample.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            Which library makes it; it must be installed. None: pandas where it is, else pyarrow.

        Raises
        ------
        InvalidParameter
            When `backend` is none of these.
        MissingExtra
            When that library is not installed.
        """
        return as_frame({name: np.array(column) for name, column in self.to_dict().items()}, backend)


@dataclass(frozen=True, slots=True)
class Part:
    """One cause in an explanation.

    Parameters
    ----------
    place : str
        Column, word, time step and channel, or region of the picture.
    share : float
        Share that it causes of what the sample scores above a usual one; the shares of one sample sum to at most 1.
    value : Any
        What was found there, as the user gave it; None where that is nothing.
    usual : Any
        What the nearest normal samples have there; None where that is nothing.
    at : tuple, optional
        Of a channel of a record: ids of the first and the last step of the stretch where it differs most; `value` and
        `usual` are means over it. Of a word: its first character in the text and the one after its last, so that
        ``text[at[0]:at[1]] == value``.
    without : float, optional
        Of a word, which has no usual one: the score that the text has without it and the causes before it.
    """

    place: str
    share: float
    value: Any
    usual: Any
    at: tuple[Any, Any] | None = None
    without: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one sample scores as it does; the same form for every kind of data.

    Parameters
    ----------
    id : str
        The sample.
    score : float
        Its anomaly score.
    parts : tuple of Part
        Causes, largest share first.
    nearest : tuple of str
        Ids of the normal samples that are nearest apart from the guilty places, nearest first.
    picture : ndarray or None
        The modality's own: heat map ``(height, width)``, ``(steps, channels)``, ``(columns,)`` or ``(characters,)``.
    mask : ndarray or None
        Images: ``(height, width)`` bool, non-empty exactly when the sample is an anomaly.
    """

    id: str
    score: float
    parts: tuple[Part, ...]
    nearest: tuple[str, ...]
    picture: FloatArray | None = None
    mask: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explanations(Sequence[Explanation]):
    """What `Detector.explain` found: a sequence of `Explanation`, in the order of the samples.

    Parameters
    ----------
    items : tuple of Explanation
        One per sample.
    ends : tuple of str
        What the two values of `Part.at` are called in columns.
    """

    items: tuple[Explanation, ...]
    ends: tuple[str, str] = ("first", "last")

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        if not self.items:
            return "Explanations(none)"
        first = self.items[0]
        causes = ", ".join(f"{part.place} {part.share:.2f}" for part in first.parts) or "no cause"
        return f"Explanations({len(self)}, the first: {first.id}, score {first.score:.4g}, {causes})"

    @overload
    def __getitem__(self, position: int) -> Explanation: ...

    @overload
    def __getitem__(self, position: slice) -> Explanations: ...

    def __getitem__(self, position: int | slice) -> Explanation | Explanations:
        return replace(self, items=self.items[position]) if isinstance(position, slice) else self.items[position]

    def to_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Columns ``id``, ``score``, ``place``, ``share``, ``value``, ``usual``, ``nearest``, one row per cause.

        `value` and `usual` are text, empty where missing, and so is `nearest`: ids, ``", "`` between them. A sample
        without a cause has no row. Where parts have them, also the two values of `Part.at` and ``without``.
        """
        rows = [(sample, part) for sample in self.items for part in sample.parts]
        columns = {
            "id": np.array([sample.id for sample, _ in rows], dtype=np.str_),
            "score": np.array([sample.score for sample, _ in rows], dtype=np.float64),
            "place": np.array([part.place for _, part in rows], dtype=np.str_),
            "share": np.array([part.share for _, part in rows], dtype=np.float64),
            "value": np.array([_shown(part.value) for _, part in rows], dtype=np.str_),
            "usual": np.array([_shown(part.usual) for _, part in rows], dtype=np.str_),
            "nearest": np.array([", ".join(sample.nearest) for sample, _ in rows], dtype=np.str_),
        }
        if any(part.at is not None for _, part in rows):
            for end, name in enumerate(self.ends):
                columns[name] = np.array([_shown(part.at and part.at[end]) for _, part in rows], dtype=np.str_)
        if any(part.without is not None for _, part in rows):
            without = [np.nan if part.without is None else part.without for _, part in rows]
            columns["without"] = np.array(without, dtype=np.float64)
        return columns

    def to_frame(self, backend: Backend | None = None) -> Any:
        """A DataFrame of `to_dict`; `backend` and errors as in `Decisions.to_frame`."""
        return as_frame({name: column.tolist() for name, column in self.to_dict().items()}, backend)


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
