"""The first thing on the page: what was learned, what was found, and whether it can be trusted, in plain words."""

from __future__ import annotations

from html import escape

import numpy as np

from unalike.evaluation import Estimate
from unalike.report.material import Material


def summary(material: Material) -> str:
    """Cards with the figures that matter most, and sentences."""
    return f"{_cards(material)}<ul class='said'>{''.join(item(*said) for said in sentences(material))}</ul>"


def item(kind: str, text: str) -> str:
    """A sentence of a list: ``good``, ``bad`` or ``note``."""
    return f'<li class="{kind}">{escape(text)}</li>'


def _cards(material: Material) -> str:
    decisions = material.decisions
    found = int(decisions.is_anomaly.sum())
    cards = [
        (f"{len(decisions):,}", f"{material.words} judged"),
        (f"{found:,}", f"are anomalies ({_share(found, len(decisions))})"),
    ]
    if decisions.false_alarm_rate is not None:
        cards.append((_percent(decisions.false_alarm_rate), "false alarms allowed"))
    if material.comparison is not None:
        measured = material.comparison.default
        if measured.realised_rate is not None:
            cards.append((_percent(measured.realised_rate.value), "false alarms realised"))
        cards.append((f"{measured.auroc.value:.3f}", "AUROC (1 is perfect, 0.5 is chance)"))
    return '<div class="cards">' + "".join(f"<div><b>{a}</b>{escape(b)}</div>" for a, b in cards) + "</div>"


def sentences(material: Material) -> list[tuple[str, str]]:
    """Kind and text of each."""
    return [*_learned(material), *_found(material), *_against_floors(material)]


def _learned(material: Material) -> list[tuple[str, str]]:
    detector = material.detector
    split = getattr(detector, "split_", None)
    calibrated = len(getattr(detector, "calibration_scores_", ()))
    trained = "" if split is None else f"It was trained on {len(split.train):,} {material.words}; "
    said = [("note", f"The model judges {_described(material)}. {trained}{calibrated:,} normal {material.words} "
                     "set its threshold.")]  # fmt: skip
    rate = material.decisions.false_alarm_rate
    if rate is None:
        return [*said, ("note", "Its kind of threshold promises no false-alarm rate.")]
    return [
        *said,
        ("note", f"The false-alarm rate asked for is {_percent(rate)}: of {max(round(1 / rate), 1):,} normal "
                 f"{material.words}, one may raise an alarm."),
    ]  # fmt: skip


def _described(material: Material) -> str:
    schema, name = material.modality.schema, material.modality.name
    if name == "image":
        return "images of {1} x {2} pixels, {0} channel(s)".format(*schema.shape)
    if name == "series":
        return f"the steps of time series with {schema.shape[0]} channel(s), in windows of {schema.shape[-1]} steps"
    if name == "text":
        return "texts"
    places = material.modality.places() if hasattr(material.modality, "places") else ()
    return f"rows of a table with {len(places)} columns" if places else "samples"


def _found(material: Material) -> list[tuple[str, str]]:
    decisions, found = material.decisions, int(material.decisions.is_anomaly.sum())
    said = [("note", f"{found:,} of {len(decisions):,} {material.words} are anomalies: their score is above "
                     f"{decisions.threshold:.4g}.")]  # fmt: skip
    if material.labels is None:
        return said
    normal = material.labels == 0
    if not normal.any() or normal.all():
        return [*said, ("note", "All labels are of one kind, so that nothing can be compared.")]
    measured = material.comparison
    rate = None if measured is None else measured.default.realised_rate
    recall = None if measured is None else measured.default.realised_recall
    if rate is None or recall is None:
        return said
    asked = decisions.false_alarm_rate
    # Without an interval, which steps have not, twice the rate is taken for more than chance.
    kept = asked is None or (rate.value <= 2.0 * asked if np.isnan(rate.low) else rate.low <= asked)
    word = "" if asked is None else f", where {_percent(asked)} was asked for"
    return [
        *said,
        ("good" if kept else "bad", f"Of the {int(normal.sum()):,} {material.words} labelled normal, "
                                    f"{_interval(rate)} raised a false alarm{word}."),
        ("note", f"Of the {int((~normal).sum()):,} labelled anomalies, {_interval(recall)} were found."),
    ]  # fmt: skip


def _against_floors(material: Material) -> list[tuple[str, str]]:
    trained = [branch for branch in material.detector.branches_ if branch.untrained is not None]
    if material.comparison is None:
        if not trained:
            return [("note", "No network was trained for this model: all of it is frozen or raw input.")]
        return [("note", "Whether training by contrast helped cannot be told without labels: give some, even a few "
                         "dozen, and this report compares with the same networks untrained.")]  # fmt: skip
    return [("bad" if " NOT above " in text else "good", text) for text in material.comparison.sentences()]


def _interval(found: Estimate) -> str:
    if np.isnan(found.low):
        return _percent(found.value)
    return f"{_percent(found.value)} (95% interval {_percent(found.low)} to {_percent(found.high)})"


def _share(part: int, total: int) -> str:
    return _percent(part / total) if total else "0%"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
