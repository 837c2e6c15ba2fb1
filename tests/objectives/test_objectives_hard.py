"""Hard negatives and negatives across groups, against the formula written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from unalike.errors import InvalidInput, InvalidParameter
from unalike.objectives import tiled
from unalike.objectives.losses import nt_xent
from unalike.objectives.simclr import SimCLR
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


def written_out(first, second, temperature, ids, beta):
    """Robinson et al., with class prior 0, anchor by anchor."""
    rows = [functional.normalize(row, dim=0) for row in (*first, *second)]
    n, samples = len(first), [*ids, *ids]
    costs = []
    for a, anchor in enumerate(rows):
        pair = (anchor @ rows[(a + n) % (2 * n)] / temperature).exp()
        negatives = [(anchor @ rows[b] / temperature).exp() for b in range(2 * n) if samples[b] != samples[a]]
        if not negatives:
            costs.append(torch.zeros((), dtype=first.dtype))
            continue
        weights = [value**beta for value in negatives]
        mean = sum(weights) / len(weights)
        total = sum(weight / mean * value for weight, value in zip(weights, negatives, strict=True))
        costs.append(-torch.log(pair / (pair + total)))
    return sum(costs) / len(costs)


def projections(n=7, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 4, generator=draws, dtype=torch.float64).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("ids", [None, [0, 1, 2, 3, 4, 5, 6], [5, 5, 2, 3, 2, 2, 9], [4] * 7])
@pytest.mark.parametrize("side", [3, 512])
def test_hard_negatives_equal_the_formula_in_value_and_gradient(ids, side, monkeypatch):
    monkeypatch.setattr(tiled, "SIDE", side)
    first, second = projections()
    index = None if ids is None else torch.tensor(ids)
    loss = nt_xent(first, second, 0.3, index, hardness=0.7)
    slow = written_out(first, second, 0.3, ids or range(7), 0.7)
    assert loss.item() == pytest.approx(slow.item(), abs=1e-12)
    if ids == [4] * 7:
        assert loss.item() == 0.0
        loss.backward()
        assert not first.grad.any()
        return
    for ours, theirs in zip(
        torch.autograd.grad(loss, (first, second)), torch.autograd.grad(slow, (first, second)), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_hardness_near_0_is_the_plain_loss_and_more_of_it_costs_more():
    first, second = projections()
    plain = nt_xent(first, second, 0.3)
    assert nt_xent(first, second, 0.3, hardness=1e-9).item() == pytest.approx(plain.item(), abs=1e-8)
    costs = [nt_xent(first, second, 0.3, hardness=beta).item() for beta in (0.0, 0.5, 1.0, 2.0)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf, True, "much"])
def test_wrong_hardness_is_refused(wrong):
    with pytest.raises(InvalidParameter, match="`hardness`"):
        SimCLR(hardness=wrong)
    with pytest.raises(InvalidParameter, match="`hardness`"):
        nt_xent(*projections(), 0.5, hardness=wrong)


class Linear(nn.Linear):
    width = 6

    def __init__(self):
        super().__init__(4, 6)


def loss_of(settings, group, **changed):
    with isolated(0):
        objective = settings.build(Linear())
    index = torch.arange(6)
    batch = Batch(data=RowGenerator(3, index).normal(4), index=index, group=group)
    return objective(batch, lambda data, generator: data + generator.normal(4), RowGenerator(1, index))


def test_samples_of_one_group_are_no_negatives_across_groups():
    group = torch.tensor([8, 8, 8, 1, 2, 1])
    whole, across = loss_of(SimCLR(), group), loss_of(SimCLR(across_groups=True), group)
    assert across.item() < whole.item()
    assert torch.equal(loss_of(SimCLR(across_groups=True), torch.arange(6)), whole)
    assert loss_of(SimCLR(across_groups=True), torch.zeros(6, dtype=torch.int64)).item() == 0.0


def test_across_groups_without_groups_is_refused():
    with pytest.raises(InvalidInput, match="`across_groups`"):
        loss_of(SimCLR(across_groups=True), None)
