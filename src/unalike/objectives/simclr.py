"""SimCLR: two views of a sample are alike, views of different samples are not."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unalike.errors import InvalidInput
from unalike.objectives.hard import check_hardness
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
    hardness : float
        How much more negatives that are like the anchor weigh, 0 or more (`nt_xent`); 0: all alike. With it
        near-copies push each other away all the more: tell them by groups.
    across_groups : bool
        Only samples of other groups are negatives, so that near-copies do not repel each other. `fit` must be given
        groups, of which a batch should hold many.
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
    representations", ICML 2020. Hardness: Robinson, Chuang, Sra and Jegelka, "Contrastive learning with hard negative
    samples", ICLR 2021.
    """

    temperature: float = 0.5
    hardness: float = 0.0
    across_groups: bool = False
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_temperature(self.temperature)
        check_hardness(self.hardness)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> SimCLRObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws."""
        head = head_for(encoder, self)
        return SimCLRObjective(encoder, head, self.temperature, self.hardness, across_groups=self.across_groups)


class SimCLRObjective(nn.Module):
    """SimCLR with its network: `encoder`, then `head`, then `nt_xent`.

    A labelled anomaly is a sample like any other: its two views are a pair, and it is a negative of all the others.
    Copies of one sample in a batch, as of a drawn anomaly, do not repel each other.

    Parameters
    ----------
    encoder, head : Module
        ``(n, ...) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    temperature, hardness : float
        Of the loss.
    across_groups : bool
        As in `SimCLR`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        temperature: float,
        hardness: float = 0.0,
        *,
        across_groups: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.temperature = temperature
        self.hardness = hardness
        self.across_groups = across_groups

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``n`` positive pairs."""
        data = self.pairs(batch, views, generator)  # (2n, ...)
        return self.loss(self.head(self.encoder(data)), batch)

    def pairs(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """``(2n, ...)``: a first view of every sample, then a second view of every sample."""
        return two_views(batch, views, generator)

    def loss(self, z: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of the projections ``(2n, head_width)`` of `pairs`.

        Raises
        ------
        InvalidInput
            With `across_groups`, when the batch has none.
        """
        first, second = z.chunk(2)
        alike = batch.index
        if self.across_groups:
            if batch.group is None:
                raise InvalidInput(
                    "`across_groups` must go with groups of the training samples; got none. Give groups= to `fit` "
                    "(unalike.find_groups(X) makes them of near-copies), or leave across_groups=False."
                )
            alike = batch.group
        return nt_xent(first, second, self.temperature, alike, self.hardness)
