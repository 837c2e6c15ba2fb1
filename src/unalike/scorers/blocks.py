"""One scorer for each block of an embedding, as for each channel of a time series.

A joint distance over many channels is the sum of theirs: an anomaly in one of them drowns in the ordinary variation of
the others. Apart, each channel is held against its own usual scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np

from unalike.errors import InvalidInput, InvalidParameter
from unalike.plain import is_number, unlearned
from unalike.scorers.arrays import checked, require_choice, require_count, require_fitted
from unalike.scorers.build import build_scorer
from unalike.scorers.neighbors import KNN
from unalike.scorers.refill import refilled
from unalike.scorers.together import Alone
from unalike.types import FloatArray, IntArray, Scorer, Stateful


@dataclass
class PerBlock:
    """Score = mean over the blocks of an embedding of each block's score, in units of its usual one.

    An embedding ``(blocks * d,)`` is cut into `blocks` blocks of ``d`` neighbouring numbers, such as the channels of an
    encoder with ``channels="independent"``. Each has a scorer of its own, whose scores are divided by the median of
    their absolute reference scores. It is made for scores that are distances.

    Parameters
    ----------
    scorer : Scorer or str
        Of each block; only its settings are used.
    blocks : int
        How many.
    combine : {"mean", "max", "top"}
        The mean over all blocks; the largest; the mean over the `share` of blocks that score highest.
    share : float
        With ``combine="top"``: above 0 and at most 1; at least one block counts.
    least_unit : float
        Smallest unit of a block as a share of the mean one, at least 0: blocks that hardly vary in training would
        drown the others as soon as they do.

    Attributes
    ----------
    scorers_ : list of Scorer
        One per block, fitted.
    units_ : ndarray
        ``(blocks,)``: what each block's scores are divided by, above 0.
    reference_scores_ : ndarray
        ``(r,)``, combined from those of the blocks, which are of the same rows.

    Raises
    ------
    InvalidParameter
        A setting out of range; by `fit`, embeddings that cannot be cut into so many blocks.

    Notes
    -----
    With a `least_unit` above 0, a channel that never moved in training scores 0 as long as it does not move, and high
    as soon as it does; where no channel moved, units are 1.
    """

    scorer: Any = field(default_factory=lambda: KNN(k=3))
    blocks: int = field(default=1, kw_only=True)
    combine: Literal["mean", "max", "top"] = field(default="mean", kw_only=True)
    share: float = field(default=0.2, kw_only=True)
    least_unit: float = field(default=0.1, kw_only=True)

    def __post_init__(self) -> None:
        require_count("blocks", self.blocks)
        require_choice("combine", self.combine, ("mean", "max", "top"))
        if not is_number(self.share) or not 0.0 < self.share <= 1.0:
            raise InvalidParameter(f"`share` must be above 0 and at most 1; got {self.share!r}. Try 0.2.")
        if not is_number(self.least_unit) or not 0.0 <= self.least_unit < float("inf"):
            raise InvalidParameter(f"`least_unit` must be finite and at least 0; got {self.least_unit!r}. Try 0.1.")
        build_scorer(self.scorer)

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Fit one scorer per block on ``(n, blocks * d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows = checked(embeddings)
        if rows.shape[1] % self.blocks:
            raise InvalidParameter(
                f"`blocks` must divide the width of the embeddings, {rows.shape[1]}; got {self.blocks}. Give the "
                "number of channels that the encoder puts side by side."
            )
        self.width_ = rows.shape[1]
        held = self._references(reference)
        self.scorers_: list[Scorer] = [
            self._fresh().fit(block, held_block, groups)
            for block, held_block in zip(self._cut(rows), held, strict=True)
        ]
        self._refer()
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 scores of ``(n, blocks * d)`` embeddings; 1 is usual."""
        return self._combined(self.block_scores(embeddings))

    def block_scores(self, embeddings: FloatArray) -> FloatArray:
        """``(n, blocks)`` float64: each block's score in its unit, to tell which of them is unlike."""
        blocks = self._known(embeddings, empty=True)
        scores = self._at_once(blocks)
        if scores is None:
            scores = np.stack(
                [scorer.score(block) for scorer, block in zip(self.scorers_, blocks, strict=True)], axis=1
            )
        return scores / self.units_

    def _at_once(self, blocks: FloatArray) -> FloatArray | None:
        """``(1, blocks)`` scores of a single row, where it pays to search all blocks together; the same to the bit."""
        if blocks.shape[1] != 1:
            return None
        if not hasattr(self, "_alone"):
            self._alone = Alone()
        scores = self._alone.scores(self.scorers_, blocks[:, 0])
        return None if scores is None else scores[None]

    @property
    def absorbed_(self) -> int:
        """How many rows each block has absorbed."""
        return min(int(getattr(scorer, "absorbed_", 0)) for scorer in self.scorers_)

    @property
    def add(self) -> Callable[..., Self]:
        """``add(embeddings, reference=None, groups=None)``, where the blocks' scorer has it; as `KNN.add`."""
        if not hasattr(build_scorer(self.scorer), "add"):
            raise AttributeError(f"{type(self.scorer).__name__} has no `add`")
        return self._added

    def absorb(self, embeddings: FloatArray, groups: IntArray | None = None) -> FloatArray:
        """Let each block absorb held-out rows; ``(n,)`` combined scores, as `KNN.absorb`. Units stay.

        Where the blocks' scorer cannot absorb, the rows get their plain scores.
        """
        scores = [
            scorer.absorb(block, groups) if hasattr(scorer, "absorb") else scorer.score(block)
            for scorer, block in zip(getattr(self, "scorers_", []), self._known(embeddings), strict=True)
        ]
        return self._combined(np.stack(scores, axis=1) / self.units_)

    def refilled(self, embeddings: FloatArray) -> Self:
        """The same units with blocks that know ``(m, blocks * d)`` other normal rows; no reference scores."""
        fresh = replace(self)
        fresh.scorers_ = [
            refilled(scorer, block) for scorer, block in zip(self.scorers_, self._known(embeddings), strict=True)
        ]
        fresh.width_, fresh.units_ = self.width_, self.units_
        return fresh

    def robust(self) -> Self:
        """The same with blocks whose scorer is robust, where it can be."""
        scorer = build_scorer(self.scorer)
        return replace(self, scorer=scorer.robust() if hasattr(scorer, "robust") else self.scorer)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "scorers_")
        learned = {
            f"block_{number}_{name}": value
            for number, scorer in enumerate(self.scorers_)
            for name, value in _stateful(scorer).state().items()
        }
        return {"width": self.width_, "units": self.units_, "reference_scores": self.reference_scores_, **learned}

    def restore(self, state: dict[str, Any]) -> None:
        self.width_ = int(state["width"])
        self.units_: FloatArray = np.asarray(state["units"], dtype=np.float64)
        self.reference_scores_: FloatArray = np.asarray(state["reference_scores"], dtype=np.float64)
        self.scorers_ = []
        for number in range(self.blocks):
            prefix, scorer = f"block_{number}_", self._fresh()
            own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            _stateful(scorer).restore(own)
            self.scorers_.append(scorer)

    def _added(
        self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None
    ) -> Self:
        blocks = self._known(embeddings)
        for scorer, block, held in zip(self.scorers_, blocks, self._references(reference), strict=True):
            scorer.add(block, held, groups)  # type: ignore[attr-defined]
        self._refer()
        return self

    def _fresh(self) -> Scorer:
        return build_scorer(unlearned(self.scorer))

    def _known(self, embeddings: FloatArray, empty: bool = False) -> FloatArray:
        """The blocks of new rows."""
        require_fitted(self, "scorers_")
        return self._cut(checked(embeddings, width=self.width_, empty=empty))

    def _references(self, reference: FloatArray | None) -> list[FloatArray | None]:
        if reference is None:
            return [None] * self.blocks
        return list(self._cut(checked(reference, name="reference", width=self.width_)))

    def _cut(self, rows: FloatArray) -> FloatArray:
        """``(blocks, n, d)``."""
        return np.ascontiguousarray(rows.reshape(len(rows), self.blocks, rows.shape[1] // self.blocks).swapaxes(0, 1))

    def _refer(self) -> None:
        """Units and reference scores from those of the blocks."""
        scores = np.stack([scorer.reference_scores_ for scorer in self.scorers_], axis=1)  # (r, blocks)
        if not np.isfinite(scores).all():
            raise InvalidInput("`reference` must get finite scores from the scorer of each block; it does not.")
        units = np.median(np.abs(scores), axis=0)
        least = self.least_unit * float(units.mean())
        self.units_ = np.where(np.maximum(units, least) > 0.0, np.maximum(units, least), 1.0)
        self.reference_scores_ = self._combined(scores / self.units_)

    def _combined(self, scores: FloatArray) -> FloatArray:
        """``(n, blocks)`` to ``(n,)``; each row as if it came alone."""
        if self.combine == "max":
            return np.asarray(scores.max(axis=1))
        if self.combine == "top":
            counted = max(round(self.share * self.blocks), 1)
            scores = np.sort(scores, axis=1)[:, self.blocks - counted :]
        return np.asarray(np.ascontiguousarray(scores).mean(axis=1))


def _stateful(scorer: Scorer) -> Stateful:
    if not isinstance(scorer, Stateful):
        raise InvalidParameter(
            f"`scorer` must have `state()` and `restore(state)` to be saved; {type(scorer).__name__} has not. Add them "
            "(see unalike.types.Stateful), or use one of unalike's."
        )
    return scorer
