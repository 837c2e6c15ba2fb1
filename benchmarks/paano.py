"""PaAno (Park and Kang, ICLR 2026, arXiv:2602.01359), written anew: patches, a small network, a bank of normal ones.

What the published code fixes is kept: patches of 64 steps (96 for several channels), each channel of a patch brought
to mean 0 and deviation 1; convolutions of width 7, 5, 3, 3 with batch normalisation, mean over time, a projection of
256; 200 iterations of AdamW, weight decay 1e-4, learning rate 1e-4 falling by a cosine to 1e-5. Its loss: the triplet
hinge, margin .5 in cosine distance, of a patch, one that starts one or two steps beside it, and the farthest other
positive of the batch, with gradients scaled by .01 (and by .1 more for one channel); in the first tenth, fading, a
classifier that tells the patch one patch length before from five random ones. The weights of the lowest loss are
kept. The bank is the patches nearest to the centres of mini-batch k-means, a tenth of all, at least 500; the score of
a patch its mean cosine distance to the nearest three, that of a step the mean over the patches that cover it.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import series_windows as windows
from unalike.types import FloatArray

_KERNELS = (7, 5, 3, 3)
_PROJECTION = 256
_ITERATIONS, _RATE, _DECAY = 200, 1e-4, 1e-4
_MARGIN, _RADIUS, _UNRELATED = 0.5, 2, 5
_GRADIENT, _UNIVARIATE = 0.01, 0.1
_BANK_SHARE, _BANK_LEAST, _NEAREST = 0.1, 500, 3
_PATCH, _PATCH_MULTIVARIATE = 64, 96
_CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class Size:
    """What was reduced so that it runs on one core.

    Parameters
    ----------
    widths : tuple of int
        Channels of the four convolutions.
    batch : int
        Patches per iteration.
    most : int or None
        Largest number of training patches, evenly spaced, that the bank is made of; None: all.
    scored : int or None
        About how many patches of a test part are scored (every second or fourth one of a long one); None: all.
    """

    widths: tuple[int, int, int, int]
    batch: int
    most: int | None
    scored: int | None


SIZES = {
    "published": Size(widths=(128, 256, 128, 64), batch=512, most=None, scored=None),
    "reduced": Size(widths=(32, 64, 32, 64), batch=64, most=6_000, scored=10_000),
}


class Network(nn.Module):
    """Embeds patches ``(n, channels, length)``."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after, kernel in zip((channels, *widths), widths, _KERNELS, strict=False):
            convolution = nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False)
            blocks += [convolution, nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.blocks = nn.Sequential(*blocks)
        self.projection = nn.Sequential(
            nn.Linear(widths[-1], _PROJECTION), nn.ReLU(), nn.Linear(_PROJECTION, _PROJECTION)
        )
        self.adjacent = nn.Linear(2 * widths[-1], 1)

    def forward(self, patches: Tensor) -> Tensor:
        mean = patches.mean(dim=2, keepdim=True)
        spread = (patches.var(dim=2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        embedded: Tensor = self.blocks((patches - mean) / spread).mean(dim=2)
        return embedded


class PaAno:
    """Behind the harness' contract.

    Parameters
    ----------
    seed : int
        Of weights and draws.
    size : {"published", "reduced"}
        See `SIZES`.
    """

    def __init__(self, seed: int, size: Literal["published", "reduced"]) -> None:
        self._seed, self._size = seed, SIZES[size]

    def fit(self, train: FloatArray) -> None:
        torch.manual_seed(self._seed)
        self._scaler = windows.Scaler().fit(train)
        self._patch = _PATCH if train.shape[1] == 1 else _PATCH_MULTIVARIATE
        X = self._scaler.transform(train)
        self._network = Network(train.shape[1], self._size.widths)
        _train(self._network, _Patches(X, self._patch), self._size.batch)
        self._bank = self._memory(X)

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        X = self._scaler.transform(test)
        stride = 1 if self._size.scored is None else 2 ** round(math.log2(max(1.0, len(X) / self._size.scored)))
        return windows.score_steps(X, self._patch, min(stride, 4), self._distances, chunk=_CHUNK)

    def _memory(self, X: FloatArray) -> Tensor:
        first = windows.starts(len(X), self._patch, 1)
        kept = first if self._size.most is None else windows.thinned(first, self._size.most)
        chunks = [windows.cut(X, kept[at : at + _CHUNK], self._patch) for at in range(0, len(kept), _CHUNK)]
        embedded = torch.cat([self._embedded(rows) for rows in chunks])
        count = min(max(_BANK_LEAST, round(_BANK_SHARE * len(first))), len(embedded))
        if count == len(embedded):
            return embedded
        means = MiniBatchKMeans(
            count, batch_size=max(8192, count), max_iter=50, n_init=1, reassignment_ratio=0.01, random_state=self._seed
        ).fit(embedded.numpy())
        centres = torch.from_numpy(means.cluster_centers_.astype(np.float32))
        nearest = torch.cat([torch.cdist(part, embedded).argmin(dim=1) for part in torch.split(centres, _CHUNK)])
        return embedded[nearest]

    def _distances(self, rows: FloatArray) -> FloatArray:
        similar = (self._embedded(rows) @ self._bank.T).topk(min(_NEAREST, len(self._bank)), dim=1).values
        distances: FloatArray = (1 - similar.mean(dim=1)).numpy()
        return distances

    @torch.no_grad()
    def _embedded(self, rows: FloatArray) -> Tensor:
        """``(n, width)``, of length 1."""
        self._network.eval()
        patches = torch.from_numpy(rows.astype(np.float32)).reshape(len(rows), -1, self._patch)
        return functional.normalize(self._network(patches), dim=1)


class _Patches:
    """All patches of a record, cut when asked for."""

    def __init__(self, X: FloatArray, length: int) -> None:
        self._X, self._length = X, length
        self.count = max(len(X) - length + 1, 1)

    def __getitem__(self, first: Tensor) -> Tensor:
        rows = windows.cut(self._X, first.numpy(), self._length).astype(np.float32)
        return torch.from_numpy(rows).reshape(len(rows), -1, self._length)

    def before(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Which have a patch one length before, and those."""
        there = first >= self._length
        return there, self[first[there] - self._length]

    def beside(self, first: Tensor) -> Tensor:
        """For each, one that starts one or two steps earlier or later."""
        offsets = torch.tensor([offset for offset in range(-_RADIUS, _RADIUS + 1) if offset])
        candidates = first[:, None] + offsets
        possible = (candidates >= 0) & (candidates < self.count)
        drawn = torch.where(possible, torch.rand(candidates.shape), -1.0).argmax(dim=1, keepdim=True)
        return self[torch.where(possible.any(dim=1), candidates.gather(1, drawn)[:, 0], first)]


def _train(network: Network, patches: _Patches, batch: int) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    best, weights = float("inf"), network.state_dict()
    order = torch.empty(0, dtype=torch.int64)
    network.train()
    for iteration in range(1, _ITERATIONS + 1):
        for group in optimiser.param_groups:
            group["lr"] = _RATE / 10 + 0.9 * _RATE * (1 + math.cos(math.pi * iteration / _ITERATIONS)) / 2
        if len(order) == 0:
            order = torch.randperm(patches.count)
        first, order = order[:batch], order[batch:]
        if len(first) < 2:
            first = torch.randint(patches.count, (max(2, len(first)),))
        loss = _loss(network, patches, first, fading=max(0.0, 1 - iteration / (_ITERATIONS / 10)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if loss.item() < best:
            best, weights = loss.item(), copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)


def _loss(network: Network, patches: _Patches, first: Tensor, fading: float) -> Tensor:
    parts = [patches[first], patches.beside(first)]
    if fading > 0:
        there, before = patches.before(first)
        parts.append(before)
    anchors, beside, *rest = network(torch.cat(parts)).split([len(part) for part in parts])
    univariate = parts[0].shape[1] == 1
    loss = _scaled_gradient(_triplet(network, anchors, beside) * (_UNIVARIATE if univariate else 1.0))
    if fading > 0:
        loss = loss + fading * _pretext(network, anchors, there, rest[0])
    return loss


def _triplet(network: Network, anchors: Tensor, beside: Tensor) -> Tensor:
    similar = (
        functional.normalize(network.projection(anchors), dim=1)
        @ functional.normalize(network.projection(beside), dim=1).T
    )
    itself = torch.eye(len(similar), dtype=torch.bool)
    farthest = (1 - similar).masked_fill(itself, -torch.inf).max(dim=1).values
    return functional.relu(1 - similar.diagonal() - farthest + _MARGIN).mean()


def _pretext(network: Network, anchors: Tensor, there: Tensor, before: Tensor) -> Tensor:
    """Cross-entropy of telling the patch one length before from patches of the batch."""
    count = len(anchors)
    rows = torch.arange(count).repeat_interleave(_UNRELATED)
    others = (rows + torch.randint(1, count, rows.shape)) % count
    unrelated = network.adjacent(torch.cat([anchors[rows], anchors[others]], dim=1))
    loss = functional.binary_cross_entropy_with_logits(unrelated, torch.zeros_like(unrelated))
    if len(before):
        adjacent = network.adjacent(torch.cat([anchors[there], before], dim=1))
        loss = loss + functional.binary_cross_entropy_with_logits(adjacent, torch.ones_like(adjacent))
    return loss


def _scaled_gradient(loss: Tensor) -> Tensor:
    """The same value, with a hundredth of the gradient."""
    return loss.detach() + (loss - loss.detach()) * _GRADIENT
