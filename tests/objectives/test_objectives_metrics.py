from __future__ import annotations

import math

import pytest
import torch

from unalike.objectives.metrics import alignment, effective_rank, spread, uniformity

ALL_OF_ONE = [uniformity, effective_rank, spread]


def isotropic(n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_alignment_is_the_mean_squared_distance():
    eye = torch.eye(4)
    assert alignment(eye, eye).item() == 0.0
    assert alignment(eye, eye.roll(1, 0)).item() == pytest.approx(2.0)
    assert alignment(eye, -eye).item() == pytest.approx(4.0)


def test_orthonormal_rows():
    eye = torch.eye(8, dtype=torch.float64)
    assert uniformity(eye).item() == pytest.approx(-4.0)
    # Centring takes one direction, the other seven are equal.
    assert effective_rank(eye).item() == pytest.approx(7.0)
    assert spread(eye).item() == pytest.approx(math.sqrt(1 / 8 - 1 / 64) * math.sqrt(8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_identical_rows_are_a_collapse(dtype):
    row = torch.randn(1, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
    rows = row.repeat(300, 1)
    assert uniformity(rows).item() == pytest.approx(0.0, abs=1e-5)
    assert effective_rank(rows).item() == 0.0
    assert spread(rows).item() == pytest.approx(0.0, abs=1e-5)


def test_isotropic_rows():
    rows = isotropic(4000, 16)
    assert effective_rank(rows).item() == pytest.approx(16.0, rel=0.01)
    assert spread(rows).item() == pytest.approx(1.0, rel=0.01)
    wide = isotropic(500, 512)
    assert uniformity(wide).item() == pytest.approx(-4.0, abs=0.05)


def test_effective_rank_counts_the_dimensions_in_use():
    flat = torch.zeros(2000, 32, dtype=torch.float64)
    flat[:, :5] = isotropic(2000, 5)
    assert effective_rank(flat).item() == pytest.approx(5.0, rel=0.02)


def test_uniformity_equals_a_slow_twin():
    rows = isotropic(6, 3)
    unit = rows / rows.norm(dim=1, keepdim=True)
    terms = [math.exp(-2 * float((unit[i] - unit[j]).square().sum())) for i in range(6) for j in range(i)]
    assert uniformity(rows).item() == pytest.approx(math.log(sum(terms) / len(terms)))


@pytest.mark.parametrize("metric", ALL_OF_ONE)
def test_lengths_do_not_count(metric):
    rows = isotropic(20, 4)
    lengths = torch.linspace(0.1, 9.0, 20, dtype=torch.float64)[:, None]
    assert metric(rows * lengths).item() == pytest.approx(metric(rows).item())


@pytest.mark.parametrize("metric", ALL_OF_ONE)
def test_one_row_says_nothing(metric):
    assert math.isnan(metric(torch.ones(1, 4)).item())


def test_alignment_and_uniformity_can_be_paid_for():
    first, second = isotropic(6, 3).requires_grad_(), isotropic(6, 3).flip(0)
    assert torch.autograd.gradcheck(lambda z: alignment(z, second) + uniformity(z), (first,))
