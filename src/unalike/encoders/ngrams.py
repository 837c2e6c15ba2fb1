"""Runs of words and of characters in texts, as numbers: what `Lexical` counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unalike import texts
from unalike.types import BoolArray, IntArray

Numbers = npt.NDArray[np.uint64]

HASH_BITS = 43
"""Of a run; two of 100,000 runs fall together with a probability of one in two thousand."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BLANK = 32


@dataclass(frozen=True)
class Counts:
    """How often each run is in each text, in the order of texts, kinds and runs.

    Parameters
    ----------
    text : ndarray
        ``(m,)`` number of the text.
    kind : ndarray
        ``(m,)`` 0 for words, 1 for characters.
    run : ndarray
        ``(m,)`` uint64: the hash of the run, below it the kind, so that runs of both kinds differ.
    count : ndarray
        ``(m,)`` at least 1.
    """

    text: IntArray
    kind: IntArray
    run: Numbers
    count: IntArray


def counted(found: Sequence[str], words: tuple[int, int], characters: tuple[int, int]) -> Counts:
    """The runs of so many words, and of so many characters, of some texts, in lower case.

    Parameters
    ----------
    found : sequence of str
        Fewer than a million.
    words, characters : (int, int)
        Fewest and most of a run. Characters are of one word between white space, with a blank at each end.
    """
    points, numbers, owner = _joined(found)
    made = [(0, *run) for run in _word_runs(points, numbers, owner, *words)]
    made += [(1, *run) for run in _character_runs(points, numbers < 0, owner, *characters)]
    keys = [
        (whose.astype(np.uint64) << np.uint64(HASH_BITS + 1))
        | np.uint64(kind << HASH_BITS)
        | (_mixed(run) >> np.uint64(64 - HASH_BITS))
        for kind, run, whose in made
    ]
    ordered = np.sort(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.uint64)
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    key = ordered[starts]
    return Counts(
        text=(key >> np.uint64(HASH_BITS + 1)).astype(np.int64),
        kind=((key >> np.uint64(HASH_BITS)) & np.uint64(1)).astype(np.int64),
        run=key & np.uint64(2 ** (HASH_BITS + 1) - 1),
        count=np.diff(starts, append=len(ordered)),
    )


def _joined(found: Sequence[str]) -> tuple[Numbers, IntArray, IntArray]:
    """Code points of all texts, a NUL before and behind each; the word that each is of; and the text."""
    joined = "\0".join(["", *(text.replace("\0", " ") for text in found), ""]).lower()
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    numbers = texts.words(torch.from_numpy(points.astype(np.int32))[None])[0].numpy()
    return points.astype(np.uint64), numbers, np.cumsum(points == 0) - 1


def _word_runs(
    points: Numbers, numbers: IntArray, owner: IntArray, fewest: int, most: int
) -> Iterator[tuple[Numbers, IntArray]]:
    """Hashes of the runs of each length, and the text that each is of."""
    inside = np.flatnonzero(numbers >= 0)
    if len(inside) == 0:
        return
    starts = np.flatnonzero(np.diff(numbers[inside], prepend=-1))
    lengths = np.diff(starts, append=len(inside))
    place = np.arange(len(inside)) - np.repeat(starts, lengths)
    powers = np.full(int(lengths.max()), _BASE).cumprod()
    words = _mixed(np.add.reduceat(points[inside] * powers[place], starts))
    whose = owner[inside[starts]]
    run = words
    for length in range(1, most + 1):
        if length > 1:
            run = run[:-1] * _BASE + words[length - 1 :]
        if length >= fewest:
            together = whose[: len(run)] == whose[length - 1 :]
            yield run[together] + np.uint64(length), whose[: len(run)][together]
        if len(run) < 2:
            return


def _character_runs(
    points: Numbers, blank: BoolArray, owner: IntArray, fewest: int, most: int
) -> Iterator[tuple[Numbers, IntArray]]:
    """As `_word_runs`; white space of any length is one blank, and none lies inside a run."""
    kept = ~blank
    kept[0], kept[1:] = True, kept[1:] | ~blank[:-1]
    blank = blank[kept]
    characters = np.where(blank, np.uint64(_BLANK), points[kept])
    # A blank may stand between two texts: a run is of the text of its first letter.
    whose = owner[kept]
    whose = np.where(blank, np.append(whose[1:], 0), whose)
    at = np.arange(len(characters))
    next_blank = np.minimum.accumulate(np.where(blank, at, len(at))[::-1])[::-1]
    room = np.append(next_blank[1:], -1) - at
    run = characters
    for length in range(1, most + 1):
        if length > 1:
            run = run[:-1] * _BASE + characters[length - 1 :]
        if length >= fewest:
            within = room[: len(run)] >= length - 1 if length > 1 else ~blank
            yield run[within] + np.uint64(length), whose[: len(run)][within]
        if len(run) < 2:
            return


def _mixed(numbers: Numbers) -> Numbers:
    """Each bit depends on all (the last step of SplitMix64, Steele et al., OOPSLA 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))
