"""What every objective must do, whatever it contrasts. A new name in NAMES is tested without a line here."""

from __future__ import annotations

import copy
import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from unalike import texts
from unalike.encoders import TextTransformer, TokenContext
from unalike.lookup import named
from unalike.objectives import (
    CSI,
    NAMES,
    ChannelContrast,
    DefectContrast,
    InjectAnomalies,
    InjectedContrast,
    MoCo,
    SyntheticDefect,
)
from unalike.objectives.build import build_objective
from unalike.objectives.losses import info_nce
from unalike.persistence.codec import Packer, Unpacker
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch, Objective, Schema
from unalike.views import DeleteWords

COLUMNS = 4
CHANNELS, LENGTH = 2, 24

SERIES = ("carla", "channels", "injected", "paano", "temporal")
"""What is for windows of series; the others get rows of a table."""

IMAGES = ("defects", "spoiled")
"""What is for images."""
SIDE = 8

TEXTS = ("replaced", "token-prediction")
"""What is for texts."""
WORDS = (
    "the",
    "old",
    "door",
    "of",
    "a",
    "red",
    "house",
    "stands",
    "open",
    "in",
    "warm",
    "wind",
    "and",
    "we",
    "all",
    "go",
)


class Encoder(nn.Module):
    width = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(COLUMNS, 16), nn.Tanh(), nn.Linear(16, self.width))

    def forward(self, data):
        return self.layers(data[..., 0])


class SeriesEncoder(nn.Module):
    width = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(CHANNELS * LENGTH, 16), nn.Tanh(), nn.Linear(16, self.width))

    def forward(self, data):
        return self.layers(data.nan_to_num().flatten(1))


class ChannelEncoder(nn.Module):
    """Each channel of a window alone."""

    channel_width = 6
    width = CHANNELS * channel_width

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(LENGTH, 16), nn.Tanh(), nn.Linear(16, self.channel_width))

    def of_channels(self, rows):
        return self.layers(rows.nan_to_num())

    def forward(self, data):
        return self.of_channels(data.flatten(0, 1)).reshape(len(data), -1)


class ImageEncoder(nn.Module):
    """A network with places."""

    width = 8
    grid = (4, 4)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(CHANNELS, 12, 3, 2, 1), nn.Tanh(), nn.Conv2d(12, self.width, 1))

    def forward(self, data):
        return self.locations(data).mean(dim=1)

    def locations(self, data):
        return self.layers(data).flatten(2).transpose(1, 2)


def of_images(objective):
    return objective in IMAGES or isinstance(objective, DefectContrast)


def of_series(objective):
    return objective in SERIES or isinstance(objective, (ChannelContrast, InjectedContrast))


def encoder_for(objective):
    if isinstance(objective, ChannelContrast):
        return ChannelEncoder()
    if of_images(objective):
        return ImageEncoder()
    if objective == "token-prediction":
        network = TokenContext(vocabulary=100, width=16, hidden=24).build(Schema((60,), (0x110000,)))
        network.prepare(sentences(64))
        return network
    if of_texts(objective):
        return TextTransformer(vocabulary=300, width=16, layers=1, heads=2, dropout=0.0).build(
            Schema((60,), (0x110000,))
        )
    return SeriesEncoder() if of_series(objective) else Encoder()


def of_texts(objective):
    return objective in TEXTS


