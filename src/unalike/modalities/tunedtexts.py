"""The branches that texts are judged by, where the user names none."""

from __future__ import annotations

from typing import Any

from unalike.encoders.lexical import Lexical
from unalike.encoders.pretrained import PretrainedText
from unalike.scorers.neighbors import KNN
from unalike.types import Branch


def branches(model: Any) -> tuple[Branch, ...]:
    """Nearest neighbours by words and letters and, where there is one, in the embedding of a pretrained model.

    Nothing trains: what was tried from scratch stayed below the words (docs/texts.md).

    Parameters
    ----------
    model
        As in `modalities.Text`.
    """
    near = KNN(k=5, metric="cosine", distance="mean")
    lexical = Branch(name="lexical", encoder=Lexical(), scorer=near, weight=1.0 if model is None else 0.3)
    if model is None:
        return (lexical,)
    return Branch(name="meaning", encoder=PretrainedText(model=model), scorer=near), lexical
