"""Does a change leave the data what it is? Told without labels, from training samples alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from unalike.data import evenly

LEAST_CHANGE = 0.6
"""From this `change_by` on a change makes other data; 0.5 is none at all."""

_COMPARED = 512
_FEWEST = 16


def change_by(rows: Tensor, moved: Tensor) -> float:
    """Probability that a shifted sample is farther from its nearest sample than a normal one from its nearest other.

    Parameters
    ----------
    rows, moved : Tensor
        ``(m, ...)`` each: normal samples, and the same ones shifted. A shifted sample may be nearest to itself, as
        when it is symmetric. Distances are Euclidean in the values as they are; equal rows count once.

    Returns
    -------
    float
        In ``[0, 1]``, ties count half: 0.5 when shifted data is like normal data, less when the shift leaves
        samples nearly as they were. NaN for fewer than 16 different samples.
    """
    flat = rows.flatten(1).double().nan_to_num().cpu()
    first = torch.from_numpy(np.unique(flat.numpy(), axis=0, return_index=True)[1])
    if len(first) < _FEWEST:
        return math.nan
    normal, other = flat[first], moved.flatten(1).double().nan_to_num().cpu()[first]  # (m, values) each
    usual = torch.cdist(normal, normal).fill_diagonal_(math.inf).amin(dim=1)  # (m,)
    found = torch.cdist(other, normal).amin(dim=1)  # (m,)
    above, level = found[:, None] > usual, found[:, None] == usual  # (m, m)
    return float(above.double().mean() + 0.5 * level.double().mean())


def is_symmetric(sample: Tensor) -> bool:
    """Whether images ``(m, ..., width)`` mirrored left and right are like the images, as far as 512 of them tell.

    Fewer than 16 different images cannot tell: then they are not.
    """
    some = sample.detach()[torch.from_numpy(evenly(len(sample), _COMPARED)).to(sample.device)]
    return change_by(some, some.flip(-1)) < LEAST_CHANGE  # NaN is not below
