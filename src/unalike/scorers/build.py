"""From what the user wrote after ``scorer=`` to a scorer of our own to fit."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from unalike import lookup
from unalike.errors import InvalidParameter
from unalike.scorers import SCORERS
from unalike.scorers.adapter import Outlier, is_outlier_detector
from unalike.types import Scorer


def build_scorer(scorer: Any) -> Scorer:
    """A scorer that may be fitted without changing what the user passed.

    Parameters
    ----------
    scorer : str or object
        A name in `unalike.scorers.SCORERS` (its defaults), a scorer (copied), or an outlier detector of PyOD's
        or scikit-learn's (wrapped in `Outlier`).

    Raises
    ------
    InvalidParameter
        An unknown name, or an object of another shape.
    """
    if isinstance(scorer, str):
        built: Scorer = lookup.named("scorer", SCORERS, scorer)()
        return built
    if is_scorer(scorer):
        copied: Scorer = copy.deepcopy(scorer)
        return copied
    if is_outlier_detector(scorer):
        return Outlier(scorer)
    hint = " It is a class: make an object of it with ()." if isinstance(scorer, type) else ""
    if (
        getattr(scorer, "novelty", True) is False
    ):  # scikit-learn's, which then scores only the rows that it is fitted on
        hint = f" It must score new rows: give {type(scorer).__name__}(novelty=True)."
    raise InvalidParameter(
        f"`scorer` must be one of {sorted(SCORERS)}, an object with `fit(embeddings, reference, groups)` and "
        f"`score(embeddings)`, or an outlier detector of PyOD's or scikit-learn's; got {scorer!r}.{hint}"
    )


def takes_anomalies(scorer: Any) -> bool:
    """Whether a scorer's ``fit`` learns from labelled ``anomalies`` too."""
    return "anomalies" in inspect.signature(scorer.fit).parameters


def takes_background(scorer: Any) -> bool:
    """Whether a scorer's ``fit`` compares with a ``background`` too, which the encoder offers."""
    return "background" in inspect.signature(scorer.fit).parameters


def is_scorer(value: Any) -> bool:
    """Whether `value` has the shape of `unalike.types.Scorer`.

    Its ``fit`` must take a `reference`: many of scikit-learn's estimators have `fit` and `score` too.
    """
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in ("fit", "score")):
        return False
    return "reference" in inspect.signature(value.fit).parameters
