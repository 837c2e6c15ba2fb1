"""Hard negatives: those most like the anchor weigh more."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unalike.errors import InvalidParameter
from unalike.objectives.tiled import log_sum_exp, without_own
from unalike.plain import is_number


def among_hard(
    anchors: Tensor, candidates: Tensor, pair: Tensor, ids: tuple[Tensor, Tensor], temperature: float, hardness: float
) -> Tensor:
    """Mean cost of finding the pair among negatives, of which the similar ones weigh more.

    With ``l`` the logits (cosines over the temperature) of an anchor's ``m`` negatives, negative ``j`` has the weight
    ``m * exp(hardness * l_j) / sum_k exp(hardness * l_k)``, so that the sum of the weighted ``exp(l_j)`` has the
    logarithm ``log m + logsumexp((1 + hardness) * l) - logsumexp(hardness * l)``. Gradient flows through the weights,
    too, as in the authors' code.

    Parameters
    ----------
    anchors, candidates : Tensor
        ``(a, d)`` and ``(c, d)`` at unit length.
    pair : Tensor
        ``(a,)``: where each anchor's pair stands among the candidates.
    ids : tuple of Tensor
        ``(a,)`` and ``(c,)`` whole numbers; candidates with the anchor's own are no negatives of it.
    temperature, hardness : float
        Both above 0.

    Returns
    -------
    Tensor
        Scalar, at least 0; anchors without negatives count with 0.

    References
    ----------
    Robinson, Chuang, Sra and Jegelka, "Contrastive learning with hard negative samples", ICLR 2021: their
    objective with class prior 0.
    """
    own, others = ids
    positive = (anchors * candidates.index_select(0, pair)).sum(dim=1) / temperature  # (a,)
    # Not `torch.unique`, which waits for the device to tell how many there are.
    ordered = others.sort().values
    alike = torch.searchsorted(ordered, own, right=True) - torch.searchsorted(ordered, own)  # (a,)
    negatives = len(others) - alike
    some = negatives > 0
    adjust = without_own(own, others)
    drawn = log_sum_exp(anchors, candidates, temperature / (1.0 + hardness), adjust)
    weights = log_sum_exp(anchors, candidates, temperature / hardness, adjust)
    # Two infinities would make a NaN of what counts for nothing.
    total = negatives.clamp_min(1).to(drawn.dtype).log() + drawn.where(some, 0.0) - weights.where(some, 0.0)
    cost: Tensor = (torch.logaddexp(total, positive) - positive).where(some, 0.0).mean()
    return cost


def check_hardness(hardness: float) -> None:
    """Refuse a weight of hard negatives that is not a finite number of 0 or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not (is_number(hardness) and 0.0 <= hardness < math.inf):
        raise InvalidParameter(f"`hardness` must be a finite number of 0 or more; got {hardness!r}. Try 0.5.")
