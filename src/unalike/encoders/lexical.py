"""Which words and letters a text is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unalike import texts
from unalike.encoders.ngrams import HASH_BITS, Counts, Numbers, counted
from unalike.errors import InvalidParameter
from unalike.plain import is_whole
from unalike.types import FloatArray, IntArray, Schema

_CHUNK = 128
_SEVERAL = 2
"""Texts: runs of fewer are not kept. They count as unseen, which changes no ranking and saves most of the memory."""
_MERGED = 2**22
"""Runs that are counted before equal ones are put together: what `prepare` holds does not grow with the texts."""


@dataclass(frozen=True, kw_only=True)
class Lexical:
    """TF-IDF of words and of runs of characters inside words, added up to a fixed width; nothing trains.

    Parameters
    ----------
    words : (int, int)
        Fewest and most words of a run that counts; a word is what `unalike.texts.words` finds.
    characters : (int, int)
        Likewise of the characters of a run between white space, with a blank at each end.
    width : int
        Of the embedding. Cosines are those of all runs apart, but for an error with a standard deviation of
        ``1 / sqrt(width)``.

    Notes
    -----
    A run that stands `count` times in a text has ``1 + log(count)``, times ``log((1 + n) / (1 + documents)) + 1`` as in
    scikit-learn's TfidfVectorizer. Runs that no training text holds, or only one, count too, as in no documents: a
    text of unknown words is unlike all others. Words and characters have the same length each, are added up with signs
    in `width` places (Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009), and the sum
    is brought to length 1. What is learned, the documents of each run, is kept by hashes of the runs.
    """

    words: tuple[int, int] = (1, 2)
    characters: tuple[int, int] = (2, 4)
    width: int = 4096

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

    kind: Tensor

    def __init__(self, settings: Lexical) -> None:
        super().__init__()
        self.width = settings.width
        self._words, self._characters = settings.words, settings.characters
        # Knows the precision and the device.
        self.register_buffer("kind", torch.zeros(()), persistent=False)
        self._learn(0, np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))

    def prepare(self, sample: Tensor) -> None:
        """Count in how many of ``(m, length)`` training texts each run is."""
        runs, documents = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
        waiting: list[Numbers] = []
        for part in torch.split(sample, _CHUNK):
            waiting.append(self._counted(texts.decoded(part)).run)
            if sum(map(len, waiting)) > _MERGED:
                (runs, documents), waiting = _merged(runs, documents, waiting), []
        runs, documents = _merged(runs, documents, waiting)
        self._learn(len(sample), runs[documents >= _SEVERAL], documents[documents >= _SEVERAL])

    def get_extra_state(self) -> Tensor:
        """As ``(m,)`` uint8: number of texts and of runs (int64), the runs (uint64), their documents (uint32)."""
        sizes = np.array([self.texts, len(self.runs)], dtype="<i8")
        parts = (sizes, self.runs.astype("<u8"), self.documents.astype("<u4"))
        return torch.from_numpy(np.frombuffer(b"".join(part.tobytes() for part in parts), dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Take what `get_extra_state` gave."""
        held = state.cpu().numpy().tobytes()
        n, known = np.frombuffer(held, dtype="<i8", count=2).tolist()
        runs = np.frombuffer(held, dtype="<u8", count=known, offset=16)
        documents = np.frombuffer(held, dtype="<u4", count=known, offset=16 + 8 * known)
        self._learn(n, runs.astype(np.uint64), documents.astype(np.int64))

    def forward(self, data: Tensor) -> Tensor:
        """``(n, length)`` code points to ``(n, width)``."""
        made = [torch.from_numpy(self._embedded(texts.decoded(part))) for part in torch.split(data, _CHUNK)]
        return torch.cat(made).to(self.kind) if made else self.kind.new_zeros((0, self.width))

    def _learn(self, n: int, runs: Numbers, documents: IntArray) -> None:
        """`n` texts, and in how many of them are the ``(m,)`` runs, which are sorted."""
        self.texts, self.runs, self.documents = n, runs, documents
        self._rarity: FloatArray = np.log((1 + n) / (1 + np.append(documents, 0))) + 1.0

    def _counted(self, found: list[str]) -> Counts:
        return counted(found, self._words, self._characters)

    def _embedded(self, found: list[str]) -> FloatArray:
        counts, n = self._counted(found), len(found)
        values = (1.0 + np.log(counts.count)) * self._rarity[self._known(counts.run)]
        of_kind = 2 * counts.text + counts.kind
        values /= np.sqrt(np.bincount(of_kind, values**2, minlength=2 * n))[of_kind]
        place = (counts.run % np.uint64(self.width)).astype(np.int64)
        signs = 1.0 - 2.0 * ((counts.run >> np.uint64(HASH_BITS - 1)) & np.uint64(1)).astype(np.float64)
        sums = np.bincount(self.width * counts.text + place, values * signs, minlength=n * self.width)
        sums = sums.reshape(n, self.width)
        lengths = np.sqrt((sums**2).sum(axis=1, keepdims=True))
        return np.asarray(sums / np.where(lengths > 0.0, lengths, 1.0))

    def _known(self, runs: Numbers) -> IntArray:
        """``(m,)`` places among the known runs; one behind the last for others."""
        at = np.searchsorted(self.runs, runs)
        if len(self.runs) == 0:
            return at
        return np.where(self.runs[np.minimum(at, len(self.runs) - 1)] == runs, at, len(self.runs))


def _merged(runs: Numbers, documents: IntArray, waiting: list[Numbers]) -> tuple[Numbers, IntArray]:
    """Sorted runs and the number of their documents, those of `waiting` joined in."""
    new, counts = np.unique(np.concatenate([*waiting, runs[:0]]), return_counts=True)
    every, back = np.unique(np.concatenate([runs, new]), return_inverse=True)
    return every, np.bincount(back, np.concatenate([documents, counts]), minlength=len(every)).astype(np.int64)
