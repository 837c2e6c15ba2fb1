from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.parts import Pull, fit, make, rows
from torch import Tensor

from unalike.seeding import RowGenerator
from unalike.training import total_steps
from unalike.types import Batch, Training, View


class RowWise(Pull):
    """The mean of a loss that each row pays alone: then batches can be put together and taken apart."""

    def __init__(self, encoder) -> None:
        super().__init__(encoder)
        self.rows_seen: list[int] = []

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        self.sizes.append(len(batch.data))
        self.rows_seen += batch.index.tolist()
        return (self.encoder(views(batch.data, generator)) - batch.data.sum(dim=1, keepdim=True)).square().mean()


@pytest.mark.parametrize("n", [64, 50, 7, 95])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_batches_put_together_equal_one_large_batch(n: int, optimizer: str) -> None:
    usual = Training(
        epochs=3, batch_size=16, optimizer=optimizer, precision="64-true", learning_rate=1e-2, gradient_clip=1.0
    )
    together = Training(**{**vars(usual), "batch_size": 4, "accumulate": 4})
    objectives, histories = [], []
    for settings in (usual, together):
        objectives.append(RowWise(make().encoder))
        histories.append(fit(objectives[-1], settings, rows(n, dtype=np.float64)))
    large, small = objectives
    for one, other in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert large.rows_seen == small.rows_seen
    assert max(small.sizes) <= 5 < max(large.sizes)
    assert large.steps_seen == small.steps_seen == total_steps(n, together)
    for one, other in zip(*histories, strict=True):
        assert one["step"] == other["step"]
        assert one["learning_rate"] == other["learning_rate"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-6, nan_ok=True)


def test_steps_warm_up_and_schedule_count_optimiser_steps() -> None:
    settings = Training(steps=10, batch_size=5, accumulate=2, warmup=0.5, learning_rate=1e-2)
    objective = make()
    history = fit(objective, settings, 40)
    assert total_steps(40, settings) == objective.steps_seen == history[-1]["step"] == 10
    assert len(objective.sizes) == 20
    assert set(objective.sizes) == {5}
    rates = {row["step"]: row["learning_rate"] for row in history}
    assert rates[4] == pytest.approx(1e-2 * 5 / 6)
    assert rates[8] == pytest.approx(1e-2 * 0.5 * (1 + np.cos(np.pi * 3 / 5)))
    assert rates[10] == pytest.approx(0.0, abs=1e-9)


def test_every_row_trains_once_per_epoch_however_the_batches_fall() -> None:
    for n in (3, 17, 33, 41):
        objective = RowWise(make().encoder)
        fit(objective, Training(epochs=1, batch_size=4, accumulate=3, learning_rate=1e-2), n)
        assert sorted(objective.rows_seen) == list(range(n))
        assert min(objective.sizes) >= 2
        assert max(objective.sizes) <= 6
