from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.training.parts import Pull, fit, jitter, make, rows
from torch import Tensor, nn

from unalike.errors import InvalidParameter, TrainingFailed, TrainingWarning
from unalike.seeding import RowGenerator
from unalike.training import total_steps
from unalike.types import Batch, Training, View


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_loss_falls_and_the_weights_move(optimizer: str) -> None:
    objective = make()
    before = [p.clone() for p in objective.encoder.parameters()]
    rate = 0.1 if optimizer == "sgd" else 1e-2
    history = fit(objective, Training(epochs=40, batch_size=25, optimizer=optimizer, learning_rate=rate))
    assert history[-1]["loss"] < 0.8 * history[1]["loss"]
    assert all(not torch.equal(old, new) for old, new in zip(before, objective.encoder.parameters(), strict=True))


def test_history_has_every_sign() -> None:
    history = fit(make(), Training(epochs=3, batch_size=25))
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert [row["step"] for row in history] == [0, 2, 4, 6]
    signs = {"loss", "learning_rate", "alignment", "uniformity", "effective_rank", "spread", "rows_per_second"}
    assert signs < set(history[0])
    assert np.isnan(history[0]["loss"])
    assert np.isfinite([history[1][sign] for sign in sorted(signs)]).all()


def test_one_seed_gives_one_result_and_global_state_stays() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second, other = make(), make(), make()
    fit(first, Training(epochs=2, batch_size=16))
    fit(second, Training(epochs=2, batch_size=16))
    fit(other, Training(epochs=2, batch_size=16), seed=1)
    weights = [objective.encoder[0].weight for objective in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()


def test_the_loop_equals_a_plain_one() -> None:
    """The same steps written out: nothing but schedule, order and generator seeds is the loop's own."""
    from unalike.seeding import derive, numpy_generator

    ours, twin = make(), make()
    settings = Training(epochs=3, batch_size=25, learning_rate=0.05, optimizer="sgd", warmup=0.0)
    fit(ours, settings)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    data = rows().load(np.arange(50))
    for epoch in range(1, 4):
        order = numpy_generator(0, "order", epoch).permutation(50)
        for positions in (order[:25], order[25:]):
            index = torch.from_numpy(positions)
            loss = twin(Batch(data[index], index), jitter, RowGenerator(derive(0, "views", epoch), index))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    for mine, theirs in zip(ours.encoder.parameters(), twin.encoder.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("n", "batch", "sizes"), [(3, 256, {3}), (50, 16, {16, 17}), (257, 256, {257}), (1, 8, {1})])
def test_fewer_rows_than_a_batch_train_and_no_row_is_dropped(n: int, batch: int, sizes: set[int]) -> None:
    objective = make()
    settings = Training(epochs=1, batch_size=batch, learning_rate=1e-2)
    if n == 1:
        with pytest.raises(TrainingFailed, match="not one moved"):
            fit(objective, settings, n)
    else:
        fit(objective, settings, n)
    assert set(objective.sizes) == sizes
    assert sum(objective.sizes) == n


def test_training_ends_at_the_first_of_steps_and_epochs() -> None:
    assert total_steps(50, Training(batch_size=10)) == 250
    assert total_steps(50, Training(batch_size=10, epochs=2)) == 10
    assert total_steps(50, Training(batch_size=10, epochs=2, steps=7)) == 7
    assert total_steps(50, Training(batch_size=10, epochs=1, steps=7)) == 5
    objective = make()
    fit(objective, Training(steps=7, batch_size=10))
    assert objective.steps_seen == len(objective.sizes) == 7 == total_steps(50, Training(steps=7, batch_size=10))
    assert objective.prepared_with == (50, 5)


def test_warm_up_then_cosine_to_zero() -> None:
    history = fit(make(), Training(epochs=20, batch_size=50, warmup=0.25, learning_rate=0.01))
    rates = [row["learning_rate"] for row in history]
    assert rates[0] < rates[3] < rates[5]
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)
    assert all(later < earlier for earlier, later in pairwise(rates[5:]))


class Deaf(Pull):
    """Its loss does not depend on the encoder: the bug that PyOD's DeepSVDD shipped for two years."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__(encoder)
        self.other = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        return self.other**2


class Broken(Pull):
    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        return super().forward(batch, views, generator) * torch.tensor(float("nan"))


class Collapse(Pull):
    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        return (self.encoder(batch.data) - 1.0).pow(2).mean()


def test_training_that_moved_nothing_fails_loudly() -> None:
    with pytest.raises(TrainingFailed, match="not one moved"):
        fit(Deaf(make().encoder), Training(epochs=1))


@pytest.mark.parametrize("gradient_clip", [None, 1.0])
def test_a_loss_that_is_not_finite_fails_loudly(gradient_clip: float | None) -> None:
    with pytest.raises(TrainingFailed, match="finite"):
        fit(Broken(make().encoder), Training(epochs=1, gradient_clip=gradient_clip))


def test_a_collapse_warns_loudly() -> None:
    with pytest.warns(TrainingWarning, match="collapsed"):
        fit(Collapse(make().encoder), Training(epochs=300, learning_rate=1e-2, batch_size=50))


def test_frozen_weights_cannot_train() -> None:
    objective = make()
    objective.requires_grad_(False)
    with pytest.raises(TrainingFailed, match="has none"):
        fit(objective, Training(epochs=1))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"optimizer": "lamb"}, "optimizer"),
        ({"epochs": 0}, "epochs"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"warmup": 1.0}, "warmup"),
        ({"accumulate": 0}, "accumulate"),
        ({"accumulate": True}, "accumulate"),
        ({"accumulate": None}, "accumulate"),
        ({"batch_size": None}, "batch_size"),
        ({"patience": 0}, "patience"),
        ({"patience": 1.5}, "patience"),
        ({"held_out": 0.0}, "held_out"),
        ({"held_out": 1.0}, "held_out"),
        ({"held_out": "0.1"}, "held_out"),
        ({"held_out": float("nan")}, "held_out"),
        ({"checkpoint_every": -1.0}, "checkpoint_every"),
        ({"checkpoint_every": None}, "checkpoint_every"),
        ({"precision": "16-true"}, "precision"),
        ({"precision": "16-mixed"}, "on the CPU"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        fit(make(), dataclasses.replace(Training(), **change))
