"""What every encoder must do, whatever its kind."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from tiny_bert import shared_tiny_bert
from unalike import encoders
from unalike.encoders import (
    MLP,
    NAMES,
    TCN,
    ChannelCNN,
    ConvNet,
    Lexical,
    Mirrored,
    PatchTransformer,
    PretrainedText,
    Raw,
    RawTable,
    RawWindow,
    Recurrent,
    ResNet18,
    SeriesCNN,
    TableMLP,
    TableTransformer,
    TextTransformer,
    Timm,
    TokenContext,
    WindowCNN,
    WindowResidual,
    WindowSpectrum,
    WindowStatistics,
)
from unalike.encoders.build import build_encoder
from unalike.lookup import named
from unalike.seeding import RowGenerator
from unalike.types import Encoder, EncoderSettings, Schema

GREY, COLOR, MANY = Schema((1, 8, 8)), Schema((3, 32, 24)), Schema((5, 16, 16))
TABLE = Schema((5, 2), (0, 4, 0, 0, 3))
VECTORS = Schema((6,))
TEXT = Schema((60,), (0x110000,))
ONE, SEVERAL = Schema((1, 40)), Schema((3, 19))

CASES = {
    "convnet-grey": (ConvNet(), GREY),
    "convnet-color": (ConvNet(channels=(8, 12), width=16, grid=1, activation="silu"), COLOR),
    "convnet-many": (ConvNet(channels=(4, 7, 30), width=5, grid=3), MANY),
    "resnet18-small": (ResNet18(), GREY),
    "resnet18-large": (ResNet18(small=False, width=16), COLOR),
    "resnet18-batch": (ResNet18(normalization="batch"), MANY),
    "timm-resnet": (Timm(name="test_resnet"), COLOR),
    "timm-vit": (Timm(name="test_vit", size=32), GREY),
    "timm-vit-layers": (Timm(name="test_vit", layers=(1, 3), pool="grid2"), Schema((3, 32, 32))),
    "timm-convnext": (Timm(name="test_convnext", layers=(-2,)), Schema((2, 32, 32))),
    "timm-efficientnet": (Timm(name="test_efficientnet", layers=(1, 2), pool="grid2"), MANY),
    "timm-frozen": (Timm(name="test_resnet", frozen=True), COLOR),
    "timm-trainable": (Timm(name="test_efficientnet", layers="middle", trainable=1), COLOR),
    "mirrored": (Mirrored(), GREY),
    "mirrored-frozen": (Mirrored(encoder=Timm(name="test_resnet", frozen=True), mirror=True, rescale=True), COLOR),
    "table-mlp": (TableMLP(), TABLE),
    "table-mlp-layer": (TableMLP(hidden=(16,), width=8, normalization="layer", activation="relu"), TABLE),
    "table-mlp-numeric": (TableMLP(), Schema((4, 2))),
    "table-mlp-categories": (TableMLP(embedding_width=3), Schema((2, 2), (3, 9))),
    "table-mlp-periodic": (TableMLP(numbers="periodic"), TABLE),
    "table-mlp-piecewise": (TableMLP(numbers="piecewise-linear"), TABLE),
    "table-mlp-piecewise-categories": (TableMLP(numbers="piecewise-linear"), Schema((2, 2), (3, 9))),
    "table-transformer": (TableTransformer(), TABLE),
    "table-transformer-one": (TableTransformer(blocks=1, heads=2, width=6, numbers="periodic"), TABLE),
    "table-transformer-piecewise": (TableTransformer(numbers="piecewise-linear"), Schema((4, 2))),
    "table-transformer-categories": (TableTransformer(), Schema((2, 2), (3, 9))),
    "lexical": (Lexical(width=64), TEXT),
    "token-context": (TokenContext(vocabulary=64, width=8, hidden=12), TEXT),
    "pretrained-text": (PretrainedText(model=shared_tiny_bert()), TEXT),
    "pretrained-text-trainable": (PretrainedText(model=shared_tiny_bert(), pooling="max", trainable=1), TEXT),
    "text-transformer": (TextTransformer(vocabulary=300, width=16, heads=2), TEXT),
    "text-transformer-bytes": (TextTransformer(width=8, layers=1, most_tokens=20, tokenizer="bytes"), TEXT),
    "mlp": (MLP(), VECTORS),
    "mlp-image": (MLP(hidden=(32, 16, 8), width=4), GREY),
    "raw": (Raw(), GREY),
    "raw-table": (RawTable(), TABLE),
    "raw-table-log": (RawTable(scaling="signed-log"), TABLE),
    "raw-table-quantile": (RawTable(scaling="quantile"), TABLE),
    "raw-table-categories": (RawTable(scaling="quantile"), Schema((2, 2), (3, 9))),
    "raw-window": (RawWindow(), SEVERAL),
    "raw-window-norm": (RawWindow(points=7, instance_norm=True), SEVERAL),
    "raw-window-center": (RawWindow(center=True), SEVERAL),
    "window-statistics": (WindowStatistics(), SEVERAL),
    "window-spectrum": (WindowSpectrum(), SEVERAL),
    "window-spectrum-one": (WindowSpectrum(), ONE),
    "window-cnn": (WindowCNN(), ONE),
    "window-cnn-many": (WindowCNN(points=16, width=5), SEVERAL),
    "channel-cnn": (ChannelCNN(), SEVERAL),
    "channel-cnn-one": (ChannelCNN(features=7), ONE),
    "window-residual": (WindowResidual(), SEVERAL),
    "window-residual-channels": (WindowResidual(channels="independent", variance=0.7, norms=True), SEVERAL),
    "series-cnn": (SeriesCNN(), ONE),
    "series-cnn-channels": (SeriesCNN(channels="independent", missing=True, pool="mean-max"), SEVERAL),
    "series-cnn-batch": (SeriesCNN(normalization="batch", instance_norm=False, amplitude=False), SEVERAL),
    "tcn": (TCN(), ONE),
    "tcn-causal": (TCN(causal=True, pool="last", kernel=2, features=8, missing=True), SEVERAL),
    "tcn-channels": (TCN(channels="independent", normalization="none", levels=2), SEVERAL),
    "recurrent": (Recurrent(), SEVERAL),
    "recurrent-gru": (Recurrent(cell="gru", both_ways=True, layers=2, features=8, pool="mean-max"), ONE),
    "recurrent-channels": (Recurrent(channels="independent", features=12, missing=True), SEVERAL),
    "patch-transformer": (PatchTransformer(), SEVERAL),
    "patch-transformer-channels": (PatchTransformer(channels="independent", patch=5, stride=5, features=16), SEVERAL),
}

TABLES = [name for name in CASES if "table" in name]
SERIES = [name for name, (_, schema) in CASES.items() if schema in (ONE, SEVERAL)]


class Case:
    """Settings, the schema they meet, and data of that schema."""

    def __init__(self, settings, schema):
        self.settings, self.schema = settings, schema
        self.is_table = schema.shape[-1] == 2 and len(schema.shape) == 2
        self.many = 1200 if self.is_table else 24

    def data(self, n=16, seed=0):
        draws = RowGenerator(seed, torch.arange(n))
        if self.schema is TEXT:  # letters and spaces, of several lengths
            letters = torch.tensor([ord(letter) for letter in "abcde  日本é"], dtype=torch.int32)
            there = torch.arange(60) < 10 + draws.integers(50, 1)
            return torch.where(there, letters[draws.integers(len(letters), 60)], 0)
        if not self.is_table:
            return draws.uniform(*self.schema.shape)
        levels = self.schema.levels or (0,) * self.schema.shape[0]
        columns = [draws.integers(level).float() if level else draws.normal() for level in levels]
        missing = (draws.uniform(len(levels)) < 0.2).float()
        return torch.stack((torch.stack(columns, dim=1), missing), dim=-1)

    def make(self, seed=0, sample=None):
        module = build_encoder(self.settings, self.schema, seed)
        if hasattr(module, "prepare"):
            module.prepare(self.data(self.many // 2, seed=1) if sample is None else sample)
        return module


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return Case(*CASES[request.param])


@pytest.fixture(scope="module")
def module(case):
    return case.make().eval()


def states_equal(one, other):
    return all(torch.equal(left, right) for left, right in zip(one.values(), other.values(), strict=True))


def test_every_name_makes_settings_that_are_inert(case):
    assert isinstance(case.settings, EncoderSettings)
    assert case.settings == copy.deepcopy(case.settings)
    with pytest.raises(AttributeError):
        case.settings.width = 3


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_exported_and_covered(name):
    settings = named("encoder", NAMES, name)
    assert getattr(encoders, settings.__name__) is settings
    assert settings.__name__ in encoders.__all__
    assert any(isinstance(known, settings) for known, _ in CASES.values())


def test_it_has_the_shape_of_an_encoder(module):
    assert isinstance(module, nn.Module)
    assert isinstance(module, Encoder)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_it_gives_one_finite_embedding_per_sample(case, module, n):
    with torch.no_grad():
        embeddings = module(case.data(n))
    assert embeddings.shape == (n, module.width)
    assert embeddings.dtype == torch.float32
    assert torch.isfinite(embeddings).all()


def test_different_samples_have_different_embeddings(case, module):
    with torch.no_grad():
        embeddings = module(case.data(8).unique(dim=0))
    assert torch.pdist(embeddings).min() > 1e-6


def test_a_sample_alone_is_embedded_as_in_a_batch(case, module):
    data = case.data(6)
    with torch.no_grad():
        together = module(data)
        alone = torch.cat([module(data[row : row + 1]) for row in range(6)])
        reversed_ = module(data.flip(0)).flip(0)
    assert torch.allclose(alone, together, rtol=1e-5, atol=1e-5)
    assert torch.allclose(reversed_, together, rtol=1e-5, atol=1e-5)


def test_the_seed_decides_the_weights(case):
    one, same, other = (build_encoder(case.settings, case.schema, seed) for seed in (7, 7, 8))
    assert states_equal(one.state_dict(), same.state_dict())
    if list(one.parameters()) and not isinstance(case.settings, PretrainedText):
        assert not states_equal(one.state_dict(), other.state_dict())


def test_the_global_generators_are_left_alone(case):
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    case.make()
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_a_gradient_reaches_every_parameter(case):
    module = case.make()
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not weights:
        frozen = "frozen=True" in repr(case.settings) or isinstance(case.settings, PretrainedText)
        assert not list(module.parameters()) or frozen
        return
    module.train()
    optimizer = torch.optim.SGD(weights, lr=0.1)
    data = case.data(case.many // 3)
    # Two steps: residual branches that start at zero give their own weights no gradient in the first.
    for _ in range(2):
        optimizer.zero_grad()
        embeddings = module(data)
        # A random direction: the mean square of a normalised output hardly moves.
        direction = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
        (embeddings * direction).mean().backward()
        optimizer.step()
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            assert "trainable=1" in repr(case.settings)
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_saved_weights_fit_a_fresh_build_bit_by_bit(case, module):
    # The fresh one was neither prepared nor trained: its shapes come from settings and schema only.
    fresh = build_encoder(case.settings, case.schema, 99, blank=True)
    fresh.load_state_dict(module.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh.eval()(case.data(5)), module(case.data(5)))


def test_the_shapes_do_not_depend_on_what_was_prepared(case):
    few, many = case.make(sample=case.data(3)), case.make(sample=case.data(case.many))
    shapes = [
        [(name, tuple(values.shape)) for name, values in made.state_dict().items() if name != "_extra_state"]
        for made in (few, many)
    ]
    assert shapes[0] == shapes[1]


def test_preparing_again_forgets(case):
    once, twice = case.make(), case.make(sample=3.0 * case.data(50, seed=5))
    if hasattr(twice, "prepare"):
        twice.prepare(case.data(case.many // 2, seed=1))
    assert states_equal(once.state_dict(), twice.state_dict())


def test_the_input_is_not_changed(case):
    sample, data = case.data(20, seed=1), case.data(5)
    module = case.make(sample=sample)
    module.eval()(data)
    assert torch.equal(sample, case.data(20, seed=1))
    assert torch.equal(data, case.data(5))


def test_constant_training_data_give_finite_embeddings(case):
    constant = case.data(1).repeat(20, *(1 for _ in case.schema.shape))
    with torch.no_grad():
        embeddings = case.make(sample=constant).eval()(case.data(8))
    assert torch.isfinite(embeddings).all()


@pytest.mark.parametrize("case", TABLES, indirect=True)
def test_all_missing_columns_give_finite_embeddings(case):
    missing = case.data(20)
    missing[..., 0], missing[..., 1] = 0.0, 1.0
    module = case.make(sample=missing).eval()
    with torch.no_grad():
        for data in (missing, case.data(8)):
            assert torch.isfinite(module(data)).all()


@pytest.mark.parametrize("case", SERIES, indirect=True)
def test_windows_with_missing_cells_give_finite_embeddings_alone_as_in_a_batch(case):
    data = case.data(8)
    data[1, 0, 3:9], data[2], data[3, :, :-1], data[4, :, ::2] = torch.nan, torch.nan, torch.nan, torch.nan
    for sample in (None, data, torch.full_like(data, torch.nan)):
        module = case.make(sample=sample).eval()
        with torch.no_grad():
            together = module(data)
            alone = torch.cat([module(data[row : row + 1]) for row in range(8)])
        assert torch.isfinite(together).all()
        assert torch.allclose(alone, together, rtol=1e-5, atol=1e-5)
        assert torch.allclose(module(case.data(8))[[0, 5, 6, 7]], together[[0, 5, 6, 7]], rtol=1e-5, atol=1e-5)


def test_it_computes_in_double_precision_when_told(case):
    module = case.make().eval()
    with torch.no_grad():
        single = module(case.data(4))
        double = module.double()(case.data(4).double())
    assert double.dtype == torch.float64
    assert torch.allclose(single.double(), double, rtol=1e-3, atol=1e-4)


def test_it_can_be_copied(case, module):
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(module)(case.data(3)), module(case.data(3)))
