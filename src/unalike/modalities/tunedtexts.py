"""The branches that texts are judged by, where the user names none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unalike.encoders.lexical import Lexical
from unalike.encoders.pretrained import PretrainedText
from unalike.encoders.tokencontext import TokenContext
from unalike.objectives.tokens import TokenPrediction
from unalike.scorers.neighbors import KNN
from unalike.scorers.objective import ObjectiveScore
from unalike.scorers.ratio import NeighborRatio
from unalike.types import Branch, Training


def branches(model: Any) -> tuple[Branch, ...]:
    """Nearest neighbours by words and letters and, where there is one, in the embedding of a pretrained model.

    Beside them a small network that learns which words belong together; with a model, from its tokens. The weights
    were chosen on training texts (docs/decisions/0015).

    Parameters
    ----------
    model
        As in `modalities.Text`.
    """
    near = KNN(k=5, metric="cosine", distance="mean")
    lexical = Branch(name="lexical", encoder=Lexical(), scorer=near, weight=1.0 if model is None else 0.7)
    tokens = Branch(
        name="tokens",
        encoder=TokenContext(model=model),
        objective=TokenPrediction(),
        scorer=ObjectiveScore(held_out=0.15),
        training=Training(
            steps=300, batch_size=32, optimizer="adamw", learning_rate=3e-3, weight_decay=0.01, warmup=0.3
        ),
        weight=0.1 if model is None else 0.15,
    )
    if model is None:
        return lexical, tokens
    return Branch(name="meaning", encoder=PretrainedText(model=model), scorer=near), lexical, tokens


def labelled_branches(model: Any) -> tuple[Branch, ...]:
    """Beside them where there are labelled anomalies: which is nearer, a normal text or one of those?

    Parameters
    ----------
    model
        As in `modalities.Text`.
    """
    words = Branch(name="labelled-lexical", encoder=Lexical(), scorer=NeighborRatio(log=False), weight=2.0)
    if model is None:
        return (words,)
    return replace(words, name="labelled-meaning", encoder=PretrainedText(model=model)), words
