import pytest
import torch

from unalike import views
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.seeding import RowGenerator
from unalike.views.table import CorruptCells, MaskCells, MixUp, NeighborCells, Noise, standard_table_view

N = 4000


def rows(generator_seed=0, n=N):
    """Columns whose ranges do not meet, so that each cell tells its column; every tenth cell is missing."""
    generator = torch.Generator().manual_seed(generator_seed)
    values = torch.rand(n, 3, generator=generator) + torch.tensor([10.0, 20.0, 30.0])
    missing = (torch.rand(n, 3, generator=generator) < 0.1).float()
    return torch.stack([values * (1 - missing), missing], dim=2)


def draw(seed=0, n=N):
    return RowGenerator(seed, torch.arange(n))


def cells_of(data):
    """Each cell as one comparable number."""
    return data[..., 0] + 1000.0 * data[..., 1]


def test_corruption_takes_whole_cells_from_the_same_column_of_training_rows():
    data, pool = rows(0), rows(1)
    result = CorruptCells(rate=0.3).prepare(pool)(data, draw())
    changed = cells_of(result) != cells_of(data)
    for column in range(3):
        taken = cells_of(result)[:, column][changed[:, column]]
        assert torch.isin(taken, cells_of(pool)[:, column]).all()
    # One in ten donors is missing; of those that meet a missing cell nothing is seen.
    assert changed.float().mean().item() == pytest.approx(0.3 * (1 - 0.1 * 0.1), abs=0.02)
    assert result[..., 1][changed].mean().item() == pytest.approx(0.1 * 0.9 / 0.99, abs=0.02)


def test_corruption_draws_each_cell_from_a_row_of_its_own():
    pool = torch.arange(50.0)[:, None, None].expand(50, 2, 2) * torch.tensor([1.0, 0.0])
    result = CorruptCells(rate=1.0).prepare(pool)(torch.zeros(N, 2, 2), draw())[..., 0]
    assert abs(torch.corrcoef(result.T)[0, 1].item()) < 0.06
    assert torch.equal(result[:, 0].unique(), torch.arange(50.0))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_hold_at_their_ends(rate):
    data = rows()
    masked = MaskCells(rate)(data, draw())
    expected = torch.tensor([0.0, 1.0]).expand_as(data) if rate else data
    assert torch.equal(masked, expected)


def test_masking_hides_the_stated_share_of_cells():
    data = torch.stack([torch.ones(N, 3), torch.zeros(N, 3)], dim=2)
    result = MaskCells(rate=0.15)(data, draw())
    hidden = result[..., 1] == 1
    assert torch.equal(result[..., 0] == 0, hidden)
    assert hidden.float().mean().item() == pytest.approx(0.15, abs=0.01)


def test_noise_moves_observed_numbers_only():
    data = rows()
    moved = Noise(scale=0.5, levels=(0, 4, 0))(data, draw())
    difference = moved[..., 0] - data[..., 0]
    observed = data[..., 1] == 0
    assert torch.equal(moved[..., 1], data[..., 1])
    assert (difference[:, 1] == 0).all()
    assert (difference[~observed] == 0).all()
    for column in (0, 2):
        assert difference[:, column][observed[:, column]].std().item() == pytest.approx(0.5, rel=0.05)


def test_noise_takes_all_columns_for_numbers_without_levels():
    data = torch.zeros(N, 2, 2)
    assert (Noise(scale=1.0)(data, draw())[..., 0].std(dim=0) > 0.9).all()


def test_mixing_moves_numbers_by_one_weight_per_row_towards_one_row():
    donor = torch.tensor([[[5.0, 0.0], [9.0, 0.0]]])
    result = MixUp(low=0.2, high=0.6).prepare(donor)(torch.zeros(N, 2, 2), draw())[..., 0]
    weight = result[:, 0] / 5.0
    torch.testing.assert_close(result[:, 1] / 9.0, weight)
    assert weight.min() >= 0.2
    assert weight.max() <= 0.6
    assert weight.mean().item() == pytest.approx(0.4, abs=0.01)


