from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from unalike.errors import InvalidInput, InvalidParameter, TrainingWarning
from unalike.objectives.csi import CSI
from unalike.objectives.losses import nt_xent
from unalike.objectives.shifts import SHIFTS, change_by, shifted
from unalike.objectives.simclr import SimCLR
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


class Flat(nn.Module):
    width = 5

    def __init__(self, side=4):
        super().__init__()
        self.layer = nn.Linear(side * side, 5)

    def forward(self, data):
        return self.layer(data.flatten(1)).tanh()


def noise(data, generator):
    return data + 0.1 * generator.normal(*data.shape[1:])


def upright(n, side=4, seed=0):
    """Bright above, dark below: every rotation shows."""
    draws = RowGenerator(seed, torch.arange(n))
    return torch.linspace(3, 0, side)[:, None] + 0.3 * draws.normal(1, side, side)


def turned_anyhow(n, side=4, seed=0):
    """The same pictures in random directions: no rotation shows."""
    quarters = RowGenerator(seed, torch.arange(n)).integers(4)
    pictures = zip(upright(n, side, seed), quarters, strict=True)
    return torch.stack([torch.rot90(picture, int(quarter), (1, 2)) for picture, quarter in pictures])


def built(settings=None, side=4):
    with isolated(0):
        return (settings or CSI()).build(Flat(side))


def batch_of(data, label=None):
    return Batch(data=data, index=torch.arange(len(data)), label=label)


def mirrored(data):
    return data.flip(-1)


def test_loss_is_contrast_of_all_shifts_and_cross_entropy_of_telling_them():
    objective, rows = built(CSI(temperature=0.3, shift_weight=0.7)), batch_of(upright(5))
    loss = objective(rows, noise, RowGenerator(1, rows.index))
    generator = RowGenerator(1, rows.index)
    turned = [torch.rot90(rows.data, quarter, (2, 3)) for quarter in range(4)]
    first = torch.cat([noise(data, generator) for data in turned])
    second = torch.cat([noise(data, generator) for data in turned])
    embeddings = [objective.encoder(data) for data in (first, second)]
    contrast = nt_xent(*(objective.head(embedding) for embedding in embeddings), 0.3)
    costs = [
        -functional.log_softmax(objective.shift_head(embedding), dim=1)[row, row // 5]
        for embedding in embeddings
        for row in range(20)
    ]
    assert loss.item() == pytest.approx((contrast + 0.7 * torch.stack(costs).mean()).item(), rel=1e-5)


def test_it_learns_to_tell_the_shifts_and_its_score_finds_what_is_turned():
    objective, rows = built(), batch_of(upright(64))
    objective.prepare(rows.data)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
    for step in range(40):
        optimizer.zero_grad()
        objective(rows, noise, RowGenerator(step, rows.index)).backward()
        optimizer.step()
    normal, odd = upright(32, seed=5), upright(32, seed=6).mean(dim=(2, 3), keepdim=True).expand(-1, 1, 4, 4)
    scores = objective.score(batch_of(torch.cat((normal, odd))))
    assert scores.shape == (64,)
    assert scores[:32].max() < scores[32:].min()
    alone = torch.cat([objective.score(batch_of(row[None])) for row in torch.cat((normal, odd))])
    assert torch.allclose(scores, alone, rtol=1e-4, atol=1e-6)


def test_an_anomaly_does_not_teach_the_shift_head():
    data = upright(6)
    objective = built()
    label = torch.tensor([0, 0, 0, 0, 1, 1])
    rows = batch_of(data, label)
    odd = data.clone()
    odd[4:] = 9.0
    gradients = []
    for changed in (data, odd):
        objective.zero_grad()
        objective(Batch(changed, rows.index, label=label), noise, RowGenerator(1, rows.index)).backward()
        gradients.append(objective.shift_head.weight.grad.clone())
    assert torch.equal(*gradients)


def test_shifts_that_show_are_kept_and_others_are_dropped_with_a_warning():
    objective = built()
    objective.prepare(upright(80))
    assert objective.kept == (0, 1, 2, 3)
    symmetric = upright(80) + torch.tensor([0.0, 6.0, 6.0, 0.0])[:, None]
    symmetric = (symmetric + symmetric.flip(2, 3)) / 2
    with pytest.warns(TrainingWarning, match=r"The shift 'rotate-180' hardly changes this data"):
        objective.prepare(symmetric)
    assert objective.kept == (0, 1, 3)
    rows = batch_of(symmetric[:8])
    logits = objective.shift_head(objective.encoder(rows.data))[:, [0, 1, 3]]
    assert torch.equal(objective._logits(objective.encoder(rows.data)), logits)
    objective.prepare(upright(80))
    assert objective.kept == (0, 1, 2, 3)


def test_without_a_shift_that_shows_it_is_simclr():
    objective, rows = built(CSI(temperature=0.4)), batch_of(turned_anyhow(9, seed=3))
    with pytest.warns(TrainingWarning) as warned:
        objective.prepare(turned_anyhow(300))
    assert len(warned) == 3
    assert objective.kept == (0,)
    with isolated(0):
        plain = SimCLR(temperature=0.4).build(Flat())
    losses = [one(rows, noise, RowGenerator(1, rows.index)) for one in (objective, plain)]
    assert torch.allclose(*losses, atol=1e-6)
    losses[0].backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())
    with pytest.raises(InvalidParameter, match="`shifts` must hold a shift that changes the data"):
        objective.score(rows)


