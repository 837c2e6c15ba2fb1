"""The branches that tables are judged by, where the user names none."""

from __future__ import annotations

from dataclasses import replace

from unalike.encoders.mlp import TableMLP
from unalike.encoders.raw import RawTable
from unalike.objectives.synthetic import SyntheticContrast
from unalike.scorers.neighbors import KNN
from unalike.scorers.ratio import NeighborRatio
from unalike.types import Branch, Training


def branches(levels: tuple[int, ...]) -> tuple[Branch, ...]:
    """Two networks that tell real rows from synthetic ones, the input beside them; the input in two scalings.

    Parameters
    ----------
    levels : tuple of int
        Per column of the tensors the number of codes, 0 for a numeric one.
    """
    synthetic = Training(steps=300, batch_size=128, optimizer="adamw", weight_decay=1e-4, warmup=0.0)
    contrast = Branch(
        name="contrast",
        encoder=TableMLP(activation="silu"),
        objective=SyntheticContrast(levels=levels, shell_radii=(0.3, 3.0)),
        scorer=KNN(k=1),
        training=synthetic,
        skip=RawTable(),
        skip_weight=2.0,
    )
    return (
        contrast,
        # One of the two asks five, so that an anomaly among the training rows cannot make its like look normal.
        replace(contrast, name="contrast-again", scorer=KNN(k=5)),
        Branch(name="nearest-log", encoder=RawTable(scaling="signed-log"), scorer=KNN(k=1)),
        Branch(name="nearest-quantile", encoder=RawTable(scaling="quantile"), scorer=KNN(k=1), weight=0.5),
    )


def labelled_branches() -> tuple[Branch, ...]:
    """Beside them where there are labelled anomalies (docs/decisions/0009)."""
    near = Branch(name="labelled", encoder=RawTable(), scorer=NeighborRatio(), weight=0.5)
    return near, replace(near, name="labelled-quantile", encoder=RawTable(scaling="quantile"))
