from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives import MeanShifted
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


class Linear(nn.Linear):
    width = 6

    def __init__(self):
        super().__init__(4, 6)


def noise(data, generator):
    return data + 0.1 * generator.normal(*data.shape[1:])


def batch(n, label=None):
    index = torch.arange(n)
    return Batch(data=2.0 + RowGenerator(3, index).normal(4), index=index, label=label)


def built(settings=None, sample=None):
    with isolated(0):
        objective = (settings or MeanShifted()).build(Linear())
    objective.prepare(batch(40).data if sample is None else sample)
    return objective


def slow(objective, z, temperature, index):
    """The loss as the paper writes it, pair by pair."""
    rows = [row / row.norm() - objective.center for row in z]
    rows = [row / row.norm() for row in rows]
    n, costs = len(rows) // 2, []
    for i, row in enumerate(rows):
        pair = (i + n) % (2 * n)
        others = [j for j in range(2 * n) if j != i and (j == pair or index[j % n] != index[i % n])]
        sims = {j: math.exp(float(row @ rows[j]) / temperature) for j in others}
        costs.append(-math.log(sims[pair] / sum(sims.values())))
    return sum(costs) / len(costs)


def test_loss_is_that_of_the_paper():
    objective, rows = built(), batch(7)
    z = objective.encoder(objective.pairs(rows, noise, RowGenerator(1, rows.index)))
    expected = slow(objective, z.detach(), 0.25, list(range(7)))
    assert float(objective.loss(z, rows).detach()) == pytest.approx(expected, rel=1e-5)
    assert float(objective(rows, noise, RowGenerator(1, rows.index)).detach()) == pytest.approx(expected, rel=1e-5)


def test_copies_of_one_sample_do_not_repel_each_other():
    objective = built()
    rows = Batch(data=batch(4).data, index=torch.tensor([0, 0, 1, 2]))
    z = objective.encoder(objective.pairs(rows, noise, RowGenerator(1, rows.index)))
    expected = slow(objective, z.detach(), 0.25, [0, 0, 1, 2])
    assert float(objective.loss(z, rows).detach()) == pytest.approx(expected, rel=1e-5)


def test_center_is_the_mean_of_unit_embeddings_and_stays_when_the_encoder_moves():
    objective = built()
    with torch.no_grad():
        z = objective.encoder(batch(40).data)
    assert torch.allclose(objective.center, (z / z.norm(dim=1, keepdim=True)).mean(dim=0), atol=1e-6)
    before, rows = objective.center.clone(), batch(8)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    objective(rows, noise, RowGenerator(1, rows.index)).backward()
    optimizer.step()
    assert torch.equal(objective.center, before)


def test_second_part_is_how_far_normal_embeddings_are_from_the_center():
    label = torch.tensor([0, 0, 1, 0, 0])
    rows = batch(5, label)
    without, with_center = (built(MeanShifted(center_weight=weight)) for weight in (0.0, 2.0))
    z = without.encoder(without.pairs(rows, noise, RowGenerator(1, rows.index)))
    cosines = nn.functional.cosine_similarity(z, without.center[None], dim=1)[label.repeat(2) == 0]
    more = float((with_center.loss(z, rows) - without.loss(z, rows)).detach())
    assert more == pytest.approx(2.0 * float(1.0 - cosines.detach().mean()), rel=1e-4)


def test_training_brings_two_views_together_and_leaves_the_center_near():
    objective, rows = built(MeanShifted(center_weight=1.0)), batch(32)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    losses = []
    for step in range(60):
        loss = objective(rows, noise, RowGenerator(step, rows.index))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    z = nn.functional.normalize(objective.encoder(rows.data).detach(), dim=1)
    center = objective.center / objective.center.norm()
    assert float((z @ center).mean()) > 0.8


def test_in_evaluation_mode_while_the_center_is_measured():
    class Dropping(nn.Module):
        width = 4

        def forward(self, data):
            assert not self.training
            return data

    objective = MeanShifted().build(Dropping())
    objective.prepare(batch(10).data)
    assert objective.encoder.training


def test_asked_before_it_was_prepared():
    objective, rows = MeanShifted().build(Linear()), batch(4)
    with pytest.raises(NotFitted, match="prepare"):
        objective(rows, noise, RowGenerator(0, rows.index))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"temperature": 0.0}, "temperature"), ({"center_weight": -1.0}, "center_weight")],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        MeanShifted(**settings)
