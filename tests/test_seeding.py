from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator, derive, isolated, numpy_generator, resolve_device, root_seed

SEED = derive(0, "test")


def rows(*index: int, seed: int = SEED) -> RowGenerator:
    return RowGenerator(seed, torch.tensor(index))


def many(n: int = 2000, seed: int = SEED) -> RowGenerator:
    return RowGenerator(seed, torch.arange(n))


def all_draws(generator: RowGenerator) -> list[torch.Tensor]:
    return [
        generator.uniform(),
        generator.uniform(2, 3, low=-1.0, high=4.0),
        generator.normal(4),
        generator.integers(7, 5),
        generator.permutation(6),
        torch.tensor(generator.seeds()),
    ]


# Literals: a saved model or a published result depends on these numbers, on every platform.


def test_derived_seeds_never_change() -> None:
    assert derive(0) == 4246866556266386882
    assert derive(0, "split") == 8002339936503433115
    assert derive(7, "branch", "contrast", 3) == 2698234487256640759


def test_row_numbers_never_change() -> None:
    generator = RowGenerator(12345, torch.tensor([0, 1, 1_000_000]))
    assert generator.integers(1000, 2).tolist() == [[532, 31], [767, 928], [583, 146]]
    assert generator.uniform().tolist() == [0.5383267402648926, 0.1775110960006714, 0.18320447206497192]
    assert generator.permutation(5).tolist() == [[3, 4, 0, 2, 1], [0, 4, 3, 1, 2], [1, 2, 0, 3, 4]]


def slow_mix(value: int) -> int:
    """SplitMix64's finaliser on unsigned Python integers."""
    mask = (1 << 64) - 1
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


@pytest.mark.parametrize("index", [0, 5, 2**40, 2**62])
def test_bits_are_those_of_splitmix64_in_plain_python(index: int) -> None:
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    key = slow_mix((index * golden + SEED) & mask)
    expected = [slow_mix((key + counter * golden) & mask) for counter in range(1, 9)]
    uniform = rows(index).uniform(8)[0]
    assert uniform.tolist() == [(bits >> 40) * 2.0**-24 for bits in expected]


def test_first_stream_of_row_is_splitmix64_reference() -> None:
    # The first outputs of the reference C program (Vigna, splitmix64.c) with state 0.
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    assert [slow_mix(counter * golden & mask) for counter in (1, 2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


# Rows


@settings(deadline=None, max_examples=25)
@given(index=st.lists(st.integers(0, 2**62), min_size=1, max_size=12, unique=True), data=st.data())
def test_numbers_of_a_row_do_not_depend_on_its_batch(index: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(index))))
    part = order[: data.draw(st.integers(1, len(index)))]
    whole = all_draws(rows(*index))
    some = all_draws(rows(*(index[position] for position in part)))
    for one, other in zip(whole, some, strict=True):
        assert torch.equal(one[list(part)], other)


@pytest.mark.parametrize("chosen", [torch.tensor([True, False, True, True]), torch.tensor([0, 2, 3])])
def test_generator_of_some_rows_goes_on_where_the_whole_was(chosen: torch.Tensor) -> None:
    whole = rows(3, 1, 4, 15)
    whole.uniform(5)
    part = whole.rows(chosen)
    assert part.index.tolist() == [3, 4, 15]
    assert len(part) == 3
    for one, other in zip(all_draws(whole), all_draws(part), strict=True):
        assert torch.equal(one[chosen], other)


def test_drawing_from_some_rows_leaves_the_whole_where_it_was() -> None:
    whole, twin = rows(1, 2), rows(1, 2)
    whole.rows(torch.tensor([0])).uniform(9)
    assert torch.equal(whole.uniform(3), twin.uniform(3))


def test_streams_advance_and_repeat() -> None:
    one, other = many(), many()
    first, second = one.uniform(), one.uniform()
    assert not torch.isclose(first, second).any()
    assert torch.equal(torch.stack([first, second], dim=1), other.uniform(2))


def test_seed_and_index_both_matter() -> None:
    base = many().uniform()
    assert (base == many(seed=derive(0, "other")).uniform()).float().mean() < 0.01
    assert len(base.unique()) > 1990


def test_neighbouring_seeds_do_not_shift_rows_into_each_other() -> None:
    one, other = (many(seed=seed).integers(2**40).tolist() for seed in (SEED, SEED + 1))
    assert not set(one) & set(other)


# Distributions


@pytest.mark.parametrize("by_row", [True, False])
def test_uniform_numbers_are_uniform(by_row: bool) -> None:
    numbers = many(20_000).uniform() if by_row else rows(3).uniform(20_000)[0]
    assert numbers.dtype == torch.float32
    assert stats.kstest(numbers.double().numpy(), "uniform").pvalue > 0.01
    assert 0.0 <= numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1.0


def test_uniform_takes_its_range() -> None:
    numbers = many().uniform(10, low=-2.0, high=3.0)
    assert torch.allclose(numbers, many().uniform(10) * 5.0 - 2.0)
    assert numbers.shape == (2000, 10)


def test_uniform_never_rounds_up_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowGenerator, "_bits", lambda self, shape: torch.full((len(self), *shape), -1))
    largest = rows(0).uniform(low=1.0, high=2.0)
    assert largest.item() == np.nextafter(np.float32(2.0), np.float32(1.0))
    assert rows(0).uniform(low=-1.0, high=0.0).item() < 0.0
    assert rows(0).normal().isfinite().all()