def test_mixing_takes_categories_whole_with_the_chance_of_the_weight():
    donor = torch.tensor([[[3.0, 0.0], [3.0, 0.0]]])
    data = torch.tensor([1.0, 0.0]).expand(N, 2, 2)
    result = MixUp(low=0.25, high=0.25, levels=(4, 4)).prepare(donor)(data, draw())[..., 0]
    assert set(result.unique().tolist()) == {1.0, 3.0}
    assert (result == 3.0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert abs(torch.corrcoef(result.T)[0, 1].item()) < 0.06


@pytest.mark.parametrize("missing", ["own", "other"])
def test_mixing_takes_missing_cells_whole(missing):
    seen, gap = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    own, other = (gap, seen) if missing == "own" else (seen, gap)
    result = MixUp(low=0.5, high=0.5).prepare(other)(own.expand(N, 1, 2), draw())
    assert set(map(tuple, result[:, 0].tolist())) == {(2.0, 0.0), (0.0, 1.0)}
    assert (result[:, 0] == other[0, 0]).all(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("view", [CorruptCells(), MixUp()])
def test_pools_are_bounded_spread_over_the_sample_and_own_copies(view):
    sample = torch.zeros(25_000, 1, 2)
    sample[:, 0, 0] = torch.arange(25_000)
    pool = view.prepare(sample).pool
    assert len(pool) == 10_000
    assert torch.equal(pool[:, 0, 0], (torch.arange(10_000) * 2.5).floor())
    small = sample[:7]
    prepared = view.prepare(small)
    small.fill_(-1.0)
    assert torch.equal(prepared.pool[:, 0, 0], torch.arange(7.0))
    assert view.pool is None
    assert prepared == view
    assert "pool" not in repr(prepared)


@pytest.mark.parametrize("view", [CorruptCells(), MixUp()])
def test_a_view_that_draws_from_rows_asks_for_them(view):
    with pytest.raises(NotFitted, match=r"must know training rows.*prepare"):
        view(rows(n=3), draw(n=3))
    with pytest.raises(InvalidInput, match="at least one row"):
        view.prepare(rows(n=3)[:0])
    with pytest.raises(InvalidInput, match="got 2 instead of 3"):
        view.prepare(rows(n=3))(rows(n=3)[:, :2], draw(n=3))


def test_refuses_what_is_no_table():
    for data in (torch.zeros(3, 4), torch.zeros(3, 4, 3), torch.zeros(3, 4, 2, dtype=torch.int64)):
        with pytest.raises(InvalidInput, match=r"shape \(n, columns, 2\)"):
            MaskCells()(data, draw(n=3))
    with pytest.raises(InvalidInput, match=r"must have 2 columns.*got 3"):
        Noise(levels=(0, 0))(rows(n=3), draw(n=3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CorruptCells(rate=1.5), "`rate` must be a probability"),
        (lambda: MaskCells("half"), "`rate` must be a probability"),
        (lambda: Noise(scale=-1.0), "`scale` must be a finite number of 0 or more; got -1.0"),
        (lambda: MixUp(low=0.6, high=0.5), "0 <= low <= high <= 1"),
    ],
)
def test_refuses_settings_out_of_range(make, message):
    with pytest.raises(InvalidParameter, match=message):
        make()


def test_the_standard_view_knows_the_categories():
    view = standard_table_view((0, 5))
    assert view == views.Compose((CorruptCells(rate=0.3), Noise(scale=0.05, levels=(0, 5))))
    data = torch.stack([torch.full((N, 2), 2.0), torch.zeros(N, 2)], dim=2)
    result = view.prepare(data)(data, draw())
    assert (result[:, 1, 0] == 2.0).all()
    assert result[:, 0, 0].std().item() == pytest.approx(0.05, rel=0.1)


MIXED = (0, 4, 0)


def mixed_rows(seed, n):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 3, generator=generator)
    values[:, 1] = torch.randint(1, 4, (n,), generator=generator).float()
    missing = (torch.rand(n, 3, generator=generator) < 0.2).float()
    return torch.stack([values * (1 - missing), missing], dim=2)


def slow_distance(first, second):
    total = 0.0
    for column, level in enumerate(MIXED):
        difference = float(first[column, 0]) - float(second[column, 0])
        total += float(difference != 0) if level else difference**2
        total += float(first[column, 1] != second[column, 1])
    return total


def test_neighbor_cells_come_from_one_of_the_nearest_rows():
    pool = mixed_rows(1, 40)
    data = mixed_rows(0, 30)
    view = NeighborCells(rate=1.0, neighbors=3, levels=MIXED).prepare(pool)
    drawn = torch.stack([view(data, draw(seed, 30)) for seed in range(30)])
    for place, row in enumerate(data):
        distance = [slow_distance(row, other) for other in pool]
        near = {tuple(pool[other].flatten().tolist()) for other in sorted(range(40), key=distance.__getitem__)[:3]}
        assert {tuple(made.flatten().tolist()) for made in drawn[:, place]} == near


def test_neighbor_cells_are_not_those_of_copies():
    pool = torch.stack([torch.tensor([[0.0], [0.0], [0.0], [5.0], [9.0]]), torch.zeros(5, 1)], dim=2)
    view = NeighborCells(rate=1.0, neighbors=1).prepare(pool)
    assert (view(pool[:1], draw(n=1))[..., 0] == 5.0).all()
    alone = NeighborCells(rate=1.0).prepare(pool[:3])
    assert torch.equal(alone(pool[:3], draw(n=3)), pool[:3])


def test_neighbor_cells_replace_the_stated_share_and_keep_the_rest():
    pool = mixed_rows(1, 500)
    data = mixed_rows(0, N)[:, [0, 2]]
    result = NeighborCells(rate=0.3).prepare(pool[:, [0, 2]])(data, draw())
    observed = (data[..., 1] == 0) & (result[..., 1] == 0)
    assert (result[..., 0] != data[..., 0])[observed].float().mean().item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("neighbors", [0, -1, 1.5, True])
def test_neighbor_cells_need_neighbors(neighbors):
    with pytest.raises(InvalidParameter, match="neighbors"):
        NeighborCells(neighbors=neighbors)
    with pytest.raises(NotFitted, match="NeighborCells"):
        NeighborCells()(rows(), draw())
