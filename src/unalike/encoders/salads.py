"""Texts of no topic, made from a tokenizer's vocabulary alone: what a language looks like beside the normal texts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unalike.seeding import numpy_generator

_WORDS, _SALADS = 600, 600
_FUNCTION_WORDS = 60
_TOPIC, _NEAREST, _BETWEEN = 9, 25, 7
_SHORTEST = 3
_ENOUGH = 1000


def background_texts(tokenizer: Any, table: Tensor, longest: int) -> list[str]:
    """Words alone, and topic salads: a word, words near it in the table of input embeddings, and function words.

    The same vocabulary and table give the same texts. Vocabularies are in order of frequency, so that their first
    words are function words, in any language.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Whose vocabulary is used.
    table : Tensor
        ``(tokens, d)`` input embeddings of a network.
    longest : int
        Characters of a text at most; what would be longer loses its last words.

    Returns
    -------
    list of str
        At most 600 words and 600 salads.
    """
    words = whole_words(tokenizer)
    common, rest = words[:_FUNCTION_WORDS], words[_FUNCTION_WORDS:] or words
    numbers = numpy_generator(0, "background")
    alone = numbers.permutation(len(rest))[:_WORDS]
    seeds = numbers.permutation(len(rest))[:_SALADS]
    made = [rest[at][1] for at in alone]
    near = _nearest(torch.stack([table[number].float().cpu() for number, _ in rest]), torch.from_numpy(seeds))
    for seed, neighbours in zip(seeds.tolist(), near.tolist(), strict=True):
        drawn = [neighbours[at] for at in numbers.permutation(len(neighbours))[:_TOPIC]]
        topic = [rest[at][1] for at in (seed, *drawn)]
        between = [common[at][1] for at in numbers.integers(len(common), size=_BETWEEN)]
        salad = [*topic, *between]
        made.append(" ".join(salad[at] for at in numbers.permutation(len(salad))))
    return [_cut(text, longest) for text in made]


def whole_words(tokenizer: Any) -> list[tuple[int, str]]:
    """Ids and text of the tokens that are words by themselves, in the order of the vocabulary.

    Words of a few letters at least; where there are too few, as in a vocabulary of ideographs, all.
    """
    vocabulary = sorted((number, token) for token, number in tokenizer.get_vocab(with_added_tokens=False).items())
    tokens = [token for _, token in vocabulary]
    # How the start of a word is written, in byte-level and in SentencePiece vocabularies.
    starts = next((mark for mark in ("\u0120", "\u2581") if sum(token.startswith(mark) for token in tokens) > 1), "")
    found = []
    for number, token in vocabulary:
        if token.startswith(starts):
            text = tokenizer.decode([number], skip_special_tokens=False).strip() if starts else token
            if text.isalpha():
                found.append((number, text))
    long = [(number, text) for number, text in found if len(text) >= _SHORTEST]
    return long if len(long) >= _ENOUGH else found


def _nearest(table: Tensor, seeds: Tensor) -> Tensor:
    """``(seeds, k)`` places of the rows of greatest cosine to these, themselves left out."""
    unit = torch.nn.functional.normalize(table, dim=1)
    near = unit[seeds] @ unit.T
    near[torch.arange(len(seeds)), seeds] = -2.0
    return near.topk(min(_NEAREST, len(table) - 1), dim=1).indices


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest + 1].rpartition(" ")[0] or text[:longest]
