"""Texts made unlike normal ones: words in no order, two texts in one, words of no text, misspelt words.

They have the form of views, and make the negatives of `objectives.SpoiledContrast`. `views.text` has the views that
leave a text normal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unalike import texts
from unalike.errors import NotFitted
from unalike.seeding import RowGenerator
from unalike.views import checks
from unalike.views.text import known_words, ready
from unalike.views.wording import Vocabulary, pieces, written

_POOL = 2_000


@dataclass(frozen=True)
class ShuffleAll:
    """Put the words of a text into any order."""

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        draw = generator.uniform(data.shape[1])
        words = pieces(data)
        order = torch.where(words.there, draw[:, : words.start.shape[1]], 2.0).argsort(dim=1, stable=True)
        return written(words.ordered(order), data)


@dataclass(frozen=True)
class Splice:
    """The first half of a text's words and the second half of another's.

    Parameters
    ----------
    pool : Tensor, optional
        ``(m, length)`` training texts, the others; set by `prepare`.

    Raises
    ------
    NotFitted
        When called before `prepare`.
    """

    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def prepare(self, sample: Tensor) -> Splice:
        """A copy that takes halves of `sample`, ``(m, length)`` training texts."""
        checks.points(sample)
        return replace(self, pool=sample.detach()[:: max(1, -(-len(sample) // _POOL))].clone())

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        if self.pool is None:
            raise NotFitted("`Splice` must know training texts first. Call `prepare(sample)` and use what it returns.")
        chosen = generator.integers(len(self.pool)).to(self.pool.device)
        words = pieces(data)
        others = pieces(self.pool[chosen].to(data))
        # Of a text of one word the whole is its first half.
        head = words.kept(words.numbers < ((words.count + 1) // 2)[:, None])
        tail = others.kept(others.numbers >= (others.count // 2)[:, None])
        return written(head.followed_by(tail), data)


@dataclass(frozen=True, kw_only=True)
class Salad:
    """As many words as the text has, drawn from the training texts.

    Parameters
    ----------
    power : float
        As in `views.text.ReplaceWords`.
    known : Vocabulary, optional
        Set by `prepare`.

    Raises
    ------
    InvalidParameter
        When `power` is negative or not finite.
    NotFitted
        When called before `prepare`.
    """

    power: float = 1.0
    known: Vocabulary | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.amount("power", self.power)

    def prepare(self, sample: Tensor) -> Salad:
        """A copy that draws from the words of `sample`, ``(m, length)`` training texts."""
        return replace(self, known=known_words(sample))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        known = ready(self.known, data, "Salad")
        draw = generator.uniform(data.shape[1])
        words = pieces(data)
        start, size = known.drawn(draw[:, : words.start.shape[1]], self.power)
        # Other words are longer: there is room up to the width of the tensor.
        return written(words.exchanged(torch.ones_like(words.there), known.source, start, size), data)


@dataclass(frozen=True)
class CharacterNoise:
    """Misspell: characters of words are dropped, doubled, exchanged for others of the same text, or swapped.

    Parameters
    ----------
    rate : float
        Chance of each character; each of the four ways is as likely.

    Raises
    ------
    InvalidParameter
        When `rate` is not in ``[0, 1]``.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        checks.probability("rate", self.rate)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        length = data.shape[1]
        draw, way, which = generator.uniform(length), generator.integers(4, length), generator.uniform(length)
        inside = texts.words(data) >= 0
        hit = inside & (draw < self.rate)
        at = torch.arange(length, device=data.device).expand(data.shape)
        # The characters of words first, so that one of them is drawn by its number.
        of_words = inside.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        many = inside.sum(dim=1, keepdim=True)
        source = torch.where(hit & (way == 0), of_words.gather(1, (which * many).long().clamp(max=length - 1)), at)
        swapped = hit & (way == 1) & torch.cat((inside[:, 1:], torch.zeros_like(inside[:, :1])), dim=1)
        swapped &= ~torch.cat((torch.zeros_like(swapped[:, :1]), swapped[:, :-1]), dim=1)
        source = torch.where(swapped, at + 1, source)
        after = torch.cat((torch.zeros_like(swapped[:, :1]), swapped[:, :-1]), dim=1)
        source = torch.where(after, at - 1, source)
        times = torch.where(hit & (way == 2), 2, 1)
        times = torch.where(hit & (way == 3), 0, times) * (data != 0)
        # A text of which all words would be dropped stays.
        times = torch.where((times * inside).sum(dim=1, keepdim=True) > 0, times, (data != 0).long())
        end = times.cumsum(dim=1)
        from_place = torch.searchsorted(end, at.contiguous(), right=True).clamp(max=length - 1)
        made = data.gather(1, source.gather(1, from_place))
        return torch.where(at < end[:, -1:], made, 0)
