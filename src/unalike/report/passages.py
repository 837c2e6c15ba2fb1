"""Anomalous texts: the words that stand out, and the nearest normal texts."""

from __future__ import annotations

from html import escape

import numpy as np

from unalike.data import take
from unalike.decisions import Explanation
from unalike.report.material import Material
from unalike.types import Collection

_NEAREST = 2
_MOST_CHARACTERS = 3000
_MOST_OF_NORMAL = 600


def passage(material: Material, position: int, why: Explanation | None) -> str:
    """The text, guilty words marked, and normal texts beneath."""
    text = _text(material.X, position)
    spans = _spans(why, len(text))
    shown = f"<blockquote>{marked(text[:_MOST_CHARACTERS], spans)}</blockquote>"
    if len(text) > _MOST_CHARACTERS:
        shown += f"<p class='dim'>The first {_MOST_CHARACTERS:,} of {len(text):,} characters.</p>"
    return shown + _nearest(material, position)


def marked(text: str, spans: list[tuple[int, int, float]]) -> str:
    """HTML in which the spans, told by first character and the one after the last, are marked with their share."""
    drawn, done = [], 0
    for start, end, share in sorted(spans):
        if start < done or start >= len(text):
            continue
        drawn += [escape(text[done:start]), f'<mark title="{share:.0%} of the score">{escape(text[start:end])}</mark>']
        done = end
    return "".join([*drawn, escape(text[done:])])


def _spans(why: Explanation | None, length: int) -> list[tuple[int, int, float]]:
    if why is None:
        return []
    found = [(*part.at, part.share) for part in why.parts if part.at is not None]
    return [(start, end, share) for start, end, share in found
            if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= length]  # fmt: skip


def _nearest(material: Material, position: int) -> str:
    if material.pool is None:
        return ""
    own = material.embeddings[int(np.searchsorted(material.mapped, position))]
    apart = None if material.pool.of_training else position
    shown = ""
    for at in material.pool.nearest(own, _NEAREST, apart).tolist():
        text = _text(material.pool.X, at)
        cut = "…" if len(text) > _MOST_OF_NORMAL else ""
        name = escape(str(material.pool.ids[at]))
        shown += f"<small>normal: {name}</small><blockquote>{escape(text[:_MOST_OF_NORMAL])}{cut}</blockquote>"
    return shown


def _text(X: Collection, position: int) -> str:
    return str(next(iter(take(X, np.array([position])))))
