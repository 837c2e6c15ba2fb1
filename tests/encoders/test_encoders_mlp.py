from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unalike.encoders import MLP, TableMLP
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.types import Schema

LEVELS = (0, 3, 0, 8)


def built(settings=None, levels=LEVELS, seed=0):
    return build_encoder(settings or TableMLP(), Schema((len(levels), 2), levels), seed).eval()


def row(*cells, missing=()):
    values = torch.tensor([[float(cell) for cell in cells]])
    flags = torch.zeros_like(values)
    flags[0, list(missing)] = 1.0
    return torch.stack((values, flags), dim=-1)


def test_it_computes_what_its_parts_say():
    encoder = built(TableMLP(hidden=(6, 5), width=4, activation="relu", normalization="layer"))
    weights = encoder.state_dict()
    second, fourth = (weights[f"cells.vectors.{number}.weight"] for number in (0, 1))
    with torch.no_grad():
        embedded = encoder(row(0.5, 2, -1.5, 7, missing=[2]))[0]
    values = torch.cat((torch.tensor([0.5, 0.0]), second[2], fourth[7]))
    hidden = weights["first.weight"] @ values + weights["first.bias"] + weights["flags.weight"][:, 2]
    for layer in (2, 5):
        hidden = nn.functional.layer_norm(hidden, hidden.shape).clamp(min=0.0)
        hidden = weights[f"rest.{layer}.weight"] @ hidden + weights[f"rest.{layer}.bias"]
    assert torch.allclose(embedded, hidden, atol=1e-6)


def test_the_embedding_is_the_last_hidden_layer_after_its_activation():
    encoder = built(TableMLP(hidden=(16, 9), activation="relu"))
    assert encoder.width == 9
    with torch.no_grad():
        assert encoder(torch.randn(50, 4, 2).abs()).min() == 0.0
    assert built(TableMLP(hidden=(16, 9), width=3)).width == 3


@pytest.mark.parametrize("code", [-1, 3, 1e9, 1e30])
def test_a_code_out_of_range_is_an_unseen_category(code):
    encoder = built()
    assert torch.equal(encoder(row(1, code, 1, 1)), encoder(row(1, 0, 1, 1)))
    assert not torch.equal(encoder(row(1, 2, 1, 1)), encoder(row(1, 0, 1, 1)))


@pytest.mark.parametrize(("column", "content"), [(0, 7.0), (0, math.nan), (1, 2), (3, math.nan)])
def test_what_stands_in_a_missing_cell_does_not_count(column, content):
    encoder = built()
    cells = [1.0, 1.0, 1.0, 1.0]
    empty, filled = list(cells), list(cells)
    empty[column], filled[column] = 0.0, content
    assert torch.equal(encoder(row(*empty, missing=[column])), encoder(row(*filled, missing=[column])))


def test_missing_unseen_and_zero_are_three_things():
    encoder = built()
    missing, zero = encoder(row(0, 1, 1, 1, missing=[0])), encoder(row(0, 1, 1, 1))
    assert (missing - zero).abs().max() > 1e-3
    missing, unseen = encoder(row(1, 0, 1, 1, missing=[1])), encoder(row(1, 0, 1, 1))
    assert (missing - unseen).abs().max() > 1e-3


@pytest.mark.parametrize(("levels", "width"), [(1, 2), (2, 2), (10, 6), (100, 21), (1000, 50), (50_000, 50)])
def test_the_width_of_a_vector_follows_the_rule(levels, width):
    assert built(levels=(levels,)).cells.vectors[0].weight.shape == (levels, width)
    assert built(TableMLP(embedding_width=7), levels=(levels,)).cells.vectors[0].weight.shape == (levels, 7)


@pytest.mark.parametrize("levels", [40, 400])
def test_two_categories_start_at_distance_one(levels):
    weight = built(levels=(levels,)).cells.vectors[0].weight.detach()
    assert torch.pdist(weight).square().mean().item() == pytest.approx(1.0, abs=0.15)


def test_the_flags_do_not_shrink_the_first_weights():
    encoder = built(TableMLP(hidden=(2000,)), levels=(0,) * 10)
    assert encoder.first.weight.abs().max().item() == pytest.approx(1 / math.sqrt(10), rel=1e-2)


def test_a_plain_perceptron_is_a_chain_of_linear_layers():
    encoder = build_encoder(MLP(hidden=(6, 5), width=4), Schema((2, 3)), 0).eval()
    reference = nn.Sequential(nn.Flatten(), encoder.first, nn.SiLU(), encoder.rest[1], nn.SiLU(), encoder.rest[3])
    data = torch.linspace(-1, 1, 24).view(4, 2, 3)
    assert torch.equal(encoder(data), reference(data))
    assert [part.out_features for part in encoder.modules() if isinstance(part, nn.Linear)] == [6, 5, 4]


@pytest.mark.parametrize("settings", [MLP, TableMLP])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"hidden": ()}, "`hidden` must be a tuple of one or more whole numbers"),
        ({"hidden": (8, 0)}, "`hidden` must be a whole number of 1 or more; got 0"),
        ({"width": 0}, "`width` must be a whole number"),
        ({"activation": "tanh"}, "`activation` must be one of"),
        ({"normalization": "batch"}, r"`normalization` must be one of \['none', 'layer'\]"),
    ],
)
def test_settings_out_of_range_are_refused(settings, given, told):
    with pytest.raises(InvalidParameter, match=told):
        settings(**given)


def test_settings_from_json_equal_those_from_python():
    assert TableMLP(hidden=[8, 16]) == TableMLP(hidden=(8, 16))
    with pytest.raises(InvalidParameter, match="`embedding_width` must be a whole number"):
        TableMLP(embedding_width=0)


@pytest.mark.parametrize("schema", [Schema((3, 8, 8)), Schema((4, 2), (0, 3)), Schema((0, 2)), Schema((4, 3))])
def test_data_that_are_no_table_are_refused(schema):
    with pytest.raises(InvalidParameter, match=r"TableMLP must get a table \(columns, 2\)"):
        TableMLP().build(schema)
