from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from unalike.encoders import ConvNet, Mirrored, Raw, Timm
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator
from unalike.symmetry import change_by, is_symmetric
from unalike.types import Schema

SCHEMA = Schema((1, 12, 10))


def images(n, seed=0):
    return RowGenerator(seed, torch.arange(n)).uniform(*SCHEMA.shape)


def leaning(n):
    """Bright at the left."""
    return 0.1 * images(n) + torch.linspace(1.0, 0.0, 10)


def built(settings, sample=None):
    return build_encoder(settings, SCHEMA, 3, sample=sample).eval()


def test_is_the_mean_of_both_looks_and_the_same_for_both():
    encoder, data = built(Mirrored(mirror=True)), images(5)
    inner = encoder.encoder
    expected = (inner(data) + inner(data.flip(-1))) / 2
    assert torch.allclose(encoder(data), expected, atol=1e-6)
    assert torch.allclose(encoder(data.flip(-1)), encoder(data), atol=1e-6)


def test_training_takes_one_look():
    encoder, data = built(Mirrored(mirror=True)), images(5)
    assert torch.equal(encoder.train()(data), encoder.encoder(data))


@pytest.mark.parametrize(("sample", "symmetric"), [(images(40), True), (leaning(40), False)])
def test_mirrors_where_mirrored_images_are_like_the_images(sample, symmetric):
    # Noise has no sides: its mirror images are as far from it as it is from itself.
    assert is_symmetric(sample) == symmetric
    encoder = built(Mirrored(), sample)
    assert bool(encoder.mirrors) == symmetric
    data = images(3, seed=1)
    same = torch.allclose(encoder(data.flip(-1)), encoder(data), atol=1e-6)
    assert same == symmetric


def test_nearly_symmetric_images_are_and_too_few_cannot_tell():
    half = images(30)[..., :5]
    sample = torch.cat((half, half.flip(-1)), dim=-1) + 0.01 * images(30, seed=2)
    assert change_by(sample, sample.flip(-1)) < 0.1
    assert is_symmetric(sample)
    assert not is_symmetric(sample[:8])


def test_rescaled_looks_have_unit_spread_before_their_length_is_taken():
    sample = images(60)
    sample[:, :, 0] *= 50.0
    encoder = built(Mirrored(encoder=Raw(), mirror=True, rescale=True), sample)
    flat = sample.flatten(1)
    spread = flat.double().std(dim=0, correction=0)
    spread = spread.clamp(min=0.1 * float(spread.mean())).float()
    looks = [functional.normalize(part.flatten(1) / spread, dim=1) for part in (sample, sample.flip(-1))]
    assert torch.allclose(encoder(sample), (looks[0] + looks[1]) / 2, atol=1e-5)


def test_constant_images_can_be_rescaled():
    encoder = built(Mirrored(encoder=Raw(), rescale=True), torch.zeros(30, *SCHEMA.shape))
    assert torch.equal(encoder.spread, torch.ones(encoder.width))
    assert encoder(images(2)).isfinite().all()


def test_saved_weights_know_whether_it_mirrors():
    settings = Mirrored(encoder=Timm(name="test_resnet", frozen=True, size=32), rescale=True)
    encoder = built(settings, images(40))
    again = build_encoder(settings, SCHEMA, 0, blank=True).eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(images(4)), encoder(images(4)))


@pytest.mark.parametrize("settings", [{"mirror": "yes"}, {"rescale": 1}, {"encoder": "convnet"}, {"encoder": ConvNet}])
def test_settings_out_of_range(settings):
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        Mirrored(**settings)
