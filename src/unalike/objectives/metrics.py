"""Signs of training: what the embeddings of a batch look like.

Pure, differentiable functions ``(n, d) -> scalar``. Rows are scaled to unit length inside. Those that
compare rows give NaN for fewer than two rows: there is nothing to say, and nothing to warn of.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from unalike.objectives.pairs import at_unit_length


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of positive pairs ``(n, d)``, in ``[0, 4]``; small = views are alike.

    References
    ----------
    Wang and Isola, "Understanding contrastive representation learning through alignment and uniformity
    on the hypersphere", ICML 2020, with exponent 2.
    """
    return (at_unit_length(first) - at_unit_length(second)).square().sum(dim=1).mean()


def uniformity(z: Tensor) -> Tensor:
    """Log of the mean of ``exp(-2 distance^2)`` over all pairs of rows.

    0 when all rows are one point; about ``-4`` when they are spread evenly over a sphere of many
    dimensions.

    References
    ----------
    Wang and Isola, ICML 2020, with t = 2.
    """
    if len(z) < 2:
        return _unknown(z)
    squared = functional.pdist(at_unit_length(z)).square()  # (n (n - 1) / 2,)
    return torch.logsumexp(-2.0 * squared, dim=0) - math.log(len(squared))


def effective_rank(z: Tensor) -> Tensor:
    """How many dimensions the centred embeddings use, in ``[1, d]``; 0 when all rows are one point.

    The exponential of the entropy of the singular values, normalised to sum 1.

    References
    ----------
    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    """
    if len(z) < 2:
        return _unknown(z)
    unit = at_unit_length(z)
    values: Tensor = torch.linalg.svdvals(unit - unit.mean(dim=0))  # (min(n, d),)
    # Below rounding error the directions are noise, which would look like full rank.
    if values.square().sum() <= len(z) * (10.0 * torch.finfo(values.dtype).eps) ** 2:
        return values.sum() * 0.0
    shares = values / values.sum()
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()


def spread(z: Tensor) -> Tensor:
    """Mean standard deviation of a dimension of the unit embeddings, times ``sqrt(d)``.

    0 when all rows are one point, about 1 when they are spread evenly over the sphere.

    References
    ----------
    Chen and He, "Exploring simple Siamese representation learning", CVPR 2021, figure 2.
    """
    if len(z) < 2:
        return _unknown(z)
    return at_unit_length(z).std(dim=0, correction=0).mean() * math.sqrt(z.shape[1])


def _unknown(z: Tensor) -> Tensor:
    return torch.full((), math.nan, device=z.device, dtype=torch.promote_types(z.dtype, torch.float32))