def test_normal_numbers_are_normal() -> None:
    numbers = many(5000).normal(4).double().numpy().ravel()
    assert stats.kstest(numbers, "norm").pvalue > 0.01
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.02
    assert abs(stats.skew(numbers)) < 0.06
    assert abs(stats.kurtosis(numbers)) < 0.12


@pytest.mark.parametrize("high", [1, 2, 7, 100])
def test_integers_are_balanced(high: int) -> None:
    numbers = many(4000).integers(high, 5)
    assert numbers.dtype == torch.int64
    counts = torch.bincount(numbers.ravel(), minlength=high).numpy()
    assert len(counts) == high
    assert high == 1 or stats.chisquare(counts).pvalue > 0.01


def test_permutations_are_permutations_and_each_is_as_likely() -> None:
    orders = many(12_000).permutation(4)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(4).expand(12_000, 4))
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for order in orders.tolist():
        counts[tuple(order)] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_rows_and_draws_are_uncorrelated() -> None:
    numbers = many(400).uniform(400).double().numpy()
    for table in (numbers, numbers.T):
        correlation = np.corrcoef(table)
        np.fill_diagonal(correlation, 0.0)
        assert np.abs(correlation).max() < 6 / np.sqrt(400)
    lagged = [np.corrcoef(numbers[:-lag].ravel(), numbers[lag:].ravel())[0, 1] for lag in (1, 2, 8, 64)]
    assert np.abs(lagged).max() < 5 / np.sqrt(numbers.size)


def test_seeds_are_python_integers_that_numpy_takes() -> None:
    seeds = many(50).seeds()
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == 50
    np.random.RandomState(seeds[0])


def test_scalar_and_empty_shapes() -> None:
    assert rows(1, 2).uniform().shape == (2,)
    assert rows(1, 2).uniform(3, 0).shape == (2, 3, 0)
    assert RowGenerator(SEED, torch.arange(0)).normal(4).shape == (0, 4)


# Seeds


def test_children_differ_by_name_and_by_order() -> None:
    seeds = [derive(0), derive(1), derive(0, "a"), derive(0, "b"), derive(0, "a", "b"), derive(0, "b", "a")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= derive(seed, "x") < 2**63 for seed in range(200))


def test_numpy_generators_follow_the_name() -> None:
    draws = [numpy_generator(3, name).integers(2**60) for name in ("split", "split", "bootstrap")]
    assert draws[0] == draws[1] != draws[2]


def test_root_seed_of_integers_is_itself() -> None:
    assert [root_seed(value) for value in (0, 7, 2**40, np.int32(5), np.uint64(2**63))] == [0, 7, 2**40, 5, 2**63]
    assert type(root_seed(np.int64(3))) is int


def test_root_seed_draws_from_generators_and_from_the_system() -> None:
    assert root_seed(np.random.RandomState(0)) == root_seed(np.random.RandomState(0))
    assert root_seed(np.random.default_rng(0)) == root_seed(np.random.default_rng(0))
    shared = np.random.default_rng(0)
    assert root_seed(shared) != root_seed(shared)
    assert root_seed(None) != root_seed(None)


@pytest.mark.parametrize("wrong", [-1, 1.0, "0", True, [0]])
def test_root_seed_refuses(wrong: object) -> None:
    with pytest.raises(InvalidParameter, match=r"`random_state` must be an integer of 0 or more, None or a numpy"):
        root_seed(wrong)


# Isolation


def draw_globally() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: S311


@pytest.mark.parametrize("fails", [False, True])
def test_isolated_blocks_leave_no_trace(fails: bool) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    np.random.randn()  # numpy caches the second of a pair of normal numbers: part of its state
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        with isolated(5):
            draw_globally()
            np.random.randn()
            if fails:
                raise KeyError("inside")
    except KeyError:
        assert fails
    assert random.getstate() == states[0]
    for now, before in zip(np.random.get_state(), states[1], strict=True):
        np.testing.assert_array_equal(now, before)
    assert torch.equal(torch.get_rng_state(), states[2])


def test_isolated_blocks_repeat_by_seed() -> None:
    draws = []
    for seed in (5, 5, 6, 2**62):
        with isolated(seed):
            draws.append(draw_globally())
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


# Devices


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InvalidParameter, match="`device` must be 'auto' or a torch device such as 'cpu'; got 'gpu'"):
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_cuda_without_a_device_says_what_to_do() -> None:
    with pytest.raises(InvalidParameter, match=r"'cuda:0' needs a CUDA device; .* Use device='cpu'"):
        resolve_device("cuda:0")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_numbers_are_the_same_on_every_device() -> None:
    index = torch.arange(500)
    here, there = (RowGenerator(SEED, index.to(device)) for device in ("cpu", "cuda"))
    assert there.device.type == "cuda"
    for name in ("uniform", "integers", "permutation"):
        arguments = {"uniform": (6,), "integers": (1000, 6), "permutation": (9,)}[name]
        assert torch.equal(getattr(here, name)(*arguments), getattr(there, name)(*arguments).cpu())
    assert torch.allclose(here.normal(6), there.normal(6).cpu(), atol=1e-5)
