"""Which words and letters a text is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike import texts
from unalike.errors import InvalidParameter
from unalike.plain import is_whole
from unalike.types import Schema

_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Lexical:
    """TF-IDF of words and of runs of characters inside words, hashed to a fixed width; nothing trains.

    Parameters
    ----------
    words : (int, int)
        Fewest and most words of a run that counts; a word is what `unalike.texts.words` finds.
    characters : (int, int)
        Likewise of the characters of a run inside a word, with a blank at each end of the word.
    width : int
        Of each half of the embedding, words and characters.

    Notes
    -----
    Counts are ``log(1 + count)``, times ``log((1 + n) / (1 + documents)) + 1`` as in scikit-learn's TfidfVectorizer,
    and each half has length 1. Features are added up with signs in `width` places (Weinberger et al., "Feature hashing
    for large scale multitask learning", ICML 2009), so that words that no training text holds count too.
    """

    words: tuple[int, int] = (1, 2)
    characters: tuple[int, int] = (2, 4)
    width: int = 2048

    def __post_init__(self) -> None:
        for name in ("words", "characters"):
            pair = getattr(self, name)
            if not (len(pair) == 2 and is_whole(pair[0], 1) and is_whole(pair[1], pair[0])):
                raise InvalidParameter(f"`{name}` must be two whole numbers, 1 <= fewest <= most; got {pair!r}.")
        if not is_whole(self.width, 16):
            raise InvalidParameter(f"`width` must be a whole number of at least 16; got {self.width!r}.")

    def build(self, schema: Schema) -> nn.Module:
        return _Lexical(self)


class _Lexical(nn.Module):
    """See `Lexical`."""

    inverse_frequency: Tensor

    def __init__(self, settings: Lexical) -> None:
        super().__init__()
        from sklearn.feature_extraction.text import HashingVectorizer

        self.width = 2 * settings.width
        shared = {"n_features": settings.width, "norm": None, "alternate_sign": True}
        self._counters: tuple[Any, ...] = (
            HashingVectorizer(analyzer=_Runs(*settings.words), **shared),
            HashingVectorizer(analyzer="char_wb", ngram_range=tuple(settings.characters), **shared),
        )
        self.register_buffer("inverse_frequency", torch.ones(2, settings.width))

    def prepare(self, sample: Tensor) -> None:
        """Count in how many of ``(m, length)`` training texts each feature is."""
        documents = np.zeros(tuple(self.inverse_frequency.shape))
        for part in torch.split(sample, _CHUNK):
            for half, counter in zip(documents, self._counters, strict=True):
                half += np.asarray((counter.transform(texts.decoded(part)) != 0).sum(axis=0)).ravel()
        weights = np.log((1 + len(sample)) / (1 + documents)) + 1.0
        self.inverse_frequency.copy_(torch.from_numpy(weights))

    def forward(self, data: Tensor) -> Tensor:
        """``(n, length)`` code points to ``(n, width)``."""
        made = [self._half(number, texts.decoded(data)) for number in range(2)]
        return torch.cat(made, dim=1).to(self.inverse_frequency)

    def _half(self, number: int, found: list[str]) -> Tensor:
        counts = torch.from_numpy(self._counters[number].transform(found).toarray()).float()
        values = counts.sign() * counts.abs().log1p() * self.inverse_frequency[number].cpu()
        return nn.functional.normalize(values, dim=1)


@dataclass(frozen=True)
class _Runs:
    """The runs of `fewest` to `most` words of a text, in lower case."""

    fewest: int
    most: int

    def __call__(self, text: str) -> list[str]:
        words = split(text.lower())
        return [
            " ".join(words[at : at + length])
            for length in range(self.fewest, self.most + 1)
            for at in range(len(words) - length + 1)
        ]


def split(text: str) -> list[str]:
    """The words of a text, without the white space between them."""
    if not text:
        return []
    numbers = texts.words(texts.encoded([text], len(text)))[0].numpy()
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(text)]
    return [text[start:end] for start, end in pairwise(edges) if numbers[start] >= 0]
