"""Training data that is only *mostly* normal: which samples to set aside, and scorers that bear the rest.

Nothing here sees a label. Training samples are ranked by the distance to many neighbours in the raw input: a few
anomalies that lie together cannot vouch for each other, as they can for the nearest neighbour. Calibration samples
are then far from what is left. They are set aside only where the law of the bulk of their scores does not explain
them, because every one that is set aside wrongly raises the false-alarm rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from unalike.branch import FittedBranch
from unalike.embeddings import embed
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.judging import untaught_encoders
from unalike.parts import Parts
from unalike.plain import is_number
from unalike.scorers.build import build_scorer
from unalike.scorers.fusion import Fusion
from unalike.scorers.neighbors import KNN
from unalike.seeding import derive
from unalike.thresholds import benjamini_hochberg
from unalike.thresholds.checks import whole
from unalike.types import BoolArray, Branch, FloatArray, IntArray, Modality

_LARGEST_SHARE = 0.3
_LEAST_SCORES = 40
_BULK = (0.5, 0.9)
"""Quantiles of the calibration scores between which the law of the tail is fitted; what lies above is censored."""
_FALSE_DISCOVERY_RATE = 0.1
_SHAPE_DEVIATION = 0.22
"""Of the normal prior of the tail's shape around 0, an exponential tail: forty scores alone do not tell it."""


def check_share(share: Any) -> float:
    """The setting `expected_anomalies`.

    Raises
    ------
    InvalidParameter
        When it is no number in ``[0, 0.3]``.
    """
    if not is_number(share) or not 0.0 <= share <= _LARGEST_SHARE:
        raise InvalidParameter(
            f"`expected_anomalies` must be a share of the training data from 0 to {_LARGEST_SHARE}; got {share!r}. "
            "Give 0 when all samples are known to be normal, 0.05 when up to 5% may not be."
        )
    return float(share)


def robust_branches(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """The branches with scorers that one anomaly among the training rows cannot mislead, where they have such.

    A scorer offers them by a method ``robust() -> Scorer``.
    """
    scorers = [build_scorer(branch.scorer) for branch in branches]
    return tuple(
        replace(branch, scorer=scorer.robust() if hasattr(scorer, "robust") else branch.scorer)
        for branch, scorer in zip(branches, scorers, strict=True)
    )


def floor_scores(
    modality: Modality, branches: Sequence[Branch], parts: Parts, *, seed: int, device: torch.device
) -> FloatArray:
    """``(n,)`` scores of parts by the others: the distance to many neighbours before anything is trained.

    Parameters
    ----------
    modality : Modality
        Fitted.
    branches : sequence of Branch
        The first skip connection is used, else the encoder of the first that does not train, else the first one
        untrained.
    parts : Parts
        ``n`` of them. Those of one group do not vouch for each other.
    seed : int
        Of an untrained encoder.
    device : torch.device
        Where to embed.
    """
    chosen = [*untaught_encoders(branches), branches[0].encoder][0]
    encoder = build_encoder(chosen, modality.schema, derive(seed, "floor"), sample=parts.sample())
    return leave_one_out(embed(encoder, parts.load, parts.n, device=device), parts.group)


def leave_one_out(embeddings: FloatArray, groups: IntArray | None = None) -> FloatArray:
    """``(n,)`` distance to the k-th nearest of up to 2,000 evenly spaced other rows, k = 2.5% of them, at least 5."""
    return KNN(k=0.025, most_rows=2_000).leave_one_out(embeddings, groups)


def most_suspect(scores: FloatArray, share: float) -> BoolArray:
    """``(n,)`` bool: the `share` of the samples that score highest, rounded down."""
    chosen = np.zeros(len(scores), dtype=np.bool_)
    chosen[np.argsort(-scores, kind="stable")[: whole(share, len(scores))]] = True
    return chosen


def unexplained(scores: FloatArray, share: float) -> BoolArray:
    """Which scores the law of the bulk does not explain, at most `share` of them.

    A generalised Pareto law is fitted to the upper half of the scores, all above the 90% quantile being counted but
    not measured, as anomalies may be among them (Coles, "An introduction to statistical modeling of extreme values",
    2001, chapter 4). Of the tail probabilities that it gives, those that Benjamini and Hochberg's procedure
    ("Controlling the false discovery rate", 1995) rejects at 10% are unexplained.

    Parameters
    ----------
    scores : ndarray
        ``(n,)``, higher = more anomalous. Fewer than 40 explain nothing: none is rejected.
    share : float
        In ``[0, 1]``.

    Returns
    -------
    ndarray
        ``(n,)`` bool.
    """
    n = len(scores)
    low, high = np.quantile(scores, _BULK) if n else (0.0, 0.0)
    # With many ties no score may lie between the two.
    if share == 0.0 or n < _LEAST_SCORES or not ((scores > low) & (scores <= high)).any():
        return np.zeros(n, dtype=np.bool_)
    from scipy.stats import genpareto

    unit = high - low
    scale, shape = _censored_pareto((scores[scores > low] - low) / unit, 1.0)
    tail = np.where(
        scores > low,
        (1.0 - _BULK[0]) * genpareto.sf((scores - low) / unit, shape, scale=scale),
        1.0,
    )
    return benjamini_hochberg(tail, _FALSE_DISCOVERY_RATE) & most_suspect(scores, share)


def unexplained_by_any(several: Sequence[FloatArray], fused: FloatArray, share: float) -> BoolArray:
    """Samples that stand out in one kind of score at least.

    Parameters
    ----------
    several : sequence of ndarray
        ``(n,)`` each, in the units of their scorers: tail scores, being logarithms, would hide a gap.
    fused : ndarray
        ``(n,)``; when more than `share` of the samples stand out, those that score highest here are named.
    share : float
        In ``[0, 1]``.

    Returns
    -------
    ndarray
        ``(n,)`` bool, at most `share` of them.
    """
    if share == 0.0:
        return np.zeros(len(fused), dtype=np.bool_)
    found = np.any([unexplained(scores, 1.0) for scores in several], axis=0)
    return np.asarray(found & most_suspect(np.where(found, fused, -np.inf), share))


def untaught(by_branch: Mapping[str, FloatArray], branches: Sequence[FittedBranch], fusion: Fusion) -> list[FloatArray]:
    """The scores of the branches that count and did not train, or of all that count when all trained."""
    counting = [branch for branch in branches if fusion.weight(branch.settings.name) > 0.0]
    frozen = [branch for branch in counting if not branch.history]
    return [by_branch[branch.settings.name] for branch in frozen or counting]


def _censored_pareto(excesses: FloatArray, limit: float) -> tuple[float, float]:
    """Scale and shape of the generalised Pareto law of positive `excesses` that are only counted above `limit`."""
    from scipy.optimize import minimize
    from scipy.stats import genpareto

    measured = excesses[excesses <= limit]
    censored = len(excesses) - len(measured)

    def loss(parameters: FloatArray) -> float:
        scale, shape = math.exp(parameters[0]), parameters[1]
        inside = genpareto.logpdf(measured, shape, scale=scale).sum()
        above = censored * genpareto.logsf(limit, shape, scale=scale)
        prior = (shape / _SHAPE_DEVIATION) ** 2 / 2.0
        total = prior - inside - above
        return float(total) if math.isfinite(total) else 1e12

    start = np.array([math.log(max(float(measured.mean()), 1e-12)), 0.0])
    found = minimize(loss, start, method="Nelder-Mead").x
    return math.exp(found[0]), float(found[1])
