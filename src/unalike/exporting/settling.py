"""Parts of encoders that ONNX cannot hold, in steps that it can.

Torch has operators that ONNX lacks: a search in sorted values, the quantiles of the normal distribution, a Fourier
transform. Each module here gives what the part that it stands for gives, by others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unalike.encoders.mirrored import MirroredEncoder
from unalike.encoders.raw import NormalScores
from unalike.encoders.spectrum import Spectrum
from unalike.encoders.steps import bridged, measured

_CLIP = 3.5
_BOUND = 1e-7
_LEAST = 0.1
_TAIL = math.exp(-2.0)
_SMALLEST = 1e-30
"""Single precision, in which a graph may hold a constant, has such a number too."""
_CENTRE = (
    -59.9633501014107895267,
    98.0010754185999661536,
    -56.6762857469070293439,
    13.9312609387279679503,
    -1.23916583867381258016,
)
_UNDER_CENTRE = (
    1.0,
    1.95448858338141759834,
    4.67627912898881538453,
    86.3602421390890590575,
    -225.462687854119370527,
    200.260212380060660359,
    -82.0372256168333339912,
    15.9056225126211695515,
    -1.18331621121330003142,
)
_SIDE = (
    4.05544892305962419923,
    31.5251094599893866154,
    57.1628192246421288162,
    44.0805073893200834700,
    14.6849561928858024014,
    2.18663306850790267539,
    -0.140256079171354495875,
    -0.0350424626827848203418,
    -8.57456785154685413611e-4,
)
_UNDER_SIDE = (
    1.0,
    15.7799883256466749731,
    45.3907635128879210584,
    41.3172038254672030440,
    15.0425385692907503408,
    2.50464946208309415979,
    -0.142182922854787788574,
    -0.0380806407691578277194,
    -9.33259480895457427372e-4,
)


def settled(encoder: nn.Module) -> nn.Module:
    """A copy of an encoder, on the CPU and in evaluation mode, whose graph ONNX can hold.

    What does not depend on data is written into the graph as a constant.
    """
    encoder = copy.deepcopy(encoder).to("cpu").eval()
    for part in encoder.modules():
        if isinstance(part, MirroredEncoder):
            mirrors = bool(part.mirrors)
            del part.mirrors
            part.mirrors = mirrors  # type: ignore[assignment]
    return _replaced(encoder)


def _replaced(module: nn.Module) -> nn.Module:
    for name, part in module.named_children():
        setattr(module, name, _replaced(part))
    made = _MODULES.get(type(module))
    return module if made is None else made(module)


class RanksFound(nn.Module):
    """`encoders.raw.NormalScores`: ranks by halving, normal scores by the approximation that torch itself uses."""

    quantiles: Tensor

    def __init__(self, ranks: NormalScores) -> None:
        super().__init__()
        self.count = int(ranks.count)
        columns, most = ranks.quantiles.shape
        self.halvings = [2**power for power in reversed(range(max(most, 1).bit_length()))]
        room = torch.full((columns, 2 * self.halvings[0]), math.inf, dtype=torch.float64)
        room[:, :most] = ranks.quantiles
        self.register_buffer("quantiles", room)

    def forward(self, values: Tensor) -> Tensor:
        """Scores ``(n, columns)``."""
        low, high = self.quantiles[:, 0], self.quantiles[:, self.count - 1]
        share = self._shares(values.T).T
        below, above = values - _BOUND < low, values + _BOUND > high
        share = torch.where(below, 0.0, share)
        share = torch.where(above, torch.where(below, 0.5, 1.0), share)
        outside = (values - high).clamp(min=0.0).log1p() - (low - values).clamp(min=0.0).log1p()
        return normal_quantile(share).clamp(-_CLIP, _CLIP) + outside

    def _shares(self, values: Tensor) -> Tensor:
        first = self._number(values, lambda quantiles: quantiles < values)
        after = self._number(values, lambda quantiles: quantiles <= values)
        last = self.count - 1
        right = first.clamp(max=last)
        left = (right - 1).clamp(min=0)
        start, end = self.quantiles.gather(1, left), self.quantiles.gather(1, right)
        width = torch.where(end > start, end - start, 1.0)
        between = left.to(values.dtype) + (values - start) / width
        middle = (first + after - 1).to(values.dtype) / 2.0
        return torch.where(after > first, middle, between) / max(last, 1)

    def _number(self, values: Tensor, lies: Callable[[Tensor], Tensor]) -> Tensor:
        """``(columns, n)``: how many quantiles of each column lie so to the value."""
        found = torch.zeros_like(values, dtype=torch.int64)
        for step in self.halvings:
            further = found + step
            found = torch.where(lies(self.quantiles.gather(1, further - 1)), further, found)
        return found


def normal_quantile(share: Tensor) -> Tensor:
    """``torch.special.ndtri`` of float64 shares; those below 1e-30 count as that.

    Moshier's rational approximations, of the Cephes library.
    """
    upper = share > 1.0 - _TAIL
    near = torch.where(upper, 1.0 - share, share).clamp(min=_SMALLEST)
    centred = near - 0.5
    square = centred * centred
    middle = centred + centred * (square * _polynomial(square, _CENTRE) / _polynomial(square, _UNDER_CENTRE))
    far = (-2.0 * near.clamp(max=_TAIL).log()).sqrt()
    inverse = 1.0 / far
    side = far - far.log() / far - inverse * _polynomial(inverse, _SIDE) / _polynomial(inverse, _UNDER_SIDE)
    return torch.where(near > _TAIL, middle * math.sqrt(2.0 * math.pi), torch.where(upper, side, -side))


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Highest power first."""
    made = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        made = made * x + coefficient
    return made


class Waves(nn.Module):
    """`encoders.spectrum.Spectrum`, whose transform is a product with cosines and sines."""

    waves: Tensor

    def __init__(self, spectrum: Spectrum) -> None:
        super().__init__()
        self.length, self.width = spectrum.length, spectrum.width
        steps = torch.arange(self.length, dtype=torch.float64)
        angles = 2.0 * math.pi * (steps[:, None] * torch.arange(1, self.length // 2 + 1) % self.length) / self.length
        self.register_buffer("waves", torch.stack([angles.cos(), angles.sin()]) / math.sqrt(self.length))

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        if self.length == 1:
            return torch.zeros_like(data).flatten(1)
        values = bridged(data, measured(data))
        apart = (values - values.mean(dim=-1, keepdim=True)).to(torch.float64)
        real, imaginary = apart @ self.waves[0], apart @ self.waves[1]
        return ((real * real + imaginary * imaginary).sqrt() + _LEAST).log().to(data.dtype).flatten(1)


_MODULES: dict[type, Callable[[Any], nn.Module]] = {NormalScores: RanksFound, Spectrum: Waves}
