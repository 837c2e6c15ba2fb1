from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from unalike.encoders import WindowResidual
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.types import Schema


def windows(n, seed=0, noise=0.1, length=24):
    """Two channels that follow one sine, and one of its own."""
    rng = np.random.default_rng(seed)
    angle = np.arange(length) / 4.0 + rng.uniform(0, 6, size=(n, 1))
    own = rng.normal(size=(n, 1)) * np.cos(np.arange(length))
    data = np.stack([np.sin(angle), 2.0 * np.sin(angle) + 1.0, own], axis=1)
    return torch.from_numpy((data + noise * rng.normal(size=data.shape)).astype(np.float32))


def made(sample, **settings):
    return build_encoder(WindowResidual(**settings), Schema(tuple(sample.shape[1:])), 0, sample=sample).eval()


def left(pca, rows):
    return rows - pca.inverse_transform(pca.transform(rows))


@pytest.mark.parametrize("m", [40, 500])
@pytest.mark.parametrize("variance", [0.5, 0.95])
def test_is_scikit_learn_s_reconstruction_error(m, variance):
    sample, data = windows(m), windows(30, seed=1)
    pca = PCA(variance, svd_solver="full").fit(sample.double().flatten(1).numpy())
    expected = left(pca, data.double().flatten(1).numpy())
    encoder = made(sample, variance=variance)
    assert np.allclose(encoder(data).numpy(), expected, atol=1e-5)
    norms = made(sample, variance=variance, norms=True)(data)
    assert np.allclose(norms.numpy(), np.linalg.norm(expected.reshape(30, 3, 24), axis=2), atol=1e-5)


def test_independent_channels_have_components_of_their_own():
    sample, data = windows(300), windows(30, seed=1)
    found = made(sample, channels="independent")(data).view(30, 3, 24).numpy()
    for channel in range(3):
        pca = PCA(0.95, svd_solver="full").fit(sample[:, channel].double().numpy())
        assert np.allclose(found[:, channel], left(pca, data[:, channel].double().numpy()), atol=1e-5)


def test_joint_components_know_how_channels_move_together():
    """Each channel is as always, but one no longer follows the other."""
    sample, usual, broken = windows(500), windows(50, seed=1), windows(50, seed=1)
    broken[:, 0] = windows(50, seed=2)[:, 0]
    joint, apart = made(sample), made(sample, channels="independent")
    assert joint(broken).norm(dim=1).median() > 3 * joint(usual).norm(dim=1).max()
    assert apart(broken).norm(dim=1).median() < 1.5 * apart(usual).norm(dim=1).median()


def test_at_most_so_many_components():
    sample = windows(200, noise=1.0)
    pca = PCA(4, svd_solver="full").fit(sample.double().flatten(1).numpy())
    encoder = made(sample, most_components=4)
    assert encoder.components.shape == (1, 4, 72)
    assert np.allclose(encoder(sample).numpy(), left(pca, sample.double().flatten(1).numpy()), atol=1e-4)


def test_a_missing_cell_has_no_residual_and_hides_little():
    sample, data = windows(500, noise=0.01), windows(20, seed=1, noise=0.01)
    encoder = made(sample)
    gone = data.clone()
    gone[:, 0, 5] = torch.nan
    found = encoder(gone).view(20, 3, 24)
    assert (found[:, 0, 5] == 0.0).all()
    assert encoder(gone).norm(dim=1).max() < 0.2 * encoder(gone + 1.0).norm(dim=1).min()


def test_windows_of_one_shape_leave_nothing():
    sample = windows(1).expand(10, -1, -1)
    assert made(sample)(sample).abs().max() < 1e-5
    encoder = made(windows(1))
    assert torch.allclose(encoder(windows(5, seed=3)), (windows(5, seed=3) - windows(1)).flatten(1), atol=1e-6)


def test_one_window_is_embedded_as_in_a_batch():
    sample = 100.0 * windows(300)
    encoder = made(sample)
    together = encoder(sample[:50])
    alone = torch.cat([encoder(sample[row : row + 1]) for row in range(50)])
    assert torch.allclose(alone, together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"variance": 1.0}, {"variance": 0}, {"most_components": 0}, {"channels": "both"}, {"norms": 1}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must be"):
        WindowResidual(**settings)
