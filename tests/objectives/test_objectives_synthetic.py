from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torch.nn import functional

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives.synthetic import SyntheticContrast
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch


class Flat(nn.Module):
    width = 5

    def __init__(self, columns):
        super().__init__()
        self.layer = nn.Linear(columns, 5)

    def forward(self, data):
        return self.layer(data[..., 0]).tanh()


def table(m, levels=(0, 0, 0, 0), seed=0, missing=0.0):
    """Correlated numeric columns, uniform codes 1..levels-1."""
    draws = RowGenerator(seed, torch.arange(m))
    values = draws.normal(len(levels)) + draws.normal(1)
    codes = torch.stack([1 + draws.integers(max(level - 1, 1)) for level in levels], dim=1)
    values = torch.where(torch.tensor(levels) > 0, codes.float(), values)
    flags = (draws.uniform(len(levels)) < missing).float()
    return torch.stack((values.masked_fill(flags == 1, 0.0), flags), dim=-1)


def prepared(sample, **settings):
    with isolated(0):
        objective = SyntheticContrast(**settings).build(Flat(sample.shape[1]))
    objective.prepare(sample)
    return objective


def kinds(objective, data, seed=1):
    return objective.negatives(data, RowGenerator(seed, torch.arange(len(data)))).chunk(3)


def test_loss_is_logistic_with_equal_total_weight():
    data = table(32)
    objective, index = prepared(data), torch.arange(32)
    loss = objective(Batch(data=data, index=index), None, RowGenerator(7, index))
    negatives = objective.negatives(data, RowGenerator(7, index))
    real, synthetic = (objective.logit(objective.encoder(rows)).double() for rows in (data, negatives))
    assert negatives.shape == (96, 4, 2)
    twin = functional.binary_cross_entropy_with_logits(
        real, torch.ones_like(real)
    ) + functional.binary_cross_entropy_with_logits(synthetic, torch.zeros_like(synthetic))
    assert loss.item() == pytest.approx(twin.item(), rel=1e-6)


def test_labelled_anomalies_join_the_negatives():
    data = table(32)
    objective, index = prepared(data), torch.arange(32)
    label = (index % 8 == 3).long()
    loss = objective(Batch(data=data, index=index, label=label), None, RowGenerator(7, index))
    normal, anomalies = data[label == 0], data[label == 1]
    # Row i's draws are its own: the normal rows get the negatives they would get in a batch of themselves.
    synthetic = objective.negatives(normal, RowGenerator(7, index[label == 0]))
    negatives = objective.logit(objective.encoder(torch.cat((synthetic, anomalies)))).double()
    real = objective.logit(objective.encoder(normal)).double()
    twin = functional.softplus(-real).mean() + functional.softplus(negatives).mean()
    assert loss.item() == pytest.approx(twin.item(), rel=1e-6)


def test_shuffle_takes_cells_of_training_rows_with_a_share_drawn_per_row():
    data, sample = table(3000, seed=1), table(500)
    shuffled = kinds(prepared(sample), data)[0]
    replaced = (shuffled != data).any(dim=-1)
    for column in range(4):
        assert torch.isin(shuffled[replaced[:, column], column, 0], sample[:, column, 0]).all()
    # Share uniform in (0.1, 1): mean 0.55; per-row counts vary more than with one fixed share.
    assert replaced.float().mean().item() == pytest.approx(0.55, abs=0.02)
    counts = replaced.sum(dim=1).float()
    fixed_variance = 4 * 0.55 * 0.45
    mixed_variance = fixed_variance + 4 * 3 * 0.9**2 / 12
    assert counts.var().item() == pytest.approx(mixed_variance, rel=0.1)


def test_shuffle_breaks_the_dependence_of_columns_but_not_their_distribution():
    sample = table(4000)
    shuffled = kinds(prepared(sample, shuffle_share=(1.0, 1.0)), sample)[0]
    before, after = (np.corrcoef(rows[..., 0].T)[0, 1] for rows in (sample.numpy(), shuffled.numpy()))
    assert before > 0.4
    assert abs(after) < 0.06
    assert shuffled[..., 0].std(dim=0).numpy() == pytest.approx(sample[..., 0].std(dim=0).numpy(), rel=0.05)


