"""One pass of a frozen encoder for all the branches that share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unalike.embeddings import embed
from unalike.parts import Parts
from unalike.types import Branch, FloatArray


class Passes:
    """Embeddings of the parts of one fit by frozen encoders of several branches, each made once.

    Parameters
    ----------
    branches : sequence of Branch
        All that are fitted. Those that do not train, have no skip connection and name equal encoders may share one.
    """

    def __init__(self, branches: Sequence[Branch] = ()) -> None:
        frozen = [branch.encoder for branch in branches if branch.objective is None and branch.skip is None]
        self._several = [encoder for number, encoder in enumerate(frozen) if _among(encoder, frozen[:number])]
        self._shared: list[nn.Module] = []
        self._made: dict[tuple[nn.Module, int], tuple[Parts, FloatArray]] = {}
        self._backgrounds: dict[nn.Module, FloatArray] = {}

    @staticmethod
    def over(encoders: Sequence[nn.Module]) -> Passes:
        """For encoders whose weights are final; those that stand there more than once are shared."""
        passes = Passes()
        passes._shared = [encoder for number, encoder in enumerate(encoders) if encoder in encoders[:number]]
        return passes

    def shared(self, branch: Branch, encoder: nn.Module) -> nn.Module:
        """The encoder of an earlier branch that embeds as this one does, or this one.

        Settings may draw random weights, so equal settings are not enough: the weights must be equal.
        """
        if branch.objective is not None or branch.skip is not None or not _among(branch.encoder, self._several):
            return encoder
        for earlier in self._shared:
            if _alike(earlier, encoder):
                return earlier
        self._shared.append(encoder)
        return encoder

    def embed(self, encoder: nn.Module, parts: Parts, device: torch.device) -> FloatArray:
        """``(n, width)`` embeddings of the parts; made once where the encoder is shared."""
        if encoder not in self._shared:
            return embed(encoder, parts.load, parts.n, device=device)
        key = (encoder, id(parts))
        if key not in self._made:  # the parts are kept too, so that no other object takes their id
            self._made[key] = (parts, embed(encoder, parts.load, parts.n, device=device))
        return self._made[key][1]

    def background(self, encoder: nn.Module, device: torch.device) -> FloatArray:
        """``(b, width)`` embeddings of what the encoder offers as ``background() -> (b, *shape)``; made once."""
        if encoder not in self._backgrounds:
            data: Tensor = encoder.background()  # type: ignore[operator]
            self._backgrounds[encoder] = embed(encoder, lambda at: data[torch.from_numpy(at)], len(data), device=device)
        return self._backgrounds[encoder]


def _among(settings: Any, others: Sequence[Any]) -> bool:
    return any(settings is other or _equal_settings(settings, other) for other in others)


def _equal_settings(first: Any, second: Any) -> bool:
    try:
        return bool(first == second)
    except (RuntimeError, ValueError):  # they hold arrays
        return False


def _alike(first: nn.Module, second: nn.Module) -> bool:
    if type(first) is not type(second):
        return False
    weights, others = first.state_dict(), second.state_dict()
    return list(weights) == list(others) and all(_equal(values, others[name]) for name, values in weights.items())


def _equal(first: object, second: object) -> bool:
    if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)):
        return False
    return first.shape == second.shape and first.dtype == second.dtype and torch.equal(first, second.to(first.device))
