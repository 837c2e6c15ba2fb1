from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unalike.errors import InvalidParameter
from unalike.objectives.losses import nt_xent, sup_con
from unalike.objectives.simclr import SimCLR
from unalike.objectives.supcon import SupCon
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


class Linear(nn.Linear):
    width = 6

    def __init__(self):
        super().__init__(4, 6)


def noise(data, generator):
    return data + 0.1 * generator.normal(*data.shape[1:])


def built(settings):
    with isolated(0):
        return settings.build(Linear())


def batch(labels=None, index=None):
    index = torch.arange(6) if index is None else torch.tensor(index)
    label = None if labels is None else torch.tensor(labels)
    return Batch(data=RowGenerator(3, index).normal(4), index=index, label=label)


def projections(objective, rows):
    return objective.head(objective.encoder(objective.pairs(rows, noise, RowGenerator(1, rows.index))))


@pytest.mark.parametrize("attract", [False, True])
def test_without_labels_it_is_simclr(attract):
    rows = batch()
    ours, theirs = built(SupCon(temperature=0.3, attract_normals=attract)), built(SimCLR(temperature=0.3))
    losses = [objective(rows, noise, RowGenerator(1, rows.index)) for objective in (ours, theirs)]
    assert torch.equal(*losses)


def test_an_anomaly_counts_as_often_as_its_weight_says():
    rows = batch([0, 0, 0, 0, 0, 1])
    objective = built(SupCon(temperature=0.3, anomaly_weight=3.0, attract_normals=False))
    z = projections(objective, rows)
    first, second = z.double().chunk(2)
    # Weight 3 is three copies of the anomaly among the negatives of the normal rows.
    normal = torch.cat((first[:5], second[:5]))
    unit = nn.functional.normalize(torch.cat((normal, first[5:].repeat(3, 1), second[5:].repeat(3, 1))), dim=1)
    sizes = (unit[:10] @ unit.T / 0.3).exp()
    total = sizes.sum(dim=1) - sizes.diagonal()
    pair = sizes[torch.arange(10), torch.arange(10).roll(5)]
    of_normals = -(pair / total).log()
    anomaly = nn.functional.normalize(torch.stack((first[5], second[5])), dim=1)
    sizes = (anomaly @ torch.cat((unit[:10], anomaly)).T / 0.3).exp()  # (2, 12)
    of_anomaly = (
        -(sizes[0, 11] / (sizes[0].sum() - sizes[0, 10])).log(),
        -(sizes[1, 10] / (sizes[1].sum() - sizes[1, 11])).log(),
    )
    expected = (of_normals.sum() + sum(of_anomaly)) / 12
    assert objective.loss(z, rows).item() == pytest.approx(expected.item(), rel=1e-5)


def test_with_weight_one_and_different_samples_labels_change_nothing():
    rows = batch([0, 1, 0, 0, 1, 0])
    objective = built(SupCon(anomaly_weight=1.0, attract_normals=False))
    z = projections(objective, rows)
    assert objective.loss(z, rows).item() == pytest.approx(nt_xent(*z.chunk(2), 0.2).item(), rel=1e-6)


def test_attracted_normals_are_one_class_and_anomalies_stay_apart():
    rows = batch([0, 1, 0, 0, 1, 0], index=[0, 7, 2, 3, 9, 5])
    objective = built(SupCon(attract_normals=True, anomaly_weight=1.0))
    z = projections(objective, rows)
    classes = torch.tensor([0, 1, 0, 0, 2, 0]).repeat(2)
    assert objective.loss(z, rows).item() == pytest.approx(sup_con(z, classes, 0.2).item(), rel=1e-6)


def test_attraction_draws_the_normal_class_together():
    def likeness(attract):
        rows = batch([0, 0, 0, 0, 0, 1])
        objective = built(SupCon(attract_normals=attract))
        optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
        for step in range(60):
            optimizer.zero_grad()
            objective(rows, noise, RowGenerator(step, rows.index)).backward()
            optimizer.step()
        unit = nn.functional.normalize(objective.head(objective.encoder(rows.data[:5])), dim=1)
        return (unit @ unit.T).mean().item()

    assert likeness(True) > 0.9
    assert likeness(False) < 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"anomaly_weight": 0.0}, r"`anomaly_weight` must be a finite number above 0; got 0.0"),
        ({"anomaly_weight": math.inf}, r"`anomaly_weight` must be a finite number above 0"),
        ({"temperature": -1.0}, r"`temperature` must be a finite number above 0"),
        ({"head_width": 0}, r"`head_width` must be a whole number of 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        SupCon(**settings)
