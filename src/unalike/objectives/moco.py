"""MoCo: the negatives come from a queue of earlier keys, so that they need not fit into the batch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter
from unalike.objectives.head import check_head, head_for
from unalike.objectives.losses import check_temperature, info_nce
from unalike.objectives.pairs import make_plain
from unalike.parallel import gather
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class MoCo:
    """Settings of MoCo: momentum encoder, queue, and the head of its version 2.

    For small batches, as when memory is short: the queue gives as many negatives as a large batch would. It holds a
    momentum copy of the network beside the network.

    Parameters
    ----------
    queue : int
        How many keys are remembered. A queue that is longer than the training data holds several keys of one
        sample; they are never negatives of that sample.
    momentum : float
        Share of itself that the momentum encoder keeps at each optimiser step, in ``[0, 1)``. The longer the
        training, the closer to 1 it may be; He et al. take 0.999 for a million steps.
    temperature : float
        Of `unalike.objectives.losses.info_nce`, above 0.
    symmetric : bool
        Let each view be the query once, as in Chen, Xie and He, ICCV 2021. It costs twice as much per sample, and
        was no better where it was measured (docs/objectives.md).
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    He, Fan, Wu, Xie and Girshick, "Momentum contrast for unsupervised visual representation learning", CVPR
    2020; Chen, Fan, Girshick and He, "Improved baselines with momentum contrastive learning", arXiv:2003.04297.
    """

    queue: int = 1024
    momentum: float = 0.99
    temperature: float = 0.2
    symmetric: bool = False
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        if isinstance(self.queue, bool) or not isinstance(self.queue, int) or self.queue < 1:
            raise InvalidParameter(f"`queue` must be a whole number of 1 or more; got {self.queue!r}. Try 1024.")
        if not (isinstance(self.momentum, (int, float)) and 0.0 <= self.momentum < 1.0):
            raise InvalidParameter(f"`momentum` must be at least 0 and below 1; got {self.momentum!r}. Try 0.99.")
        check_temperature(self.temperature)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> MoCoObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws, and copy both."""
        return MoCoObjective(encoder, head_for(encoder, self), self)


class MoCoObjective(nn.Module):
    """MoCo with its networks: `encoder` and `head` are trained; `key_encoder` and `key_head` follow them.

    The negatives of a query are the keys in the queue and the other keys of the batch, on all processes, so that
    there are some at the first step. Keys of the query's own sample are left out, and so are those of its group
    (near-copies), as long as others remain. A labelled anomaly is a sample like any other: its two views are a pair,
    and it is a negative of all the others.

    The momentum encoder runs in the mode of the objective. In training mode, batch normalisation in the user's
    encoder therefore takes the statistics of the keys for the keys and keeps them in the momentum copy; those of
    `encoder` come from queries alone. He et al. shuffle rows between processes lest such statistics give the pair
    away; that is not done here. Encoders without batch normalisation, such as ours, are the better choice.

    Parameters
    ----------
    encoder, head : Module
        ``(n, ...) -> (n, width)`` and ``(n, width) -> (n, head_width)``.
    settings : MoCo
        Queue, momentum and loss.

    Notes
    -----
    The keys of a batch join the queue in `after_step`, once per batch and in order, from training passes with
    gradient only. Until then a pass changes nothing, so that validation leaves the queue as it was and a
    checkpoint after a step (`state_dict`) resumes exactly.
    """

    queue: Tensor
    queue_index: Tensor
    queue_group: Tensor
    queue_next: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: MoCo) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.key_head = copy.deepcopy(head).requires_grad_(False)
        self.settings = settings
        size = settings.queue
        self.register_buffer("queue", torch.zeros(size, settings.head_width))
        self.register_buffer("queue_index", torch.full((size,), -1, dtype=torch.int64))  # -1: an empty place
        self.register_buffer("queue_group", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("queue_next", torch.zeros((), dtype=torch.int64))
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's ``n`` queries, or ``2n`` when symmetric."""
        first, second = views(batch.data, generator), views(batch.data, generator)
        group = batch.index if batch.group is None else batch.group
        index, group = batch.index.long(), group.long()
        if self.settings.symmetric:
            first, second = torch.cat((first, second)), torch.cat((second, first))  # (2n, ...) each
            index, group = index.repeat(2), group.repeat(2)
        query = self.head(self.encoder(first))  # (q, head_width), q = n or 2n
        with torch.no_grad():
            key = self.key_head(self.key_encoder(second)).to(self.queue.dtype)  # (q, head_width)
        keys, key_index, key_group = gather(key), gather(index), gather(group)  # (Q, ...), Q = q over all processes
        if self.training and torch.is_grad_enabled():
            self._wait(keys, key_index, key_group)
        negatives = torch.cat((keys, self.queue))  # (Q + queue, head_width)
        excluded = _excluded(
            index, group, torch.cat((key_index, self.queue_index)), torch.cat((key_group, self.queue_group))
        )
        return info_nce(query, key, negatives, self.settings.temperature, excluded)

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the momentum encoder follow, and put the keys since the last step into the queue."""
        share = 1.0 - self.settings.momentum
        for key, query in self._followed():
            key.lerp_(query, share)
        for keys, index, group in self._waiting:
            self._enqueue(keys, index, group)
        self._waiting.clear()

    def _followed(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.key_encoder.parameters(), self.encoder.parameters(), strict=True)
        yield from zip(self.key_head.parameters(), self.head.parameters(), strict=True)

    def _wait(self, keys: Tensor, index: Tensor, group: Tensor) -> None:
        size = self.settings.queue
        self._waiting.append((keys[-size:], index[-size:], group[-size:]))
        # Passes that no step follows must not fill the memory.
        while sum(len(waiting[0]) for waiting in self._waiting[1:]) >= size:
            del self._waiting[0]

    def _enqueue(self, keys: Tensor, index: Tensor, group: Tensor) -> None:
        places = (self.queue_next + torch.arange(len(keys), device=keys.device)) % self.settings.queue
        self.queue.index_copy_(0, places, keys)
        self.queue_index.index_copy_(0, places, index)
        self.queue_group.index_copy_(0, places, group)
        self.queue_next.copy_((self.queue_next + len(keys)) % self.settings.queue)


def _excluded(index: Tensor, group: Tensor, other_index: Tensor, other_group: Tensor) -> Tensor:
    """``(q, m)``: empty places, keys of a query's own sample, and of its group where others remain."""
    own = (index[:, None] == other_index) | (other_index < 0)
    near = own | (group[:, None] == other_group)
    others_remain = ~near.all(dim=1, keepdim=True)
    return own | (near & others_remain)
