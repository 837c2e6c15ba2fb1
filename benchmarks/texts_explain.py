"""``python -m benchmarks.texts_explain``: does `explain` name the words that were planted?

The default detector trains on normal texts, without a pretrained model (``scratch``) and with MiniLM (``minilm``). Into
held-out normal texts 1, 2 or 4 foreign words are put, at random places: words of the set's anomalous texts, drawn as
often as they come there, that are in at most 1% of the training texts. With m words planted, the hit rate is the share
of them among the m that are named first. Beside it stands that of naming the words that are in the fewest training
texts, and of chance.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import harness, plantings, texts_data
from benchmarks.results import Values
from unalike import texts

MODELS = ("scratch", "minilm")
PLANTED = (1, 2, 4)
EXTRA = ("reached", "hit", "rarest", "chance", "explain_s")
SETS = ("sms_spam", "ag_news/Business", "ag_news/Sci-Tech", "ag_news/Sports", "ag_news/World")
_TEXTS = 40
_MOST_FREQUENT = 0.01
_SHORTEST = 3
_SEED = 0
_PRELOAD = ("unalike.detector", "unalike.modalities.text", "lightning_fabric")

Span = tuple[int, int]


@dataclass(frozen=True)
class Planted:
    """A text with foreign words.

    Parameters
    ----------
    text : str
        With them.
    spans : list of (int, int)
        Where they are.
    """

    text: str
    spans: list[Span]

    @staticmethod
    def into(text: str, foreign: Sequence[str], generator: np.random.Generator) -> Planted:
        """Each before another word that begins the text or follows white space or a mark."""
        gaps = np.array([at for at, _ in words_of(text) if at == 0 or not text[at - 1].isalnum()] or [0])
        places = generator.choice(gaps, len(foreign), replace=len(gaps) < len(foreign))
        made, spans, done = "", [], 0
        for place, word in zip(sorted(places.tolist()), foreign, strict=True):
            made += text[done:place]
            spans.append((len(made), len(made) + len(word)))
            made, done = f"{made}{word} ", place
        return Planted(made + text[done:], spans)


def words_of(text: str) -> list[Span]:
    """Where the words of a text are."""
    numbers = texts.words(texts.encoded([text], len(text)))[0].numpy()
    edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist()
    return [(start, end) for start, end in pairwise(edges) if numbers[start] >= 0]


def foreign_words(train: Sequence[str], anomalies: Sequence[str]) -> tuple[list[str], list[float]]:
    """What may be planted, and its share of all that may be."""
    known = documents_with(train)
    counts = Counter(text[a:b] for text in anomalies for a, b in words_of(text))
    found = {
        word: many
        for word, many in sorted(counts.items())
        if len(word) >= _SHORTEST and word.isalpha() and known[word.lower()] <= _MOST_FREQUENT * len(train)
    }
    total = sum(found.values())
    return list(found), [many / total for many in found.values()]


def documents_with(train: Sequence[str]) -> Counter[str]:
    """In how many texts each word is, in lower case."""
    return Counter(word for text in train for word in {text[a:b].lower() for a, b in words_of(text)})


def rarest(text: str, known: Counter[str]) -> list[Span]:
    """Words in the order of how few training texts have them, and as they come."""
    return sorted(words_of(text), key=lambda span: known[text[span[0] : span[1]].lower()])


def hit_rate(named: Sequence[Sequence[Span]], planted: Sequence[Planted]) -> float:
    """Share of the planted words among the first m that are named."""
    hits = [len(set(row[: len(one.spans)]) & set(one.spans)) for row, one in zip(named, planted, strict=True)]
    return float(np.mean([many / len(one.spans) for many, one in zip(hits, planted, strict=True)]))


def outcomes(place: texts_data.Place, model: str) -> Mapping[str, Values]:
    """The lines of one set by one detector."""
    from benchmarks.texts_peers import minilm
    from unalike import Detector
    from unalike.modalities import Text

    data = texts_data.read(place, _SEED)
    normal = [text for text, label in zip(data.test, data.label, strict=True) if not label]
    foreign, chances = foreign_words(data.train, [t for t, label in zip(data.test, data.label, strict=True) if label])
    known = documents_with(data.train)
    started = time.perf_counter()
    modality: Any = Text(model=minilm() if model == "minilm" else None)
    detector = Detector(modality, random_state=_SEED).fit(data.train)
    fit_s = time.perf_counter() - started
    untouched = detector.anomaly_scores(normal[_TEXTS:])
    found: dict[str, Values] = {}
    for m in PLANTED:
        generator = np.random.default_rng([_SEED, m])
        drawn = [generator.choice(foreign, m, replace=False, p=chances).tolist() for _ in normal[:_TEXTS]]
        planted = [Planted.into(text, words, generator) for text, words in zip(normal, drawn, strict=False)]
        started = time.perf_counter()
        explained = detector.explain([one.text for one in planted], most_places=m)
        seconds = (time.perf_counter() - started) / len(planted)
        scores = [one.score for one in explained]
        labels = np.repeat([0, 1], [len(untouched), len(scores)])
        named = [[part.at for part in one.parts if part.at is not None] for one in explained]
        values = (
            float(roc_auc_score(labels, np.concatenate([untouched, scores]))),
            hit_rate(named, planted),
            hit_rate([rarest(one.text, known) for one in planted], planted),
            float(np.mean([m / len(words_of(one.text)) for one in planted])),
            seconds,
        )
        empty = dict.fromkeys(("auroc", "auprc", "f1", "score_s", "peak_mb"), math.nan)
        found[f"{model}/{m}"] = {**empty, "fit_s": fit_s, **dict(zip(EXTRA, values, strict=True))}
    return found


def table(lines: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Header and a line per detector, family of sets and number of words: means over the sets."""
    printed = [["detector", "texts", "sets", "words", "AUROC", "planted first", "rarest words", "chance", "s a text"]]
    families = list(dict.fromkeys(line["data"].split("/")[0] for line in lines))
    for model in MODELS:
        for family in families:
            for m in PLANTED:
                mine = [x for x in lines if x["method"] == f"{model}/{m}" and x["data"].split("/")[0] == family]
                if mine:
                    means = [float(np.mean([float(line[name]) for line in mine])) for name in EXTRA]
                    shown = [f"{means[0]:.2f}", *(f"{mean:.1%}" for mean in means[1:4]), f"{means[4]:.2f}"]
                    printed.append([model, family, str(len(mine)), str(m), *shown])
    return printed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = plantings.parser("texts_explain", __doc__, "folder of .parquet files, as benchmarks.texts takes them")
    parser.add_argument("--sets", type=harness.listed, default=list(SETS))
    parser.add_argument("--models", type=harness.listed, default=list(MODELS))
    options = plantings.parsed(parser, arguments)

    def jobs(folder: Path) -> list[harness.Job]:
        places = texts_data.names_in(folder)
        return [
            harness.Job(
                data=name,
                protocol="planted",
                seed=_SEED,
                methods=tuple(f"{model}/{m}" for m in PLANTED),
                task=partial(outcomes, places[name], model),
            )
            for model in options.models
            for name in options.sets
        ]

    return plantings.run(options, jobs, table, extra=EXTRA, preload=_PRELOAD)


if __name__ == "__main__":
    raise SystemExit(main())
