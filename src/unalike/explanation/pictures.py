"""Explanations of images: where is what makes the score?

A picture has the size of the user's image and the units of the sample's score: its peak *is* the score, and the pixels
past the threshold of samples are the mask. So the mask is not empty exactly when the sample is an anomaly, whatever
branches were fused (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unalike.branch import FittedBranch, encoded_scores
from unalike.data import count, take
from unalike.decisions import Explanation, Explanations, Part
from unalike.embeddings import ready
from unalike.explanation import heat
from unalike.explanation.samples import check_most_places, chosen_positions
from unalike.judging import judges_places
from unalike.scorers.fusion import Fusion
from unalike.types import BoolArray, Collection, FloatArray, Pictured, Threshold

_AT_ONCE = 32
"""Parts that are judged together."""


@dataclass(frozen=True)
class Viewer:
    """What makes pictures: a fitted detector's parts.

    Parameters
    ----------
    modality : Pictured
        Fitted.
    branches : sequence of FittedBranch
        All of them.
    fusion : Fusion
        Fitted.
    threshold : Threshold or None
        In force; None: no masks.
    score : callable
        Checked samples to ``(n,)`` scores, as decisions are made on.
    device : torch.device
        Where to embed.
    """

    modality: Pictured
    branches: Sequence[FittedBranch]
    fusion: Fusion
    threshold: Threshold | None
    score: Callable[[Collection], FloatArray]
    device: torch.device

    def explain(self, X: Collection, only: Any, most_places: int) -> Explanations:
        """One explanation for each chosen sample of checked `X`, one sample after the other.

        Parameters
        ----------
        X : collection
            Checked images.
        only : array-like, optional
            As `Detector.explain`.
        most_places : int
            At most so many regions.
        """
        check_most_places(most_places)
        positions = chosen_positions(only, count(X))
        if len(positions) == 0:
            return Explanations(())
        chosen = take(X, positions)
        # Scored together, as `detect` does it: alone, the last bits of a network's output differ.
        scores = self.score(chosen)
        for branch in self.branches:
            ready(branch.judge.encoder, self.device)
        names = self.modality.ids(X)[positions].tolist()
        return Explanations(
            tuple(
                self._explained(take(chosen, np.array([at])), str(name), score, most_places)
                for at, (name, score) in enumerate(zip(names, scores.tolist(), strict=True))
            )
        )

    def _explained(self, one: Collection, name: str, score: float, most_places: int) -> Explanation:
        parts, owner = self.modality.cut(one)
        boxes = self.modality.boxes(one)
        maps: list[FloatArray] = []
        for start in range(0, len(owner), _AT_ONCE):
            data = self.modality.tensors(take(parts, np.arange(start, min(start + _AT_ONCE, len(owner)))))
            maps += self._maps(data)
        bottom, right = boxes[:, 2:].max(axis=0).tolist()
        picture = heat.peaked(heat.blended(maps, boxes, (bottom, right)), score)
        mask = None if self.threshold is None else self.threshold.is_anomaly(picture.ravel()).reshape(picture.shape)
        return Explanation(name, score, regions(picture, mask, most_places), (), picture, mask)

    def _maps(self, data: Tensor) -> list[FloatArray]:
        """A map in units of the fused score for each of ``(m, channels, height, width)`` parts."""
        names = [b.settings.name for b in self.branches if _is_pictured(b.judge.scorer)]
        placed = [name for name in names if self.fusion.weight(name) > 0.0]
        places: dict[str, FloatArray] = {}
        scores: dict[str, FloatArray] = {}
        for branch in self.branches:
            name, judge = branch.settings.name, branch.judge
            if name in placed:
                places[name] = judge.scorer.places(judge.located(data, self.device))  # type: ignore[attr-defined]
                scores[name] = judge.scorer.joined(places[name])  # type: ignore[attr-defined]
            else:
                scores[name] = judge.score(data, self.device)
        if not placed:
            fused = self.fusion.score(scores).tolist()
            return [self._hidden(part, score) for part, score in zip(data, fused, strict=True)]
        size = (int(data.shape[-2]), int(data.shape[-1]))
        encoders: dict[str, Any] = {branch.settings.name: branch.judge.encoder for branch in self.branches}
        maps = []
        for row in range(len(data)):
            own = {name: heat.spread_places(places[name][row], encoders[name].grid, size) for name in placed}
            of_row = {name: float(values[row]) for name, values in scores.items()}
            maps.append(heat.fused_map(own, of_row, self._usual(), self.fusion))
        return maps

    def _usual(self) -> dict[str, float]:
        """The median of the reference scores of each branch."""
        return {name: float(np.median(scores)) for name, scores in self.fusion.references_.items()}

    def _hidden(self, image: Tensor, score: float) -> FloatArray:
        """Where no branch judges places: by how much the score falls when a window is hidden."""
        hidden = heat.windows((int(image.shape[-2]), int(image.shape[-1])))
        variants = [
            heat.without(image, torch.from_numpy(hidden[start : start + _AT_ONCE]))
            for start in range(0, len(hidden), _AT_ONCE)
        ]
        scores = encoded_scores(self.branches, self.fusion, torch.cat(variants), self.device)
        falls = heat.occlusion_map(score - scores, hidden)
        relative = falls / falls.max() if falls.max() > 0.0 else np.ones_like(falls)
        usual = self.fusion.score({name: np.array([value]) for name, value in self._usual().items()})
        return heat.between(float(usual[0]), score, relative)


def _is_pictured(scorer: Any) -> bool:
    return judges_places(scorer) and getattr(scorer, "pictured", True)


def regions(picture: FloatArray, mask: BoolArray | None, most: int) -> tuple[Part, ...]:
    """The regions of a picture that stand out, the hottest first.

    Those of the mask; where there is none, or it is empty, of the pixels in the upper half of the picture's range. A
    share is the region's part of all that the picture has above its least value.

    Parameters
    ----------
    picture : ndarray
        ``(height, width)``.
    mask : ndarray, optional
        ``(height, width)`` bool.
    most : int
        How many at most.
    """
    from scipy.ndimage import find_objects, label

    base, top = float(picture.min()), float(picture.max())
    if mask is None or not mask.any():
        mask = picture > (base + top) / 2.0
    labels, found = label(mask)
    total = float((picture - base).sum())
    parts = []
    for number, box in enumerate(find_objects(labels), start=1):
        inside = labels[box] == number
        share = float((picture[box] - base)[inside].sum()) / total if total > 0.0 else 1.0 / found
        parts.append(_region(box, share))
    return tuple(sorted(parts, key=lambda part: -part.share)[:most])


def _region(box: tuple[slice, slice], share: float) -> Part:
    rows, columns = box
    place = f"rows {rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1}"
    return Part(place, share, None, None, ((rows.start, columns.start), (rows.stop - 1, columns.stop - 1)))
