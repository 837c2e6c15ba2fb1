"""Texts on the page, changed words marked."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

import torch
from torch import Tensor

from unalike import texts

_OPEN = 2
_MOST_CHARACTERS = 1500


class Passages:
    """Draws texts beside their views.

    Parameters
    ----------
    samples : Tensor
        ``(s, length)`` code points.
    ids : sequence of str
        Of the samples.
    """

    note = "Words on colour are not in the text, or stand elsewhere in it. Of long texts the first part is shown."

    def __init__(self, samples: Tensor, ids: Sequence[str]) -> None:
        self._samples = samples
        self._ids = ids

    def draw(self, views: Sequence[Tensor]) -> str:
        """One block per sample, the text above its views, ``(s, length)`` each."""
        return "\n".join(self._sample(place, [made[place] for made in views]) for place in range(len(self._samples)))

    def _sample(self, place: int, views: Sequence[Tensor]) -> str:
        [own, *seen] = texts.decoded(torch.stack([self._samples[place], *views]))
        [own_words, *seen_words] = [_pieces(text[:_MOST_CHARACTERS]) for text in (own, *seen)]
        shown = "".join(
            f"<small>view {number}</small><blockquote>{_marked(own_words, words)}</blockquote>"
            for number, words in enumerate(seen_words, start=1)
        )
        title = f"<summary>text {escape(str(self._ids[place]))}: {len(own):,} characters</summary>"
        text = f"<small>text</small><blockquote>{escape(''.join(own_words))}</blockquote>"
        return f"<details{' open' if place < _OPEN else ''}>{title}{text}{shown}</details>"


def _pieces(text: str) -> list[str]:
    """Words and what is between them; together they are the text."""
    if not text:
        return []
    numbers = texts.words(texts.encoded([text], len(text)))[0].tolist()
    cuts = [at for at in range(1, len(text)) if numbers[at] != numbers[at - 1]]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _marked(own: Sequence[str], seen: Sequence[str]) -> str:
    """The words of a view as HTML; those that the text has not in their place are marked."""
    shown = []
    for kind, _, _, start, end in SequenceMatcher(None, own, seen, autojunk=False).get_opcodes():
        piece = escape("".join(seen[start:end]))
        shown.append(piece if kind == "equal" or not piece.strip() else f"<mark>{piece}</mark>")
    return "".join(shown)
