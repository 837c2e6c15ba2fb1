from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.parts import Pull, fit, make, rows, same_weights
from torch import Tensor

from unalike.errors import InvalidParameter, TrainingFailed
from unalike.seeding import RowGenerator, derive
from unalike.training import TrainingRows, total_steps
from unalike.types import Batch, Training, View


class Overfit(Pull):
    """Learns numbers that no other row has: on held-out rows it soon gets worse. Notes what it sees."""

    def __init__(self, encoder) -> None:
        super().__init__(encoder)
        self.trained: set[int] = set()
        self.held_out: list[tuple[tuple[int, ...], float]] = []
        self.weights: list[dict[str, Tensor]] = []

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        target = RowGenerator(9, batch.index).normal(8)
        loss = (self.encoder(views(batch.data, generator)) - target).square().mean()
        if self.training:
            assert torch.is_grad_enabled()
            self.trained |= set(batch.index.tolist())
        else:
            assert not torch.is_grad_enabled()
            self.held_out.append((tuple(batch.index.tolist()), float(loss)))
            self.weights.append({name: values.clone() for name, values in self.encoder.state_dict().items()})
        return loss


EAGER = Training(epochs=60, batch_size=20, learning_rate=3e-2, patience=4, held_out=0.2)


def test_training_stops_and_the_best_weights_are_kept() -> None:
    objective = Overfit(make().encoder)
    history = fit(objective, EAGER, 100)
    losses = [loss for _, loss in objective.held_out]
    best = int(np.argmin(losses[1:])) + 1
    assert len(losses) - 1 == best + 4 < 60
    kept = objective.encoder.state_dict()
    assert all(torch.equal(kept[name], values) for name, values in objective.weights[best].items())
    assert [row["held_out_loss"] for row in history] == [pytest.approx(losses[int(row["epoch"])]) for row in history]
    assert history[-1]["best_epoch"] == best
    assert history[-1]["epoch"] == best + 4


def test_held_out_rows_never_train_and_meet_the_same_views_in_every_epoch() -> None:
    objective = Overfit(make().encoder)
    fit(objective, EAGER, 100)
    held_out = {row for index, _ in objective.held_out for row in index}
    assert len(held_out) == 20
    assert len(objective.trained) == 80
    assert not held_out & objective.trained
    assert len({index for index, _ in objective.held_out}) == 1
    index, loss = objective.held_out[3]
    objective.encoder.load_state_dict(objective.weights[3])
    batch = Batch(rows(100).load(np.array(index)), torch.tensor(index))
    from tests.training.parts import jitter

    objective.eval()
    with torch.no_grad():
        again = objective(batch, jitter, RowGenerator(derive(0, "held out"), batch.index))
    assert float(again) == loss


def test_the_seed_draws_what_is_held_out() -> None:
    drawn = []
    for seed in (0, 0, 1):
        objective = Overfit(make().encoder)
        fit(objective, Training(**{**vars(EAGER), "epochs": 1}), 100, seed)
        drawn.append(objective.held_out[0][0])
    assert drawn[0] == drawn[1] != drawn[2]


def test_whole_groups_and_the_latest_times_are_held_out() -> None:
    one = Training(**{**vars(EAGER), "epochs": 1})
    group = np.repeat(np.arange(20), 5)
    objective = Overfit(make().encoder)
    fit(objective, one, rows(100, group=group))
    assert len(objective.trained) < 100
    assert not {int(group[row]) for row in objective.trained} & {int(group[row]) for row in objective.held_out[0][0]}
    objective = Overfit(make().encoder)
    fit(objective, one, rows(100, time=np.arange(100)[::-1].copy()))
    assert objective.held_out[0][0] == tuple(range(20))


def test_the_schedule_spans_the_full_length() -> None:
    settings = Training(**{**vars(EAGER), "warmup": 0.0})
    history = fit(Overfit(make().encoder), settings, 100)
    assert total_steps(100, settings) == 240
    step = history[-1]["step"]
    assert step < 240
    assert history[-1]["learning_rate"] == pytest.approx(3e-2 * 0.5 * (1 + np.cos(np.pi * step / 240)))


def test_patience_that_never_ends_trains_as_without_it_on_the_rows_that_are_left() -> None:
    """Watching changes nothing: dropout draws the same numbers, and batch statistics do not move."""

    class Still(Pull):
        def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
            loss = super().forward(batch, views, generator)
            return loss if self.training else -loss * 0 - float(self.steps_seen)

    settings = Training(epochs=3, batch_size=20, patience=50, held_out=0.25, learning_rate=1e-2)
    watched, plain = Still(make(dropout=0.5).encoder), Pull(make(dropout=0.5).encoder)
    fit(watched, settings, rows(80, time=np.arange(80)))
    fit(plain, Training(**{**vars(settings), "patience": None}), rows(60))
    # The last 20 rows are held out, so the first 60 train, in the same order.
    assert same_weights(watched, plain)


def test_without_patience_nothing_is_held_out_and_the_history_is_as_before() -> None:
    objective = Overfit(make().encoder)
    history = fit(objective, Training(epochs=2, batch_size=20), 100)
    assert len(objective.trained) == 100
    assert objective.held_out == []
    assert "held_out_loss" not in history[-1]


@pytest.mark.parametrize(
    ("given", "share"),
    [(rows(3), 0.1), (rows(3), 0.9), (rows(40, group=np.zeros(40, dtype=np.int64)), 0.1)],
    ids=["nothing to hold out", "nothing to train on", "one group"],
)
def test_too_few_rows_for_it_are_told(given: TrainingRows, share: float) -> None:
    with pytest.raises(InvalidParameter, match="patience"):
        fit(make(), Training(epochs=1, patience=1, held_out=share), given)


def test_a_held_out_loss_that_is_not_finite_fails_loudly() -> None:
    class Broken(Pull):
        def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
            loss = super().forward(batch, views, generator)
            return loss if self.training else loss * torch.tensor(float("inf"))

    with pytest.raises(TrainingFailed, match="held-out"):
        fit(Broken(make().encoder), Training(epochs=1, patience=1))
