"""Texts as tensors of Unicode code points, and where their words are.

The tensor *is* the text: nothing is lost, in any script, and each encoder cuts it into tokens of its own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

CODE_POINTS = 0x110000
"""How many there are."""

_BETWEEN, _LETTER, _ALONE, _MARK = range(4)
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # radicals, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xF900, 0xFAFF),
    (0x1B000, 0x1B2FF),
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words: ideographs, kana and some of South-East Asia."""


def encoded(texts: Sequence[str], length: int) -> Tensor:
    """``(n, length)`` int32: the code points of each text, zeros behind them.

    Parameters
    ----------
    texts : sequence of str
        Of at most `length` characters each, none of them NUL.
    length : int
        Width of the tensor.
    """
    import torch

    points = np.zeros((len(texts), length), dtype=np.int32)
    for row, text in zip(points, texts, strict=True):
        row[: len(text)] = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<i4")
    return torch.from_numpy(points)


def decoded(data: Tensor) -> list[str]:
    """The ``n`` texts of an ``(n, length)`` tensor of code points."""
    points = np.ascontiguousarray(data.cpu().numpy(), dtype="<i4")
    return [
        row[:n].tobytes().decode("utf-32-le", "surrogatepass")
        for row, n in zip(points, lengths(points).tolist(), strict=True)
    ]


def lengths(points: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """``(n,)``: the number of characters of each row, which zeros follow."""
    return np.asarray((points != 0).sum(axis=1), dtype=np.int64)


def words(data: Tensor) -> Tensor:
    """``(n, length)`` int64: of which word of its text each character is, counted from 0; -1 between words.

    A word is a run of letters and digits with their marks; a punctuation mark, a symbol and a character of a script
    without spaces, with the marks that follow it, is a word by itself.
    """
    import torch

    kinds = torch.from_numpy(_kinds())[data.cpu().to(torch.int64)].to(data.device)
    at = torch.arange(data.shape[1], device=data.device).expand(data.shape)
    # A mark is of the word that it follows: it has the kind of the last character that is none.
    base = torch.where(kinds == _MARK, 0, at).cummax(dim=1).values
    of_base = kinds.gather(1, base)
    before = torch.cat([torch.zeros_like(of_base[:, :1]), of_base[:, :-1]], dim=1)
    begins = (kinds == _ALONE) | (of_base == _LETTER) & (before != _LETTER) & (before != _MARK)
    begins |= (of_base == _MARK) & (at == 0)  # a text that begins with a mark
    number = begins.to(torch.int64).cumsum(dim=1) - 1
    return torch.where(of_base == _BETWEEN, -1, number)


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """What each code point is to `words`."""
    of_category = {"L": _LETTER, "N": _LETTER, "M": _MARK, "Z": _BETWEEN, "C": _BETWEEN, "P": _ALONE, "S": _ALONE}
    kinds = bytearray(of_category[unicodedata.category(chr(point))[0]] for point in range(CODE_POINTS))
    table = np.frombuffer(kinds, dtype=np.uint8)
    for first, last in _UNSPACED:
        part = table[first : last + 1]
        part[part == _LETTER] = _ALONE
    for joiner in (0x200C, 0x200D):  # between the parts of one word, or of one emoji
        table[joiner] = _MARK
    return table
