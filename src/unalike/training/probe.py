"""Watches the embedding: did training move it, and did it collapse?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unalike.data import evenly
from unalike.embeddings import embed_batch
from unalike.errors import TrainingFailed, TrainingWarning
from unalike.objectives.metrics import alignment, effective_rank, spread, uniformity
from unalike.seeding import RowGenerator, derive
from unalike.training.rows import TrainingRows
from unalike.types import View

_ROWS = 256
_COLLAPSED_RANK = 1.5
_COLLAPSED_SPREAD = 0.05


class Probe:
    """A fixed set of samples in two fixed views, on which the embedding is watched."""

    def __init__(self, rows: TrainingRows, view: View, seed: int) -> None:
        data = rows.load(evenly(rows.n, _ROWS))
        generator = RowGenerator(derive(seed, "probe"), torch.arange(len(data)))
        self.pair = torch.cat([view(data, generator), view(data, generator)])

    def measure(self, encoder: nn.Module, device: torch.device) -> dict[str, float]:
        """Signs of the embedding, as in the history.

        Raises
        ------
        TrainingFailed
            When it is not finite.
        """
        was_training = encoder.training
        encoder.eval()
        embeddings = torch.from_numpy(embed_batch(encoder, self.pair, device)).float()
        encoder.train(was_training)
        if not embeddings.isfinite().all():
            raise TrainingFailed(
                "The embeddings must stay finite; training made NaN or infinity. Lower learning_rate=, or set "
                "gradient_clip=1.0."
            )
        first, second = embeddings.chunk(2)
        return {
            "alignment": float(alignment(first, second)),
            "uniformity": float(uniformity(first)),
            "effective_rank": float(effective_rank(first)),
            "spread": float(spread(first)),
        }


def snapshot(module: nn.Module) -> list[Tensor]:
    """Copies of the weights that can be trained."""
    return [parameter.detach().cpu().clone() for parameter in module.parameters() if parameter.requires_grad]


def check_learned(
    encoder: nn.Module, before: list[Tensor], first: Mapping[str, float], last: Mapping[str, float], n: int
) -> None:
    """Fail when no weight of the encoder moved; warn when the embedding collapsed.

    Parameters
    ----------
    encoder : nn.Module
        After training.
    before : list of Tensor
        Its `snapshot` before.
    first, last : mapping
        Signs before and after, from `Probe.measure`.
    n : int
        Training rows; of fewer than 8 no collapse is told.
    """
    after = snapshot(encoder)
    if before and all(torch.equal(old, new) for old, new in zip(before, after, strict=True)):
        raise TrainingFailed(
            "Training must move the encoder's weights; not one moved. Raise learning_rate= or the number of "
            "steps, or check that the objective's loss depends on the encoder."
        )
    rank, width = "effective_rank", "spread"
    collapsed = last[rank] < min(_COLLAPSED_RANK, first[rank]) or last[width] < min(_COLLAPSED_SPREAD, first[width])
    if n >= 8 and collapsed:
        warnings.warn(
            f"The embedding collapsed: its effective rank went from {first[rank]:.1f} to {last[rank]:.1f} and its "
            f"spread from {first[width]:.3f} to {last[width]:.3f}. Lower learning_rate=, raise the temperature or the "
            "batch size, or choose views that change less.",
            TrainingWarning,
            stacklevel=3,
        )
