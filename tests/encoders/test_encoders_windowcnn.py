"""WindowCNN, ChannelCNN, WindowSpectrum and centred raw windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unalike.encoders import ChannelCNN, RawWindow, WindowCNN, WindowSpectrum
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.types import Schema

NAN = float("nan")
CNNS = [WindowCNN(), ChannelCNN()]
both = pytest.mark.parametrize("settings", CNNS, ids=["window", "channel"])


def windows(n=6, channels=3, length=40, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(n, channels, length, generator=draws).cumsum(dim=2)


def made(settings, channels=3, length=40, seed=0):
    return build_encoder(settings, Schema((channels, length)), seed).eval()


def close(one, other, tolerance=1e-5):
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.inference_mode():
        yield


def bridged(data):
    """By numpy: lines between the measured cells; 0 without any."""
    values = data.numpy().copy()
    for row in values.reshape(-1, values.shape[-1]):
        gone = np.isnan(row)
        row[gone] = 0.0 if gone.all() else np.interp(np.flatnonzero(gone), np.flatnonzero(~gone), row[~gone])
    return torch.from_numpy(values)


@pytest.mark.parametrize(
    "settings", [*CNNS, WindowSpectrum(), RawWindow()], ids=["window", "channel", "spectrum", "raw"]
)
def test_missing_cells_lie_on_lines(settings):
    data = windows()
    data[0, 1, 5:20], data[1, :, :9], data[2, 0], data[3, 2, ::3] = NAN, NAN, NAN, NAN
    encoder = made(settings)
    assert close(encoder(data), encoder(bridged(data)))
    assert not close(encoder(data)[:4], encoder(windows())[:4], 1e-3)


@both
def test_level_shape_and_size_change_the_embedding(settings):
    data, encoder = windows(), made(settings)
    wave = torch.linspace(0.0, 12.0, 40).sin()
    usual = encoder(data)
    for other in (data + 1.0, 2.0 * data, data.flip(2), data + wave):
        assert (encoder(other) - usual).abs().amax(dim=1).min() > 1e-3


@both
def test_the_embedding_is_mean_and_largest_over_the_window(settings):
    """Of a constant window all places but those at the edges are alike, so mean and largest nearly agree."""
    flat = torch.full((2, 3, 400), 0.7)
    encoder = made(settings, length=400)
    blocks = 1 if isinstance(settings, WindowCNN) else 3
    mean, largest = encoder(flat).view(2, blocks, 2, -1).unbind(dim=2)
    assert (mean <= largest + 1e-6).all()
    assert (largest - mean).mean() < 0.1 * largest.abs().mean() + 0.05


@both
def test_settings_out_of_range_are_refused(settings):
    name = "width" if isinstance(settings, WindowCNN) else "features"
    with pytest.raises(InvalidParameter, match=f"`{name}`"):
        type(settings)(**{name: 0})
    with pytest.raises(InvalidParameter, match=type(settings).__name__):
        settings.build(Schema((3, 8, 8)))


def test_windows_of_any_length_come_to_the_same_points():
    """A window with every second step of a piecewise linear one has the same values at the points in between."""
    with pytest.raises(InvalidParameter, match="`points`"):
        WindowCNN(points=7)
    encoder = made(WindowCNN(points=9), length=-1)
    coarse = windows(length=9)
    fine = torch.from_numpy(
        np.stack([np.interp(np.linspace(0, 8, 33), np.arange(9), row) for row in coarse.numpy().reshape(-1, 9)]).astype(
            np.float32
        )
    ).view(6, 3, 33)
    assert close(encoder(fine), encoder(coarse))
    assert encoder(coarse).shape == (6, 96)


def test_small_windows_are_seen_by_their_shape_and_large_ones_are_clipped():
    encoder = made(WindowCNN(), channels=1)
    wave, other = torch.linspace(0.0, 12.0, 40).sin()[None, None], torch.linspace(0.0, 18.0, 40).sin()[None, None]
    # An amplitude of a fifth of a standard deviation hardly shows in the first plane, but does in the second.
    assert (encoder(0.2 * wave) - encoder(0.2 * other)).abs().amax() > 0.3 * (
        encoder(wave) - encoder(other)
    ).abs().amax()
    assert close(encoder(torch.full((1, 1, 40), 7.0)), encoder(torch.full((1, 1, 40), 19.0)))


def test_the_order_of_channels_counts_where_they_are_seen_together():
    data, encoder = windows(), made(WindowCNN())
    assert (encoder(data) - encoder(data[:, [1, 0, 2]])).abs().amax(dim=1).min() > 1e-3


def test_each_channel_is_seen_alone_by_the_same_network():
    data, encoder, alone = windows(), made(ChannelCNN()), made(ChannelCNN(), channels=1)
    alone.load_state_dict(encoder.state_dict())
    assert encoder.width == 3 * encoder.channel_width == 3 * alone.width
    for channel, block in enumerate(encoder(data).chunk(3, dim=1)):
        assert close(block, alone(data[:, channel : channel + 1]))
        assert close(block, encoder.of_channels(data[:, channel]))
    assert close(encoder(data[:, [2, 0, 1]]), encoder(data).view(6, 3, -1)[:, [2, 0, 1]].flatten(1))


def test_what_is_far_off_does_not_drown_the_rest():
    encoder = made(ChannelCNN(), channels=1)
    data = windows(1, 1)
    apart = [(encoder(data + shift) - encoder(data)).norm() for shift in (1.0, 20.0)]
    assert apart[0] < apart[1] < 8.0 * apart[0]


@pytest.mark.parametrize("length", [2, 7, 40, 41])
def test_the_spectrum_is_numpy_s(length):
    data = windows(length=length)
    encoder = made(WindowSpectrum(), length=length)
    values = data.double().numpy()
    apart = values - values.mean(axis=2, keepdims=True)
    amplitudes = np.abs(np.fft.rfft(apart, axis=2))[..., 1:] / math.sqrt(length)
    found = encoder(data).numpy()
    assert encoder.width == found.shape[1] == 3 * (length // 2)
    assert np.allclose(found, np.log(amplitudes + 0.1).reshape(6, -1), atol=1e-4)


def test_the_spectrum_does_not_know_level_nor_when_a_period_begins():
    steps = torch.arange(40.0)
    one, later = ((2 * math.pi * (steps + shift) / 10).sin() for shift in (0.0, 3.7))
    encoder = made(WindowSpectrum(), channels=1)
    usual = encoder(one.view(1, 1, 40))
    assert close(encoder(later.view(1, 1, 40) + 5.0), usual, 1e-3)
    assert usual.argmax() == 3  # four periods
    assert not close(encoder((2 * math.pi * steps / 8).sin().view(1, 1, 40)), usual, 0.5)


def test_a_flat_window_has_no_frequencies():
    flat = made(WindowSpectrum())(torch.full((2, 3, 40), 7.3))
    assert close(flat, torch.full((2, 60), math.log(0.1)), 1e-3)
    alone = made(WindowSpectrum(), length=1)
    assert torch.equal(alone(torch.rand(4, 3, 1)), torch.zeros(4, 3))


@pytest.mark.parametrize("settings", [RawWindow(center=True), RawWindow(center=True, points=8)], ids=["all", "points"])
def test_centred_windows_have_shape_and_amplitude_but_no_level(settings):
    data = windows()
    data[0, 1, 3:9], data[1, 2] = NAN, NAN
    encoder = made(settings)
    assert close(encoder(data + 3.0), encoder(data), 1e-4)
    assert not close(encoder(2.0 * data), encoder(data), 1e-2)
    mean = np.nanmean(data.double().numpy()[:, :2], axis=2, keepdims=True)
    expected = made(RawWindow(points=settings.points), channels=2)(data[:, :2] - torch.from_numpy(mean).float())
    assert close(encoder(data).view(6, 3, -1)[:, :2].flatten(1), expected, 1e-4)
    assert torch.equal(encoder(data).view(6, 3, -1)[1, 2], torch.zeros(encoder.points))


def test_a_window_that_is_rescaled_is_centred_already():
    data = windows()
    rescaled = made(RawWindow(instance_norm=True, center=True))(data)
    assert torch.equal(rescaled, made(RawWindow(instance_norm=True))(data))
    with pytest.raises(InvalidParameter, match="`center`"):
        RawWindow(center=1)
