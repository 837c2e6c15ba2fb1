from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from unalike.errors import InvalidParameter
from unalike.objectives.moco import MoCo
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


class Linear(nn.Linear):
    width = 6

    def __init__(self):
        super().__init__(4, 6)


class Normed(nn.Module):
    """An encoder of a user's with batch normalisation."""

    width = 6

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))

    def forward(self, data):
        return self.layers(data)


def noise(data, generator):
    return data + 0.1 * generator.normal(*data.shape[1:])


def built(encoder=Linear, **settings):
    with isolated(0):
        return MoCo(**{"queue": 8, "symmetric": False, **settings}).build(encoder())


def batch(index, group=None):
    index = torch.tensor(index)
    return Batch(
        data=RowGenerator(3, index).normal(4), index=index, group=None if group is None else torch.tensor(group)
    )


def loss_of(objective, rows, seed=1):
    return objective(rows, noise, RowGenerator(seed, rows.index))


def unit(rows):
    return [row / row.norm() for row in rows.detach().double()]


def twin(objective, rows, queued, symmetric=False, seed=1):
    """`queued`: pairs of a key and the index of its sample."""
    generator = RowGenerator(seed, rows.index)
    views = [noise(rows.data, generator), noise(rows.data, generator)]
    temperature, losses = objective.settings.temperature, []
    directions = [(0, 1), (1, 0)] if symmetric else [(0, 1)]
    keys = [unit(objective.key_head(objective.key_encoder(views[to]))) for _, to in directions]
    in_batch = [(key, int(i)) for side in keys for key, i in zip(side, rows.index, strict=True)]
    for (origin, _), side in zip(directions, keys, strict=True):
        for i, query in enumerate(unit(objective.head(objective.encoder(views[origin])))):
            others = [key for key, owner in [*in_batch, *queued] if owner != int(rows.index[i])]
            sizes = [math.exp(float(query @ key) / temperature) for key in (side[i], *others)]
            losses.append(-math.log(sizes[0] / sum(sizes)))
    return sum(losses) / len(losses)


def queue_of(objective):
    full = [place for place in range(len(objective.queue)) if objective.queue_index[place] >= 0]
    return [(unit(objective.queue[place][None])[0], int(objective.queue_index[place])) for place in full]


@pytest.mark.parametrize("symmetric", [False, True])
def test_loss_equals_a_slow_twin_while_the_queue_is_empty_part_full_and_full(symmetric):
    objective = built(symmetric=symmetric, queue=12)
    for step, index in enumerate(([0, 1, 2], [2, 3, 4], [0, 5, 2], [6, 7, 0])):
        rows = batch(index)
        loss = loss_of(objective, rows, seed=step)
        assert loss.item() == pytest.approx(twin(objective, rows, queue_of(objective), symmetric, step), rel=1e-5)
        objective.after_step()
    assert (objective.queue_index >= 0).all()


def test_the_queue_is_a_ring_and_knows_whose_keys_it_holds():
    objective = built(queue=5)
    seen = []
    for index in ([0, 1, 2], [3, 4], [5, 6]):
        loss_of(objective, batch(index))
        objective.after_step()
        seen.append((objective.queue_index.tolist(), int(objective.queue_next)))
    assert seen == [([0, 1, 2, -1, -1], 3), ([0, 1, 2, 3, 4], 0), ([5, 6, 2, 3, 4], 2)]


def test_a_batch_larger_than_the_queue_leaves_its_last_keys():
    objective = built(queue=3)
    loss_of(objective, batch([0, 1, 2, 3, 4]))
    objective.after_step()
    assert sorted(objective.queue_index.tolist()) == [2, 3, 4]


def test_every_batch_is_queued_once_when_a_step_takes_several():
    objective = built()
    for index in ([0, 1], [2, 3], [4, 5]):
        loss_of(objective, batch(index))
    assert (objective.queue_index == -1).all()
    objective.after_step()
    assert objective.queue_index.tolist() == [0, 1, 2, 3, 4, 5, -1, -1]
    objective.after_step()
    assert objective.queue_index.tolist() == [0, 1, 2, 3, 4, 5, -1, -1]


def test_passes_without_a_step_do_not_fill_the_memory():
    objective = built(queue=4)
    for _ in range(50):
        loss_of(objective, batch([0, 1, 2]))
    assert sum(len(keys) for keys, _, _ in objective._waiting) <= 6


