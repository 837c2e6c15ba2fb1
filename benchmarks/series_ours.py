"""Our series detector, read in several ways from one fit.

- ``unalike``: ``Detector("series")`` as it comes.
- ``untrained``: the same fusion with every trained network replaced by itself before training.
- ``contrast``: the trained networks alone.
- ``untrained-alone``: the same networks before training, alone.
- ``floor``: no network: raw windows' nearest neighbours and window statistics, fused.

The columns ``fit_s`` and ``peak_mb`` of all are those of the whole detector; ``score_s`` means something for the first
two of a job only, since the others join scores that are there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Maker
from benchmarks.ours import UNTRAINED, Default, fused, members
from unalike.types import BoolArray, FloatArray


class SeriesDefault(Default):
    """``Detector("series")`` at its defaults, behind the harness' contract."""

    def __init__(self, seed: int) -> None:
        super().__init__("series", seed)
        self._entries: tuple[Any, dict[str, FloatArray]] = (None, {})

    def score(self, test: Any, method: str) -> FloatArray:
        if method == "unalike":
            return self.detector.anomaly_scores(test)
        if self._entries[0] is not test:
            self._entries = test, dict(self.detector.branch_scores(test))
        scores = self._entries[1]
        names = without_networks(list(scores)) if method == "floor" else members(list(scores), method)
        return fused(self.detector, scores, names)

    def alarms(self, test: Any, method: str) -> tuple[BoolArray, float] | None:
        """Which steps the detector raises, and the rate that it states; of the default alone."""
        if method != "unalike":
            return None
        decisions = self.detector.detect(test)
        rate = float("nan") if decisions.false_alarm_rate is None else decisions.false_alarm_rate
        return decisions.is_anomaly, rate


def without_networks(names: Sequence[str]) -> list[str]:
    """Entries of `Detector.branch_scores` of branches that do not train."""
    return [name for name in names if not name.endswith(UNTRAINED) and name + UNTRAINED not in names]


def default(seed: int) -> SeriesDefault:
    return SeriesDefault(seed)


OURS: dict[str, Maker] = dict.fromkeys(("unalike", "untrained", "contrast", "untrained-alone", "floor"), default)
