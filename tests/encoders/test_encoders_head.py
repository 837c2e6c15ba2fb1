from __future__ import annotations

import pytest
import torch
from torch import nn

from unalike.encoders.head import projection_head
from unalike.errors import InvalidParameter
from unalike.seeding import isolated


def linear(head):
    return [(part.in_features, part.out_features) for part in head if isinstance(part, nn.Linear)]


@pytest.mark.parametrize(
    ("settings", "shapes"),
    [
        ({"layers": 1}, [(20, 128)]),
        ({}, [(20, 20), (20, 128)]),
        ({"layers": 3, "hidden": 30, "out": 7}, [(20, 30), (30, 30), (30, 7)]),
    ],
)
def test_layers_and_widths(settings, shapes):
    assert linear(projection_head(20, **settings)) == shapes


def test_two_layers_are_linear_norm_relu_linear():
    with isolated(0):
        head = projection_head(6, hidden=5, out=3)
    z = torch.linspace(-1, 1, 24).view(4, 6)
    hidden = z @ head[0].weight.T + head[0].bias
    hidden = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    expected = hidden.clamp(min=0) @ head[3].weight.T + head[3].bias
    assert torch.allclose(head(z), expected, atol=1e-6)


@pytest.mark.parametrize("normalization", ["layer", "none"])
def test_a_row_alone_in_training_is_projected_as_in_a_batch(normalization):
    with isolated(0):
        head, z = projection_head(6, layers=3, normalization=normalization).train(), torch.randn(4, 6)
    assert torch.allclose(head(z[:1]), head(z)[:1], atol=1e-6)


def test_batch_normalisation_is_there_for_those_who_want_it():
    with isolated(0):
        head, z = projection_head(6, normalization="batch").train(), torch.randn(4, 6)
    assert sum(isinstance(part, nn.BatchNorm1d) for part in head) == 1
    assert not torch.allclose(head(z[:2]), head(z)[:2], atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"layers": 4}, r"`layers` must be one of \[1, 2, 3\]; got 4"),
        ({"out": 0}, "`out` must be a whole number of 1 or more; got 0"),
        ({"hidden": 2.5}, "`hidden` must be a whole number"),
        ({"normalization": "group"}, "`normalization` must be one of"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(InvalidParameter, match=told):
        projection_head(6, **settings)