def neighbor_distance(sample):
    rows = sample[..., 0].double().numpy()
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    distances = NearestNeighbors(n_neighbors=6).fit(rows).kneighbors(rows)[0]
    return max(np.median(distances[:, 1]), 0.3 * np.median(distances[:, 5]), 0.02 * math.sqrt(rows.shape[1]))


def test_shell_noise_is_log_uniform_in_units_of_the_distance_of_neighbours():
    sample = table(401)
    data = table(4000, seed=1)
    noise = (kinds(prepared(sample), data)[1] - data)[..., 0].double()
    length = (noise / sample[..., 0].double().std(dim=0, correction=0)).norm(dim=1) / neighbor_distance(sample)
    assert 0.699 < length.min().item() < 0.71
    assert 9.9 < length.max().item() < 10.01
    place = ((length / 0.7).log() / math.log(10 / 0.7)).sort().values
    assert (place - torch.linspace(0, 1, 4000, dtype=torch.float64)).abs().max().item() < 0.03
    # Half of the rows move in all columns, the others in a random subset that is never empty.
    moved = (noise != 0).sum(dim=1)
    whole = (moved == 4).float().mean().item()
    assert moved.min().item() == 1
    assert whole == pytest.approx(0.5 + 0.5 / 5, abs=0.03)
    assert noise.mean(dim=0).abs().max().item() < 0.1


def test_copies_in_the_training_rows_do_not_shrink_the_noise():
    sample = table(201).repeat(2, 1, 1)  # every nearest row is a copy, so the fifth nearest counts
    data = table(1000, seed=1)
    noise = (kinds(prepared(sample), data)[1] - data)[..., 0].double()
    length = (noise / sample[..., 0].double().std(dim=0, correction=0)).norm(dim=1) / neighbor_distance(sample)
    assert neighbor_distance(sample) > 0.06
    assert 0.69 < length.min().item() < 0.75
    assert 9.6 < length.max().item() < 10.01


def test_shell_noise_survives_copies_and_single_rows():
    copies = table(1).repeat(50, 1, 1)
    for sample in (copies, copies[:1]):
        noise = (kinds(prepared(sample), sample)[1] - sample)[..., 0]
        length = noise.norm(dim=1) / (0.02 * 2)
        assert (length >= 0.69).all()
        assert (length <= 10.1).all()


def test_box_is_uniform_in_the_widened_range():
    sample = table(300)
    sample[:, 3, 0] = 5.0
    drawn = kinds(prepared(sample), table(6000, seed=1))[2][..., 0]
    low, high = sample[..., 0].amin(dim=0), sample[..., 0].amax(dim=0)
    width = (high - low).clamp_min(0.1)  # a constant column has scale 1
    place = (drawn - (low - 0.3 * width)) / (high - low + 0.6 * width)
    assert place.min().item() >= -1e-4
    assert place.max().item() <= 1 + 1e-4
    assert (place.sort(dim=0).values - torch.linspace(0, 1, 6000)[:, None]).abs().max().item() < 0.03
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05


def test_scale_and_place_of_a_column_do_not_count():
    sample, data = table(200), table(50, seed=1)
    factor, shift = torch.tensor([1.0, 1000.0, 0.01, 3.0]), torch.tensor([0.0, 50.0, 0.0, -7.0])

    def rescale(rows):
        return torch.stack((rows[..., 0] * factor + shift, rows[..., 1]), dim=-1)

    for plain, rescaled in zip(
        kinds(prepared(sample), data), kinds(prepared(rescale(sample)), rescale(data)), strict=True
    ):
        assert torch.allclose((rescaled[..., 0] - shift) / factor, plain[..., 0], atol=1e-3)


LEVELS = (0, 4, 0, 12)


def test_codes_stay_codes_that_were_seen():
    sample = table(400, LEVELS)
    sample[:, 1, 0] = sample[:, 1, 0].clamp_max(2)  # code 3 never seen
    data = sample[:300]
    _, shell, box = kinds(prepared(sample, levels=LEVELS), data)
    for column, seen in ((1, range(1, 3)), (3, range(1, 12))):
        assert set(shell[:, column, 0].tolist()) <= set(map(float, seen))
        assert set(box[:, column, 0].tolist()) == set(map(float, seen))
    swapped = (shell != data)[:, 3, 0].float().mean().item()
    assert swapped == pytest.approx(0.1 * 10 / 11, abs=0.05)
    assert (shell != data)[:, 0, 0].any()


