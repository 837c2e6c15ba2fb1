"""Fusion and threshold as modules that ONNX can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.errors import CannotExport
from unalike.scorers.fusion import Fusion
from unalike.tails import spread_of
from unalike.thresholds.deciding import takes_entities
from unalike.thresholds.ranked import Conformal, Quantile
from unalike.types import FloatArray, Threshold


class Tails(nn.Module):
    """`unalike.tails.tail_scores` against fixed reference scores, ``(n,) -> (n,)`` float64."""

    ordered: Tensor
    at_least: Tensor

    def __init__(self, reference: FloatArray) -> None:
        super().__init__()
        ordered, counts = np.unique(reference, return_counts=True)
        self.n = len(reference)
        self.spread = spread_of(reference)
        self.register_buffer("ordered", torch.from_numpy(ordered))
        self.register_buffer("at_least", torch.from_numpy(counts[::-1].cumsum()[::-1].astype(np.float64)))

    def forward(self, scores: Tensor) -> Tensor:
        """Tail scores ``(n,)``."""
        last = len(self.ordered) - 1
        below = (self.ordered <= scores[:, None]).sum(dim=1)
        left, right = (below - 1).clamp(min=0), below.clamp(max=last)
        start, end = self.ordered[left], self.ordered[right]
        width = end - start
        share = torch.where(width > 0.0, (scores - start) / torch.where(width > 0.0, width, 1.0), 0.0)
        counted = self.at_least[left] + (self.at_least[right] - self.at_least[left]) * share
        counted = torch.where(below == 0, float(self.n), counted)
        excess = scores - self.ordered[last]
        counted = torch.where(excess > 0.0, 0.0, counted)
        return (excess.clamp(min=0.0) / self.spread).log1p() - ((1.0 + counted) / (self.n + 1.0)).log()


class Fused(nn.Module):
    """`scorers.Fusion`: a list of ``(n,)`` scores, one for each of `names`, to ``(n,)``."""

    def __init__(self, fusion: Fusion, names: list[str]) -> None:
        super().__init__()
        self.how = fusion.how
        self.single = len(fusion.references_) == 1
        self.weights = [fusion.weight(name) for name in names]
        self.tails = nn.ModuleList(Tails(fusion.references_[name]) for name in names if self.how != "ratio")
        self.units = [fusion.unit(name) for name in names]

    def forward(self, scores: list[Tensor]) -> Tensor:
        """Fused scores ``(n,)``."""
        if self.single:
            return scores[0]
        if self.how == "ratio":
            measured = [each / unit for each, unit in zip(scores, self.units, strict=True)]
        else:
            measured = [tail(each) for tail, each in zip(self.tails, scores, strict=True)]
        weighed = torch.stack([weight * each for weight, each in zip(self.weights, measured, strict=True)])
        return weighed.amax(dim=0) if self.how == "max" else weighed.sum(dim=0)


def counted_branches(fusion: Fusion) -> list[str]:
    """The branches that can move a fused score: of a sum those that weigh something."""
    return [name for name in fusion.references_ if fusion.how == "max" or fusion.weight(name) > 0.0]


class Decided(nn.Module):
    """A fitted threshold: ``(n,)`` scores to `is_anomaly` ``(n,)`` bool, and p-values where it ranks scores."""

    calibration: Tensor

    def __init__(self, threshold: Threshold) -> None:
        super().__init__()
        self.limit = float(threshold.threshold_)
        kind: Any = type(threshold)
        self.plus = 1.0 if kind is Conformal else 0.0 if kind is Quantile else None
        known: Any = threshold
        ranked = np.zeros(0) if self.plus is None else known.calibration_scores_
        self.register_buffer("calibration", torch.from_numpy(np.asarray(ranked, dtype=np.float64)))

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` gives."""
        return ["is_anomaly"] if self.plus is None else ["p_values", "is_anomaly"]

    def forward(self, scores: Tensor) -> tuple[Tensor, ...]:
        """As `outputs` says."""
        found = ~(scores <= self.limit)  # a score that is no number is an alarm
        if self.plus is None:
            return (found,)
        at_least = (self.calibration >= scores[:, None]).sum(dim=1).to(scores.dtype)
        return (self.plus + at_least) / (len(self.calibration) + self.plus), found


def decided(threshold: Threshold) -> Decided:
    """The module of a fitted threshold.

    Raises
    ------
    CannotExport
        The threshold judges by entity, which the graph is not given.
    """
    if takes_entities(threshold):
        raise CannotExport(
            f"`threshold` must be one for all samples; got {type(threshold).__name__}, which judges by entity. Call "
            "calibrate(threshold='conformal') first."
        )
    return Decided(threshold)
