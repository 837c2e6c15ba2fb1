"""The contrast of channels against a slow twin in plain loops."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from unalike.encoders import ChannelCNN, WindowCNN
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives import ChannelContrast, InjectAnomalies
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch, Schema

N, CHANNELS, LENGTH = 12, 4, 20
NAN = math.nan


class Encoder(nn.Module):
    """Remembers what it was shown."""

    channel_width = 8
    width = CHANNELS * channel_width

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(LENGTH, self.channel_width)
        self.seen = None

    def of_channels(self, rows):
        self.seen = rows
        return self.layer(rows.nan_to_num()).tanh()


def unchanged(data, generator):
    return data.clone()


def windows(n=N, seed=0):
    return RowGenerator(seed, torch.arange(n)).normal(CHANNELS, LENGTH)


def built(sample=None, encoder=None, **settings):
    with isolated(0):
        module = ChannelContrast(**settings).build(encoder or Encoder())
    module.prepare(windows(30, seed=8) if sample is None else sample)
    return module


def batch(labels=None, data=None):
    data = windows() if data is None else data
    label = None if labels is None else torch.tensor(labels)
    return Batch(data=data, index=torch.arange(len(data)), label=label)


def paid(module, rows, views=unchanged, seed=3):
    return module(rows, views, RowGenerator(seed, rows.index))


def channel_of(row, candidates):
    """Number of the window and of the channel that a row is, of ``(m, channels, length)``."""
    same = (candidates - row).abs().nan_to_num(0.0).amax(dim=2) == 0.0
    ((window, channel),) = same.nonzero().tolist()
    return window, channel


LABELS = [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("labels", [None, LABELS])
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_it_is_its_slow_twin(labels, temperature):
    pool, rows = windows(30, seed=8), batch(labels)
    module = built(pool, temperature=temperature)
    loss = paid(module, rows).item()
    anchors, keys, wrong = module.encoder.seen.split(N)
    anomalous = [False] * N if labels is None else [bool(label) for label in labels]

    # An anchor and its positive are one channel of two windows, and so is the negative with an anomaly.
    channels = []
    for row in range(N):
        window, channel = channel_of(anchors[row], rows.data)
        assert window == row
        assert channel_of(keys[row], pool)[1] == channel
        if anomalous[row]:  # it is one as it is
            assert torch.equal(wrong[row], anchors[row])
        channels.append(channel)
    assert len(set(channels)) > 1
    assert (wrong != anchors).any(dim=1).sum() >= 3

    z = normalize(module.head(module.encoder.of_channels(torch.cat([anchors, keys, wrong]))).detach().double(), dim=1)
    anchor, key, other = z.split(N)
    terms = []
    for row in range(N):
        if anomalous[row]:
            continue
        positive = math.exp(float(anchor[row] @ key[row]) / temperature)
        total = positive
        for column in range(N):
            if channels[column] != channels[row] and not anomalous[column]:
                total += math.exp(float(anchor[row] @ key[column]) / temperature)
            if channels[column] == channels[row]:
                total += math.exp(float(anchor[row] @ other[column]) / temperature)
        terms.append(-math.log(positive / total))
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_views_are_seen_of_all_three():
    module, rows = built(), batch()
    paid(module, rows)
    plain = module.encoder.seen
    paid(module, rows, views=lambda data, generator: data + 100.0)
    torch.testing.assert_close(module.encoder.seen, plain + 100.0)


def test_every_channel_that_moves_is_drawn_and_no_other():
    sample = windows(30, seed=8)
    sample[:, 1], sample[:, 3, 2:] = 7.0, NAN
    sample[:, 3, :2] = -1.0
    module = built(sample)
    assert module.live.tolist() == [0, 2]
    rows = batch(data=windows(200))
    paid(module, rows)
    drawn = [channel_of(row, rows.data)[1] for row in module.encoder.seen[:200]]
    assert set(drawn) == {0, 2}
    assert drawn.count(0) / 200 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("level", [3.0, NAN])
def test_where_no_channel_moves_all_take_part_and_the_loss_is_finite(level):
    module = built(torch.full((30, CHANNELS, LENGTH), level))
    assert module.live.tolist() == list(range(CHANNELS))
    loss = paid(module, batch(data=torch.full((N, CHANNELS, LENGTH), level)))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(weight.grad.isfinite().all() for weight in module.parameters())


def test_one_channel_has_its_anomalies_for_negatives():
    encoder = Encoder()
    module = built(windows(30, seed=8)[:, :1], encoder)
    loss = paid(module, batch(data=windows()[:, :1]))
    assert 0.0 < loss.item() < 50.0


def test_of_labelled_anomalies_alone_nothing_is_paid():
    module = built()
    loss = paid(module, batch([1] * N))
    loss.backward()
    assert loss.item() == 0.0
    assert all((weight.grad == 0.0).all() for weight in module.parameters())


def test_missing_cells_reach_the_encoder_as_missing():
    data = windows()
    data[:, :, 5:9] = NAN
    module = built(data)
    assert torch.isfinite(paid(module, batch(data=data)))
    assert module.encoder.seen[:, 5:9].isnan().all()
    assert module.encoder.seen[:, :5].isfinite().all()


def test_negatives_are_the_injected_windows():
    module, data = built(), windows()
    made = module.negatives(data, RowGenerator(5, torch.arange(N)))
    assert made.shape == data.shape
    assert (made != data).flatten(1).any(dim=1).all()
    assert len(module.kinds) == len(made) // N


def waves(n, seed=0):
    """Channels of periods of their own, in any phase."""
    phase = RowGenerator(seed, torch.arange(n)).uniform(CHANNELS, 1)
    return (torch.arange(float(LENGTH)) / (1.0 + torch.arange(CHANNELS)[:, None]) + 6.3 * phase).sin()


def test_training_lowers_the_loss_moves_the_weights_and_tells_channels_and_anomalies_apart():
    with isolated(0):
        encoder = ChannelCNN(features=16).build(Schema((CHANNELS, LENGTH)))
    module = built(waves(128, seed=1), encoder)
    start = copy.deepcopy(module.state_dict())
    held = batch(data=waves(128, seed=2))
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    with torch.no_grad():
        before = paid(module, held, seed=99).item()
    for step in range(60):
        optimizer.zero_grad()
        paid(module, batch(data=waves(64, seed=10 + step)), seed=step).backward()
        optimizer.step()
    with torch.no_grad():
        assert paid(module, held, seed=99).item() < 0.8 * before
        z = normalize(module.encoder(held.data).reshape(128, CHANNELS, -1), dim=2)
    for name, weight in module.named_parameters():
        assert not torch.equal(weight, start[name]), name
    centers = normalize(z.mean(dim=0), dim=1)  # (channels, width)
    nearest = (z @ centers.T).argmax(dim=2)
    assert (nearest == torch.arange(CHANNELS)).float().mean() > 0.9


def test_it_keeps_few_windows_and_saves_none():
    sample = torch.zeros(5, 2**12, 2**10)
    sample[:, 0, 0] = torch.arange(5.0)
    module = built(sample, Encoder())
    assert len(module.pool) == 4
    assert not any("pool" in name or "live" in name for name in module.state_dict())


def test_an_encoder_that_mixes_channels_is_refused():
    with isolated(0):
        mixing = WindowCNN().build(Schema((CHANNELS, LENGTH)))
    with pytest.raises(InvalidParameter, match=r"`of_channels`, which sees each channel alone; got WindowConvolutions"):
        ChannelContrast().build(mixing)


def test_before_prepare_and_without_windows():
    with isolated(0):
        module = ChannelContrast().build(Encoder())
    with pytest.raises(NotFitted, match=r"`prepare\(sample\)` must be called before the first batch"):
        paid(module, batch())
    with pytest.raises(InvalidInput, match="`sample` must be windows of series"):
        module.prepare(torch.zeros(5, 3))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"injection": "spike"}, "injection"),
        ({"temperature": 0.0}, "temperature"),
        ({"head_layers": -1}, "head_layers"),
        ({"head_width": 0}, "head_width"),
    ],
)
def test_settings_out_of_range_are_refused(settings, name):
    with pytest.raises(InvalidParameter, match=f"`{name}`"):
        ChannelContrast(**settings)


def test_its_anomalies_may_be_chosen():
    shift = InjectAnomalies(kinds=("level-shift",), shift_size=(5.0, 5.0), unit="channel", length=(1.0, 1.0))
    module, rows = built(injection=shift), batch()
    paid(module, rows)
    anchors, _, wrong = module.encoder.seen.split(N)
    apart = (wrong - anchors).abs()
    assert (((apart - 5.0).abs() < 1e-4) | (apart == 0.0)).all()
    assert (apart.amax(dim=1) > 0.0).any()