def test_a_table_of_categories_only_still_gets_shell_negatives():
    levels = (50, 50, 50)
    sample = table(500, levels)
    shell = kinds(prepared(sample, levels=levels, code_swap=0.0), sample)[1]
    changed = (shell != sample)[..., 0].sum(dim=1)
    assert changed.max().item() == 1
    assert changed.float().mean().item() == pytest.approx(48 / 49, abs=0.03)


def test_missing_cells():
    sample, data = (table(m, LEVELS, seed=seed, missing=0.3) for m, seed in ((300, 0), (200, 1)))
    shuffled, shell, box = kinds(prepared(sample, levels=LEVELS), data)
    gone = data[..., 1] == 1
    for rows in (shell, box):
        assert torch.equal(rows[..., 1], data[..., 1])
        assert torch.equal(rows[..., 0][gone], data[..., 0][gone])
    moved = (shuffled != data).any(dim=-1)
    cells = {tuple(cell) for cell in sample.view(-1, 2).tolist()}
    assert {tuple(cell) for cell in shuffled[moved].tolist()} <= cells
    assert (shuffled[..., 1][moved] == 1).any()
    for rows in (shell, box):  # what stands in a missing cell is not a seen code
        assert not (rows[:, 3, 0][~gone[:, 3]] == 0).any()


def test_what_stands_in_a_missing_cell_does_not_count():
    sample, data = table(300, missing=0.3), table(20, seed=1)
    other = sample.clone()
    other[..., 0] = other[..., 0].masked_fill(other[..., 1] == 1, math.nan)
    for one, two in zip(kinds(prepared(sample), data)[1:], kinds(prepared(other), data)[1:], strict=True):
        assert torch.equal(one, two)


def test_pools_are_bounded_and_not_saved():
    objective = prepared(table(12_000))
    assert len(objective.pool) == 10_000
    assert set(objective.state_dict()) == {"encoder.layer.weight", "encoder.layer.bias", "logit.weight", "logit.bias"}
    assert {name for name, _ in objective.named_buffers()} >= {"pool", "low", "high", "step", "codes"}


def test_the_subset_of_a_large_sample_is_not_its_beginning():
    sample = table(12_000)
    sample[:, 0, 0] = torch.arange(12_000.0)
    assert prepared(sample).pool[:, 0, 0].mean().item() == pytest.approx(5999.5, rel=0.02)


def test_it_must_be_prepared():
    data = table(4)
    with pytest.raises(NotFitted, match=r"`prepare\(sample\)` must be called before the first batch"):
        SyntheticContrast().build(Flat(4)).negatives(data, RowGenerator(0, torch.arange(4)))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (0, 3, 2), (5, 0, 2)])
def test_only_tables_are_taken(shape):
    with pytest.raises(InvalidInput, match=r"`sample` must be a table tensor \(m, columns, 2\)"):
        SyntheticContrast().build(Flat(3)).prepare(torch.zeros(shape))


def test_levels_must_fit_the_columns():
    with pytest.raises(InvalidInput, match=r"`levels` must have one entry per column, 4; got 2"):
        prepared(table(5), levels=(0, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": (0, -1)}, r"`levels` must be 0 \(numeric\) or a number of codes"),
        ({"shuffle_share": (0.0, 1.0)}, r"`shuffle_share` must be two numbers in rising order, above 0 and at most 1"),
        ({"shuffle_share": (0.5, 1.1)}, r"`shuffle_share` must be two numbers"),
        ({"shell_radii": (2.0, 1.0)}, r"`shell_radii` must be two numbers in rising order, above 0; got \(2.0, 1.0\)"),
        ({"shell_radii": (1.0, math.inf)}, r"`shell_radii` must be two numbers"),
        ({"box_margin": -0.1}, r"`box_margin` must be 0 or more; got -0.1"),
        ({"code_swap": 1.5}, r"`code_swap` must be between 0 and 1; got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        SyntheticContrast(**settings)
