"""Gradient caching: a batch whose activations do not fit into memory, with the gradient of the whole batch.

The network embeds the batch chunk by chunk and keeps only the embeddings; the loss sees all of them; the backward
pass runs each chunk again, with the draws of dropout as before, and takes the chunk's part of the loss's gradient
through it. The network runs forward twice; memory holds the activations of one chunk. See Gao, Zhang, Han and Callan,
"Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP 2021; the second forward is
torch's activation checkpointing (Chen et al., arXiv:1604.06174) of each chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator
from unalike.training.modules import training_batch_norms
from unalike.types import Batch, View


def check_chunks(objective: nn.Module) -> None:
    """Refuse an objective whose batch cannot be embedded in chunks.

    Raises
    ------
    InvalidParameter
        It does not offer its pairs and its loss apart, or its network looks at other rows of the batch.
    """
    if not all(callable(getattr(objective, name, None)) for name in ("pairs", "loss")):
        raise InvalidParameter(
            "`chunk_size` must go with an objective that offers its pairs and its loss apart (methods `pairs` and "
            f"`loss`), such as SimCLR, SupCon, TemporalContrast or MeanShifted; got {type(objective).__name__}. Leave "
            "chunk_size=None and lower batch_size."
        )
    mixing = training_batch_norms(objective)
    if mixing:
        raise InvalidParameter(
            "`chunk_size` must go with a network that embeds each row alone, or chunks would not equal the batch; got "
            f"batch normalisation in {mixing[:3]}. Use group normalisation, or leave chunk_size=None."
        )


def chunked_loss(objective: nn.Module, batch: Batch, views: View, generator: RowGenerator, chunk_size: int) -> Tensor:
    """The loss of a batch, as ``objective(batch, views, generator)``, whose network sees `chunk_size` rows at a time.

    Parameters
    ----------
    objective : nn.Module
        From `check_chunks`: ``pairs(batch, views, generator) -> (m, ...)``, then ``encoder``, then ``head`` where it
        has one, then ``loss((m, d), batch)``.
    batch, views, generator
        As the objective takes them.
    chunk_size : int
        Rows of the ``m`` at a time.
    """
    data: Tensor = objective.pairs(batch, views, generator)  # type: ignore[operator]

    def embed(rows: Tensor) -> Tensor:
        embeddings: Tensor = objective.get_submodule("encoder")(rows)
        head = getattr(objective, "head", None)
        return embeddings if head is None else head(embeddings)

    z = torch.cat([checkpoint(embed, rows, use_reentrant=False) for rows in torch.split(data, chunk_size)])
    loss: Tensor = objective.loss(z, batch)  # type: ignore[operator]
    return loss
