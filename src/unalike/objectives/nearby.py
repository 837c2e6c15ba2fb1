"""What objectives for series share: which windows overlap, neighbouring windows, injected anomalies, and margins."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.anomalies import InjectAnomalies
from unalike.objectives.pairs import at_unit_length
from unalike.parallel import gather
from unalike.plain import is_number, is_whole
from unalike.resampling import reach, shifted
from unalike.seeding import RowGenerator
from unalike.types import Batch


def near(batch: Batch) -> Tensor:
    """``(n, N)`` bool, N = n over all processes: which windows come from a window's own sample or overlap with it.

    Windows overlap when their times differ by less than their length. None is known to without times; where a
    labelled anomaly lies in time nobody told.
    """
    own: Tensor = batch.index[:, None] == gather(batch.index)
    if batch.time is None:
        return own
    overlapping = (batch.time[:, None] - gather(batch.time)).abs() < batch.data.shape[-1]
    known = ~anomalous(batch)
    return own | (overlapping & known[:, None] & gather(known))


def anomalous(batch: Batch) -> Tensor:
    """``(n,)`` bool: the labelled anomalies."""
    return torch.zeros_like(batch.index, dtype=torch.bool) if batch.label is None else batch.label != 0


def neighbors(data: Tensor, generator: RowGenerator, most: float, *, earlier: bool = False) -> Tensor:
    """Each window as it would be had it begun some steps before or after.

    Parameters
    ----------
    data : Tensor
        ``(n, channels, length)``.
    generator : RowGenerator
        Draws the steps, none among them unless `earlier`.
    most : float
        Most steps, as a share of the length; above 0 it is one step at least. 0: the window itself.
    earlier : bool
        Only windows that begin before it.

    Notes
    -----
    A batch does not hold the steps around its windows, so what moves in is the mirror image of what is there.
    """
    far = reach(most, data.shape[2])
    if earlier:
        return shifted(data, (1 + generator.integers(max(far, 1))).clamp(max=far))
    return shifted(data, generator.integers(2 * far + 1) - far)


class Injector(nn.Module):
    """`InjectAnomalies` with the windows that it draws from, which move with the network and are not saved.

    Parameters
    ----------
    settings : InjectAnomalies
        Kinds and sizes.
    """

    pool: Tensor | None

    def __init__(self, settings: InjectAnomalies) -> None:
        super().__init__()
        self.settings = replace(settings, pool=None)
        # Training data does not belong into a saved model, hence persistent=False.
        self.register_buffer("pool", settings.pool, persistent=False)

    def prepare(self, sample: Tensor, device: torch.device) -> None:
        """Draw from training windows ``(m, channels, length)`` from now on."""
        pool = self.settings.prepare(sample).pool
        self.pool = None if pool is None else pool.to(device)

    def forward(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, channels, length)``: every window with an anomaly in it."""
        return replace(self.settings, pool=self.pool)(data, generator)


def cosine_distances(left: Tensor, right: Tensor) -> Tensor:
    """``(n, m)``: 1 minus the cosine of each row of ``(n, d)`` with each of ``(m, d)``, in full precision.

    Half of the squared distance of the rows at unit length.
    """
    with torch.autocast(left.device.type, enabled=False):
        return 1.0 - at_unit_length(left) @ at_unit_length(right).T


def pair_distances(left: Tensor, right: Tensor) -> Tensor:
    """``(n,)``: as `cosine_distances`, row by row."""
    with torch.autocast(left.device.type, enabled=False):
        return 1.0 - (at_unit_length(left) * at_unit_length(right)).sum(dim=1)


def triplet(positive: Tensor, negatives: Tensor, allowed: Tensor, margin: float, *, farthest: bool = False) -> Tensor:
    """How far each anchor falls short of having its negative `margin` farther away than its positive.

    Parameters
    ----------
    positive : Tensor
        ``(n,)``, distance to the positive.
    negatives : Tensor
        ``(n, m)``, distances to the candidates for the negative.
    allowed : Tensor
        ``(n, m)`` bool, which of them are some for this anchor.
    margin : float
        In the unit of the distances.
    farthest : bool
        Take the farthest candidate instead of the nearest.

    Returns
    -------
    Tensor
        ``(n,)``, at least 0; 0 where no candidate is allowed.

    References
    ----------
    Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and clustering", CVPR 2015.
    """
    if farthest:
        chosen = negatives.masked_fill(~allowed, -math.inf).amax(dim=1)
    else:
        chosen = negatives.masked_fill(~allowed, math.inf).amin(dim=1)
    some = allowed.any(dim=1)
    short = functional.relu(positive + margin - torch.where(some, chosen, 0.0))
    return torch.where(some, short, 0.0)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the counted ones of ``(n,)`` values; 0 where there are none."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)


def check_share(name: str, value: Any) -> None:
    """Refuse what is no share of a window's length.

    Raises
    ------
    InvalidParameter
        When it is no number in ``[0, 1]``.
    """
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise InvalidParameter(
            f"`{name}` must be a share of the window's length, from 0 to 1; got {value!r}. Try 0.25."
        )


def check_amount(name: str, value: Any, *, above: bool = False) -> None:
    """Refuse what is no finite number of 0 or more, or with `above` above 0.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not is_number(value) or not 0.0 <= value < math.inf or (above and value == 0.0):
        raise InvalidParameter(
            f"`{name}` must be a finite number {'above 0' if above else 'of 0 or more'}; got {value!r}. Try 0.5."
        )


def check_count(name: str, value: Any, *, least: int = 1) -> None:
    """Refuse what is no whole number of `least` or more.

    Raises
    ------
    InvalidParameter
        When it is not.
    """
    if not is_whole(value, least):
        raise InvalidParameter(
            f"`{name}` must be a whole number of {least} or more; got {value!r}. Leave it out for the default."
        )


def check_injection(value: Any) -> None:
    """Refuse what does not say how to inject anomalies.

    Raises
    ------
    InvalidParameter
        When it is no `InjectAnomalies`.
    """
    if not isinstance(value, InjectAnomalies):
        raise InvalidParameter(
            f"`injection` must be InjectAnomalies(...); got {value!r}. Leave it out for all kinds of anomaly."
        )
