"""Texts made unlike normal ones in several ways: negatives of `objectives.SpoiledContrast`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from unalike.errors import InvalidParameter, NotFitted
from unalike.seeding import RowGenerator, derive
from unalike.views.textnoise import CharacterNoise, Salad, ShuffleAll, Splice

SPOILED = ("shuffled", "spliced", "salad", "misspelt")


@dataclass(frozen=True, kw_only=True)
class SpoilText:
    """Spoil every text in one of several ways, drawn with equal chance.

    It has the form of a view, and `prepare` lets it know training texts.

    Parameters
    ----------
    kinds : tuple of str
        Some of ``"shuffled"`` (the words in any order), ``"spliced"`` (the second half is of another training text),
        ``"salad"`` (words drawn from the training texts) and ``"misspelt"`` (`CharacterNoise`).
    rate : float
        Of ``"misspelt"``: chance of each character.
    known : tuple of View, optional
        One for each of `kinds`; set by `prepare`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    NotFitted
        Called before `prepare`.
    """

    kinds: tuple[str, ...] = SPOILED
    rate: float = 0.15
    known: tuple[Any, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = tuple(self.kinds) if isinstance(self.kinds, (tuple, list)) else ()
        if not kinds or not set(kinds) <= set(SPOILED):
            raise InvalidParameter(f"`kinds` must be some of {SPOILED}; got {self.kinds!r}. Leave it out for all.")
        object.__setattr__(self, "kinds", kinds)
        CharacterNoise(self.rate)

    def prepare(self, sample: Tensor) -> SpoilText:
        """A copy that takes words and halves of training texts ``(m, length)``."""
        ways = {
            "shuffled": ShuffleAll(),
            "spliced": Splice(),
            "salad": Salad(),
            "misspelt": CharacterNoise(self.rate),
        }
        made = (ways[kind] for kind in self.kinds)
        return replace(self, known=tuple(way.prepare(sample) if hasattr(way, "prepare") else way for way in made))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, length)``: every text spoiled."""
        if not self.known:
            raise NotFitted(
                "`SpoilText` must know training texts first. Call `prepare(sample)` and use what it returns."
            )
        kind = generator.integers(len(self.kinds))
        # Rows of one kind draw together, and each as much as its kind needs: from a stream of the row's own.
        own = RowGenerator(derive(0, "spoil-text"), generator.integers(2**62))
        made = data.clone()
        for number, way in enumerate(self.known):
            rows = (kind == number).nonzero()[:, 0]
            if len(rows):
                made[rows] = way(data[rows], own.rows(rows))
        return made