class OfTheUser(nn.Module):
    """A user's class: no settings, no `build`, no optional method."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch, views, generator):
        return info_nce(self.encoder(views(batch.data, generator)), self.encoder(views(batch.data, generator)))


def views(data, generator):
    if data.ndim == 2:
        return DeleteWords(0.2)(data, generator)
    if data.ndim == 4 or data.shape[2] == LENGTH:
        return data + 0.3 * generator.normal(*data.shape[1:])
    values = data[..., 0] + 0.3 * generator.normal(data.shape[1])
    return torch.stack((values, data[..., 1]), dim=-1)


def table_rows(n, seed=0):
    """Rows near a line in a space of four columns, so that there is something to learn."""
    draws = RowGenerator(seed, torch.arange(n))
    values = draws.normal(1) * torch.tensor([1.0, -1.0, 0.5, 2.0]) + 0.1 * draws.normal(COLUMNS)
    return torch.stack((values, torch.zeros_like(values)), dim=-1)


def windows(n, seed=0):
    """Waves of a phase and a height of their own, each channel slower than the one before."""
    phase, height = RowGenerator(seed, torch.arange(n)).uniform(2, 1, 1).unbind(dim=1)
    number = torch.arange(float(CHANNELS))[:, None]
    return (0.5 + height) * (0.5 / (1.0 + number) * torch.arange(float(LENGTH)) + 6.0 * phase + number).sin()


def images(n, seed=0):
    """Smooth pictures, each of a height and a phase of its own."""
    phase, height = RowGenerator(seed, torch.arange(n)).uniform(2, 1, 1, 1).unbind(dim=1)
    down, right = torch.meshgrid(torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="ij")
    number = torch.arange(float(CHANNELS))[:, None, None]
    return (0.5 + height) * (0.7 * down + 0.3 * right * number + phase).sin()


def sentences(n, seed=0):
    """Words in an order of their own."""
    starts = RowGenerator(seed, torch.arange(n)).integers(len(WORDS), 3).tolist()
    return texts.encoded([" ".join((WORDS * 2)[at + k] for at in row for k in range(2)) for row in starts], 60)


@pytest.fixture
def rows(objective):
    """Normal rows of a kind that the objective takes: ``rows(n, seed)``."""
    if of_images(objective):
        return images
    if of_texts(objective):
        return sentences
    return windows if of_series(objective) else table_rows


def batch_of(data):
    return Batch(data=data, index=torch.arange(len(data)))


def negated(data):
    return torch.stack((-data[..., 0] + 3.0, data[..., 1]), dim=-1)


PLAIN = InjectAnomalies(kinds=("level-shift",), shift_size=(2.0, 3.0), length=(0.5, 0.9), unit="channel")

SETTINGS = {
    "channels": ChannelContrast(injection=PLAIN),
    "csi": CSI(shifts=(negated,)),
    "defects": DefectContrast(defect=SyntheticDefect(contents=("shade",), strength=(3.0, 4.0), area=(0.2, 0.3))),
    "injected": InjectedContrast(injection=PLAIN),
    "moco": MoCo(queue=24),
}
"""What has no default for tables, one that is too large for few rows, or too hard for a small network."""


@pytest.fixture(params=[*NAMES, OfTheUser], ids=[*NAMES, "of-the-user"])
def objective(request):
    """An objective by name, or the user's class."""
    return SETTINGS.get(request.param, request.param)


@pytest.fixture
def make(objective, rows):
    def made(seed=0, sample=None):
        with isolated(1):
            encoder = encoder_for(objective)
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
    own = next(module.encoder.parameters())
    assert any(parameter is own for parameter in module.parameters())


@pytest.mark.parametrize("n", [1, 2, 16])
def test_the_loss_is_a_finite_scalar_for_any_number_of_rows(make, n, rows):
    loss = loss_of(make(sample=rows(n)), batch_of(rows(n)))
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert loss.item() >= 0.0


def test_every_parameter_gets_a_gradient(make, rows):
    module = make()
    loss_of(module, batch_of(rows(16))).backward()
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:  # a momentum encoder
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_training_lowers_the_loss_and_moves_the_weights(make, rows):
    module, batch = make(), batch_of(rows(64))
    start = copy.deepcopy(module.encoder.state_dict())
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    loss_of(module, batch, seed=99)
    if hasattr(module, "after_step"):
        module.after_step()  # a queue that fills has more and more negatives
    before = loss_of(module, batch, seed=100).item()
    for step in range(30):
        optimizer.zero_grad()
        loss_of(module, batch, seed=step).backward()
        optimizer.step()
        if hasattr(module, "after_step"):
            module.after_step()
    assert loss_of(module, batch, seed=100).item() < 0.95 * before
    for name, weight in module.encoder.state_dict().items():
        assert name == "_extra_state" or not torch.equal(weight, start[name]), name


