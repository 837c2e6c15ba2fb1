from __future__ import annotations

import numpy as np
import pytest
from tests.training.parts import Pull, fit, make, rows, same_weights
from torch import Tensor

from unalike.seeding import RowGenerator
from unalike.types import Batch, Training, View


class Note(Pull):
    def __init__(self, encoder) -> None:
        super().__init__(encoder)
        self.batches: list[Batch] = []
        self.watched: list[Batch] = []

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        (self.batches if self.training else self.watched).append(batch)
        return super().forward(batch, views, generator)


SETTINGS = Training(epochs=3, batch_size=16, learning_rate=1e-2)


def noted(n_anomalies: int, settings: Training = SETTINGS, **known) -> Note:
    objective = Note(make().encoder)
    fit(objective, settings, rows(48, n_anomalies, **known))
    return objective


def test_every_batch_ends_with_labelled_anomalies_and_the_normal_rows_keep_their_order() -> None:
    objective, plain = noted(6), noted(0)
    data = rows(48, 6).load(np.arange(54))
    for ours, theirs in zip(objective.batches, plain.batches, strict=True):
        assert theirs.label is None
        index = ours.index.tolist()
        assert index[:16] == theirs.index.tolist()
        assert len(index) == 18
        assert all(48 <= row < 54 for row in index[16:])
        assert len(set(index[16:])) == 2  # without replacement
        assert ours.label.tolist() == [0] * 16 + [1] * 2
        assert (ours.data == data[index]).all()
    assert len({tuple(batch.index.tolist()[16:]) for batch in objective.batches}) > 3


def test_the_anomalies_change_the_weights_and_only_with_them() -> None:
    assert same_weights(noted(0), noted(0))
    assert same_weights(noted(6), noted(6))
    assert not same_weights(noted(0), noted(6))


@pytest.mark.parametrize(("batch_size", "n_anomalies", "drawn"), [(4, 3, 1), (16, 1, 2), (48, 2, 6), (48, 60, 6)])
def test_one_for_every_eight_normal_rows_at_least_one(batch_size: int, n_anomalies: int, drawn: int) -> None:
    objective = noted(n_anomalies, Training(epochs=1, batch_size=batch_size, learning_rate=1e-2))
    for batch in objective.batches:
        last = batch.index.tolist()[batch_size:]
        assert len(last) == drawn
        assert len(set(last)) == drawn or n_anomalies < drawn


def test_each_anomaly_is_a_group_of_its_own() -> None:
    objective = noted(6, group=np.repeat(np.arange(12), 4), time=np.arange(48))
    for batch in objective.batches:
        anomalies = batch.label == 1
        groups = batch.group[anomalies].tolist()
        assert len(set(groups)) == len(set(batch.index[anomalies].tolist()))
        assert not set(groups) & set(range(12))
        assert batch.time[anomalies].tolist() == [-1] * len(groups)
        assert (batch.time[~anomalies] == batch.index[~anomalies]).all()


def test_the_held_out_loss_is_that_of_normal_rows() -> None:
    objective = noted(6, Training(**{**vars(SETTINGS), "patience": 5}))
    assert objective.watched
    assert all((batch.index < 48).all() for batch in objective.watched)
    assert all(batch.label.tolist() == [0] * len(batch.index) for batch in objective.watched)


def test_anomalies_with_accumulation_join_every_batch() -> None:
    objective = noted(6, Training(epochs=1, batch_size=8, accumulate=3, learning_rate=1e-2))
    assert [batch.label.sum().item() for batch in objective.batches] == [1] * 6
    assert len({batch.index[-1].item() for batch in objective.batches}) > 1
