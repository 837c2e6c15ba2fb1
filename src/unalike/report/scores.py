"""Scores, the threshold among them, and how good they are where labels tell."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from unalike.comparison import UNTRAINED
from unalike.evaluation import Estimate, Evaluation
from unalike.report.charts import Frame, Line, histogram, line_chart
from unalike.report.material import Material
from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray

_RESAMPLES = 200
_GRID = np.unique(np.concatenate([np.linspace(0.0, 0.1, 41), np.linspace(0.1, 1.0, 61)]))
_MOST_RESAMPLED = 20_000
_METRICS = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "recall_at_rate": "recall at {rate:.3g} false alarms"}


def distribution(material: Material) -> str:
    """The scores of the data and of the calibration samples, with the threshold."""
    decisions, calibrated = material.decisions, getattr(material.detector, "calibration_scores_", None)
    groups: list[tuple[str, FloatArray, str]] = []
    if material.labels is None:
        groups.append(("this data", decisions.scores, "bars"))
    else:
        for flag, name, form in ((0, "labelled normal", "bars"), (1, "labelled anomalies", "hatched")):
            if (material.labels == flag).any():
                groups.append((name, decisions.scores[material.labels == flag], form))
    if calibrated is not None and len(calibrated):
        groups.append(("calibration (normal)", np.asarray(calibrated), "outline"))
    told = f"threshold {decisions.threshold:.4g}"
    mark = (decisions.threshold, told) if np.isfinite(decisions.threshold) else None
    note = "Each kind adds up to 100%. Right of the threshold is an anomaly."
    return histogram(groups, mark, "How the scores are spread", note, "score (higher = more anomalous)",
                     decisions.scores[decisions.is_anomaly])  # fmt: skip


def p_values(material: Material) -> str:
    """The p-values of the data: even where the data are normal and like the calibration samples."""
    values = material.decisions.p_values
    if np.isnan(values).any():
        return ""
    note = "Where all samples are normal and like the calibration samples, all bars are about equally high; anomalies "
    note += "pile up at the left. Bars that rise anywhere else mean that the data have changed."
    shown: list[tuple[str, FloatArray, str]] = [("this data", values, "bars")]
    return histogram(shown, None, "p-values", note, "p-value", None)


def quality(material: Material) -> str:
    """ROC and precision-recall curves and a table, where labels tell."""
    if material.comparison is None or material.labels is None:
        return ""
    floors = material.comparison.floors
    best = max(floors, key=lambda name: floors[name].auroc.value, default=None)
    scores = {"all fused": material.decisions.scores}
    if best is not None:
        scores[f"best floor: {best}"] = material.by_branch[best]
    in_order = material.decisions.steps is not None
    made = [_curves(name, values, material.labels, kind, kind == 0 and not in_order)
            for kind, (name, values) in enumerate(scores.items())]  # fmt: skip
    share = float(material.labels.mean())
    roc = line_chart(
        [Line("chance", np.array([0.0, 1.0]), np.array([0.0, 1.0]), 2), *(lines[0] for lines in made)],
        Frame((0.0, 1.0), (0.0, 1.0), "false alarms among normal", "anomalies found", (True, True)),
        "ROC curve",
        "" if in_order else "Shaded: 95% interval at each share of false alarms, by a stratified bootstrap.",
    )
    pr = line_chart(
        [Line("chance", np.array([0.0, 1.0]), np.array([share, share]), 2), *(lines[1] for lines in made)],
        Frame((0.0, 1.0), (0.0, 1.0), "recall: anomalies found", "precision", (True, True)),
        "Precision and recall",
        "Precision: the share of alarms that are right.",
    )
    return f'<div class="charts">{roc}{pr}</div>{_table(material)}'


def _curves(name: str, scores: FloatArray, labels: IntArray, kind: int, banded: bool) -> tuple[Line, Line]:
    normal, anomalous = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    band = _band(normal, anomalous) if banded and len(scores) <= _MOST_RESAMPLED else None
    roc = Line(name, _GRID, _found(normal, anomalous, _GRID), kind, band)
    limits = np.unique(anomalous)[::-1]
    true = len(anomalous) - np.searchsorted(anomalous, limits, side="left")
    false = len(normal) - np.searchsorted(normal, limits, side="left")
    recall, precision = true / len(anomalous), true / (true + false)
    return roc, Line(name, recall, precision, kind)


def _found(normal: FloatArray, anomalous: FloatArray, rates: FloatArray) -> FloatArray:
    """Recall at each rate of false alarms: between the points of the curve a straight line, ties together."""
    limits = np.unique(np.concatenate([normal, anomalous]))[::-1]
    false = 1.0 - np.searchsorted(normal, limits, side="left") / len(normal)
    true = 1.0 - np.searchsorted(anomalous, limits, side="left") / len(anomalous)
    false, true = np.append(0.0, false), np.append(0.0, true)
    # Of points that share a rate the last is the highest: the end of the curve's vertical part.
    last = np.flatnonzero(np.append(np.diff(false) != 0.0, True))
    return np.interp(rates, false[last], true[last])


def _band(normal: FloatArray, anomalous: FloatArray) -> tuple[FloatArray, FloatArray]:
    draw = numpy_generator(0, "bands")
    curves = np.stack([_found(_resampled(normal, draw), _resampled(anomalous, draw), _GRID) for _ in range(_RESAMPLES)])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    return low, high


def _resampled(values: FloatArray, draw: np.random.Generator) -> FloatArray:
    return np.sort(values[draw.integers(len(values), size=len(values))])


def _table(material: Material) -> str:
    assert material.comparison is not None  # noqa: S101
    comparison = material.comparison
    rows: dict[str, Evaluation] = {"default (all fused)": comparison.default, **comparison.trained}
    rows |= {f"{name}, floor" if not name.endswith(UNTRAINED) else name: v for name, v in comparison.floors.items()}
    head = "".join(f"<th>{escape(name.format(rate=comparison.default.rate))}</th>" for name in _METRICS.values())
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(_cell(found.estimates(), metric) for metric in _METRICS)}</tr>"
        for name, found in rows.items()
    )
    note = (
        "Small: the 95% interval. A floor is what a trained score has to beat: the same network untrained, or a score "
        "that needs no training."
    )
    return (
        f'<div class="wide"><table><thead><tr><th>score</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="dim">{note}</p>'
    )


def _cell(found: Mapping[str, Estimate], metric: str) -> str:
    estimate = found.get(metric)
    if estimate is None:
        return "<td>-</td>"
    small = "" if np.isnan(estimate.low) else f"<br><small>{estimate.low:.3f}-{estimate.high:.3f}</small>"
    return f"<td>{estimate.value:.3f}{small}</td>"
