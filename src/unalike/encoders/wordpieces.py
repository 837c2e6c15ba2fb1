"""A vocabulary of words and pieces of words, learned from texts; needs no library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from torch import Tensor

from unalike import texts

UNKNOWN = 0
"""The token of a character that training texts hold at most once."""

_INSIDE = "\x00"
"""Goes before a piece that does not begin a word; no text holds it."""
_LEAST = 2
_LONGEST_PIECE = 4
_SHARE_OF_WORDS = 0.7
_MOST_KEPT = 100_000


@dataclass(frozen=True)
class WordPieces:
    """Words in lower case that occur twice or more, letters, and pieces of at most four letters for other words.

    A word that is no token is cut from its beginning into the longest pieces that are. Scripts without spaces are cut
    into characters already (`unalike.texts.words`).

    Parameters
    ----------
    tokens : tuple of str
        The vocabulary. The first stands for unknown characters.

    References
    ----------
    Longest piece first: Wu et al., "Google's neural machine translation system", 2016 (WordPiece). The pieces are
    chosen by frequency alone.
    """

    tokens: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)
    _cut: dict[str, list[int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {token: number for number, token in enumerate(self.tokens)})

    @staticmethod
    def learned(data: Tensor, most: int) -> WordPieces:
        """At most `most` tokens of ``(m, length)`` texts; ties are broken by the alphabet."""
        counts = Counter(word for row in split(data) for word in row)
        letters: Counter[str] = Counter()
        pieces: Counter[str] = Counter()
        for word, count in counts.items():
            for letter in word:
                letters[letter] += count
            if len(word) > 1:
                pieces.update(_pieces(word))
        made = ["", *_most_frequent(letters, (most - 1) // 2)]
        known = set(made)
        words = Counter({word: count for word, count in counts.items() if word not in known})
        made += _most_frequent(words, int((most - len(made)) * _SHARE_OF_WORDS))
        known = set(made)
        made += _most_frequent(
            Counter({piece: n for piece, n in pieces.items() if piece not in known}), most - len(made)
        )
        return WordPieces(tuple(made))

    def ids(self, data: Tensor) -> list[list[int]]:
        """For each text of ``(n, length)`` code points its tokens."""
        return [[number for word in row for number in self._of_word(word)] for row in split(data)]

    def _of_word(self, word: str) -> list[int]:
        number = self._numbers.get(word)
        if number is not None:
            return [number]
        cut = self._cut.get(word)
        if cut is None:
            if len(self._cut) >= _MOST_KEPT:
                self._cut.clear()
            cut = self._cut[word] = self._cut_up(word)
        return cut

    def _cut_up(self, word: str) -> list[int]:
        made, at = [], 0
        while at < len(word):
            number, at = self._longest(word, at)
            made.append(number)
        return made

    def _longest(self, word: str, at: int) -> tuple[int, int]:
        """The longest token that begins at `at`, and where it ends; a letter is one, wherever it stands."""
        before = _INSIDE if at else ""
        for end in range(min(at + _LONGEST_PIECE, len(word)), at + 1, -1):
            number = self._numbers.get(before + word[at:end])
            if number is not None:
                return number, end
        return self._numbers.get(word[at], UNKNOWN), at + 1


def split(data: Tensor) -> list[list[str]]:
    """The words of each text of ``(n, length)`` code points, in lower case."""
    numbers = texts.words(data).cpu().numpy()
    found = []
    for text, row in zip(texts.decoded(data), numbers[:, : data.shape[1]], strict=True):
        own = row[: len(text)]
        edges = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(text)]
        found.append([text[start:end].lower() for start, end in pairwise(edges) if end > start and own[start] >= 0])
    return found


def _pieces(word: str) -> set[str]:
    return {
        (_INSIDE if at else "") + word[at : at + length]
        for length in range(2, _LONGEST_PIECE + 1)
        for at in range(len(word) - length + 1)
    }


def _most_frequent(counts: Counter[str], most: int) -> Sequence[str]:
    """At most `most` of those counted twice or more."""
    enough = ((-count, name) for name, count in counts.items() if count >= _LEAST)
    return [name for _, name in sorted(enough)[: max(most, 0)]]
