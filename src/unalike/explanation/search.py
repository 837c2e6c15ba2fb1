"""Why does a sample score as it does?

A place (a column) is guilty as far as the score falls when its content is replaced by what the nearest normal samples
have there. Nearest are those that are nearest *apart from* the replaced places: a spoilt cell must not choose its own
judges. Several places can be guilty together, and then none of them alone brings the score down; so the place whose
replacement lowers the score most is replaced for good, and the search goes on from there (docs/explanations.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unalike.types import FloatArray, Places

NEIGHBOURS = 5
CANDIDATES = 64
_USUAL = 0.05
"""Share of the excess over the usual score that needs no further cause."""

_TRIALS = 4096
_MOST_BYTES = 128 * 2**20

Scores = Callable[[Tensor], FloatArray]


@dataclass(frozen=True)
class Setting:
    """What explanations are made with.

    Parameters
    ----------
    places : Places
        The fitted modality.
    rows : Tensor
        ``(m, *shape)`` encoded normal samples.
    ids : sequence of str
        Their names.
    score : callable
        ``(n, *shape)`` encoded samples to ``(n,)`` scores.
    most_places : int
        How many causes are looked for.
    """

    places: Places
    rows: Tensor
    ids: Sequence[str]
    score: Scores
    most_places: int


class Search:
    """The search for the causes of one sample.

    Attributes
    ----------
    found : list of int
        Guilty places, in the order in which they were found.
    scores : list of float
        The score of the sample as it is, and after each of them was replaced too.
    usual : float
        The score of `normal`, to be set before the search.
    """

    def __init__(self, setting: Setting, sample: Tensor, score: float) -> None:
        self.setting = setting
        self.sample = sample
        self.contrasts = setting.places.contrasts(sample, setting.rows)  # (m, places)
        self.total = self.contrasts.sum(dim=1)
        self.candidates = self._candidates()
        self.found: list[int] = []
        self.scores = [score]
        self.usual = -np.inf

    def normal(self) -> Tensor:
        """``(1, *shape)``: what the nearest normal samples have in all places."""
        return self.setting.places.typical(self.setting.rows[self.nearest()])[None]

    def trials(self) -> Tensor:
        """``(candidates, *shape)``: the sample with each candidate replaced beside the places that were found."""
        chosen = torch.zeros(len(self.candidates), self.contrasts.shape[1], dtype=torch.bool)
        chosen[:, self.found] = True
        chosen[torch.arange(len(self.candidates)), self.candidates] = True
        near = self._nearest_without(self.candidates)  # (k, candidates)
        typical = self.setting.places.typical(self.setting.rows[near.T])
        return torch.where(self.setting.places.spread(chosen), typical, self.sample)

    def take(self, scores: FloatArray) -> bool:
        """Keep the best of the candidates, given the ``(candidates,)`` scores of `trials`; whether to go on."""
        if len(scores) == 0 or scores.min() >= self.scores[-1]:
            return False
        best = int(scores.argmin())
        self.found.append(int(self.candidates[best]))
        self.scores.append(float(scores[best]))
        self.candidates = torch.cat([self.candidates[:best], self.candidates[best + 1 :]])
        excess = self.scores[0] - self.usual
        far = self.scores[-1] - self.usual > _USUAL * excess
        return far and len(self.found) < self.setting.most_places and len(self.candidates) > 0

    def nearest(self) -> Tensor:
        """``(k,)`` positions of the normal samples that are nearest apart from the places that were found."""
        return nearest_apart(self.contrasts, self.found)

    def shares(self) -> FloatArray:
        """``(found,)``, not increasing, sum at most 1: falls of the score, where a larger fall after a smaller one is
        evened out with it, for then the first place was hidden by the second.
        """
        falls = -np.diff(self.scores)
        excess = max(self.scores[0] - self.usual, float(falls.sum()))
        return not_increasing(falls / excess) if len(falls) else falls

    def _candidates(self) -> Tensor:
        """Places that replacing would change; where they are many, those that differ most from the usual."""
        every = torch.arange(self.contrasts.shape[1])
        near = _smallest(self.total[:, None] - self.contrasts)  # (k, places)
        differing = self.contrasts.gather(0, near).median(dim=0).values
        order = differing.argsort(descending=True, stable=True)[:CANDIDATES]
        return every[order[differing[order] > 0]].sort().values

    def _nearest_without(self, candidates: Tensor) -> Tensor:
        left = self.total - self.contrasts[:, self.found].sum(dim=1)
        return _smallest(left[:, None] - self.contrasts[:, candidates])


def nearest_apart(contrasts: Tensor, found: Sequence[int]) -> Tensor:
    """``(k,)`` positions of the rows of ``(m, places)`` contrasts that are nearest apart from the `found` places."""
    return _smallest((contrasts.sum(dim=1) - contrasts[:, found].sum(dim=1))[:, None])[:, 0]


def _smallest(distances: Tensor) -> Tensor:
    """``(k, columns)`` positions of the smallest of ``(m, columns)``, smallest first."""
    k = min(NEIGHBOURS, len(distances))
    return distances.topk(k, dim=0, largest=False, sorted=True).indices


def not_increasing(values: FloatArray) -> FloatArray:
    """The nearest sequence that does not increase: runs that do take their mean (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, size = value, 1
        while blocks and blocks[-1][0] < mean:
            before, several = blocks.pop()
            mean, size = (before * several + mean * size) / (several + size), several + size
        blocks.append((mean, size))
    return np.concatenate([np.full(size, mean) for mean, size in blocks]) if blocks else values


def searched(setting: Setting, samples: Tensor) -> list[Search]:
    """The finished searches of ``(n, *shape)`` samples, all of them scored together."""
    searches = [
        Search(setting, sample, float(score)) for sample, score in zip(samples, setting.score(samples), strict=True)
    ]
    for search, usual in zip(searches, setting.score(torch.cat([s.normal() for s in searches])), strict=True):
        search.usual = float(usual)
    active = searches
    while active:
        trials = [search.trials() for search in active]
        scores = np.split(setting.score(torch.cat(trials)), np.cumsum([len(some) for some in trials])[:-1])
        active = [search for search, found in zip(active, scores, strict=True) if search.take(found)]
    return searches


def at_once(rows: int, places: int) -> int:
    """How many samples are explained together."""
    return max(min(_TRIALS // min(CANDIDATES, places), _MOST_BYTES // (8 * rows * places)), 1)
