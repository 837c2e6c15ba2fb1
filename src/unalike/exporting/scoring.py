"""Scorers as modules that ONNX can hold: ``(n, d)`` embeddings to ``(n,)`` float64 scores.

Each computes in double precision what its scorer's ``score`` does. Embeddings differ by rounding between torch and
another runtime; what is done to them here adds nothing to that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unalike.errors import CannotExport
from unalike.scorers.arrays import unit_rows
from unalike.scorers.blocks import PerBlock
from unalike.scorers.density import KernelDensity
from unalike.scorers.local import LocalKNN
from unalike.scorers.mahalanobis import Mahalanobis
from unalike.scorers.mixture import GaussianMixture
from unalike.scorers.neighbors import KNN
from unalike.scorers.objective import ObjectiveScore
from unalike.scorers.parametric import Centroid
from unalike.scorers.patches import PatchBank
from unalike.scorers.placefusion import PlaceFusion
from unalike.scorers.placegaussians import PlaceGaussians
from unalike.scorers.places import counted
from unalike.scorers.ratio import NeighborRatio
from unalike.types import FloatArray

_FARTHEST = 1e120
_ROUNDING = 64 * torch.finfo(torch.float64).eps
_MEASURED = 2**15
"""Numbers per sample: so many neighbours are measured again by direct differences."""
_SHARP = 8.0
_LEAST_LOCAL = 0.1


def scoring_module(scorer: Any, what: str) -> nn.Module:
    """The module that scores as a fitted `scorer` does.

    Parameters
    ----------
    scorer : Scorer
        Fitted.
    what : str
        Whose it is, for the error.

    Raises
    ------
    CannotExport
        A kind of scorer that has no such module.
    """
    made = _MODULES.get(type(scorer))
    if made is None:
        known = ", ".join(sorted(kind.__name__ for kind in _MODULES))
        raise CannotExport(
            f"`scorer` must be one that ONNX can hold, {known}; {what} has {type(scorer).__name__}. Fit with one of "
            "these, or leave that branch out with switch_off=."
        )
    return made(scorer)


class Nearest(nn.Module):
    """`scorers.KNN`: candidates by a matrix product in double precision, then direct differences to them."""

    bank: Tensor
    centre: Tensor

    def __init__(self, scorer: KNN, k: int | None = None) -> None:
        super().__init__()
        self.cosine = scorer.metric == "cosine"
        self.mean = scorer.distance == "mean"
        self.k = min(scorer._neighbours() if k is None else k, len(scorer.bank_))
        bank = unit_rows(scorer.bank_) if self.cosine else scorer.bank_
        self.measured = self.k * bank.shape[1] <= _MEASURED
        self.share = _ROUNDING * math.sqrt(scorer.bank_.shape[1])
        self.register_buffer("bank", torch.from_numpy(bank.copy()))
        self.register_buffer("centre", torch.from_numpy(bank.mean(axis=0, dtype="float64")))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        distances, _ = self.nearest(embeddings)
        return distances.mean(dim=1) if self.mean else distances.amax(dim=1)

    def nearest(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Distances ``(n, k)`` to the nearest rows of the bank, and their positions."""
        rows = embeddings.to(torch.float64)
        lifted = _unit(rows) if self.cosine else rows
        bank = self.bank.to(torch.float64) - self.centre
        centred = lifted - self.centre
        product = (bank * bank).sum(dim=1) - 2.0 * centred @ bank.T  # (n, m)
        values, positions = product.topk(self.k, dim=1, largest=False)
        if self.measured:
            difference = self.bank[positions].to(torch.float64) - lifted[:, None]
            squared = (difference * difference).sum(dim=2)
        else:
            squared = (values + (centred * centred).sum(dim=1, keepdim=True)).clamp(min=0.0)
        distances = squared / 2.0 if self.cosine else squared.sqrt()
        if embeddings.dtype == torch.float64:
            distances = torch.where(distances <= self._rounding(rows), 0.0, distances)
        return distances, positions

    def _rounding(self, rows: Tensor) -> Tensor:
        if self.cosine:
            return rows.new_full((1, 1), self.share**2 / 2.0)
        return self.share * rows.abs().amax(dim=1, keepdim=True)


class LocallyNearest(nn.Module):
    """`scorers.LocalKNN`."""

    local: Tensor

    def __init__(self, scorer: LocalKNN) -> None:
        super().__init__()
        self.power, self.unit = scorer.power, scorer.unit_
        self.bank = Nearest(scorer.knn_, scorer.k)
        self.register_buffer("local", torch.from_numpy(scorer.local_))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        distances, positions = self.bank.nearest(embeddings)
        usual = self.local[positions].mean(dim=1).clamp(min=_LEAST_LOCAL * self.unit)
        return distances.mean(dim=1) * (self.unit / usual) ** self.power