def test_least_change_zero_keeps_all():
    objective = built(CSI(least_change=0.0))
    objective.prepare(turned_anyhow(300))
    assert objective.kept == (0, 1, 2, 3)


def test_change_is_a_half_for_data_that_the_shift_leaves_alike():
    data = turned_anyhow(500)
    assert change_by(data, shifted("rotate-90", data, None)) == pytest.approx(0.5, abs=0.06)
    assert change_by(data, data) == 0.0
    assert change_by(data, data + 100.0) == 1.0


def test_change_equals_a_slow_twin():
    data = upright(20)
    moved = data + 0.4 * RowGenerator(9, torch.arange(20)).normal(1, 4, 4)
    usual = [min(float((a - b).norm()) for j, b in enumerate(data) if j != i) for i, a in enumerate(data)]
    found = [min(float((a - b).norm()) for b in data) for a in moved]
    wins = sum(one > other for one in found for other in usual) / 400
    assert change_by(data, moved) == pytest.approx(wins, abs=1e-9)


def test_copies_do_not_count_and_few_samples_are_not_judged():
    data = upright(40)
    moved = shifted("rotate-90", data, None)
    assert change_by(data.repeat(3, 1, 1, 1), moved.repeat(3, 1, 1, 1)) == change_by(data, moved)
    assert math.isnan(change_by(data[:15], moved[:15]))
    objective = built()
    objective.prepare(turned_anyhow(15))
    assert objective.kept == (0, 1, 2, 3)


def test_rotations_are_numpy_s():
    data = upright(3)
    for name, quarters in SHIFTS.items():
        assert torch.equal(shifted(name, data, None), torch.from_numpy(data.numpy()).rot90(quarters, (2, 3)))


def test_shifts_of_the_user_are_functions_or_views():
    generator = RowGenerator(4, torch.arange(3))
    data = upright(3)
    assert torch.equal(shifted(mirrored, data, generator), data.flip(-1))
    assert torch.equal(shifted(noise, data, RowGenerator(4, torch.arange(3))), noise(data, generator))
    objective = built(CSI(shifts=(mirrored, noise)))
    assert objective.shift_head.out_features == 3
    assert torch.isfinite(objective(batch_of(data), noise, RowGenerator(1, torch.arange(3))))


def test_a_shift_that_writes_into_what_it_gets_does_no_harm():
    def zeroed(data):
        return data.zero_()

    data = upright(3)
    shifted(zeroed, data, None)
    assert torch.equal(data, upright(3))


def test_data_that_a_rotation_does_not_suit_is_refused():
    with pytest.raises(InvalidInput, match=r"'rotate-90' turns images.*\(20, 4, 2\).*Give shifts= of your own"):
        built().prepare(torch.zeros(20, 4, 2))
    with pytest.raises(InvalidInput, match=r"'rotate-90' turns square images; got 4 x 6 pixels"):
        built().prepare(torch.zeros(20, 1, 4, 6))
    data = torch.zeros(20, 1, 4, 6)
    assert shifted("rotate-180", data, None).shape == data.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shifts": ()}, r"`shifts` must be a tuple of at least one"),
        ({"shifts": "rotate-90"}, r"`shifts` must be a tuple of at least one.*got 'rotate-90'"),
        ({"shifts": ("rotate-45",)}, r"`shifts` must hold names of .*'rotate-180'.*got 'rotate-45'"),
        ({"shifts": (nn.Identity,)}, r"`shifts` must hold names"),
        ({"shift_weight": -1.0}, r"`shift_weight` must be 0 or more; got -1.0"),
        ({"least_change": 1.1}, r"`least_change` must be between 0 and 1; got 1.1"),
        ({"temperature": 0.0}, r"`temperature` must be a finite number above 0"),
        ({"head_layers": 0}, r"`head_layers` must be 1, 2 or 3"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        CSI(**settings)


@pytest.mark.parametrize("result", [lambda data: data[:1], lambda data: None])
def test_a_shift_must_keep_the_shape(result):
    with pytest.raises(InvalidParameter, match="`shifts` must return tensors of the shape they are given"):
        shifted(result, upright(3), None)
