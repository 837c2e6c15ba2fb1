"""What is measured on one series. Nothing is point-adjusted.

VUS-PR is TSB-AD's own code, 250 thresholds, every buffer from 0 to the period of the train part (its rule, on the
first channel). aeon's differs (it joins the points of a curve by straight lines and ends it elsewhere) and is slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks import series_tools
from benchmarks.series_data import Series, segments
from benchmarks.series_windows import period
from unalike.types import BoolArray, FloatArray, IntArray

COLUMNS = ("vus_pr", "top1", "delay", "detected", "stated_rate", "false_alarm_rate", "alarms", "alarms_day", "tune")
"""After the common ones; empty where they do not apply: see `ranking` and `alarming`."""

_THRESHOLDS = 250
_LEAST_TOLERANCE = 100
_STEPS = 10_000


def ranking(series: Series, scores: FloatArray) -> dict[str, float]:
    """``vus_pr``, and ``top1`` for series of the UCR archive: NaN elsewhere.

    ``top1``: 1 when the step with the highest score lies within 100 steps, or the anomaly's length if that is more,
    of the one labelled interval.
    """
    buffer = period(np.nan_to_num(series.train[:, 0]))
    top1 = float("nan")
    if series.collection == "ucr":
        ((first, last),) = segments(series.label)
        tolerance = max(_LEAST_TOLERANCE, last - first + 1)
        top1 = float(first - tolerance <= int(np.argmax(scores)) <= last + tolerance)
    return {"vus_pr": vus_pr(series.label, scores, buffer), "top1": top1}


def vus_pr(label: IntArray, scores: FloatArray, buffer: int) -> float:
    """Volume under the precision-recall surface (Paparrizos et al., 2022), by TSB-AD.

    Parameters
    ----------
    label, scores : ndarray
        ``(t,)``.
    buffer : int
        Longest buffer, in steps.
    """
    scores = np.asarray(scores, dtype=np.float64)
    return float(series_tools.range_auc_volume(label, scores, buffer, _THRESHOLDS)[-1])


def alarming(series: Series, alarms: BoolArray | None, stated_rate: float) -> dict[str, float]:
    """What alarms at a stated rate would have done; all NaN without alarms.

    - ``detected``: share of the labelled segments with an alarm in them;
    - ``delay``: steps from a segment's start to its first alarm, mean over the detected ones;
    - ``false_alarm_rate``: share of alarms among the steps that are not labelled;
    - ``alarms``: runs of alarms per 10,000 steps; ``alarms_day``: per day, where there are time stamps.
    """
    if alarms is None:
        return dict.fromkeys(COLUMNS[2:-1], float("nan"))
    delays = [_first(alarms[first : last + 1]) for first, last in segments(series.label)]
    found = [delay for delay in delays if delay is not None]
    runs = len(segments(alarms))
    return {
        "delay": float(np.mean(found)) if found else float("nan"),
        "detected": len(found) / len(delays),
        "stated_rate": stated_rate,
        "false_alarm_rate": float(alarms[series.label == 0].mean()),
        "alarms": _STEPS * runs / len(alarms),
        "alarms_day": runs / series.days,
    }


def _first(alarms: Sequence[bool] | BoolArray) -> int | None:
    positions = np.flatnonzero(alarms)
    return int(positions[0]) if len(positions) else None
