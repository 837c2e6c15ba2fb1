"""Numbers spread over several inputs, against what their description says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unalike.encoders import TableMLP, TableTransformer
from unalike.encoders.build import build_encoder
from unalike.encoders.numbers import PeriodicNumbers, PiecewiseNumbers
from unalike.errors import InvalidParameter
from unalike.types import Schema

TRAIN = torch.from_numpy(np.random.default_rng(0).lognormal(size=(500, 2)).astype(np.float32))


def prepared(values, missing=None):
    numbers = PiecewiseNumbers(values.shape[1])
    numbers.prepare(values, torch.zeros_like(values, dtype=torch.bool) if missing is None else missing)
    return numbers


def test_bins_are_filled_one_after_the_other():
    edges = np.quantile(TRAIN[:, 1].numpy(), np.linspace(0, 1, 17), method="nearest")
    numbers = prepared(TRAIN)
    for value in (edges[0], edges[3], edges[3] * 0.4 + edges[4] * 0.6, edges[16], edges[0] - 2.0, edges[16] + 7.0):
        inputs = numbers(torch.tensor([[0.0, value]]))[0, 1]
        expected = np.clip((value - edges[:-1]) / np.diff(edges), 0.0, 1.0)
        expected[0] += min(value - edges[0], 0.0)
        expected[-1] += max(value - edges[-1], 0.0)
        np.testing.assert_allclose(inputs, expected, rtol=1e-4, atol=1e-5)


def test_training_values_fill_each_bin_evenly():
    filled = prepared(TRAIN)(TRAIN)[:, 0]
    shares = ((filled > 0) & (filled < 1)).float().mean(dim=0)
    assert (shares - 1 / 16).abs().max() < 0.01


def test_equal_values_make_fewer_bins_and_a_constant_column_still_counts():
    few = torch.tensor([[0.0, 3.0], [1.0, 3.0], [1.0, 3.0], [5.0, 3.0]])
    inputs = prepared(few)(torch.tensor([[0.0, 3.0], [3.0, 3.0], [5.0, 1.0], [9.0, 8.0]]))
    assert inputs[:, 0, :2].tolist() == [[0.0, 0.0], [1.0, 0.5], [1.0, 1.0], [1.0, 5.0]]
    assert inputs[:, 1, 0].tolist() == [0.0, 0.0, -2.0, 6.0]
    assert inputs[:, :, 2:].abs().max() == 0.0


def test_missing_cells_teach_no_edge():
    missing = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) < 0.3
    filled = TRAIN.masked_fill(missing, 1e6)
    one, other = prepared(filled, missing), prepared(TRAIN[~missing[:, 0]][:, :1])
    assert torch.equal(one.low[0], other.low[0])
    assert torch.equal(one.ends[0], other.ends[0])


def test_periodic_inputs_are_the_value_and_bent_waves():
    torch.manual_seed(0)
    numbers = PeriodicNumbers(3, 0.5)
    values = torch.tensor([[0.3, -1.0, 2.0]])
    inputs = numbers(values)
    for column, value in enumerate(values[0].tolist()):
        turns = [2 * math.pi * value * frequency for frequency in numbers.frequencies[column].tolist()]
        waves = torch.tensor([*map(math.sin, turns), *map(math.cos, turns)])
        expected = (waves @ numbers.weight[column] + numbers.bias[column]).relu()
        assert inputs[0, column, 0].item() == pytest.approx(value)
        assert torch.allclose(inputs[0, column, 1:], expected, atol=1e-6)
    assert PeriodicNumbers(200, 2.0).frequencies.std().item() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("settings", [TableMLP, TableTransformer])
@pytest.mark.parametrize("kind", ["plain", "periodic", "piecewise-linear"])
def test_far_values_stay_far(settings, kind):
    """The farther out a value, the farther its embedding: what makes neighbours find it."""
    encoder = build_encoder(settings(numbers=kind), Schema((2, 2)), 0, sample=torch.stack((TRAIN, 0 * TRAIN), dim=-1))
    values = torch.tensor([[1.0, 1.0], [20.0, 1.0], [200.0, 1.0], [2000.0, 1.0]])
    with torch.no_grad():
        embeddings = encoder.eval()(torch.stack((values, 0 * values), dim=-1))
    distances = (embeddings - embeddings[0]).norm(dim=1)[1:]
    assert (distances.diff() > 0).all()


@pytest.mark.parametrize("settings", [TableMLP, TableTransformer])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidParameter, match="`numbers` must be one of"):
        settings(numbers="splines")
    with pytest.raises(InvalidParameter, match="`frequency_scale` must be a finite number above 0; got 0"):
        settings(frequency_scale=0)
