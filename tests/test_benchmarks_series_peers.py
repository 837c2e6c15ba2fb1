"""Peers of benchmarks/series.py: against slow twins, and on an anomaly that nobody can miss."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from benchmarks import paano, series_forecast, series_peers
from benchmarks.series_peers import Centres, MatrixProfile, Nearest, OnWindows, Residual
from torch.nn import functional

CHEAP = ("pca-residual", "pyod-pca", "kmeansad", "sub-knn", "sub-knn-z", "sub-iforest", "pyod-knn-points")


def waves(steps: int, seed: int = 0) -> np.ndarray:
    noise = 0.05 * np.random.default_rng(seed).normal(size=steps)
    return (np.sin(2 * np.pi * np.arange(steps) / 20) + noise)[:, None]


class TestLearners:
    rows = np.random.default_rng(0).normal(size=(60, 8)) @ np.diag([9, 5, 3, 1, 0.5, 0.2, 0.1, 0.1])
    others = np.random.default_rng(1).normal(size=(7, 8))

    def test_residual(self):
        learner = Residual()
        learner.fit(self.rows)
        centred = self.rows - self.rows.mean(axis=0)
        _, sizes, directions = np.linalg.svd(centred)
        count = int(np.searchsorted(np.cumsum(sizes**2) / (sizes**2).sum(), 0.95)) + 1
        left = (self.others - self.rows.mean(axis=0)) @ directions[count:].T
        np.testing.assert_allclose(learner.score(self.others), (left**2).sum(axis=1))

    def test_nearest(self):
        learner = Nearest()
        learner.fit(self.rows)
        distances = np.sort(np.linalg.norm(self.others[:, None] - self.rows[None], axis=2), axis=1)
        np.testing.assert_allclose(learner.score(self.others), distances[:, :3].mean(axis=1))

    def test_centres(self):
        learner = Centres(seed=0)
        learner.fit(np.repeat(self.rows[:20], 3, axis=0))
        distances = np.linalg.norm(self.others[:, None] - self.rows[None, :20], axis=2).min(axis=1)
        np.testing.assert_allclose(learner.score(self.others), distances)


@pytest.mark.parametrize("name", ["pca-residual", "sub-knn", "sub-knn-z", "kmeansad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_changed_pattern_is_found(name, channels):
    train = np.concatenate([waves(400, seed) for seed in range(channels)], axis=1)
    test = np.concatenate([waves(200, 9 + seed) for seed in range(channels)], axis=1)
    test[100:120] = -0.4 * test[100:120][::2].repeat(2, axis=0)
    model = series_peers.PEERS[name](0)
    model.fit(train)
    scores = model.score(test, name)
    assert scores.shape == (200,)
    assert 80 <= np.argmax(scores) < 140


@pytest.mark.parametrize("name", CHEAP)
def test_units_do_not_matter(name):
    train, test = waves(150), waves(60, 1)
    scores = []
    for factor in (1.0, 64.0):
        model = series_peers.PEERS[name](0)
        model.fit(factor * train + factor)
        scores.append(model.score(factor * test + factor, name))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6, atol=1e-9)


def test_windows_are_the_period_and_only_so_many():
    kept = []

    class Watch(Nearest):
        def fit(self, rows):
            kept.append(rows.shape)
            super().fit(rows)

    OnWindows(Watch()).fit(waves(9_000))
    assert kept == [(8_000, 20)]


def test_matrix_profile_is_the_mean_over_channels_of_distances(monkeypatch):
    calls = []

    def stump(channel, window, T_B=None, ignore_trivial=True):
        calls.append((len(channel), window, None if T_B is None else len(T_B), ignore_trivial))
        return np.full((len(channel) - window + 1, 4), float(len(calls)), dtype=object)

    monkeypatch.setattr(
        series_peers.series_tools, "stumpy", lambda: type("library", (), {"stump": staticmethod(stump)})
    )
    model = MatrixProfile(itself=False)
    calls.clear()
    model.fit(np.concatenate([waves(9_000)] * 2, axis=1))
    scores = model.score(np.concatenate([waves(50)] * 2, axis=1))
    assert calls == [(50, 32, 8_000, False)] * 2
    np.testing.assert_array_equal(scores, np.full(50, 1.5))
    model = MatrixProfile(itself=True)
    calls.clear()
    model.fit(waves(300))
    model.score(waves(50))
    assert calls == [(50, 20, None, True)]


def test_forecaster_finds_a_spike_and_is_repeatable(monkeypatch):
    monkeypatch.setattr(series_forecast, "_EPOCHS", 8)
    scores = []
    for _ in range(2):
        model = series_forecast.Forecaster(seed=3)
        model.fit(waves(300))
        test = waves(120, 1)
        test[80] += 5
        scores.append(model.score(test))
    assert scores[0].shape == (120,)
    assert np.argmax(scores[0]) == 80
    np.testing.assert_array_equal(*scores)
    np.testing.assert_array_equal(scores[0][:50], np.median(scores[0][50:]))


class TestPaAno:
    def test_published_size(self):
        network = paano.Network(1, paano.SIZES["published"].widths)
        blocks = [part for part in network.blocks if isinstance(part, torch.nn.Conv1d)]
        assert [(part.in_channels, part.out_channels, part.kernel_size) for part in blocks] == [
            (1, 128, (7,)),
            (128, 256, (5,)),
            (256, 128, (3,)),
            (128, 64, (3,)),
        ]
        embedding = sum(weights.numel() for weights in network.blocks.parameters())
        assert 280_000 < embedding < 310_000
        assert network(torch.randn(5, 1, 64)).shape == (5, 64)

    def test_a_patch_counts_without_its_level_and_scale(self):
        network = paano.Network(2, (8, 8, 8, 8)).eval()
        patches = torch.randn(4, 2, 64)
        moved = patches * torch.tensor([3.0, 0.5])[:, None] + torch.tensor([7.0, -2.0])[:, None]
        torch.testing.assert_close(network(patches), network(moved), rtol=1e-3, atol=1e-4)

    def test_neighbours(self):
        X = np.arange(40.0)[:, None]
        patches = paano._Patches(X, 8)
        assert patches.count == 33
        first = torch.tensor([0, 5, 12, 32]).repeat(50)
        starts = patches.beside(first)[:, 0, 0].long()
        offsets = starts - first
        assert set(offsets.tolist()) == {-2, -1, 1, 2}
        assert starts.min() >= 0
        assert starts.max() <= 32
        there, before = patches.before(torch.tensor([3, 8, 20]))
        assert there.tolist() == [False, True, True]
        assert before[:, 0, 0].tolist() == [0, 12]

    def test_triplet_as_a_slow_twin(self):
        torch.manual_seed(0)
        network = paano.Network(1, (8, 8, 8, 8))
        anchors, beside = torch.randn(6, 8), torch.randn(6, 8)
        with torch.no_grad():
            one, other = (functional.normalize(network.projection(part), dim=1) for part in (anchors, beside))
        expected = []
        for row in range(6):
            farthest = max(1 - float(one[row] @ other[at]) for at in range(6) if at != row)
            expected.append(max(0.0, 1 - float(one[row] @ other[row]) - farthest + 0.5))
        assert paano._triplet(network, anchors, beside).item() == pytest.approx(np.mean(expected), rel=1e-5)

    def test_scaled_gradient(self):
        weight = torch.tensor(3.0, requires_grad=True)
        loss = paano._scaled_gradient(weight**2)
        loss.backward()
        assert (loss.item(), weight.grad.item()) == (9.0, pytest.approx(0.06))

    def test_finds_a_changed_pattern_and_is_repeatable(self, monkeypatch):
        monkeypatch.setattr(paano, "_ITERATIONS", 5)
        test = waves(400, 1)
        test[200:240] = test[200:240][::2].repeat(2, axis=0)
        scores = []
        for _ in range(2):
            model = paano.PaAno(0, "reduced")
            model.fit(waves(700))
            scores.append(model.score(test))
        assert 150 <= np.argmax(scores[0]) < 270
        np.testing.assert_array_equal(*scores)

    def test_bank_is_made_of_training_patches(self, monkeypatch):
        monkeypatch.setattr(paano, "_ITERATIONS", 2)
        monkeypatch.setattr(paano, "_BANK_LEAST", 10)
        model = paano.PaAno(0, "reduced")
        train = waves(500)
        model.fit(train)
        assert len(model._bank) == round(0.1 * (500 - 64 + 1))
        rows = np.lib.stride_tricks.sliding_window_view(model._scaler.transform(train)[:, 0], 64)
        everything = model._embedded(np.ascontiguousarray(rows))
        assert torch.cdist(model._bank, everything).min(dim=1).values.max() < 1e-3

    def test_learning_rate_falls(self, monkeypatch):
        rates = []
        step = torch.optim.AdamW.step
        monkeypatch.setattr(
            torch.optim.AdamW, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), step(self))
        )
        monkeypatch.setattr(paano, "_ITERATIONS", 10)
        paano.PaAno(0, "reduced").fit(waves(200))
        assert all(later < earlier for earlier, later in pairwise(rates))
        assert rates[-1] == pytest.approx(1e-5)