def test_the_momentum_encoder_follows_once_per_step():
    objective = built(momentum=0.9)
    with torch.no_grad():
        for parameter in (*objective.encoder.parameters(), *objective.head.parameters()):
            parameter += 1.0
    start = copy.deepcopy(objective.key_encoder.state_dict()), copy.deepcopy(objective.key_head.state_dict())
    objective.after_step()
    for before, network, follower in zip(
        start, (objective.encoder, objective.head), (objective.key_encoder, objective.key_head), strict=True
    ):
        for name, value in network.state_dict().items():
            assert torch.allclose(follower.state_dict()[name], 0.9 * before[name] + 0.1 * value, atol=1e-6), name


def test_the_momentum_encoder_is_not_trained_and_not_exported():
    objective = built()
    loss_of(objective, batch([0, 1, 2])).backward()
    followers = (*objective.key_encoder.parameters(), *objective.key_head.parameters())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in followers)
    assert set(objective.encoder.state_dict()) == {"weight", "bias"}
    assert objective.key_encoder.weight.data_ptr() != objective.encoder.weight.data_ptr()


def test_keys_of_the_own_group_are_no_negatives_while_others_remain():
    objective = built()
    loss_of(objective, batch([0, 1, 2], group=[7, 7, 8]))
    objective.after_step()
    rows = batch([3, 4], group=[7, 8])
    generator = RowGenerator(1, rows.index)
    views = [noise(rows.data, generator), noise(rows.data, generator)]
    queries, keys = (
        unit(objective.head(objective.encoder(views[0]))),
        unit(objective.key_head(objective.key_encoder(views[1]))),
    )
    queued = [key for key, _ in queue_of(objective)]
    negatives = ([keys[1], queued[2]], [keys[0], queued[0], queued[1]])
    losses = []
    for query, key, others in zip(queries, keys, negatives, strict=True):
        sizes = [math.exp(float(query @ other) / objective.settings.temperature) for other in (key, *others)]
        losses.append(-math.log(sizes[0] / sum(sizes)))
    assert loss_of(objective, rows).item() == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_one_group_only_still_teaches():
    one, none = (loss_of(built(), batch([0, 1, 2], group)) for group in ([5, 5, 5], None))
    assert one.item() == pytest.approx(none.item())
    assert one.item() > 0.0


def test_statistics_of_batch_normalisation_come_from_queries_alone():
    objective, alone = built(Normed), built(Normed)
    rows = batch([0, 1, 2, 3])
    loss_of(objective, rows)
    generator = RowGenerator(1, rows.index)
    alone.encoder(noise(rows.data, generator))
    for name, value in alone.encoder.state_dict().items():
        assert torch.equal(objective.encoder.state_dict()[name], value), name
    kept = objective.key_encoder.layers[1].running_mean
    assert not torch.equal(kept, objective.encoder.layers[1].running_mean)
    objective.after_step()
    assert torch.equal(objective.key_encoder.layers[1].running_mean, kept)


def test_double_precision_takes_the_queue_along():
    objective = built().double()
    rows = Batch(data=batch([0, 1]).data.double(), index=torch.arange(2))
    loss_of(objective, rows)
    objective.after_step()
    assert objective.queue.dtype == torch.float64
    assert loss_of(objective, rows).dtype == torch.float64


def test_autocast_keeps_the_queue_whole():
    objective = built()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(objective, batch([0, 1, 2]))
    objective.after_step()
    assert (loss.dtype, objective.queue.dtype) == (torch.float32, torch.float32)
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queue": 0}, r"`queue` must be a whole number of 1 or more; got 0"),
        ({"queue": 10.0}, r"`queue` must be a whole number"),
        ({"queue": True}, r"`queue` must be a whole number"),
        ({"momentum": 1.0}, r"`momentum` must be at least 0 and below 1; got 1.0"),
        ({"momentum": -0.1}, r"`momentum` must be at least 0"),
        ({"momentum": math.nan}, r"`momentum` must be at least 0"),
        ({"temperature": 0}, r"`temperature` must be a finite number above 0"),
        ({"head_layers": 4}, r"`head_layers` must be 1, 2 or 3"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        MoCo(**settings)
