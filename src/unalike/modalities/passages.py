"""Long texts in parts: cut between words, nothing lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unalike.types import IntArray

_EARLIEST = 0.8
"""Of a part's aimed length: nearer to the start a cut between words would make parts of very different length."""


def spans(text: str, most: int) -> list[tuple[int, int]]:
    """The first character of each part of a text and the one after its last.

    Parts are of about equal length, and end behind white space where there is some. An empty text is one part.

    Parameters
    ----------
    text : str
        Any.
    most : int
        Characters of a part.
    """
    found, start = [], 0
    while len(text) - start > most:
        left = len(text) - start
        aimed = math.ceil(left / math.ceil(left / most))
        end = _cut(text, start, aimed, most)
        found.append((start, end))
        start = end
    return [*found, (start, len(text))]


def _cut(text: str, start: int, aimed: int, most: int) -> int:
    """Where to end a part: behind the white space that is next to the aimed place, or there where none is near."""
    after = next((at for at in range(start + aimed, start + most + 1) if text[at - 1].isspace()), None)
    earliest = start + max(math.ceil(aimed * _EARLIEST), 1)
    before = next((at for at in range(start + aimed, earliest - 1, -1) if text[at - 1].isspace()), None)
    near = [at for at in (after, before) if at is not None]
    return min(near, key=lambda at: abs(at - start - aimed), default=start + aimed)


def owners(spans_of: Sequence[Sequence[tuple[int, int]]]) -> IntArray:
    """``(n_parts,)``: the number of the text that each part is of."""
    return np.repeat(np.arange(len(spans_of)), [len(parts) for parts in spans_of])
