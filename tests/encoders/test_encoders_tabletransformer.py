"""The transformer on the cells of a row, against torch's own layers and cell by cell."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unalike.encoders import TableTransformer
from unalike.encoders.build import build_encoder
from unalike.encoders.tabletransformer import Block
from unalike.errors import InvalidParameter
from unalike.types import Schema

LEVELS = (0, 3, 0)


def built(settings=None, levels=LEVELS):
    return build_encoder(settings or TableTransformer(), Schema((len(levels), 2), levels), 0).eval()


def row(*cells, missing=()):
    values = torch.tensor([[float(cell) for cell in cells]])
    flags = torch.zeros_like(values)
    flags[0, list(missing)] = 1.0
    return torch.stack((values, flags), dim=-1)


def test_every_cell_is_a_token():
    tokens = built().tokens
    with torch.no_grad():
        first, number, category, missing = tokens(row(0.5, 2, 7.0, missing=[2]))[0]
    assert torch.equal(first, tokens.first[0])
    assert torch.allclose(number, 0.5 * tokens.weight[0, 0] + tokens.bias[0])
    assert torch.allclose(category, tokens.vectors[0].weight[2] + tokens.bias[1])
    assert torch.equal(missing, tokens.missing[2])
    assert torch.equal(tokens(row(0, 9, 0)), tokens(row(0, 0, 0)))


@pytest.mark.parametrize("normalized", [True, False])
def test_a_block_computes_what_torch_s_attention_does(normalized):
    torch.manual_seed(0)
    block, tokens = Block(12, 3, normalized=normalized), torch.randn(4, 6, 12)
    attention = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat((block.query.weight, block.key_value.weight)))
        attention.in_proj_bias.zero_()
        attention.out_proj.load_state_dict(block.out.state_dict())
        inputs = nn.functional.layer_norm(tokens, (12,)) if normalized else tokens
        read = tokens + attention(inputs, inputs, inputs, need_weights=False)[0]
        linear, gate = block.gated(nn.functional.layer_norm(read, (12,))).chunk(2, dim=-1)
        expected = read + block.shrink(linear * gate.clamp(min=0.0))
        assert torch.allclose(block(tokens, 6), expected, atol=1e-5)
        assert torch.allclose(block(tokens, 1), expected[:, :1], atol=1e-5)


def test_without_bias_of_a_column_their_order_would_not_count():
    """Attention knows a column by its vectors only: with equal ones, exchanged values give the same embedding."""
    encoder = built(levels=(0, 0))
    with torch.no_grad():
        encoder.tokens.bias[1] = encoder.tokens.bias[0]
        encoder.tokens.weight[1] = encoder.tokens.weight[0]
        assert torch.allclose(encoder(row(1.0, -2.0)), encoder(row(-2.0, 1.0)), atol=1e-6)


def test_weights_start_within_one_over_the_root_of_the_width():
    tokens = built(TableTransformer(width=64)).tokens
    for weight in (tokens.bias, tokens.missing, tokens.weight, tokens.vectors[0].weight):
        assert 0.8 / math.sqrt(64) < weight.abs().max() <= 1 / math.sqrt(64)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"width": 0}, "`width` must be a whole number"),
        ({"blocks": 0}, "`blocks` must be a whole number"),
        ({"width": 30}, "`width` must be a multiple of `heads`; got 30 and 4"),
    ],
)
def test_settings_out_of_range_are_refused(given, told):
    with pytest.raises(InvalidParameter, match=told):
        TableTransformer(**given)


def test_data_that_are_no_table_are_refused():
    with pytest.raises(InvalidParameter, match=r"TableTransformer must get a table \(columns, 2\)"):
        TableTransformer().build(Schema((3, 8, 8)))