class Patches(nn.Module):
    """`scorers.PatchBank`: embeddings of places ``(n, places, width)`` to scores ``(n,)``.

    There are hundreds of places to an image: the nearest patch is found by a product in single precision, of
    standardised values, and only its distance is computed in double precision.
    """

    bank: Tensor
    shift: Tensor
    spread: Tensor

    def __init__(self, scorer: PatchBank) -> None:
        super().__init__()
        self.cosine = scorer.metric == "cosine"
        self.top = scorer.top
        self.register_buffer("bank", torch.from_numpy(scorer.bank_.copy()))
        self.register_buffer("shift", torch.from_numpy(scorer.mean_))
        self.register_buffer("spread", torch.from_numpy(scorer.scale_))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        return _highest(self.places(embeddings), self.top)

    def places(self, embeddings: Tensor) -> Tensor:
        """Distances ``(n, places)``."""
        places = embeddings.shape[1]
        rows = ((embeddings - self.shift) / self.spread).reshape(-1, embeddings.shape[2])
        bank = self.bank
        if self.cosine:
            rows, bank = _unit(rows.to(torch.float64)), _unit(bank.to(torch.float64))
        product = (bank * bank).sum(dim=1).to(torch.float32) - 2.0 * rows.to(torch.float32) @ bank.to(torch.float32).T
        difference = bank[product.argmin(dim=1)].to(torch.float64) - rows.to(torch.float64)
        squared = (difference * difference).sum(dim=1)
        return (squared / 2.0 if self.cosine else squared.sqrt()).reshape(-1, places)


class Gaussians(nn.Module):
    """`scorers.PlaceGaussians`."""

    shift: Tensor
    directions: Tensor
    centre: Tensor
    whitening: Tensor

    def __init__(self, scorer: PlaceGaussians) -> None:
        super().__init__()
        self.top = scorer.top
        self.register_buffer("shift", torch.from_numpy(scorer.shift_))
        self.register_buffer("directions", torch.from_numpy(scorer.directions() / scorer.scale_[:, None]))
        self.register_buffer("centre", torch.from_numpy(scorer.centre_))
        self.register_buffer("whitening", torch.from_numpy(scorer.whitening_))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        return _highest(self.places(embeddings), self.top)

    def places(self, embeddings: Tensor) -> Tensor:
        """Distances ``(n, places)``."""
        rows = (embeddings.to(torch.float32) - self.shift) @ self.directions - self.centre
        white = torch.matmul(rows.transpose(0, 1), self.whitening).to(torch.float64)  # (places, n, width)
        return (white * white).mean(dim=2).sqrt().T


class Fusing(nn.Module):
    """`scorers.PlaceFusion`."""

    def __init__(self, scorer: PlaceFusion) -> None:
        super().__init__()
        self.near, self.usual = Patches(scorer.bank_), Gaussians(scorer.gaussians_)
        self.top, self.weight, self.units = scorer.top, scorer.weight, scorer.units_

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        near, usual = self.near.places(embeddings), self.usual.places(embeddings)
        return _highest(near / self.units[0] + self.weight * (usual / self.units[1]), self.top)


def _highest(places: Tensor, top: int | float) -> Tensor:
    """``(n,)``: as `scorers.places.joined`."""
    return places.topk(counted(top, places.shape[1]), dim=1).values.mean(dim=1)


class Centre(nn.Module):
    """`scorers.Centroid`."""

    centre: Tensor

    def __init__(self, scorer: Centroid) -> None:
        super().__init__()
        self.cosine = scorer.metric == "cosine"
        self.register_buffer("centre", torch.from_numpy(scorer.centre_))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        rows = embeddings.to(torch.float64)
        difference = (_unit(rows) if self.cosine else rows) - self.centre
        squared = (difference * difference).sum(dim=1)
        return squared / 2.0 if self.cosine else squared.sqrt()


class Whitened(nn.Module):
    """`scorers.Mahalanobis`."""

    mean: Tensor
    whitening: Tensor

    def __init__(self, scorer: Mahalanobis) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(scorer.mean_))
        self.register_buffer("whitening", torch.from_numpy(scorer.whitening_))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        white = _whitened(embeddings.to(torch.float64) - self.mean, self.whitening)
        return (white * white).sum(dim=1).sqrt()


class Mixture(nn.Module):
    """`scorers.GaussianMixture`."""

    means: Tensor
    whitenings: Tensor
    heights: Tensor

    def __init__(self, scorer: GaussianMixture) -> None:
        super().__init__()
        k, d = scorer.means_.shape
        whitenings = torch.from_numpy(scorer.precisions_cholesky_)
        self.shared = scorer.covariance_ == "tied"
        heights = torch.from_numpy(scorer._log_heights()) + torch.from_numpy(scorer.weights_).log()
        self.register_buffer("means", torch.from_numpy(scorer.means_))
        self.register_buffer("whitenings", whitenings)
        self.register_buffer("heights", heights.expand(k) - d * math.log(2.0 * math.pi) / 2.0)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        rows = embeddings.to(torch.float64)
        squared = []
        for number in range(len(self.means)):
            whitening = self.whitenings if self.shared else self.whitenings[number]
            white = _whitened(rows - self.means[number], whitening)
            squared.append((white * white).sum(dim=1))
        return -_log_sum_exp(self.heights - torch.stack(squared, dim=1) / 2.0)


