from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from unalike import Detector, load, modalities, save, thresholds
from unalike.errors import InvalidParameter
from unalike.modalities import tunedimages
from unalike.scorers import LocalKNN, PlaceFusion
from unalike.seeding import RowGenerator, isolated


def pictures(n, side=12, seed=0):
    rng = np.random.default_rng(seed)
    return (np.linspace(1, 0, side)[:, None] + 0.1 * rng.normal(size=(n, side, side))).astype(np.float32)


@pytest.fixture
def weights(tmp_path):
    with isolated(0):
        torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def fitted(modality, images, **more):
    return Detector(
        modality,
        training={"steps": 3, "batch_size": 8},
        threshold=thresholds.Conformal(false_alarm_rate=0.2),
        random_state=0,
        **more,
    ).fit(images)


def named(detector):
    return [branch.settings.name for branch in detector.branches_]


def test_from_scratch_a_network_trains_beside_the_pixels_and_either_is_switched_off(tmp_path):
    detector = fitted("image", pictures(40))
    assert named(detector) == ["contrast", "pixels"]
    assert detector.branches_[0].history[-1]["step"] == 3
    test = np.concatenate([pictures(4, seed=1), pictures(4, seed=2)[:, ::-1]])
    save(detector, tmp_path / "model.unalike")
    assert np.array_equal(load(tmp_path / "model.unalike").anomaly_scores(test), detector.anomaly_scores(test))
    for name in named(detector):
        assert name not in named(fitted("image", pictures(30), switch_off=[name]))


def test_with_weights_small_images_are_judged_whole_by_the_middle_of_the_network(weights, tmp_path):
    modality = modalities.Image(network="test_efficientnet", weights=weights)
    detector = fitted(modality, pictures(40, side=28))
    (branch,) = detector.branches_
    assert isinstance(branch.judge.scorer, LocalKNN)
    inner = branch.judge.encoder.encoder
    assert (inner.size, inner.cells, inner.frozen) == ((32, 32), 2, True)
    test = pictures(6, side=28, seed=1)
    save(detector, tmp_path / "model.unalike")
    weights.unlink()
    loaded = load(tmp_path / "model.unalike")
    assert np.array_equal(loaded.anomaly_scores(test), detector.anomaly_scores(test))
    assert loaded.get_params()["modality"].weights == str(weights)


def test_with_weights_larger_images_are_judged_by_their_places(weights):
    modality = modalities.Image(network="test_efficientnet", weights=weights).fit(pictures(2, side=80)[:, None])
    (branch,) = modality.branches()
    assert isinstance(branch.scorer, PlaceFusion)
    assert branch.encoder.build(modality.schema).grid[0] >= 7
    assert modality.size_ == (80, 80)
    large = modalities.Image(network="test_efficientnet", weights=weights).fit(np.zeros((2, 1, 500, 250)))
    assert large.size_ == (224, 112)


def test_no_weights_are_read_or_fetched_unless_named(tmp_path):
    assert all("Timm" not in repr(branch) for branch in tunedimages.branches((1, 28, 28), "resnet18", None))
    with pytest.raises(InvalidParameter, match="weights"):
        fitted(modalities.Image(weights=tmp_path / "none.pth"), pictures(20))


def test_the_view_mirrors_symmetric_images_only():
    noise = torch.from_numpy(np.random.default_rng(0).random((40, 1, 12, 12), dtype=np.float32))
    leaning = noise * 0.1 + torch.linspace(1, 0, 12)
    view = tunedimages.view()
    generator = RowGenerator(0, torch.arange(40))
    moved = view.prepare(leaning)(leaning, generator)
    assert ((moved[..., :6].mean(dim=(1, 2, 3)) - moved[..., 6:].mean(dim=(1, 2, 3))) > 0).all()
    moved = view.prepare(noise)(leaning, RowGenerator(0, torch.arange(40)))
    mirrored = (moved[..., :6].mean(dim=(1, 2, 3)) < moved[..., 6:].mean(dim=(1, 2, 3))).sum()
    assert 8 < mirrored < 32
