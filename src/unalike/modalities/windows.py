"""Windows of records: cut on the fly, and their scores brought back to the steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unalike.errors import InputWarning, InvalidInput, tell
from unalike.records import Records
from unalike.types import BoolArray, FloatArray, IntArray, InTime, Modality

_LEAST_SEEN = 0.5
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Windows:
    """Where windows lie in records; nothing is copied until `cells` is asked for.

    Parameters
    ----------
    records : Records
        What they are cut from.
    length : int
        Steps of a window.
    segment, start : ndarray
        ``(n,)`` int64: the segment of each, and its first step in that segment; below 0 where the segment is shorter
        than a window, which then ends with it.
    """

    records: Records
    length: int
    segment: IntArray
    start: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, positions: IntArray) -> Windows:
        return replace(self, segment=self.segment[positions], start=self.start[positions])

    def cells(self) -> FloatArray:
        """``(n, channels, length)`` float64; NaN where nothing was measured or there is no step."""
        made = np.full((len(self), len(self.records.channels), self.length), np.nan)
        for number in np.unique(self.segment).tolist():
            values, rows = self.records.segments[number].values, np.flatnonzero(self.segment == number)
            if len(values) < self.length:
                made[rows, :, self.length - len(values) :] = values.T
                continue
            views = np.lib.stride_tricks.sliding_window_view(values, self.length, axis=0)  # (t - length + 1, c, length)
            made[rows] = views[self.start[rows]]
        return made

    def spans(self) -> IntArray:
        """``(n, 2)``: the first step that each covers, among all steps of the records, and the one after its last."""
        first = self.records.offsets()[self.segment]
        return np.stack([first + np.maximum(self.start, 0), first + self.start + self.length], axis=1)

    def times(self) -> IntArray:
        """``(n,)``: the first step of each in its record; those of two entities are further apart than a window."""
        entities: dict[str, int] = {}
        longest = max((segment.start + len(segment) for segment in self.records.segments), default=0)
        apart = longest + 2 * self.length
        starts = np.zeros(len(self.records.segments), dtype=np.int64)
        for number, segment in enumerate(self.records.segments):
            starts[number] = entities.setdefault(segment.entity, len(entities)) * apart + segment.start
        return starts[self.segment] + self.start


def cut(records: Records, length: int, stride: int) -> Windows:
    """Windows at every `stride`-th step of each segment, and one at its end, so that every step is in one.

    A window of which less than half of the cells was measured is left out: it tells nothing.
    """
    segments, starts = [], []
    for number, segment in enumerate(records.segments):
        last = len(segment) - length
        first = np.arange(0, last + 1, stride) if last >= 0 else np.array([last])
        if first[-1] != last:
            first = np.append(first, last)
        first = first[judged(segment.values, first, length)]
        segments.append(np.full(len(first), number, dtype=np.int64))
        starts.append(first.astype(np.int64))
    none = np.zeros(0, dtype=np.int64)
    return Windows(records, length, np.concatenate([none, *segments]), np.concatenate([none, *starts]))


def check_some(spans: IntArray, n: int) -> None:
    """Refuse `n` steps to learn from that make no window.

    Raises
    ------
    InvalidInput
        When `spans`, of `Windows.spans`, are none.
    """
    if len(spans) == 0:
        raise InvalidInput(
            f"Steps that train, are compared with or calibrate must make a window of which at least half was measured; "
            f"got {n} steps that make none. Give more of the record, or a smaller `window`."
        )


def mean_over_windows(scores: FloatArray, spans: IntArray, n: int) -> FloatArray:
    """``(n,)``: for each step the mean score of the windows that cover it; 0 where none does.

    Parameters
    ----------
    scores : ndarray
        ``(n_windows,)``.
    spans : ndarray
        ``(n_windows, 2)``, of `Windows.spans`.
    n : int
        Number of steps.
    """
    total, covered = np.zeros(n), np.zeros(n, dtype=np.int64)
    lengths = spans[:, 1] - spans[:, 0]
    at_once = max(_CELLS_AT_ONCE // max(int(lengths.max(initial=1)), 1), 1)
    for begin in range(0, len(scores), at_once):
        chunk = slice(begin, begin + at_once)
        steps = _steps(spans[chunk, 0], lengths[chunk])
        low, high = int(steps.min()), int(steps.max()) + 1
        # Sums run in the order of the windows, so that a step scores alike whatever else is scored with it.
        np.add.at(total, steps, np.repeat(scores[chunk], lengths[chunk]))
        covered[low:high] += np.bincount(steps - low, minlength=high - low)
    return np.divide(total, covered, out=np.zeros(n), where=covered > 0)


def with_least(modality: Modality, scores: FloatArray, owner: IntArray, least: float) -> FloatArray:
    """``(n,)`` joined scores, in time `least` at the steps that no window covers."""
    if least == 0.0 or not isinstance(modality, InTime):
        return scores
    return np.where(_covered(owner, len(scores)), scores, least)


def tell_unjudged(spans: IntArray, n: int) -> None:
    """Warn of steps that no window covers: a record that is silent must not look like a healthy one."""
    unjudged = n - int(_covered(spans, n).sum())
    if unjudged:
        tell(
            f"{unjudged} of {n} steps could not be judged: less than half was measured in the windows around them. "
            "They score as normal as can be and raise no alarm. Check the records for gaps and missing channels.",
            InputWarning,
        )


def _covered(spans: IntArray, n: int) -> BoolArray:
    """``(n,)``: steps that a window covers."""
    changes = np.zeros(n + 1, dtype=np.int64)
    np.add.at(changes, spans[:, 0], 1)
    np.add.at(changes, spans[:, 1], -1)
    return np.cumsum(changes)[:-1] > 0


def at_ends(scores: FloatArray, spans: IntArray, n: int, length: int) -> FloatArray:
    """``(n,)``: for each step the score of the window that ends with it; NaN where none of full `length` does.

    Parameters
    ----------
    scores : ndarray
        ``(n_windows,)``.
    spans : ndarray
        ``(n_windows, 2)``, of `Windows.spans`.
    n : int
        Number of steps.
    length : int
        Steps of a window.
    """
    made = np.full(n, np.nan)
    whole = spans[:, 1] - spans[:, 0] == length
    made[spans[whole, 1] - 1] = scores[whole]
    return made


def ends_of_parts(modality: Modality, scores: FloatArray, owner: IntArray, n: int) -> FloatArray | None:
    """`at_ends` of the scores of a modality's parts; None where they are no windows in time."""
    if not isinstance(modality, InTime) or owner.ndim != 2:
        return None
    return at_ends(scores, owner, n, modality.schema.shape[-1])


def _steps(first: IntArray, lengths: IntArray) -> IntArray:
    """The steps of windows, one window after the other."""
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(first, lengths) + within


def judged(values: FloatArray, first: IntArray, length: int) -> BoolArray:
    """``(n,)``: of which windows enough was measured; of a segment shorter than a window, of the cells that it has.

    Parameters
    ----------
    values : ndarray
        ``(t, channels)`` of a segment.
    first : ndarray
        ``(n,)``: where in it each window begins.
    length : int
        Steps of a window.
    """
    # Whole numbers: the answer is the same wherever in its record a window lies.
    measured = np.concatenate([[0], np.cumsum((~np.isnan(values)).sum(axis=1))])
    begin, end = np.maximum(first, 0), first + length
    cells = (end - begin) * values.shape[1]
    return np.asarray(measured[end] - measured[begin] >= _LEAST_SEEN * cells)
