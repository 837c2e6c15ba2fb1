"""The page: its sections in order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from unalike import writing
from unalike.detector import Detector
from unalike.errors import InvalidParameter
from unalike.plain import is_whole
from unalike.ready import check_detector
from unalike.report import cautions, learning, mapping, scores
from unalike.report.material import Material, gathered
from unalike.report.shown import anomalies
from unalike.report.style import STYLE
from unalike.report.summary import summary

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    detector: Detector,
    X: Any,
    path: str | os.PathLike[str],
    *,
    labels: Any = None,
    training: Any = None,
    entities: Sequence[Any] | None = None,
    false_alarm_rate: float | None = None,
    title: str | None = None,
    shown: int = 10,
) -> Path:
    """Write what a fitted model says of `X` as one HTML file, which needs no network, script or library.

    Parameters
    ----------
    detector : Detector
        Fitted and calibrated.
    X : as in `Detector.fit`
        Samples to judge.
    path : str or Path
        Ends in .html; an existing file is replaced.
    labels : array-like, optional
        ``(n,)``, 1 for an anomaly and 0 for normal: the report then measures how good the scores are, and whether
        training helped. Of records one per step, in the order of the checked records.
    training : as in `Detector.fit`, optional
        What the model was trained on. It is looked through for copies, drawn on the map, and its samples are shown
        beside the anomalies that are nearest to them. None: of rows and records the model knows some itself, for other
        data samples of `X` that are judged normal take their place.
    entities, false_alarm_rate : optional
        As in `Detector.detect`.
    title : str, optional
        Heads the page.
    shown : int
        At most so many anomalies are shown one by one.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    NotFitted, NotCalibrated
        Before that.
    InvalidInput
        `X`, `labels` or `training` are unusable.
    InvalidParameter
        `path` is no place for an HTML file; `shown` is no count; as `Detector.detect`.
    """
    target = writing.writable(Path(path))
    if target.suffix.lower() not in (".html", ".htm"):
        raise InvalidParameter(f"`path` must end in .html; got {str(path)!r}.")
    if not is_whole(shown, 0):
        raise InvalidParameter(f"`shown` must be a whole number of 0 or more; got {shown!r}.")
    check_detector(detector, "to report on", calibrated=True)
    material = gathered(
        detector,
        X,
        labels=labels,
        training=training,
        entities=entities,
        false_alarm_rate=false_alarm_rate,
        shown=shown,
    )
    page = _page(material, title or f"Anomalies among {len(material.decisions):,} {material.words}")
    with writing.whole_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return target


def _page(material: Material, title: str) -> str:
    chart, spread = scores.distribution(material), scores.p_values(material)
    sections = [
        ("summary", "Summary", summary(material)),
        ("data", "Is the data sound?", cautions.cautions(material)),
        ("scores", "Scores and threshold", f'<div class="charts">{chart}{spread}</div>'),
        ("quality", "How good are the scores?", scores.quality(material)),
        ("anomalies", "The highest anomalies", anomalies(material)),
        ("map", "Map", mapping.embedding_map(material)),
        ("training", "Training", learning.curves(material)),
        ("settings", "Settings", learning.settings(material)),
    ]
    kept = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{place}">{name}</a>' for place, name, _ in kept)
    body = "\n".join(f'<section id="{place}"><h2>{name}</h2>{content}</section>' for place, name, content in kept)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1><nav>{links}</nav>",
            body,
            "</body>\n</html>\n",
        ]
    )