class Kernels(nn.Module):
    """`scorers.KernelDensity`."""

    bank: Tensor
    centre: Tensor

    def __init__(self, scorer: KernelDensity) -> None:
        super().__init__()
        self.scale = 2.0 * scorer.bandwidth_**2
        self.constant = scorer._constant(scorer.bandwidth_) + math.log(len(scorer.bank_))
        self.register_buffer("bank", torch.from_numpy(scorer.bank_.copy()))
        self.register_buffer("centre", torch.from_numpy(scorer.bank_.mean(axis=0, dtype="float64")))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        rows = embeddings.to(torch.float64) - self.centre
        bank = self.bank.to(torch.float64) - self.centre
        product = (bank * bank).sum(dim=1) - 2.0 * rows @ bank.T
        squared = (product + (rows * rows).sum(dim=1, keepdim=True)).clamp(min=0.0)
        return self.constant - _log_sum_exp(-squared / self.scale)


class Ratio(nn.Module):
    """`scorers.NeighborRatio`."""

    def __init__(self, scorer: NeighborRatio) -> None:
        super().__init__()
        self.log, self.unit = scorer.log, scorer.unit_
        self.normal = Nearest(scorer.normal_)
        self.anomalies = None if scorer.anomalies_ is None else Nearest(scorer.anomalies_)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        compared: Tensor = (self.normal(embeddings) / self.unit).log1p()
        if self.anomalies is not None:
            compared = compared - (self.anomalies(embeddings) / self.unit).log1p()
        if self.log:
            return compared
        sharp = _SHARP * compared
        return ((sharp.clamp(min=0.0) + (-sharp.abs()).exp().log1p()) / _SHARP).exp()


class Blocks(nn.Module):
    """`scorers.PerBlock`."""

    units: Tensor

    def __init__(self, scorer: PerBlock) -> None:
        super().__init__()
        self.scorers = nn.ModuleList(scoring_module(each, "a block") for each in scorer.scorers_)
        self.combine = scorer.combine
        self.counted = max(round(scorer.share * scorer.blocks), 1)
        self.width = scorer.width_ // scorer.blocks
        self.register_buffer("units", torch.from_numpy(scorer.units_))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        parts = embeddings.reshape(-1, len(self.scorers), self.width).unbind(1)
        scores = torch.stack([score(part) for score, part in zip(self.scorers, parts, strict=True)], dim=1) / self.units
        if self.combine == "max":
            return scores.amax(dim=1)
        if self.combine == "top":
            scores = scores.topk(self.counted, dim=1).values
        return scores.mean(dim=1)


class Given(nn.Module):
    """`scorers.ObjectiveScore`: what the objective itself gives."""

    def __init__(self, scorer: ObjectiveScore) -> None:
        super().__init__()

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        return embeddings[:, 0].to(torch.float64)


def _unit(rows: Tensor) -> Tensor:
    """As `unalike.scorers.arrays.unit_rows`."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    rows = rows / torch.where(largest > 0.0, largest, 1.0)
    norm = (rows * rows).sum(dim=1, keepdim=True).sqrt()
    return torch.cat([rows / torch.where(norm > 0.0, norm, 1.0), (norm == 0.0).to(rows.dtype)], dim=1)


def _whitened(centred: Tensor, whitening: Tensor) -> Tensor:
    """As `unalike.scorers.arrays.whitened`."""
    centred = centred.clamp(-_FARTHEST, _FARTHEST)
    white = centred * whitening if whitening.ndim == 1 else centred @ whitening
    return white.clamp(-_FARTHEST, _FARTHEST)


def _log_sum_exp(exponents: Tensor) -> Tensor:
    """``(n, m) -> (n,)``."""
    largest = exponents.amax(dim=1)
    return largest + (exponents - largest[:, None]).exp().sum(dim=1).log()


_MODULES: dict[type, Callable[[Any], nn.Module]] = {
    KNN: Nearest,
    LocalKNN: LocallyNearest,
    PatchBank: Patches,
    PlaceFusion: Fusing,
    PlaceGaussians: Gaussians,
    Centroid: Centre,
    Mahalanobis: Whitened,
    GaussianMixture: Mixture,
    KernelDensity: Kernels,
    NeighborRatio: Ratio,
    PerBlock: Blocks,
    ObjectiveScore: Given,
}


def median_size(scores: FloatArray) -> float:
    """The median absolute value of scores ``(n,)``: what a small difference is measured by."""
    return float(torch.from_numpy(abs(scores)).median()) if len(scores) else 0.0
