"""A small objective and its rows, for the tests of the loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unalike import texts
from unalike.encoders.channelcnn import ChannelCNN
from unalike.encoders.convnet import ConvNet
from unalike.encoders.mlp import TableMLP
from unalike.encoders.seriescnn import SeriesCNN
from unalike.encoders.texttransformer import TextTransformer
from unalike.encoders.tokencontext import TokenContext
from unalike.objectives.build import build_objective
from unalike.seeding import RowGenerator, isolated
from unalike.training import Checkpoint, TrainingRows, train
from unalike.types import Batch, Schema, Training, View
from unalike.views.text import DeleteWords

CPU = torch.device("cpu")


def jitter(data: Tensor, generator: RowGenerator) -> Tensor:
    if not data.is_floating_point():  # texts
        return DeleteWords(0.2)(data, generator)
    return data + 0.1 * generator.normal(*data.shape[1:])


class Pull(nn.Module):
    """Pulls two views together and pushes the batch apart: enough of an objective for the loop."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.prepared_with: tuple[int, ...] | None = None
        self.steps_seen = 0
        self.sizes: list[int] = []

    def prepare(self, sample: Tensor) -> None:
        self.prepared_with = tuple(sample.shape)

    def after_step(self) -> None:
        self.steps_seen += 1

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        self.sizes.append(len(batch.data))
        first = nn.functional.normalize(self.encoder(views(batch.data, generator)), dim=1)
        second = nn.functional.normalize(self.encoder(views(batch.data, generator)), dim=1)
        logits = first @ second.T / 0.5
        return nn.functional.cross_entropy(logits, torch.arange(len(logits)))


def network(seed: int = 0, width: int = 8, dropout: float = 0.0) -> nn.Sequential:
    with isolated(seed):
        drop = [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), *drop, nn.Linear(16, width))


def make(seed: int = 0, width: int = 8, dropout: float = 0.0) -> Pull:
    return Pull(network(seed, width, dropout))


def rows(n: int = 50, n_anomalies: int = 0, dtype: type = np.float32, **known) -> TrainingRows:
    data = torch.from_numpy(np.random.default_rng(0).normal(size=(n + n_anomalies, 5)).astype(dtype))
    return TrainingRows(n, lambda positions: data[torch.from_numpy(positions)], n_anomalies=n_anomalies, **known)


def fit(
    objective: nn.Module,
    settings: Training,
    n: int | TrainingRows = 50,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float]]:
    given = rows(n) if isinstance(n, int) else n
    with isolated(5):
        return train(objective, given, jitter, settings, seed=seed, device=CPU, checkpoint=checkpoint)


def without_speed(history: list[dict[str, float]]) -> list[str]:
    """The history as text, NaN equal to itself, without what a clock measured."""
    return [repr({name: value for name, value in row.items() if name != "rows_per_second"}) for row in history]


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def named_objective(name: str) -> tuple[nn.Module, Tensor]:
    """An objective of ours on a network for its kind of data, not prepared, and 32 samples."""
    draws = RowGenerator(1, torch.arange(32))
    if name in ("icl", "synthetic-contrast"):
        settings, schema = TableMLP(hidden=(16,)), Schema((4, 2))
        data = torch.stack([draws.normal(4), torch.zeros(32, 4)], dim=-1)
    elif name in ("carla", "channels", "injected", "paano", "temporal"):
        settings = (
            ChannelCNN(features=8) if name == "channels" else SeriesCNN(features=(8,), kernels=(5,), strides=(2,))
        )
        schema = Schema((2, 24))
        data = 0.1 * draws.normal(2, 24) + (0.5 * torch.arange(24.0)).sin() + torch.tensor([[0.0], [2.0]])
    elif name in ("replaced", "token-prediction"):
        settings = (
            TextTransformer(vocabulary=300, width=16, layers=1, heads=2, dropout=0.0)
            if name == "replaced"
            else TokenContext(vocabulary=64, width=8, hidden=8)
        )
        schema = Schema((60,), (texts.CODE_POINTS,))
        data = texts.encoded(
            [" ".join(("one", "two", "three", "four")[: 2 + n % 3] * (1 + n % 2)) for n in range(32)], 60
        )
    else:
        settings, schema = ConvNet(channels=(4,), width=16), Schema((1, 8, 8))
        data = 0.1 * draws.normal(1, 8, 8) + torch.linspace(0, 1, 8)  # light on the right, so that turning it shows
    with isolated(0):
        encoder = settings.build(schema)
    if hasattr(encoder, "prepare"):
        encoder.prepare(data)
    return build_objective(name, encoder, 0), data
