"""A small convolutional forecaster (after DeepAnT, Munir et al., 2019, with the widths of TSB-AD's ``CNN``)."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import series_windows as windows
from unalike.types import FloatArray

_CONTEXT = 50
_WIDTHS = (32, 32, 40)
_EPOCHS, _PATIENCE = 50, 3
_BATCH, _RATE, _DROPOUT = 128, 8e-4, 0.25
_VALIDATION = 0.2
_MOST_WINDOWS = 4_000
_CHUNK = 4_096


class Forecaster:
    """Foretells a step from the 50 before it; a step's score is the squared error, mean over channels.

    Adam, at most 50 epochs over at most 4,000 windows, stopped when the last fifth of them has not improved for three.
    The first 50 steps of a test part have no forecast and get the median score.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: FloatArray) -> None:
        self._scaler = windows.Scaler().fit(train)
        self._context = max(8, min(_CONTEXT, len(train) // 6))
        rows = windows.training_windows(self._scaler.transform(train), self._context + 1, _MOST_WINDOWS)
        torch.manual_seed(self._seed)
        self._network = _network(train.shape[1])
        self._train(self._pairs(rows, train.shape[1]))

    def score(self, test: FloatArray, method: str = "") -> FloatArray:
        X = self._scaler.transform(test)
        first = windows.starts(len(X), self._context + 1, 1)
        errors = []
        for at in range(0, len(first), _CHUNK):
            rows = windows.cut(X, first[at : at + _CHUNK], self._context + 1)
            errors.append(self._errors(*self._pairs(rows, X.shape[1])).numpy())
        known = np.concatenate(errors).astype(np.float64)
        return np.concatenate([np.full(len(X) - len(known), np.median(known)), known])

    def _pairs(self, rows: FloatArray, channels: int) -> tuple[Tensor, Tensor]:
        windowed = torch.from_numpy(rows.astype(np.float32)).reshape(len(rows), channels, self._context + 1)
        return windowed[:, :, :-1], windowed[:, :, -1]

    @torch.no_grad()
    def _errors(self, past: Tensor, following: Tensor) -> Tensor:
        self._network.eval()
        errors: Tensor = ((self._network(past) - following) ** 2).mean(dim=1)
        return errors

    def _train(self, pairs: tuple[Tensor, Tensor]) -> None:
        past, following = pairs
        known = max(1, int((1 - _VALIDATION) * len(past)))
        optimiser = torch.optim.Adam(self._network.parameters(), lr=_RATE)
        best, best_weights, waited = float("inf"), copy.deepcopy(self._network.state_dict()), 0
        for _ in range(_EPOCHS):
            self._network.train()
            for batch in torch.split(torch.randperm(known), _BATCH):
                optimiser.zero_grad()
                ((self._network(past[batch]) - following[batch]) ** 2).mean().backward()
                optimiser.step()
            loss = float(self._errors(past[known:], following[known:]).mean()) if known < len(past) else 0.0
            waited = 0 if loss < best else waited + 1
            if waited == 0:
                best, best_weights = loss, copy.deepcopy(self._network.state_dict())
            if waited == _PATIENCE:
                break
        self._network.load_state_dict(best_weights)


def _network(channels: int) -> nn.Module:
    first, second, third = _WIDTHS
    return nn.Sequential(
        nn.Conv1d(channels, first, 3),
        nn.ReLU(),
        nn.MaxPool1d(2, ceil_mode=True),
        nn.Conv1d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool1d(2, ceil_mode=True),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(4 * second, third),
        nn.ReLU(),
        nn.Dropout(_DROPOUT),
        nn.Linear(third, channels),
    )
