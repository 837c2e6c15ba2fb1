"""The connection past what is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unalike import Detector, load, save
from unalike.encoders import RawTable, TableMLP
from unalike.encoders.skip import SkipConnection
from unalike.errors import InvalidParameter
from unalike.objectives import SyntheticContrast
from unalike.types import Branch


class Column(nn.Module):
    """One column, times a factor."""

    width = 1

    def __init__(self, column: int, factor: float) -> None:
        super().__init__()
        self.column, self.factor = column, factor

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        return self.factor * data[:, self.column, None]


def test_both_embeddings_have_the_same_spread() -> None:
    data = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 2)))
    first, second = Column(0, 1000.0), Column(1, 0.01)
    joined = SkipConnection(first, second)
    joined.measure(first(data).numpy(), second(data).numpy())
    np.testing.assert_allclose(joined(data).numpy().std(axis=0), [1.0, 1.0], rtol=1e-12)
    assert joined(data).shape[1] == joined.width == 2


def test_the_weight_of_the_skip_is_that_of_its_squared_distances() -> None:
    data = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 2)))
    joined = SkipConnection(Column(0, 3.0), Column(1, 5.0), 4.0)
    joined.measure(3.0 * data[:, :1].numpy(), 5.0 * data[:, 1:].numpy())
    np.testing.assert_allclose(joined(data).numpy().var(axis=0), [1.0, 4.0], rtol=1e-12)
    with pytest.raises(InvalidParameter, match="skip_weight"):
        SkipConnection(Column(0, 3.0), Column(1, 5.0), 0.0)


def test_an_embedding_without_spread_is_left_as_it_is() -> None:
    data = torch.ones(5, 2, dtype=torch.float64)
    joined = SkipConnection(Column(0, 3.0), Column(1, 1.0))
    joined.measure(np.full((5, 1), 3.0), np.ones((5, 1)))
    np.testing.assert_array_equal(joined(data).numpy(), [[3.0, 1.0]] * 5)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(120, 3))


def _branch(skip: object) -> Branch:
    return Branch(
        name="contrast", encoder=TableMLP(hidden=(8,)), objective=SyntheticContrast(), scorer="knn", skip=skip
    )


def test_the_scorer_sees_the_input_beside_the_trained_embedding(rows: np.ndarray) -> None:
    plain, with_skip = (
        Detector("table", branches=[_branch(skip)], training={"steps": 5}, calibration_fraction=0.0).fit(rows)
        for skip in (None, RawTable())
    )
    trained, joined = plain.embed(rows), with_skip.embed(rows)
    assert trained.shape == (120, 8)
    assert joined.shape == (120, 8 + 6)
    spread = np.sqrt(trained[plain.split_.train].var(axis=0).sum())
    np.testing.assert_allclose(joined[:, :8], trained / spread, rtol=1e-4, atol=1e-6)
    floor = with_skip.branches_[0].untrained
    assert floor is not None
    assert isinstance(floor.encoder, SkipConnection)


def test_saved_and_loaded_it_scores_the_same(rows: np.ndarray, tmp_path: Path) -> None:
    settings = {"training": {"steps": 5}, "calibration_fraction": 0.0}
    detector = Detector("table", branches=[_branch(RawTable())], **settings).fit(rows)
    save(detector, tmp_path / "m.unalike")
    restored = load(tmp_path / "m.unalike")
    np.testing.assert_array_equal(restored.anomaly_scores(rows), detector.anomaly_scores(rows))
    assert restored.branches_[0].settings == replace(detector.branches_[0].settings)