def test_the_generator_decides_the_loss(make, rows):
    module, batch = make(), batch_of(rows(16))
    first, again, other = (loss_of(module, batch, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_order_of_the_rows_does_not_count(make, rows):
    module, batch = make(), batch_of(rows(16))
    order = torch.tensor(np.random.default_rng(0).permutation(16))
    shuffled = Batch(data=batch.data[order], index=batch.index[order])
    assert torch.allclose(loss_of(module, batch), loss_of(module, shuffled), rtol=1e-5, atol=1e-6)


def test_the_seed_decides_what_is_built(make, rows):
    one, same = make(seed=7), make(seed=7)
    for left, right in zip(one.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    batch = batch_of(rows(16))
    assert torch.equal(loss_of(one, batch), loss_of(same, batch))
    own = [name for name in one.state_dict() if not name.startswith("encoder.")]
    if own:
        other = make(seed=8).state_dict()
        assert any(not torch.equal(one.state_dict()[name], other[name]) for name in own)


def test_the_global_generators_are_left_alone(objective, rows):
    encoder = encoder_for(objective)
    batch = batch_of(rows(16))
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    module = build_objective(objective, encoder, 0)
    if hasattr(module, "prepare"):
        module.prepare(rows(64))
    loss_of(module, batch).backward()
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_the_batch_and_the_sample_are_not_changed(make, rows):
    sample, batch = rows(64), batch_of(rows(16, seed=1))
    module = make(sample=sample)
    loss_of(module, batch).backward()
    assert torch.equal(sample, rows(64))
    assert torch.equal(batch.data, rows(16, seed=1))
    assert torch.equal(batch.index, torch.arange(16))


def test_what_is_drawn_does_not_depend_on_torch_s_generator(make, rows):
    module, batch = make(), batch_of(rows(16))
    with isolated(1):
        first = loss_of(module, batch)
    with isolated(2):
        assert torch.equal(first, loss_of(module, batch))


def with_anomalies(normal, anomalies):
    """Normal rows, then anomalies far away."""
    anomalies = anomalies.to(normal.dtype)
    data = torch.cat((normal, anomalies))
    labels = torch.tensor([0] * len(normal) + [1] * len(anomalies))
    return Batch(data=data, index=torch.arange(len(data)), label=labels)


@pytest.mark.parametrize("n_anomalies", [0, 1, 4])
def test_labelled_anomalies_are_taken(make, n_anomalies, rows):
    module = make()
    loss = loss_of(module, with_anomalies(rows(16), 5.0 + rows(n_anomalies, seed=2)))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters() if parameter.requires_grad)


def test_labels_that_are_all_normal_change_nothing(make, rows):
    batch = batch_of(rows(16))
    labelled = Batch(data=batch.data, index=batch.index, label=torch.zeros(16, dtype=torch.int64))
    assert torch.allclose(loss_of(make(), batch), loss_of(make(), labelled), rtol=1e-6)


def test_anomalies_are_pushed_from_the_normal_rows(make, objective, rows):
    """Alike at the start, unlike after training with labels: the mean cosine between the two kinds falls."""
    if objective is OfTheUser:
        pytest.skip("knows no labels")
    if isinstance(objective, DefectContrast):
        pytest.skip("tells places, of which the embedding is the mean")
    if objective == "token-prediction":
        pytest.skip("tells tokens: test_objectives_tokens.py")
    anomalies = rows(8, seed=1)
    if of_series(objective):
        anomalies[:, :, 6:18] += 1.0
    elif of_images(objective):
        anomalies[:, :, 2:6, 2:6] += 2.0
    elif of_texts(objective):
        anomalies = torch.where(anomalies > 96, anomalies.flip(1).clamp(min=97), anomalies)
    else:
        anomalies[..., 0] += torch.tensor([0.5, 0.5, 0.5, -0.5])
    batch = with_anomalies(rows(32), anomalies)

    def likeness(module):
        with torch.no_grad():
            embeddings = nn.functional.normalize(module.encoder(batch.data), dim=1)
        return (embeddings[:32] @ embeddings[32:].T).mean().item()

    module = make()
    before = likeness(module)
    optimizer = torch.optim.Adam([one for one in module.parameters() if one.requires_grad], lr=1e-2)
    for step in range(40):
        optimizer.zero_grad()
        loss_of(module, batch, seed=step).backward()
        optimizer.step()
        if hasattr(module, "after_step"):
            module.after_step()
    assert likeness(module) < before - 0.05


def test_training_goes_on_exactly_from_its_state(make, rows):
    """What `state_dict` holds, with `prepare`, is all there is: a checkpoint after a step resumes bit-equal."""
    module, batch = make(), batch_of(rows(16))

    def steps(module, optimizer, several):
        for step in several:
            optimizer.zero_grad()
            loss_of(module, batch, seed=step).backward()
            optimizer.step()
            if hasattr(module, "after_step"):
                module.after_step()

    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    steps(module, optimizer, range(3))
    again = make(seed=5)
    again.load_state_dict(copy.deepcopy(module.state_dict()))
    for one in (module, again):
        steps(one, torch.optim.SGD(one.parameters(), lr=0.1), range(3, 6))
    for name, value in module.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_validation_leaves_no_trace(make, rows):
    """A pass without gradient, as for a held-out loss, changes nothing that training uses."""
    module, other, batch = make(), make(), batch_of(rows(16))
    with torch.no_grad():
        loss_of(module.eval(), batch_of(rows(16, seed=9)))
    module.train()
    for one in (module, other):
        if hasattr(one, "after_step"):
            one.after_step()
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(loss_of(module, batch), loss_of(other, batch))


@pytest.mark.parametrize("name", list(NAMES))
def test_settings_go_through_json(name):
    settings = named("objective", NAMES, name)()
    packer = Packer()
    packed = json.loads(json.dumps(packer.settings(settings, "objective")))
    assert Unpacker(packer.arrays, packer.blobs).value(packed) == settings
