"""SimCLR: two views of a sample are alike, views of different samples are not."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unalike.objectives.head import check_head, head_for
from unalike.objectives.losses import check_temperature, nt_xent
from unalike.objectives.pairs import make_plain, two_views
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class SimCLR:
    """Settings of SimCLR.

    Parameters
    ----------
    temperature : float
        Of `unalike.objectives.losses.nt_xent`, above 0.
    head_layers : int
        Linear layers of the projection head, 1 to 3.
    head_width : int
        Width of the projection, on which the loss is paid.
    head_hidden : int, optional
        Width of the head's inner layers; None: that of the embedding.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020.
    """

    temperature: float = 0.5
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_temperature(self.temperature)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> SimCLRObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws."""
        return SimCLRObjective(encoder, head_for(encoder, self), self.temperature)


class SimCLRObjective(nn.Module):
    """SimCLR with its network: `encoder`, then `head`, then `nt_xent`.

    A labelled anomaly is a sample like any other: its two views are a pair, and it is a negative of all the others.
    Copies of one sample in a batch, as of a drawn anomaly, do not repel each other.

    Parameters
    ----------
    encoder, head : Module
        ``(n, ...) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    temperature : float
        Of the loss.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, temperature: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.temperature = temperature

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``n`` positive pairs."""
        data = self.pairs(batch, views, generator)  # (2n, ...)
        return self.loss(self.head(self.encoder(data)), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
        return two_views(batch, views, generator)

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the projections ``(2n, head_width)`` of `pairs`."""
        first, second = z.chunk(2)
        return nt_xent(first, second, self.temperature, batch.index)
