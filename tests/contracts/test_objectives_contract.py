"""What every objective must do, whatever it contrasts. A new name in NAMES is tested without a line here."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from unalike.objectives import NAMES
from unalike.objectives.build import build_objective
from unalike.objectives.losses import info_nce
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch, Objective

COLUMNS = 4


class Encoder(nn.Module):
    width = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(COLUMNS, 16), nn.Tanh(), nn.Linear(16, self.width))

    def forward(self, data):
        return self.layers(data[..., 0])


class OfTheUser(nn.Module):
    """A user's class: no settings, no `build`, no optional method."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch, views, generator):
        return info_nce(self.encoder(views(batch.data, generator)), self.encoder(views(batch.data, generator)))


def views(data, generator):
    values = data[..., 0] + 0.3 * generator.normal(data.shape[1])
    return torch.stack((values, data[..., 1]), dim=-1)


def rows(n, seed=0):
    """Rows near a line in a space of four columns, so that there is something to learn."""
    draws = RowGenerator(seed, torch.arange(n))
    values = draws.normal(1) * torch.tensor([1.0, -1.0, 0.5, 2.0]) + 0.1 * draws.normal(COLUMNS)
    return torch.stack((values, torch.zeros_like(values)), dim=-1)


def batch_of(data):
    return Batch(data=data, index=torch.arange(len(data)))


@pytest.fixture(params=[*NAMES, OfTheUser], ids=[*NAMES, "of-the-user"])
def objective(request):
    """An objective by name, or the user's class."""
    return request.param


@pytest.fixture
def make(objective):
    def made(seed=0, sample=None):
        with isolated(1):
            encoder = Encoder()
        module = build_objective(objective, encoder, seed)
        if hasattr(module, "prepare"):
            module.prepare(rows(64) if sample is None else sample)
        return module

    return made


def loss_of(module, batch, seed=3):
    return module(batch, views, RowGenerator(seed, batch.index))


def test_it_has_the_shape_of_an_objective(make):
    module = make()
    assert isinstance(module, Objective)
    assert any(parameter is module.encoder.layers[0].weight for parameter in module.parameters())


@pytest.mark.parametrize("n", [1, 2, 16])
def test_the_loss_is_a_finite_scalar_for_any_number_of_rows(make, n):
    loss = loss_of(make(sample=rows(n)), batch_of(rows(n)))
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert loss.item() >= 0.0


def test_every_parameter_gets_a_gradient(make):
    module = make()
    loss_of(module, batch_of(rows(16))).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_training_lowers_the_loss_and_moves_the_weights(make):
    module, batch = make(), batch_of(rows(64))
    start = copy.deepcopy(module.encoder.state_dict())
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    before = loss_of(module, batch, seed=100).item()
    for step in range(30):
        optimizer.zero_grad()
        loss_of(module, batch, seed=step).backward()
        optimizer.step()
        if hasattr(module, "after_step"):
            module.after_step()
    assert loss_of(module, batch, seed=100).item() < 0.95 * before
    for name, weight in module.encoder.state_dict().items():
        assert not torch.equal(weight, start[name]), name


def test_the_generator_decides_the_loss(make):
    module, batch = make(), batch_of(rows(16))
    first, again, other = (loss_of(module, batch, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_order_of_the_rows_does_not_count(make):
    module, batch = make(), batch_of(rows(16))
    order = torch.tensor(np.random.default_rng(0).permutation(16))
    shuffled = Batch(data=batch.data[order], index=batch.index[order])
    assert torch.allclose(loss_of(module, batch), loss_of(module, shuffled), rtol=1e-5, atol=1e-6)


def test_the_seed_decides_what_is_built(make):
    one, same = make(seed=7), make(seed=7)
    for left, right in zip(one.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    batch = batch_of(rows(16))
    assert torch.equal(loss_of(one, batch), loss_of(same, batch))
    own = [name for name in one.state_dict() if not name.startswith("encoder.")]
    if own:
        other = make(seed=8).state_dict()
        assert any(not torch.equal(one.state_dict()[name], other[name]) for name in own)


def test_the_global_generators_are_left_alone(objective):
    encoder, batch = Encoder(), batch_of(rows(16))
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    module = build_objective(objective, encoder, 0)
    if hasattr(module, "prepare"):
        module.prepare(rows(64))
    loss_of(module, batch).backward()
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_the_batch_and_the_sample_are_not_changed(make):
    sample, batch = rows(64), batch_of(rows(16, seed=1))
    module = make(sample=sample)
    loss_of(module, batch).backward()
    assert torch.equal(sample, rows(64))
    assert torch.equal(batch.data, rows(16, seed=1))
    assert torch.equal(batch.index, torch.arange(16))


def test_what_is_drawn_does_not_depend_on_torch_s_generator(make):
    module, batch = make(), batch_of(rows(16))
    with isolated(1):
        first = loss_of(module, batch)
    with isolated(2):
        assert torch.equal(first, loss_of(module, batch))
