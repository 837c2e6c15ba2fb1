"""The words of texts as pieces that can be left out, moved and exchanged, for `views.text` and `views.textnoise`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from unalike import texts

_SPACE = 32
_LONGEST = 40
"""Characters of a word of a vocabulary; what is longer is no word."""

_MOST_WORDS = 20_000
_MOST_TEXTS = 4_000


@dataclass(frozen=True, slots=True)
class Pieces:
    """Words in an order, each with what stands between it and the next one.

    Parameters
    ----------
    source : Tensor
        ``(m,)`` int32 code points, in which the words lie.
    start, size : Tensor
        ``(n, k)`` int64: where in `source` each word begins, and its characters.
    gap, between : Tensor
        ``(n, k)`` likewise of what follows the word.
    count : Tensor
        ``(n,)`` words of each text; behind them is nothing.
    lead : Tensor
        ``(n,)`` characters before the first word.
    """

    source: Tensor
    start: Tensor
    size: Tensor
    gap: Tensor
    between: Tensor
    count: Tensor
    lead: Tensor

    @property
    def numbers(self) -> Tensor:
        """``(k,)``: 0, 1, 2..."""
        return torch.arange(self.start.shape[1], device=self.start.device)

    @property
    def there(self) -> Tensor:
        """``(n, k)``: whether there is such a word."""
        return self.numbers < self.count[:, None]

    def ordered(self, order: Tensor, count: Tensor | None = None) -> Pieces:
        """The words ``order`` ``(n, k)``, of which `count` are there."""
        moved = {name: getattr(self, name).gather(1, order) for name in ("start", "size", "gap", "between")}
        return Pieces(self.source, **moved, count=self.count if count is None else count, lead=self.lead)

    def kept(self, keep: Tensor) -> Pieces:
        """Those words only that are to stay, ``(n, k)``, in their order."""
        keep = keep & self.there
        return self.ordered(keep.to(torch.int8).argsort(dim=1, descending=True, stable=True), keep.sum(dim=1))

    def exchanged(self, which: Tensor, source: Tensor, start: Tensor, size: Tensor) -> Pieces:
        """Other words, ``(n, k)`` in `source`, in the place of some; what stands between stays."""
        return replace(
            self,
            source=torch.cat((self.source, source.to(self.source))),
            start=torch.where(which, start + len(self.source), self.start),
            size=torch.where(which, size, self.size),
        )

    def followed_by(self, other: Pieces) -> Pieces:
        """The words of `other` behind these."""
        both = Pieces(
            torch.cat((self.source, other.source)),
            torch.cat((self.start, other.start + len(self.source)), dim=1),
            torch.cat((self.size, other.size), dim=1),
            torch.cat((self.gap, other.gap + len(self.source)), dim=1),
            torch.cat((self.between, other.between), dim=1),
            torch.full_like(self.count, self.start.shape[1] + other.start.shape[1]),
            self.lead,
        )
        return both.kept(torch.cat((self.there, other.there), dim=1))


def pieces(data: Tensor) -> Pieces:
    """The words of texts ``(n, length)``."""
    if len(data):
        data = data[:, : max(int((data != 0).sum(dim=1).max()), 1)]  # the rest is empty in all of them
    number = texts.words(data)
    n, length = data.shape
    most = int(number.max()) + 1 if number.numel() else 0
    at = torch.arange(length, device=data.device).expand(n, -1)
    inside = number >= 0
    column = torch.where(inside, number, most)  # characters between words go to a column of their own
    size = torch.zeros(n, most + 1, dtype=torch.int64, device=data.device).scatter_add(1, column, inside.long())
    ends = (data != 0).sum(dim=1, keepdim=True)
    start = ends.repeat(1, most + 1).scatter_reduce(1, column, torch.where(inside, at, length), "amin")
    start[:, most:] = ends
    size = size[:, :most]
    gap = start[:, :most] + size
    between = (start[:, 1:] - gap).clamp(min=0)
    source = torch.cat((data, data.new_zeros(n, 1)), dim=1)  # a text that fills its row ends, too
    row = torch.arange(n, device=data.device) * (length + 1)
    lead = start[:, 0] if most else ends[:, 0]
    start, gap = start[:, :most] + row[:, None], gap + row[:, None]
    return Pieces(source.flatten(), start, size, gap, between, (size > 0).sum(dim=1), lead)


def written(words: Pieces, data: Tensor) -> Tensor:
    """``(n, length)``: the words one after the other, after what stands before the first word of the texts `data`.

    A space is put where two words would become one. What does not fit into `length` is left out, a whole word at a
    time unless it is the first one. Texts of no word stay as they are.
    """
    n, length = data.shape
    there = words.there
    if not bool(there.any()):
        return data.clone()
    source = torch.cat((words.source, words.source.new_zeros(1)))
    size = torch.where(there, words.size, 0)
    between = torch.where(there & _followed(source, words), words.between, 0)
    space = torch.where(there & _would_join(source, words, between), 1, 0)
    piece = space + size + between
    end = piece.cumsum(dim=1)
    lead = words.lead[:, None]
    fits = lead + end - between <= length
    fits[:, 0] = True
    end = torch.where(fits, end, (piece * fits).sum(dim=1, keepdim=True)) + lead
    wide = min(length, int(torch.maximum(end[:, -1:], (data != 0).sum(dim=1, keepdim=True)).max()))
    at = torch.arange(wide, device=data.device).expand(n, -1).contiguous()
    of = torch.searchsorted(end.contiguous(), at, right=True).clamp(max=piece.shape[1] - 1)
    offset = at - (end - piece).gather(1, of) - space.gather(1, of)
    within = size.gather(1, of)
    place = torch.where(offset < within, words.start.gather(1, of) + offset, words.gap.gather(1, of) + offset - within)
    made = source[place.clamp(0, len(source) - 1)]
    made = torch.where(offset < 0, _SPACE, made)
    made = torch.where(at < lead, data[:, :wide], torch.where(at < end[:, -1:], made, 0)).to(data.dtype)
    whole = torch.zeros_like(data)
    whole[:, :wide] = torch.where(words.count[:, None] > 0, made, data[:, :wide])
    return whole


def _followed(source: Tensor, words: Pieces) -> Tensor:
    """``(n, k)``: whether what follows a word is written: not behind the last one, unless a text ends with it."""
    last = words.numbers == words.count[:, None] - 1
    return ~last | (source[(words.gap + words.between).clamp(max=len(source) - 1)] == 0)


def _would_join(source: Tensor, words: Pieces, between: Tensor) -> Tensor:
    """``(n, k)``: whether a word and the one before it, with nothing between them, would be read as one."""
    last = source[(words.start + words.size - 1).clamp(0, len(source) - 1)][:, :-1]
    first = source[words.start.clamp(max=len(source) - 1)][:, 1:]
    touching = ((between[:, :-1] == 0) & words.there[:, 1:]).nonzero(as_tuple=True)
    joined = torch.zeros_like(between, dtype=torch.bool)
    pairs = torch.stack((last[touching], first[touching]), dim=1)
    if len(pairs):
        joined[:, 1:][touching] = texts.words(pairs)[:, 1] == 0
    return joined


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Words of training texts and how often they come.

    Parameters
    ----------
    source : Tensor
        ``(m,)`` int32 code points.
    start, size : Tensor
        ``(v,)`` int64: of each word, the most frequent first.
    frequency : Tensor
        ``(v,)`` float64.
    """

    source: Tensor
    start: Tensor
    size: Tensor
    frequency: Tensor

    def to(self, device: torch.device) -> Vocabulary:
        """The same there."""
        return Vocabulary(*(getattr(self, field.name).to(device) for field in fields(self)))

    def drawn(self, uniform: Tensor, power: float) -> tuple[Tensor, Tensor]:
        """``(n, k)`` start and size of words drawn in proportion to their frequency to this power."""
        chance = self.frequency**power
        steps = (chance / chance.sum()).cumsum(dim=0)
        word = torch.searchsorted(steps, uniform.to(torch.float64), right=True).clamp(max=len(steps) - 1)
        return self.start[word], self.size[word]


def vocabulary(sample: Tensor) -> Vocabulary | None:
    """The most frequent words, at most 20,000, of at most 4,000 training texts ``(m, length)``; None without any."""
    some = sample.detach()[:: max(1, -(-len(sample) // _MOST_TEXTS))].cpu()
    counts: Counter[str] = Counter()
    numbers = texts.words(some).numpy()
    for text, number in zip(texts.decoded(some), numbers, strict=True):
        edges = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
        counts.update(text[a:b] for a, b in pairwise(edges.tolist()) if number[a] >= 0 and b - a <= _LONGEST)
    if not counts:
        return None
    # Words of one frequency in the order of their characters: the order of the texts does not count.
    words = sorted(counts, key=lambda word: (-counts[word], word))[:_MOST_WORDS]
    size = torch.tensor([len(word) for word in words])
    source = texts.encoded(["".join(words)], int(size.sum()))[0]
    frequency = torch.tensor([counts[word] for word in words], dtype=torch.float64)
    return Vocabulary(source, size.cumsum(dim=0) - size, size, frequency)
