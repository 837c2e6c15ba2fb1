"""What the command line prints."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from unalike.comparison import DEFAULT, Comparison
from unalike.decisions import Decisions, Explanations
from unalike.types import Collection, InTime

if TYPE_CHECKING:
    from pathlib import Path

    from unalike.alarms import AlarmEvaluation
    from unalike.detector import Detector
    from unalike.evaluation import Estimate

_MOST_SHOWN = 10
_WIDTH_OF_PIPES = 120
_METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1 at the\ntrue rate",
    "recall_at_rate": "recall at\n{rate:.3g} false\nalarms",
    "realised_rate": "realised\nfalse-alarm\nrate",
}


def plain_console() -> Console:
    """Prints text as it is: file names may hold brackets, which rich would read as markup."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_PIPES)


def _windows(detector: Detector) -> str:
    """How long windows are, and how many of them stand behind a rate: steps that share a window are alike."""
    told = f"windows of {detector.modality_.schema.shape[-1]} steps"
    if not hasattr(detector, "calibration_scores_"):
        return told
    apart = detector.calibration_windows_
    return (
        f"{told}; {len(detector.calibration_scores_)} steps calibrate, no more than {apart} "
        f"window{'' if apart == 1 else 's'} that do not overlap"
    )


def show_fit(console: Console, detector: Detector, path: Path) -> None:
    """What was learned from how much, and where it is."""
    split = detector.split_
    held = f"held out {len(split.calibration)} to set the threshold"
    gap = f", left out {len(split.gap)} between them" if len(split.gap) else ""
    console.print(f"trained on {len(split.train)} {_samples(detector)}, {held}{gap}")
    if isinstance(detector.modality_, InTime):
        console.print(_windows(detector), soft_wrap=True)
    if detector.expected_anomalies > 0:
        console.print(_set_aside(detector), soft_wrap=True)
    for name, history in detector.history_.items():
        console.print(f"loss of {name}: {_ends(history)}")
    console.print(_rate(detector))
    console.print(f"model written to {path}", soft_wrap=True)


def _samples(detector: Detector) -> str:
    return "steps" if isinstance(detector.modality_, InTime) else "samples"


def _set_aside(detector: Detector) -> str:
    """How many suspected anomalies were left out, and the first of them, counted as in the data from 0."""
    rows = [str(row) for row in detector.set_aside_[:_MOST_SHOWN]]
    more = ["…"] if len(detector.set_aside_) > _MOST_SHOWN else []
    where = f": {_samples(detector)} {', '.join([*rows, *more])} (counted from 0)" if rows else ""
    return f"set aside {len(detector.set_aside_)} suspected anomalies{where}"


def show_calibration(console: Console, detector: Detector, path: Path) -> None:
    """From how many samples, and which threshold is in force."""
    threshold = detector.threshold_
    n, kind = len(detector.calibration_scores_), threshold.__class__.__name__
    console.print(f"calibrated on {n} {_samples(detector)} with {kind}")
    console.print(f"{_rate(detector)} (score above {threshold.threshold_:.4g})")
    console.print(f"model written to {path}", soft_wrap=True)


def _rate(detector: Detector) -> str:
    if not hasattr(detector, "threshold_"):
        return "no threshold yet: nothing was held out to set it. Run unalike calibrate"
    rate = detector.threshold_.false_alarm_rate_
    return "no false-alarm rate is promised by this threshold" if rate is None else f"false-alarm rate: {rate:.4g}"


def show_decisions(console: Console, decisions: Decisions, written: Path | None) -> None:
    """How many anomalies, and where they are written, or the highest ones."""
    if written is None:
        _show_highest(console, decisions)
    else:
        console.print(f"decisions written to {written}", soft_wrap=True)
    console.print(summary(decisions), soft_wrap=True)


def show_drift(console: Console, detector: Detector, X: Collection, decisions: Decisions) -> None:
    """Whether the data have changed since calibration, where they have."""
    drift = detector.drift(X, decisions=decisions)
    if drift.drifted:
        console.print(str(drift), soft_wrap=True)


