"""The score that a method has of its own, in the place of an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter
from unalike.types import Batch


class OwnScore(nn.Module):
    """An objective as an encoder of width 1: ``(n, ...) -> (n, 1)``, its `score`.

    Parameters
    ----------
    objective : Module
        With a method ``score(batch) -> (n,)``; prepared.

    Raises
    ------
    InvalidParameter
        The objective has no score.
    """

    width = 1

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        if not callable(getattr(objective, "score", None)):
            raise InvalidParameter(
                f"`scorer='objective'` must have an objective with a score of its own, such as 'icl'; got "
                f"{type(objective).__name__}, which has none. Score the embedding: scorer='knn'."
            )
        self.objective = objective

    def forward(self, data: Tensor) -> Tensor:
        """The objective's scores ``(n, 1)``."""
        # One index for all rows: whatever a method draws, a row then scores alone as in a batch.
        batch = Batch(data=data, index=torch.zeros(len(data), dtype=torch.int64, device=data.device))
        scores: Tensor = self.objective.score(batch)  # type: ignore[operator]
        return scores[:, None]
