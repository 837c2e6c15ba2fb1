"""Explanations of texts: which words, and where they stand in the text as the user gave it.

A word is guilty as far as the score falls when it alone is left out. A long text is searched in two stages, first by
runs of words and then word by word in those runs whose absence lowers the score most, so that its cost does not grow
with its length. Going on from a text without its guiltiest word, as the search in tables does, found fewer of several
planted words (docs/explanations.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unalike.branch import FittedBranch, encoded_scores
from unalike.data import count, take
from unalike.decisions import Explanation, Explanations, Part
from unalike.embeddings import embed_batch
from unalike.explanation.documents import Document, Trial, documents
from unalike.explanation.samples import check_most_places, chosen_positions
from unalike.explanation.search import NEIGHBOURS, Scores
from unalike.memory import Memory
from unalike.scorers.fusion import Fusion
from unalike.types import Collection, FloatArray, IntArray, Worded

TRIALS = 64
"""Of one text at a time, at most."""
PARTS = 4
"""Of a long text that are searched: those that score highest."""

_AT_ONCE = 32
"""Texts that are explained together."""

Fused = Callable[[Collection], tuple[FloatArray, FloatArray, IntArray]]
"""Checked samples to their ``(n,)`` scores, the ``(n_parts,)`` scores of their parts, and what sample each is of."""


@dataclass(frozen=True)
class Reader:
    """What explains texts: a fitted detector's parts.

    Parameters
    ----------
    modality : Worded
        Fitted.
    branches : sequence of FittedBranch
        All of them.
    fusion : Fusion
        Fitted.
    fused : callable
        As decisions are made on.
    memory : Memory
        Knows the names of the normal texts.
    device : torch.device
        Where to embed.
    """

    modality: Worded
    branches: Sequence[FittedBranch]
    fusion: Fusion
    fused: Fused
    memory: Memory
    device: torch.device

    def explain(self, X: Collection, only: object, most_places: int) -> Explanations:
        """One explanation for each chosen text of checked `X`.

        Of a text with ``w`` words and ``p`` parts at most ``p + min(w, 64) + 4 most_places`` parts are scored, and 64
        more where it has more than 64 words; a word that is cut in two by the end of a part counts twice.

        Parameters
        ----------
        X : collection
            Checked texts.
        only : array-like, optional
            As `Detector.explain`.
        most_places : int
            At most so many words of each text.
        """
        check_most_places(most_places)
        positions = chosen_positions(only, count(X))
        made: list[Explanation] = []
        if len(positions):
            chosen = take(X, positions)
            names = self.modality.ids(X)[positions].tolist()
            scores, of_parts, owner = self.fused(chosen)
            for start in range(0, len(positions), _AT_ONCE):
                at = np.arange(start, min(start + _AT_ONCE, len(positions)))
                own = [of_parts[owner == sample] for sample in at]
                made += self._some(take(chosen, at), names[start : start + _AT_ONCE], scores[at], own, most_places)
        return Explanations(tuple(made), ends=("start", "end"))

    def _some(
        self, X: Collection, names: Sequence[object], scores: FloatArray, parts: list[FloatArray], most: int
    ) -> list[Explanation]:
        usual = self._usual()
        found = [
            WordSearch(document, self._join, own, float(score), usual, most)
            for document, own, score in zip(documents(self.modality, X), parts, scores, strict=True)
        ]
        search(found, lambda data: encoded_scores(self.branches, self.fusion, data, self.device))
        nearest = self._nearest([one.rest() for one in found])
        lines = getattr(X, "lines", None)  # of sessions: the rows that each text is made of
        return [
            _told(one, str(name), near, None if lines is None else lines[at])
            for at, (one, name, near) in enumerate(zip(found, names, nearest, strict=True))
        ]

    def _join(self, parts: FloatArray) -> FloatArray:
        """``(t,)`` scores of a text from ``(t, p)`` scores of its parts."""
        many, each = parts.shape
        return self.modality.join(parts.ravel(), np.repeat(np.arange(many), each), many)

    def _usual(self) -> float:
        """The fused score of a text that has the median reference score by each branch."""
        medians = {name: np.median(scores, keepdims=True) for name, scores in self.fusion.references_.items()}
        return float(self.fusion.score(medians)[0])

    def _nearest(self, rests: Sequence[Tensor]) -> list[tuple[str, ...]]:
        """Names of the normal texts that are nearest to each part, by the first branch that knows neighbours."""
        names = self.memory.bank_ids()
        for branch in self.branches:
            scorer = branch.judge.scorer
            known = names is not None and len(getattr(scorer, "bank_", ())) == len(names)
            if known and hasattr(scorer, "neighbors") and self.fusion.weight(branch.settings.name) > 0.0:
                assert names is not None  # noqa: S101  it is known
                embedded = embed_batch(branch.judge.encoder, torch.cat(list(rests)), self.device)
                # Parts of one text count once.
                found = scorer.neighbors(embedded, NEIGHBOURS * PARTS)[1]
                return [tuple(dict.fromkeys(names[row].tolist()))[:NEIGHBOURS] for row in found]
        return [()] * len(rests)


class WordSearch:
    """The search for the guilty words of one text.

    Attributes
    ----------
    found : list of int
        Guilty units of the document, that of the largest share first.
    shares : ndarray
        ``(found,)``: by how much the score falls without each of them alone, in units of what the text scores above a
        usual one, or of all such falls where these are more.
    left : list of float
        The scores of the text without the first of them, without the first two, and so on.
    """

    def __init__(
        self,
        document: Document,
        join: Callable[[FloatArray], FloatArray],
        parts: FloatArray,
        score: float,
        usual: float,
        most: int,
    ) -> None:
        self.document, self.score, self.usual = document, score, usual
        self.found: list[int] = []
        self.left: list[float] = []
        self.shares: FloatArray = np.zeros(0)
        self._join, self._parts, self._most = join, parts, most
        worst = np.argsort(-parts, kind="stable")[:PARTS]
        self.trials = _runs(document.units_in(worst))
        if document.lone:  # nothing would be left of it
            self.trials, self.found = [], [0] if score > usual else []
            self.shares, self.left = np.ones(len(self.found)), [usual] * len(self.found)

    def take(self, scores: FloatArray, number: IntArray, part: IntArray) -> bool:
        """Go on from the scores of ``document.without(trials)``, whose rows `number` and `part` tell.

        Whether there is more to ask.
        """
        parts = np.tile(self._parts, (len(self.trials), 1))
        parts[number, part] = scores
        joined = self._join(parts)
        size = max(len(trial) for trial in self.trials)
        if self.found:
            self.left = joined.tolist()
            return False
        if size > 1:
            best = np.argsort(joined, kind="stable")[: max(TRIALS // size, 1)]
            self.trials = [(unit,) for run in sorted(best.tolist()) for unit in self.trials[run]]
            return True
        self._choose(np.maximum(self.score - joined, 0.0))
        self.trials = [tuple(self.found[: many + 1]) for many in range(len(self.found))]
        return len(self.found) > 0

    def _choose(self, falls: FloatArray) -> None:
        shares = falls / max(self.score - self.usual, float(falls.sum()), np.finfo(np.float64).tiny)
        chosen: list[int] = []
        for at in np.argsort(-falls, kind="stable").tolist():
            units = [*self.found, *self.trials[at]]
            if falls[at] > 0.0 and len(chosen) < self._most and self.document.leaves_some(units):
                chosen.append(at)
                self.found = units
        self.shares = shares[chosen]

    def rest(self) -> Tensor:
        """``(1, length)``: the part that scores highest, without the guilty words."""
        return self.document.rest([] if self.document.lone else self.found, int(self._parts.argmax()))


def search(searches: Sequence[WordSearch], score: Scores) -> None:
    """Finish the searches, all of them scored together."""
    active = [one for one in searches if one.trials]
    while active:
        asked = [one.document.without(one.trials) for one in active]
        ends = np.cumsum([len(rows) for rows, _, _ in asked])[:-1]
        scores = np.split(score(torch.cat([rows for rows, _, _ in asked])), ends)
        active = [
            one
            for one, own, (_, number, part) in zip(active, scores, asked, strict=True)
            if one.take(own, number, part)
        ]


def _runs(units: list[int]) -> list[Trial]:
    """At most `TRIALS` runs of as many units each."""
    size = -(-len(units) // TRIALS)
    return [tuple(units[at : at + size]) for at in range(0, len(units), max(size, 1))]


def _told(found: WordSearch, name: str, nearest: tuple[str, ...], rows: IntArray | None) -> Explanation:
    document = found.document
    picture = np.zeros(len(document.text))
    parts = []
    for unit, share, without in zip(found.found, found.shares.tolist(), found.left, strict=True):
        start, end = document.spans[unit]
        picture[start:end] = share
        value = document.text[start:end]
        parts.append(Part(_place(document, unit, rows), share, value, None, (start, end), without))
    return Explanation(name, found.score, tuple(parts), nearest, picture)


def _place(document: Document, unit: int, rows: IntArray | None) -> str:
    """Which word of which line, counted from 0; of sessions the user's row that the line is."""
    lines = document.text.count("\n") + 1
    start = document.spans[unit][0]
    line = document.text.count("\n", 0, start)
    begins = document.text.rfind("\n", 0, start) + 1
    word = sum(begins <= first < start for first, _ in document.spans[:unit])
    if rows is not None and len(rows) == lines:
        return f"row {rows[line]}, word {word}"
    return f"word {word}" if lines == 1 else f"line {line}, word {word}"


def most_scored(most_places: int) -> int:
    """Parts of one text that are scored at most, beside its own: what `Reader.explain` states."""
    return 2 * TRIALS + PARTS * most_places
