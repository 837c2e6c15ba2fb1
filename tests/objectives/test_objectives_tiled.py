"""Losses in tiles against the same losses with the whole matrix, which other tests hold against slow twins."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from unalike.errors import TrainingFailed
from unalike.objectives import tiled
from unalike.objectives.losses import info_nce, nt_xent, sup_con

ROWS, WIDTH, QUEUE = 23, 6, 31


def draws(*shape, seed, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def excluded():
    mask = draws(ROWS, QUEUE, seed=5) > 0.4
    mask[3] = True  # a query without negatives
    return mask


SAMPLES = torch.arange(ROWS) // 2  # near-copies: pairs of rows come from one sample
LABELS = torch.tensor([0, 1, 2, 2, 7, 7, 7] * 7)[: 2 * ROWS]
LABELS[5] = 9  # a row without a positive
WEIGHTS = torch.where(LABELS == 2, 3.0, 1.0)

LOSSES = {
    "nt_xent": lambda a, b, q: nt_xent(a, b, 0.3),
    "nt_xent, copies": lambda a, b, q: nt_xent(a, b, 0.3, SAMPLES),
    "nt_xent, cold": lambda a, b, q: nt_xent(a, b, 0.005),
    "info_nce": lambda a, b, q: info_nce(a, b, temperature=0.2),
    "info_nce, queue": lambda a, b, q: info_nce(a, b, q, 0.2),
    "info_nce, excluded": lambda a, b, q: info_nce(a, b, q, 0.2, excluded()),
    "info_nce, empty queue": lambda a, b, q: info_nce(a, b, q[:0], 0.2),
    "sup_con": lambda a, b, q: sup_con(torch.cat((a, b)), LABELS, 0.2),
    "sup_con, weights": lambda a, b, q: sup_con(torch.cat((a, b)), LABELS, 0.2, WEIGHTS),
}


@pytest.fixture
def small_tiles(monkeypatch):
    """Everything in tiles of 8, of which the last ones are cut."""

    def use():
        monkeypatch.setattr(tiled, "SIDE", 8)
        monkeypatch.setattr(tiled, "LARGEST_MATRIX", -1)

    return use


def rows(dtype=torch.float32):
    sizes = (ROWS, ROWS, QUEUE)
    return [draws(size, WIDTH, seed=seed, dtype=dtype).requires_grad_() for seed, size in enumerate(sizes)]


def value_and_gradients(loss, inputs):
    value = loss(*inputs)
    return value, torch.autograd.grad(value, inputs, allow_unused=True)


@pytest.mark.parametrize("name", LOSSES)
def test_tiles_equal_the_whole_matrix(name, small_tiles):
    inputs = rows()
    plain, gradients = value_and_gradients(LOSSES[name], inputs)
    small_tiles()
    value, found = value_and_gradients(LOSSES[name], inputs)
    assert "LogSumExp" in names_of_graph(value)
    assert torch.allclose(value, plain, rtol=1e-5, atol=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in gradients if gradient is not None)
    for expected, gradient in zip(gradients, found, strict=True):
        assert (expected is None or len(expected) == 0) or torch.allclose(
            gradient, expected, rtol=0, atol=1e-5 * largest
        )


def names_of_graph(value):
    waiting, names = [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        names.add(node.name().removesuffix("Backward").lstrip("_"))
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return names


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name, small_tiles):
    small_tiles()
    # With a temperature of 0.005 finite differences themselves are off.
    tolerance = 1e-3 if "cold" in name else 1e-5
    assert torch.autograd.gradcheck(LOSSES[name], rows(torch.float64), atol=tolerance, rtol=1e-3, fast_mode=True)


def test_half_precision_and_autocast_lose_nothing_in_tiles(small_tiles):
    first, second, _ = rows()
    halves = [first.detach().bfloat16().requires_grad_(), second.detach().bfloat16().requires_grad_()]
    plain = nt_xent(*[half.detach().float().requires_grad_() for half in halves], 0.05)
    small_tiles()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = nt_xent(first, second, 0.05)
        value.backward()  # autocast is on in the backward pass, too
        of_halves = nt_xent(*halves, 0.05)
    of_halves.backward()
    assert value.dtype == of_halves.dtype == torch.float32
    assert halves[0].grad.dtype == torch.bfloat16
    assert torch.allclose(of_halves, plain, rtol=1e-5)
    exact = first.detach().double().requires_grad_()
    nt_xent(exact, second.detach().double(), 0.05).backward()
    assert torch.allclose(first.grad, exact.grad.float(), rtol=0, atol=1e-5 * float(exact.grad.abs().max()))


def test_a_second_derivative_is_refused(small_tiles):
    small_tiles()
    first, second, _ = rows()
    with pytest.raises(TrainingFailed, match="only once"):
        torch.autograd.grad(nt_xent(first, second), first, create_graph=True)


def test_large_batches_go_in_tiles_by_themselves_and_never_hold_the_matrix(monkeypatch):
    pairs = 1100  # of the 4.8 million similarities at most one tile is there at a time
    largest = []
    tiles = tiled._tiles

    def watched(*arguments):
        for part in tiles(*arguments):
            largest.append(part[2].numel())
            yield part

    monkeypatch.setattr(tiled, "_tiles", watched)
    first, second = draws(pairs, 16, seed=1).requires_grad_(), draws(pairs, 16, seed=2)
    value = nt_xent(first, second, 0.1)
    value.backward()
    assert largest
    assert max(largest) <= tiled.SIDE**2
    z = torch.cat((functional.normalize(first, dim=1), functional.normalize(second, dim=1))).detach()
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    assert torch.allclose(value, functional.cross_entropy(logits, torch.arange(2 * pairs).roll(pairs)), rtol=1e-5)
    largest.clear()
    nt_xent(first[:1000], second[:1000])
    assert not largest
