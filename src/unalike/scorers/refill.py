"""The same scorer with other normal rows."""

from __future__ import annotations

from typing import Any

from unalike.plain import unlearned
from unalike.scorers.build import build_scorer
from unalike.types import FloatArray, Scorer


def refilled(scorer: Scorer, embeddings: FloatArray) -> Scorer:
    """A scorer like a fitted one, in the same units, that knows the ``(m, d)`` normal `embeddings` alone.

    By its method ``refilled(embeddings)`` where it has one, else fitted anew.
    """
    own: Any = getattr(scorer, "refilled", None)
    fresh: Scorer = build_scorer(unlearned(scorer)).fit(embeddings) if own is None else own(embeddings)
    return fresh
