from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unalike.encoders.build import build_encoder
from unalike.encoders.convnet import ChannelScale, ConvNet, group_norm
from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator
from unalike.types import Schema


def images(n, *shape, seed=0):
    return RowGenerator(seed, torch.arange(n)).uniform(*shape)


def built(settings, *shape):
    return build_encoder(settings, Schema(shape), 0).eval()


@pytest.mark.parametrize("side", [1, 5, 8, 28, 33, 64])
def test_it_takes_images_of_any_size(side):
    encoder = built(ConvNet(grid=2), 2, side, side)
    embeddings = encoder(images(3, 2, side, side))
    assert embeddings.shape == (3, 128)
    assert torch.pdist(embeddings).min() > 1e-4


def test_its_layers_are_told_by_the_settings():
    encoder = built(ConvNet(channels=(8, 16, 32, 64), width=10, grid=2, activation="relu"), 3, 16, 16)
    convolutions = [part for part in encoder.body if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [8, 16, 32, 64]
    assert {part.kernel_size for part in convolutions} == {(3, 3)}
    assert (encoder.head.in_features, encoder.head.out_features) == (64 * 4, 10)
    assert sum(isinstance(part, nn.ReLU) for part in encoder.body) == 4


@pytest.mark.parametrize(
    ("size", "grid"), [((4, 4), (4, 4)), ((8, 8), (4, 4)), ((8, 30), (4, 15)), ((28, 28), (7, 7)), ((65, 64), (17, 16))]
)
def test_maps_are_halved_but_not_below_four_pixels(size, grid):
    encoder = built(ConvNet(), 1, *size)
    assert encoder.grid == grid
    assert encoder.body(images(1, 1, *size)).shape[2:] == grid


@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (32, 20)])
def test_the_mean_of_the_locations_is_the_embedding(grid, size):
    encoder, data = built(ConvNet(channels=(8, 16), width=6, grid=grid), 3, *size), images(4, 3, *size)
    locations = encoder.locations(data)
    assert locations.shape == (4, encoder.grid[0] * encoder.grid[1], 6)
    assert torch.allclose(locations.mean(dim=1), encoder(data), atol=1e-5)


def test_a_location_tells_of_its_place():
    encoder, data = built(ConvNet(channels=(8, 16)), 1, 16, 24), images(1, 1, 16, 24)
    changed = data.clone()
    changed[0, 0, 2:4, 20:22] += 3.0
    moved = (encoder.locations(changed) - encoder.locations(data)).norm(dim=2).view(encoder.grid)
    assert encoder.grid == (8, 12)
    row, column = divmod(int(moved.argmax()), encoder.grid[1])
    assert row in (0, 1, 2)
    assert column in (9, 10, 11)


def test_a_grid_keeps_the_place():
    there = torch.zeros(1, 1, 32, 32)
    there[..., 6:10, 6:10] = 1.0
    elsewhere = there.roll((16, 16), dims=(2, 3))
    forgets, keeps = (built(ConvNet(grid=grid), 1, 32, 32) for grid in (1, 2))
    apart = [(encoder(there) - encoder(elsewhere)).norm() / encoder(there).norm() for encoder in (forgets, keeps)]
    assert apart[0] < 0.06
    assert apart[1] > 0.1


def test_training_does_not_mix_the_samples_of_a_batch():
    encoder, data = built(ConvNet(), 1, 8, 8).train(), images(6, 1, 8, 8)
    assert torch.allclose(encoder(data[:1]), encoder(data)[:1], atol=1e-6)


def test_it_does_not_depend_on_the_unit_of_a_channel():
    data = images(20, 3, 8, 8)
    unit = torch.tensor([2.0, 100.0, 1e-4])[:, None, None]
    offset = torch.tensor([-1.0, 5.0, 0.5])[:, None, None]
    one, other = built(ConvNet(), 3, 8, 8), built(ConvNet(), 3, 8, 8)
    one.prepare(data)
    other.prepare(data * unit + offset)
    assert torch.allclose(one(data), other(data * unit + offset), atol=1e-2)
    assert (one(data) - other(data)).abs().max() > 0.1


def test_channels_are_standardised_as_numpy_does():
    # More than one chunk, and a channel far from zero.
    data = torch.cat((images(600, 2, 3, 4), 1000.0 + images(600, 1, 3, 4, seed=1)), dim=1)
    scale = ChannelScale(3)
    assert torch.equal(scale(data), data)
    scale.fit(data)
    values = data.numpy().astype(np.float64)
    assert np.allclose(scale.mean.flatten(), values.mean(axis=(0, 2, 3)), rtol=1e-6)
    assert np.allclose(scale.std.flatten(), values.std(axis=(0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_a_constant_channel_is_only_centred(value):
    scale = ChannelScale(1)
    scale.fit(torch.full((500, 1, 7, 7), value))
    assert scale.std.item() == 1.0
    assert scale(torch.full((1, 1, 1, 1), value + 1.0)).item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (7, 1), (30, 3), (32, 4), (64, 8), (512, 32)])
def test_groups_have_eight_channels_where_there_are_so_many(channels, groups):
    assert group_norm(channels).num_groups == groups


def test_settings_from_json_equal_those_from_python():
    assert ConvNet(channels=[8, 16]) == ConvNet(channels=(8, 16))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"channels": ()}, "`channels` must be a tuple of one or more"),
        ({"channels": (8, 2)}, "`channels` must be a whole number of 4 or more; got 2"),
        ({"width": True}, "`width` must be a whole number of 1 or more; got True"),
        ({"grid": 0}, r"`grid` must be one of \[1, 2, 3, 4\]; got 0"),
        ({"activation": "tanh"}, r"`activation` must be one of \['relu', 'silu'\]; got 'tanh'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(InvalidParameter, match=told):
        ConvNet(**settings)


def test_data_that_are_no_images_are_refused():
    with pytest.raises(InvalidParameter, match=r"ConvNet must get images .*shape \(4, 2\).*TableMLP"):
        ConvNet().build(Schema((4, 2)))
