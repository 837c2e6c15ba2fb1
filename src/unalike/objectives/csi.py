"""CSI: a sample is unlike itself when it is shifted, turned by 90 degrees for example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives.head import check_head, embedding_width, head_for
from unalike.objectives.losses import check_temperature, nt_xent
from unalike.objectives.pairs import full_precision, make_plain
from unalike.objectives.shifts import check_shifts, shifted, telling
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class CSI:
    """Settings of contrast with shifted samples.

    SimCLR in which every sample comes in several shifts. Two views of one shift are a positive pair; another shift of
    the same sample is a negative like any other sample, and a second head tells which shift was done. A shift makes
    of normal data what is normal no more, so that the embedding learns a direction, a top and a bottom, that views
    alone do not teach.

    Parameters
    ----------
    shifts : tuple
        Each one of ``"rotate-90"``, ``"rotate-180"`` and ``"rotate-270"`` (counter-clockwise, for images
        ``(n, channels, height, width)``; the first and the last for square ones), or a function of yours from
        batch tensor to batch tensor of the same shape, or a view. The unshifted sample always takes part. There is no
        default for tables: what leaves a row normal and what does not is for you to say.
    shift_weight : float
        Of the loss of telling the shifts, 0 or more.
    least_change : float
        In ``[0, 1]``. `prepare` drops a shift, with a warning, when a shifted training sample is farther from its
        nearest training sample than an unshifted one with a probability below this. At 0.5 shifted data cannot be
        told from normal data: it would be wrong to push it away. 0 keeps all.
    temperature : float
        Of `unalike.objectives.losses.nt_xent`, above 0.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Tack, Mo, Jeong and Shin, "CSI: novelty detection via contrastive learning on distributionally shifted
    instances", NeurIPS 2020. The check of the shifts takes the place of its choice by the score of a first network.
    """

    shifts: tuple[Any, ...] = ("rotate-90", "rotate-180", "rotate-270")
    shift_weight: float = 1.0
    least_change: float = 0.6
    temperature: float = 0.2
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_shifts(self.shifts)
        if not (isinstance(self.shift_weight, (int, float)) and 0.0 <= self.shift_weight < float("inf")):
            raise InvalidParameter(f"`shift_weight` must be 0 or more; got {self.shift_weight!r}. Try 1.")
        if not (isinstance(self.least_change, (int, float)) and 0.0 <= self.least_change <= 1.0):
            raise InvalidParameter(f"`least_change` must be between 0 and 1; got {self.least_change!r}. Try 0.6.")
        check_temperature(self.temperature)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> CSIObjective:
        """Put `encoder` under a new projection head and a shift head, whose weights torch's generator draws."""
        head = head_for(encoder, self)
        return CSIObjective(encoder, head, nn.Linear(embedding_width(encoder), 1 + len(self.shifts)), self)


class CSIObjective(nn.Module):
    """CSI with its network: `encoder`, then `head` and `shift_head`.

    Labelled anomalies are shifted too and are negatives of all other samples; only normal samples teach the shift
    head.

    Parameters
    ----------
    encoder, head : Module
        ``(n, ...) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    shift_head : Linear
        ``(n, width) -> (n, 1 + shifts)`` logits; the first is for no shift.
    settings : CSI
        Shifts and loss.

    Attributes
    ----------
    kept : tuple of int
        Which columns of the shift head are in use: 0, and 1 + the position of each shift that `prepare` kept.
    """

    used: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Module, shift_head: nn.Linear, settings: CSI) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.shift_head = shift_head
        self.settings = settings
        self.register_buffer("used", torch.ones(1 + len(settings.shifts), dtype=torch.bool))

    @property
    def kept(self) -> tuple[int, ...]:
        return tuple(self.used.nonzero().flatten().tolist())

    def prepare(self, sample: Tensor) -> None:
        """Keep the shifts that change the data.

        Parameters
        ----------
        sample : Tensor
            ``(m, ...)`` training data; at most 512 are compared, and fewer than 16 are too few to judge.

        Raises
        ------
        InvalidInput
            A shift cannot be done to such data.

        Warns
        -----
        TrainingWarning
            A shift is dropped. When none is left, this is SimCLR.
        """
        told = telling(self.settings.shifts, sample, self.settings.least_change)
        self.used.copy_(torch.tensor([True, *told]))

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss: `nt_xent` of all shifts of all ``n`` samples, and the cross entropy of telling the shifts."""
        n, shifts = len(batch.data), len(self.kept)
        data = [self._shifted(batch.data, shift, generator) for shift in self.kept]  # shifts times (n, ...)
        first = [views(rows, generator) for rows in data]
        second = [views(rows, generator) for rows in data]
        embeddings = self.encoder(torch.cat((*first, *second)))  # (2 shifts n, width)
        place = torch.arange(shifts, device=batch.index.device).repeat_interleave(n)  # (shifts n,)
        index = batch.index.repeat(shifts) * shifts + place  # each shift of a sample is a sample of its own
        one, other = self.head(embeddings).chunk(2)
        contrast = nt_xent(one, other, self.settings.temperature, index)
        logits = self._logits(embeddings)
        logits = full_precision(logits)
        told = functional.cross_entropy(logits, place.repeat(2), reduction="none")
        normal = torch.ones_like(told) if batch.label is None else (batch.label == 0).repeat(2 * shifts).to(told.dtype)
        return contrast + self.settings.shift_weight * (told * normal).sum() / normal.sum().clamp_min(1.0)

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """``(n,)``: mean over the shifts of minus the log-probability that the shift head gives to the right one.

        Higher = more anomalous. It is the part of CSI's score that needs no stored training data; the rest, the
        similarity to the nearest training sample, is what a `KNN` scorer on the embedding does.

        Raises
        ------
        InvalidParameter
            No shift was kept.
        """
        if len(self.kept) == 1:
            raise InvalidParameter(
                "`shifts` must hold a shift that changes the data for a score of CSI's own; none was kept. "
                "Score the embedding, or give other shifts."
            )
        generator = RowGenerator(0, batch.index)
        costs = []
        for place, shift in enumerate(self.kept):
            logits = self._logits(self.encoder(self._shifted(batch.data, shift, generator)))  # (n, kept)
            costs.append(-functional.log_softmax(logits.double(), dim=1)[:, place])
        return torch.stack(costs).mean(dim=0)

    def _shifted(self, data: Tensor, shift: int, generator: RowGenerator) -> Tensor:
        return data if shift == 0 else shifted(self.settings.shifts[shift - 1], data, generator)

    def _logits(self, embeddings: Tensor) -> Tensor:
        logits: Tensor = self.shift_head(embeddings)[:, list(self.kept)]
        return logits
