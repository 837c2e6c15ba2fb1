"""The triplet loss, against one written out anchor by anchor."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from unalike.errors import InvalidParameter
from unalike.objectives import Triplet
from unalike.types import Batch


class Plain(nn.Module):
    width = 3


def slow(z, ids, margin, negatives):
    rows, n = functional.normalize(z, dim=1), len(z) // 2
    costs = []
    for a in range(2 * n):
        near = 1 - float(rows[a] @ rows[(a + n) % (2 * n)])
        far = [1 - float(rows[a] @ rows[b]) for b in range(2 * n) if ids[b % n] != ids[a % n]]
        far = sorted(far)[:1] if negatives == "hardest" else far
        costs.append(sum(max(0.0, near + margin - distance) for distance in far) / max(len(far), 1))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [0, 0, 7, 7, 7], [3] * 5])
def test_equals_the_loss_written_out(negatives, ids):
    objective = Triplet(margin=0.4, negatives=negatives).build(Plain())
    for seed in range(5):
        z = torch.randn(10, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        batch = Batch(data=z, index=torch.tensor(ids))
        assert float(objective.loss(z, batch)) == pytest.approx(slow(z, ids, 0.4, negatives), abs=1e-12)


def test_gradient_draws_the_pair_together_and_pushes_the_negative_away():
    objective = Triplet(margin=1.0).build(Plain())
    z = torch.tensor([[1.0, 0.3, 0], [0.3, 1, 0], [1, -0.3, 0], [-0.3, 1, 0]], requires_grad=True)
    batch = Batch(data=z, index=torch.arange(2))
    before = objective.loss(z, batch)
    (slope,) = torch.autograd.grad(before, z)
    assert objective.loss(z - 0.1 * slope, batch).item() < before.item()


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"negatives": "random"}, {"head_layers": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InvalidParameter):
        Triplet(**wrong)
