from __future__ import annotations

import pytest
import torch
import torchvision

from unalike.encoders.build import build_encoder
from unalike.encoders.resnet import ResNet18
from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator, isolated
from unalike.types import Schema


def images(n, *shape):
    return RowGenerator(0, torch.arange(n)).uniform(*shape)


def built(settings, *shape):
    return build_encoder(settings, Schema(shape), 0).eval()


def test_with_the_large_stem_it_is_torchvision_s():
    with isolated(1):
        theirs = torchvision.models.resnet18().eval()
    theirs.fc = torch.nn.Identity()
    ours = built(ResNet18(small=False, normalization="batch"), 3, 64, 64)
    ours.body.load_state_dict(dict(zip(ours.body.state_dict(), theirs.state_dict().values(), strict=True)))
    data = images(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours(data), theirs(data), atol=1e-5)


def test_with_the_small_stem_it_has_the_parameters_of_the_one_for_cifar():
    # 11,173,962 with a classifier for ten classes, whose 5,130 are gone.
    ours = built(ResNet18(normalization="batch"), 3, 32, 32)
    assert sum(parameter.numel() for parameter in ours.parameters()) == 11_173_962 - 5_130


@pytest.mark.parametrize(("small", "size", "grid"), [(True, (32, 20), (4, 3)), (False, (64, 40), (2, 2))])
@pytest.mark.parametrize("width", [512, 16])
def test_the_mean_of_the_locations_is_the_embedding(small, size, grid, width):
    encoder = built(ResNet18(small=small, width=width), 1, *size)
    with torch.no_grad():
        locations, embeddings = encoder.locations(images(2, 1, *size)), encoder(images(2, 1, *size))
    assert encoder.grid == grid
    assert locations.shape == (2, grid[0] * grid[1], width)
    assert torch.allclose(locations.mean(dim=1), embeddings, atol=1e-5)


def test_only_batch_normalisation_mixes_the_samples_of_a_batch():
    data = images(4, 1, 16, 16)
    for normalization, mixes in (("group", False), ("batch", True)):
        encoder = built(ResNet18(normalization=normalization), 1, 16, 16).train()
        with torch.no_grad():
            assert torch.allclose(encoder(data[:2]), encoder(data)[:2], atol=1e-4) is not mixes


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"small": "yes"}, r"`small` must be one of \[True, False\]"),
        ({"width": 0}, "`width` must be a whole number"),
        ({"normalization": "layer"}, r"`normalization` must be one of \['group', 'batch'\]"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(InvalidParameter, match=told):
        ResNet18(**settings)
