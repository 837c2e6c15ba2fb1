from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unalike.embeddings import embed, embed_batch, floating_type, ready

CPU = torch.device("cpu")
DATA = torch.linspace(-1, 1, 60).reshape(20, 3)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))


class Recorder:
    def __init__(self, data: Tensor) -> None:
        self.data = data
        self.sizes: list[int] = []

    def __call__(self, positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
        self.sizes.append(len(positions))
        return self.data[torch.from_numpy(positions)]


@pytest.mark.parametrize("chunk", [1, 7, 20, 100])
def test_chunks_give_the_rows_of_one_pass(chunk: int) -> None:
    encoder = network().train()
    encoder[1].running_mean.uniform_(-1, 1)
    load = Recorder(DATA)
    embeddings = embed(encoder, load, 20, device=CPU, chunk=chunk)
    expected = encoder.eval()(DATA).detach().numpy()
    np.testing.assert_allclose(embeddings, expected, rtol=1e-6, atol=1e-7)
    assert max(load.sizes) == min(chunk, 20)
    assert sum(load.sizes) == 20
    assert embeddings.dtype == np.float32


def test_embedding_changes_neither_statistics_nor_gradients() -> None:
    encoder = network().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    embed(encoder, Recorder(DATA), 20, device=CPU)
    assert not encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in encoder.parameters())


def test_data_takes_the_precision_of_the_weights() -> None:
    encoder = network().double()
    embeddings = embed(encoder, Recorder(DATA), 20, device=CPU)
    assert embeddings.dtype == np.float64
    np.testing.assert_array_equal(embeddings, encoder(DATA.double()).detach().numpy())


def test_codes_stay_integers() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Embedding(5, 2), nn.Flatten())
    codes = torch.tensor([[0, 4], [3, 1]])
    np.testing.assert_array_equal(embed_batch(encoder, codes, CPU), encoder(codes).detach().numpy())


def test_precision_of_a_module() -> None:
    assert floating_type(nn.Flatten()) == torch.float32
    assert floating_type(nn.Linear(1, 1).half()) == torch.float16
    counted = nn.Module()
    counted.register_buffer("count", torch.tensor(3))
    assert floating_type(counted) == torch.float32
    counted.register_buffer("center", torch.zeros(2, dtype=torch.float64))
    assert floating_type(counted) == torch.float64


class Sizes(nn.Module):
    """Notes how many samples each pass gets; says how large its maps are."""

    def __init__(self, largest_map: int) -> None:
        super().__init__()
        self.largest_map = largest_map
        self.sizes: list[int] = []

    def forward(self, data: Tensor) -> Tensor:
        self.sizes.append(len(data))
        return data.flatten(1)


def test_a_pass_takes_no_more_samples_than_its_largest_map_allows() -> None:
    data = torch.rand(10, 3)
    for largest, sizes in ((0, [10]), (5 * 2**20, [4, 4, 2]), (2**30, [1] * 10)):
        encoder = Sizes(largest)
        np.testing.assert_array_equal(embed_batch(encoder, data, CPU), data.numpy())
        assert encoder.sizes == sizes


def test_what_is_ready_is_left_alone_and_a_part_that_trains_is_not() -> None:
    encoder = network().train()
    encoder[1].eval()
    assert not any(module.training for module in ready(encoder, CPU).modules())
    encoder[3].train()
    assert not ready(encoder, CPU)[3].training
    calls = []
    encoder.train = lambda mode=True: calls.append(mode)  # type: ignore[method-assign]
    ready(encoder, CPU)
    assert calls == []
