from __future__ import annotations

import numpy as np
import pytest
import torch

from unalike.encoders import RawWindow, WindowStatistics
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.types import Schema

NAN = float("nan")


def windows(n=30, channels=3, length=20, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, channels, length)).cumsum(axis=2) + rng.normal(size=(n, channels, 1))
    data[rng.random(data.shape) < missing] = NAN
    return torch.from_numpy(data.astype(np.float32))


def made(settings, data, sample=None):
    return build_encoder(settings, Schema(tuple(data.shape[1:])), 0, sample=sample).eval()


def slow_statistics(channel):
    """Of one channel with NaN, by the words of the docstring."""
    seen = channel[~np.isnan(channel)]
    steps = np.abs(np.diff(channel))
    steps = steps[~np.isnan(steps)]
    of_steps = [steps.max(), steps.mean()] if len(steps) else [NAN, NAN]
    return [seen.mean(), seen.std(), seen.max(), seen.min(), *of_steps] if len(seen) else [NAN] * 6


def test_raw_windows_are_flattened_channel_by_channel():
    data = windows()
    assert torch.equal(made(RawWindow(), data)(data), data.flatten(1))


def test_longer_windows_are_averaged_over_equal_stretches():
    data = windows(length=24)
    encoder = made(RawWindow(points=6), data)
    assert encoder.width == 18
    assert torch.allclose(encoder(data), data.unflatten(2, (6, 4)).mean(dim=3).flatten(1), atol=1e-6)
    assert torch.equal(made(RawWindow(points=50), data)(data), data.flatten(1))


def test_missing_cells_lie_between_their_neighbours():
    data = torch.tensor([[[NAN, 1.0, NAN, NAN, 4.0, NAN], [NAN] * 6, [NAN, NAN, 7.0, NAN, NAN, NAN]]])
    expected = [1, 1, 2, 3, 4, 4, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7]
    assert made(RawWindow(), data)(data)[0].tolist() == expected


@pytest.mark.parametrize("missing", [0.05, 0.6, 0.9])
def test_missing_cells_are_numpy_s_interpolation(missing):
    data = windows(missing=missing)
    expected = data.numpy().copy()
    for channel in expected.reshape(-1, 20):
        gone = np.isnan(channel)
        channel[gone] = 0.0 if gone.all() else np.interp(np.flatnonzero(gone), np.flatnonzero(~gone), channel[~gone])
    assert np.allclose(made(RawWindow(), data)(data).numpy(), expected.reshape(30, -1), atol=1e-5)


def test_instance_norm_forgets_level_and_amplitude_but_not_that_a_window_is_flat():
    data = windows()
    encoder = made(RawWindow(instance_norm=True), data)
    assert torch.allclose(encoder(100.0 * data + 5.0), encoder(1000.0 * data - 3.0), atol=1e-3)
    values, cells = encoder(data).view(30, 3, 20), data.double()
    mean, variance = cells.mean(dim=2, keepdim=True), cells.var(dim=2, correction=0, keepdim=True)
    assert torch.allclose(values.double(), (cells - mean) / (variance + 0.05**2).sqrt(), atol=1e-5)
    flat = torch.full((1, 3, 20), 12.3) + 1e-4 * windows(1)
    assert encoder(flat).abs().max() < 0.05
    assert torch.equal(encoder(torch.full((1, 3, 20), 0.1)), torch.zeros(1, 60))


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.93])
def test_statistics_are_those_of_the_measured_cells(missing):
    sample, data = windows(200, missing=missing, seed=1), windows(missing=missing)
    by_hand, of_sample = (
        np.array([[slow_statistics(channel) for channel in window] for window in part.double().numpy()])
        for part in (data, sample)
    )
    expected = (by_hand - np.nanmean(of_sample, axis=0)) / np.maximum(np.nanstd(of_sample, axis=0), 0.05)
    expected = np.nan_to_num(expected).clip(-20, 20)
    found = made(WindowStatistics(), data, sample)(data)
    assert np.allclose(found.view(30, 3, 6).numpy(), expected, atol=1e-4)


def test_a_window_that_is_constant_has_statistics_without_rounding():
    sample = torch.full((10, 2, 33), 0.1)
    encoder = made(WindowStatistics(), sample, sample)
    assert torch.equal(encoder.std, torch.full((2, 6), 0.05))
    rows = torch.tensor([0.1, 0.3, 1 / 3])[:, None, None].expand(3, 2, 33)
    assert torch.equal(encoder(rows).view(3, 2, 6)[..., [1, 4, 5]], torch.zeros(3, 2, 3))
    assert (encoder(rows[1:])[:, 0] > 3.9).all()
    assert encoder(torch.full((1, 2, 33), 9.0)).max() == 20.0


def test_a_channel_that_is_not_measured_is_usual():
    sample, data = windows(100, seed=1), windows()
    encoder = made(WindowStatistics(), data, sample)
    gone = data.clone()
    gone[:, 1] = NAN
    before, after = encoder(data).view(30, 3, 6), encoder(gone).view(30, 3, 6)
    assert torch.equal(after[:, 1], torch.zeros(30, 6))
    assert torch.allclose(after[:, [0, 2]], before[:, [0, 2]], atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_windows_do(length):
    data = windows(length=length)
    for settings in (RawWindow(points=2, instance_norm=True), WindowStatistics()):
        encoder = made(settings, data, data)
        assert torch.isfinite(encoder(data)).all()
        assert encoder(torch.full_like(data, NAN)).abs().max() == 0.0


def test_windows_of_any_length_have_statistics():
    encoder = build_encoder(WindowStatistics(), Schema((3, -1)), 0, sample=windows())
    assert encoder(windows(length=7)).shape == (30, 18)
    with pytest.raises(InvalidParameter, match="windows of one length; got shape"):
        build_encoder(RawWindow(), Schema((3, -1)), 0)


def test_a_window_without_missing_cells_is_not_masked(monkeypatch):
    """It must cost nothing that others may have missing cells."""
    monkeypatch.setattr(torch.Tensor, "masked_fill", lambda *a: pytest.fail("masked"))
    data = windows()
    for settings in (RawWindow(instance_norm=True), WindowStatistics()):
        made(settings, data)(data)


@pytest.mark.parametrize("settings", [{"points": 0}, {"points": 2.5}, {"instance_norm": 1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        RawWindow(**settings)


@pytest.mark.parametrize("schema", [Schema((3, 8, 8)), Schema((6,)), Schema((4, 2), (0, 3, 0, 0))])
def test_other_data_are_refused(schema):
    for settings in (RawWindow(), WindowStatistics()):
        with pytest.raises(InvalidParameter, match="must get windows of a time series"):
            build_encoder(settings, schema, 0)