def _show_highest(console: Console, decisions: Decisions) -> None:
    order = np.argsort(-decisions.scores, kind="stable")
    order = order[decisions.is_anomaly[order]]
    if len(order) == 0:
        return
    title = f"Highest {_MOST_SHOWN} of {len(order)} anomalies" if len(order) > _MOST_SHOWN else "Anomalies"
    table = Table(title=title, min_width=len(title))
    table.add_column("id", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("p_value", justify="right")
    for row in order[:_MOST_SHOWN]:
        table.add_row(str(decisions.ids[row]), f"{decisions.scores[row]:.4g}", f"{decisions.p_values[row]:.4g}")
    console.print(table)


def show_explanations(console: Console, explanations: Explanations, written: Path | None) -> None:
    """Where the causes are written, or those of the samples that score highest."""
    if written is not None:
        console.print(f"explanations written to {written}", soft_wrap=True)
    elif len(explanations):
        order = np.argsort([-sample.score for sample in explanations], kind="stable")[:_MOST_SHOWN]
        more = len(explanations) > _MOST_SHOWN
        table = Table(title=f"Highest {_MOST_SHOWN} of {len(explanations)} samples" if more else "Explanations")
        for name in ("id", "score", "place", "share", "value", "usual"):
            table.add_column(name, justify="right" if name in ("score", "share") else "left", overflow="fold")
        shown = Explanations(tuple(explanations[position] for position in order.tolist())).to_dict()
        for row in range(len(shown["id"])):
            first = row == 0 or shown["id"][row] != shown["id"][row - 1]
            about = [str(shown["id"][row]), f"{shown['score'][row]:.4g}"] if first else ["", ""]
            cause = [str(shown[name][row]) for name in ("value", "usual")]
            table.add_row(*about, str(shown["place"][row]), f"{shown['share'][row]:.0%}", *cause)
        console.print(table)
    console.print(f"{len(explanations)} samples explained")


def show_update(console: Console, detector: Detector, path: Path) -> None:
    """How much the detector knows now."""
    memory = detector.memory_
    kind = _samples(detector)
    console.print(f"{len(memory.trained)} {kind} in the scorers, {len(memory.calibrated)} calibrate")
    console.print(_rate(detector))
    console.print(f"model written to {path}", soft_wrap=True)


def summary(decisions: Decisions) -> str:
    """One line: how many anomalies, by which threshold."""
    rate = "" if decisions.false_alarm_rate is None else f" at a false-alarm rate of {decisions.false_alarm_rate:.4g}"
    if decisions.false_discovery_rate is not None:
        rate = f" at a false discovery rate of {decisions.false_discovery_rate:.4g}"
    return (
        f"{int(decisions.is_anomaly.sum())} of {len(decisions)} samples are anomalies{rate} "
        f"(score above {decisions.threshold:.4g})"
    )


def show_comparison(console: Console, comparison: Comparison, alarms: AlarmEvaluation | None = None) -> None:
    """One row per score with 95% intervals, floors last; then the sentences, and what is known of alarms."""
    default, kind = comparison.default, "samples" if alarms is None else "steps"
    table = Table("score", title=f"{default.n_normal} normal {kind}, {default.n_anomalies} anomalies")
    for heading in _METRICS.values():
        table.add_column(heading.format(rate=default.rate))
    rows = {DEFAULT: default, **comparison.trained, **{f"floor: {k}": v for k, v in comparison.floors.items()}}
    for name, evaluation in rows.items():
        estimates = evaluation.estimates()
        cells = [estimates.get(metric) for metric in _METRICS]
        table.add_row(name, *map(_cell, cells))
    console.print(table)
    for sentence in [*comparison.sentences(), *([] if alarms is None else [str(alarms)])]:
        console.print(sentence)


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    told = f"{estimate.value:.3f}"
    return told if np.isnan(estimate.low) else f"{told}\n{estimate.low:.3f}-{estimate.high:.3f}"


def _ends(history: Sequence[Mapping[str, Any]]) -> str:
    # The first row is from before training and has no loss.
    return f"{history[1]['loss']:.4f} in the first epoch, {history[-1]['loss']:.4f} in the last"
