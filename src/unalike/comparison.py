"""A detector's scores on labelled samples beside what they have to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unalike.decisions import Decisions
from unalike.evaluation import Evaluation, evaluate
from unalike.types import FloatArray, IntArray

DEFAULT = "default (all fused)"
UNTRAINED = " (untrained)"

_USUAL_RATE = 0.05
_BOOTSTRAP = 1000


@dataclass(frozen=True)
class Comparison:
    """Evaluations of one test set.

    Parameters
    ----------
    default : Evaluation
        Of the detector's scores and decisions.
    trained, floors : dict of str to Evaluation
        Of trained branches alone; and of what they have to beat: the same networks untrained, and branches
        that do not train.
    """

    default: Evaluation
    trained: dict[str, Evaluation]
    floors: dict[str, Evaluation]

    def sentences(self) -> list[str]:
        """For each trained branch, and for the default, whether it is above its floor."""
        said = [
            _verdict(name, found, name + UNTRAINED, self.floors, "training did not help here.")
            for name, found in self.trained.items()
        ]
        best = max(self.floors, key=lambda name: self.floors[name].auroc.value, default=None)
        if best is None:
            return said
        return [*said, _verdict(DEFAULT, self.default, best, self.floors, "that score alone does as well here.")]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "default": self.default.to_dict(),
            "trained": {name: found.to_dict() for name, found in self.trained.items()},
            "floors": {name: found.to_dict() for name, found in self.floors.items()},
            "above_floor": self.sentences(),
        }


def compare(decisions: Decisions, branch_scores: Mapping[str, FloatArray], labels: IntArray) -> Comparison:
    """Evaluate a detector beside its floors.

    Parameters
    ----------
    decisions : Decisions
        Of ``n`` samples.
    branch_scores : mapping of str to ndarray
        ``(n,)`` each, as `Detector.branch_scores` gives them.
    labels : ndarray
        ``(n,)``, 1 for an anomaly.
    """
    rate = _USUAL_RATE if decisions.false_alarm_rate is None else decisions.false_alarm_rate
    # A bootstrap takes samples for independent; of steps, which are not, its intervals would be too narrow.
    draws = _BOOTSTRAP if decisions.steps is None else 0
    flagged = decisions.is_anomaly
    default = evaluate(decisions.scores, labels, is_anomaly=flagged, false_alarm_rate=rate, n_bootstrap=draws)
    found = {
        name: evaluate(scores, labels, false_alarm_rate=rate, n_bootstrap=draws)
        for name, scores in branch_scores.items()
    }
    trained = [name for name in found if name + UNTRAINED in found]
    floors = [name for name in found if name not in trained]
    return Comparison(default, {name: found[name] for name in trained}, {name: found[name] for name in floors})


def _verdict(name: str, found: Evaluation, floor: str, floors: Mapping[str, Evaluation], moral: str) -> str:
    ours, theirs = found.auroc.value, floors[floor].auroc.value
    # As many digits as tell the two apart.
    digits = next((digits for digits in (3, 4, 5, 6) if f"{ours:.{digits}f}" != f"{theirs:.{digits}f}"), 3)
    told, floor = f"{name}: AUROC {ours:.{digits}f}", f"{theirs:.{digits}f} by {floor}"
    return (
        f"{told} is above its floor, {floor}." if ours > theirs else f"{told} is NOT above its floor, {floor}: {moral}"
    )
