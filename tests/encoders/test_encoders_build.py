from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from unalike import encoders
from unalike.encoders import ConvNet, TableMLP
from unalike.encoders.build import build_encoder
from unalike.encoders.checks import needs
from unalike.errors import InvalidParameter, MissingExtra
from unalike.types import Schema

IMAGES = Schema((1, 8, 8))


class OfTheUser(nn.Module):
    def __init__(self, width=4, out=4):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(64, out)
        self.width = width

    def forward(self, data):
        return self.linear(self.drop(self.norm(data)).flatten(1))


def test_a_name_stands_for_the_default_settings():
    by_name, by_settings = (build_encoder(encoder, IMAGES, 3) for encoder in ("convnet", ConvNet()))
    assert all(torch.equal(*pair) for pair in zip(by_name.parameters(), by_settings.parameters(), strict=True))


def test_a_module_of_the_user_is_copied_with_its_weights():
    mine = OfTheUser()
    built = build_encoder(mine, IMAGES, 0)
    assert built is not mine
    assert torch.equal(built.linear.weight, mine.linear.weight)
    with torch.no_grad():
        built.linear.weight.zero_()
    assert mine.linear.weight.abs().max() > 0


def test_trying_the_module_leaves_its_modes_and_statistics():
    mine = OfTheUser()
    mine.norm.eval()
    built = build_encoder(mine, IMAGES, 0)
    assert built.training
    assert not built.norm.training
    assert built.norm.num_batches_tracked == 0


def test_a_lazy_module_gets_weights_by_the_seed():
    class Lazy(nn.Module):
        width = 4

        def __init__(self):
            super().__init__()
            self.linear = nn.LazyLinear(4)

        def forward(self, data):
            return self.linear(data.flatten(1))

    one, same, other = (build_encoder(Lazy(), IMAGES, seed) for seed in (0, 0, 1))
    assert one.linear.weight.shape == (4, 64)
    assert torch.equal(one.linear.weight, same.linear.weight)
    assert not torch.equal(one.linear.weight, other.linear.weight)


def test_token_ids_reach_an_embedding():
    class Words(nn.Module):
        width = 3

        def __init__(self):
            super().__init__()
            self.vectors = nn.EmbeddingBag(50, 3)

        def forward(self, data):
            return self.vectors(data)

    assert build_encoder(Words(), Schema((-1,), (50,)), 0).width == 3


class NoWidth(OfTheUser):
    def __init__(self):
        super().__init__()
        del self.width


class MakesNothing:
    def build(self, schema):
        return 3


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (NoWidth(), r"attribute `width`.*got None on NoWidth.*encoder\.width"),
        (OfTheUser(width=5), r"two samples to shape \(2, 5\).*got shape \(2, 4\)"),
        (OfTheUser, r"must be an object; got the class OfTheUser"),
        (ConvNet, r"got the class ConvNet. Give ConvNet\(...\)"),
        (MakesNothing(), r"must build a torch.nn.Module; got int from MakesNothing"),
        ("convet", r"one of .*'convnet', 'lexical', 'mirrored', 'mlp'.*got 'convet'"),
        (3, r"must be one of .* or a torch.nn.Module .*got 3"),
        (TableMLP(), r"TableMLP must get a table .*shape \(1, 8, 8\)"),
        (nn.Identity(), r"attribute `width`"),
    ],
)
def test_what_makes_no_encoder_is_refused(encoder, told):
    with pytest.raises(InvalidParameter, match=told):
        build_encoder(encoder, IMAGES, 0)


def test_a_module_for_other_data_is_refused_with_its_own_words():
    with pytest.raises(InvalidParameter, match=r"samples of shape \(3, 8, 8\).*OfTheUser fails with RuntimeError"):
        build_encoder(OfTheUser(), Schema((3, 8, 8)), 0)


def test_samples_that_vary_in_size_are_refused_where_the_size_must_be_known():
    with pytest.raises(InvalidParameter, match=r"one size; got shape \(1, -1, -1\)"):
        build_encoder("raw", Schema((1, -1, -1)), 0)
    assert build_encoder("convnet", Schema((1, -1, -1)), 0).width == 128


def test_a_missing_dependency_names_its_extra():
    with pytest.raises(MissingExtra, match=r"`encoders.Timm` .*tiiimm.*pip install 'unalike\[image\]'"):
        needs("encoders.Timm", "tiiimm.models", "image")


def test_importing_the_stage_does_not_import_torch():
    code = "import sys, unalike.encoders as e; assert 'torch' not in sys.modules; print(e.NAMES['convnet'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "unalike.encoders.convnet:ConvNet"


def test_an_unknown_attribute_of_the_stage_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Foo'"):
        _ = encoders.Foo
