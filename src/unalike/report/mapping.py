"""A map of the embeddings: which samples lie together, and where the anomalies are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unalike.report.charts import Points, scatter
from unalike.report.material import MOST_MAPPED, Material, windows_embedded
from unalike.types import BoolArray, FloatArray

_LEAST = 3
_REACH = 0.5


def embedding_map(material: Material) -> str:
    """Principal components of the embeddings of the data, and of normal samples where there are others.

    The axes are fitted on what is judged normal (Pearson, "On lines and planes of closest fit to systems of
    points in space", 1901).
    """
    drawn, names = [material.embeddings], [np.zeros(len(material.embeddings), dtype=np.bool_)]
    others = _others(material)
    if others is not None:
        drawn.append(others)
        names.append(np.ones(len(others), dtype=np.bool_))
    together, is_other = np.concatenate(drawn), np.concatenate(names)
    if len(together) < _LEAST or together.shape[1] < 2:
        return ""
    usual = np.concatenate([~material.decisions.is_anomaly[material.mapped], is_other[is_other]])
    places, shares = _components(together, usual if usual.sum() >= _LEAST else np.ones_like(usual))
    places, outside = _within(places)
    groups = [_points("training samples", places[is_other], "ring", ())] if is_other.any() else []
    own = places[~is_other]
    for name, chosen, shape in _kinds(material):
        if chosen.any():
            titles = [_title(material, at) for at in material.mapped[chosen].tolist()] if shape != "dot" else ()
            groups.append(_points(name, own[chosen], shape, titles))
    what = "windows, named by their middle step" if material.in_time else material.words
    note = (
        f"The two directions in which the embeddings of at most {MOST_MAPPED:,} {what} vary most; they hold "
        f"{shares.sum():.0%} of the variation, so that what is apart here is apart, and what is together may not be. "
        "Anomalies have no part in the choice. "
        + (f"{outside} points lie farther out and are drawn at the edge. " if outside else "")
        + "Branches without this network take part in the scores too. Hold the mouse over an anomaly to read its name."
    )
    axes = (f"first component ({shares[0]:.0%})", f"second component ({shares[1]:.0%})")
    return scatter(groups, "Map of the embeddings", note, axes)


def _points(name: str, places: FloatArray, shape: str, titles: Sequence[str]) -> Points:
    return Points(name, places[:, 0], places[:, 1], shape, titles)


def _others(material: Material) -> FloatArray | None:
    if material.pool is not None and material.pool.of_training:
        return material.pool.embeddings[: MOST_MAPPED // 2]
    if material.in_time and material.training is not None:
        return windows_embedded(material.detector, material.training, MOST_MAPPED // 2)[1]
    return None


def _within(places: FloatArray) -> tuple[FloatArray, int]:
    """What lies far out at the edge, so that one point does not press all others together; and how many those are."""
    low, high = np.quantile(places, [0.02, 0.98], axis=0)
    kept = np.clip(places, low - _REACH * (high - low), high + _REACH * (high - low))
    return kept, int((kept != places).any(axis=1).sum())


def _components(values: FloatArray, usual: BoolArray) -> tuple[FloatArray, FloatArray]:
    from sklearn.decomposition import PCA

    model = PCA(n_components=2, svd_solver="full" if min(values[usual].shape) < 50 else "auto", random_state=0)
    places = model.fit(values[usual]).transform(values)
    shares = np.nan_to_num(model.explained_variance_ratio_)
    return np.asarray(places, dtype=np.float64), shares


def _kinds(material: Material) -> list[tuple[str, BoolArray, str]]:
    flagged = material.decisions.is_anomaly[material.mapped]
    if material.labels is None:
        return [("judged normal", ~flagged, "dot"), ("judged anomalies", flagged, "triangle")]
    truth = material.labels[material.mapped] == 1
    return [
        ("normal, judged normal", ~flagged & ~truth, "dot"),
        ("normal, judged anomalies: false alarms", flagged & ~truth, "cross"),
        ("anomalies, missed", ~flagged & truth, "open triangle"),
        ("anomalies, found", flagged & truth, "triangle"),
    ]


def _title(material: Material, at: int) -> str:
    decisions = material.decisions
    entity = "" if decisions.entities is None or not decisions.entities[at] else f"{decisions.entities[at]}: "
    return f"{entity}{decisions.ids[at]}, score {decisions.scores[at]:.4g}"
