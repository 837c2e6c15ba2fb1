"""Gradient caching against the whole batch."""

from __future__ import annotations

import pytest
import torch
from tests.training.parts import fit, jitter, make, named_objective, network, rows
from torch import nn

from unalike.errors import InvalidParameter
from unalike.objectives.simclr import SimCLR
from unalike.seeding import RowGenerator, isolated
from unalike.training.chunked import check_chunks, chunked_loss
from unalike.types import Batch, Training


class Watched(nn.Module):
    """An encoder that notes how many rows it sees at a time."""

    width = 8

    def __init__(self, dropout: float = 0.0, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(network(dropout=dropout), *([] if norm is None else [norm]))
        self.sizes: list[int] = []

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(data))
        made: torch.Tensor = self.layers(data)
        return made


def simclr(dropout: float = 0.0, norm: nn.Module | None = None) -> nn.Module:
    encoder = Watched(dropout, norm)
    with isolated(0):
        return SimCLR().build(encoder)


def gradients(objective: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    trained = [weight for weight in objective.parameters() if weight.requires_grad]
    return [*torch.autograd.grad(loss, trained), loss.detach()]


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("name", ["simclr", "supcon", "mean-shifted", "temporal", "carla"])
def test_chunks_have_the_gradient_of_the_whole_batch(name: str, labelled: bool) -> None:
    objective, data = named_objective(name)
    objective.double().train()
    data = data.double()
    if hasattr(objective, "prepare"):
        objective.prepare(data)
    index = torch.arange(len(data))
    batch = Batch(data, index, time=40 * index, label=(index % 5 == 0).long() if labelled else None)
    check_chunks(objective)
    whole = gradients(objective, objective(batch, jitter, RowGenerator(3, index)))
    chunked = gradients(objective, chunked_loss(objective, batch, jitter, RowGenerator(3, index), 7))
    assert max(float(gradient.abs().max()) for gradient in whole) > 1e-3
    for expected, found in zip(whole, chunked, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_the_second_pass_drops_what_the_first_dropped() -> None:
    objective = simclr(dropout=0.5).train()
    batch = Batch(rows(20).load(torch.arange(20).numpy()), torch.arange(20))
    with isolated(7):
        chunked = gradients(objective, chunked_loss(objective, batch, jitter, RowGenerator(3, batch.index), 6))
    with isolated(7):
        parts = objective.pairs(batch, jitter, RowGenerator(3, batch.index)).split(6)
        z = torch.cat([objective.head(objective.encoder(part)) for part in parts])
        kept = gradients(objective, objective.loss(z, batch))
    for expected, found in zip(kept, chunked, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_in_chunks_equals_training_in_whole_batches(accumulate: int) -> None:
    usual = Training(epochs=2, batch_size=16, accumulate=accumulate, precision="64-true", optimizer="sgd", patience=5)
    whole, chunked = simclr(), simclr()
    history = fit(whole, usual, 64)
    in_chunks = fit(chunked, Training(**{**vars(usual), "chunk_size": 5}), 64)
    assert history[-1]["held_out_loss"] == pytest.approx(in_chunks[-1]["held_out_loss"], rel=1e-6)
    assert max(chunked.encoder.sizes[1:-1]) > 5  # the probe of the embedding is embedded at once
    assert chunked.encoder.sizes.count(5) > 20
    assert 5 not in whole.encoder.sizes
    for expected, found in zip(whole.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_mixed_precision_trains_in_chunks() -> None:
    usual = Training(steps=1, precision="bf16-mixed", learning_rate=0.1, optimizer="sgd", warmup=0.0)
    whole, chunked = simclr(), simclr()
    fit(whole, usual, 20)
    fit(chunked, Training(**{**vars(usual), "chunk_size": 8}), 20)
    for expected, found in zip(whole.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.02, atol=2e-3)


def test_what_cannot_be_embedded_in_chunks_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"`pairs` and `loss`.*; got Pull"):
        fit(make(), Training(steps=1, chunk_size=4))
    with pytest.raises(InvalidParameter, match=r"batch normalisation in \['encoder.layers.1'\]"):
        fit(simclr(norm=nn.BatchNorm1d(8)), Training(steps=1, chunk_size=4))
    with pytest.raises(InvalidParameter, match="MoCoObjective"):
        fit(named_objective("moco")[0], Training(steps=1, chunk_size=4))
    with pytest.raises(InvalidParameter, match="`chunk_size` must be a whole number"):
        fit(simclr(), Training(steps=1, chunk_size=0))
