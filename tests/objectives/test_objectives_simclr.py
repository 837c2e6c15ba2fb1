from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from unalike.errors import InvalidParameter
from unalike.objectives.head import projection_head
from unalike.objectives.losses import nt_xent
from unalike.objectives.simclr import SimCLR
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


class Linear(nn.Linear):
    width = 6

    def __init__(self):
        super().__init__(4, 6)


def noise(data, generator):
    return data + 0.1 * generator.normal(*data.shape[1:])


def built(settings=None):
    with isolated(0):
        return (settings or SimCLR()).build(Linear())


def batch(n):
    index = torch.arange(n)
    return Batch(data=RowGenerator(3, index).normal(4), index=index)


def test_loss_is_nt_xent_of_the_projections_of_two_different_views():
    objective, rows = built(SimCLR(temperature=0.2)), batch(9)
    generator = RowGenerator(1, rows.index)
    first, second = noise(rows.data, generator), noise(rows.data, generator)
    z = [objective.head(objective.encoder(view)) for view in (first, second)]
    assert not torch.equal(first, second)
    assert torch.allclose(objective(rows, noise, RowGenerator(1, rows.index)), nt_xent(*z, 0.2), atol=1e-6)


def test_pairs_and_loss_apart_equal_the_whole():
    objective, rows = built(), batch(5)
    data = objective.pairs(rows, noise, RowGenerator(1, rows.index))
    z = torch.cat([objective.head(objective.encoder(chunk)) for chunk in data.split(3)])
    assert data.shape == (10, 4)
    assert torch.allclose(objective.loss(z, rows), objective(rows, noise, RowGenerator(1, rows.index)), atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("hidden", [None, 5])
def test_head_has_the_layers_and_widths_asked_for(layers, hidden):
    head = projection_head(6, hidden=hidden, out=3, layers=layers)
    shapes = [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)]
    middle = hidden or 6
    widths = [6, *[middle] * (layers - 1), 3]
    assert shapes == list(itertools.pairwise(widths))
    assert not isinstance(head[-1], nn.ReLU)


def test_head_treats_rows_apart():
    head = projection_head(6, layers=3)
    rows = RowGenerator(0, torch.arange(7)).normal(6)
    one_by_one = torch.cat([head(row[None]) for row in rows])
    assert torch.allclose(head(rows), one_by_one, atol=1e-6)


def test_settings_reach_the_head():
    objective = built(SimCLR(head_layers=3, head_width=7, head_hidden=11))
    assert objective.head(torch.zeros(1, 6)).shape == (1, 7)
    assert objective.head[0].out_features == 11


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"`temperature` must be a finite number above 0; got 0.0"),
        ({"head_layers": 0}, r"`head_layers` must be 1, 2 or 3; got 0"),
        ({"head_layers": 4}, r"`head_layers` must be 1, 2 or 3; got 4"),
        ({"head_width": 0}, r"`head_width` must be a whole number of 1 or more; got 0"),
        ({"head_hidden": 2.5}, r"`head_hidden` must be a whole number of 1 or more; got 2.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        SimCLR(**settings)


def test_an_encoder_without_width_is_refused():
    with pytest.raises(InvalidParameter, match=r"`encoder` must have an attribute `width`.*got None on Linear"):
        SimCLR().build(nn.Linear(4, 6))


def test_a_labelled_anomaly_is_a_sample_like_any_other_and_its_copies_do_not_repel():
    objective, rows = built(), batch(6)
    index = torch.tensor([0, 1, 2, 3, 9, 9])
    labelled = Batch(data=rows.data, index=index, label=torch.tensor([0, 0, 0, 0, 1, 1]))
    z = objective.head(objective.encoder(objective.pairs(labelled, noise, RowGenerator(1, index))))
    assert torch.equal(objective.loss(z, labelled), nt_xent(*z.chunk(2), 0.5, index))
    assert objective.loss(z, labelled) < nt_xent(*z.chunk(2), 0.5)
