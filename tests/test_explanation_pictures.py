"""Heat maps of images: where they are hot, what their masks promise, and that tiles leave no seams."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from unalike import Detector, load, save, thresholds
from unalike.encoders import ConvNet, Raw
from unalike.errors import InvalidParameter
from unalike.explanation import heat, overlay, write_overlays
from unalike.explanation.pictures import regions
from unalike.modalities import Image
from unalike.modalities.tiles import boxes_of
from unalike.scorers import KNN, PatchBank
from unalike.types import Branch

PATCHES = Branch(name="patches", encoder=ConvNet(channels=(8, 16)), scorer=PatchBank(size=200, top=2))
PIXELS = Branch(name="pixels", encoder=Raw(), scorer=KNN())


def textures(n: int, height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    waves = 40.0 * np.sin(np.arange(width) / 3.0)[None, None] + 15.0 * rng.normal(size=(n, 1, 1))
    return np.clip(120.0 + waves + rng.normal(scale=6.0, size=(n, height, width)), 0, 255).astype(np.uint8)


def blotted(images: np.ndarray, side: int = 8, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The images with a dark square each, and the ``(n, 2)`` middles of the squares."""
    rng, spoilt = np.random.default_rng(seed), images.copy()
    corners = np.stack([rng.integers(1, length - side, len(images)) for length in images.shape[1:]], axis=1)
    for image, (top, left) in zip(spoilt, corners, strict=True):
        image[top : top + side, left : left + side] = 10
    return spoilt, corners + side / 2


def fitted(
    *branches: Branch, modality: Image | None = None, images: np.ndarray | None = None, rate: float = 0.1
) -> Detector:
    images = textures(60) if images is None else images
    threshold = thresholds.Conformal(false_alarm_rate=rate)
    return Detector(modality or Image(), branches=branches, threshold=threshold).fit(images)


@pytest.fixture(scope="module")
def fused() -> Detector:
    return fitted(PATCHES, PIXELS)


def peaks(explanations) -> np.ndarray:
    return np.array([np.unravel_index(e.picture.argmax(), e.picture.shape) for e in explanations])


@pytest.mark.parametrize("branches", [(PATCHES,), (PIXELS,), (PATCHES, PIXELS)], ids=lambda some: str(len(some)))
def test_a_mask_is_not_empty_exactly_when_the_image_is_an_anomaly(branches) -> None:
    detector = fitted(*branches)
    mixed = np.concatenate([textures(12, seed=3), blotted(textures(3, seed=4))[0]])
    for threshold in (thresholds.Conformal(false_alarm_rate=0.4), "normal"):
        decisions = detector.calibrate(threshold=threshold).detect(mixed)
        assert 0 < decisions.is_anomaly.sum() < 15  # of both kinds, near the threshold too
        for sample, score, anomalous in zip(
            detector.explain(mixed), decisions.scores, decisions.is_anomaly, strict=True
        ):
            assert sample.mask.any() == anomalous
            assert sample.picture.shape == sample.mask.shape == (32, 32)
            assert sample.picture.max() == sample.score == score


def test_the_peak_lies_in_the_blot_and_the_mask_around_it(fused: Detector) -> None:
    spoilt, middles = blotted(textures(20, seed=5))
    explained = fused.explain(spoilt)
    assert (np.abs(peaks(explained) - middles).max(axis=1) <= 6).mean() >= 0.9
    for sample, (row, column) in zip(explained, middles.astype(int), strict=True):
        inside = sample.picture[row - 4 : row + 4, column - 4 : column + 4].mean()
        assert inside > np.median(sample.picture)
    best = explained[0].parts[0]
    (top, left), (bottom, right) = best.at
    assert best.place == f"rows {top} to {bottom}, columns {left} to {right}"
    assert 0.0 < sum(part.share for part in explained[0].parts) <= 1.0


def test_without_places_hidden_windows_find_the_blot_on_small_images() -> None:
    digits = load_digits()
    threes = (digits.images[digits.target == 3] * 15).astype(np.uint8)
    large = np.kron(threes, np.ones((3, 3), dtype=np.uint8))  # 24 x 24
    detector = fitted(PIXELS, images=large[:120])
    spoilt, middles = large[120:150].copy(), []
    for number, image in enumerate(spoilt):
        top, left = np.random.default_rng(number).integers(0, 18, 2)
        image[top : top + 6, left : left + 6] = 255 - image[top : top + 6, left : left + 6]
        middles.append((top + 3, left + 3))
    near = np.abs(peaks(detector.explain(spoilt)) - np.array(middles)).max(axis=1) <= 5
    assert near.mean() > 0.6  # by chance an eleventh to a fifth


def test_pictures_have_the_size_of_the_user_s_images(tmp_path) -> None:
    from PIL import Image as Pillow

    for number, image in enumerate(textures(30, 60, 40)):
        Pillow.fromarray(image).save(tmp_path / f"{number:02}.png")
    threshold = thresholds.Conformal(false_alarm_rate=0.2)
    detector = Detector(Image(size=(32, 32)), branches=[PATCHES], threshold=threshold).fit(tmp_path)
    explained = detector.explain(tmp_path, only=[3, 7])
    assert [sample.picture.shape for sample in explained] == [(60, 40)] * 2
    assert explained[1].id.endswith("07.png")


def test_a_loaded_detector_and_one_image_alone_give_the_same_pictures(fused: Detector, tmp_path) -> None:
    spoilt = blotted(textures(3, seed=6))[0]
    whole = fused.explain(spoilt)
    save(fused, tmp_path / "m.unalike")
    for sample, again in zip(whole, load(tmp_path / "m.unalike").explain(spoilt), strict=True):
        np.testing.assert_array_equal(again.picture, sample.picture)
    np.testing.assert_allclose(fused.explain(spoilt[1:2])[0].picture, whole[1].picture, rtol=1e-5)
    assert len(fused.explain(spoilt, only=[])) == 0


def test_before_calibration_there_is_a_picture_and_no_mask() -> None:
    detector = Detector(Image(), branches=[PATCHES], calibration_fraction=0.0).fit(textures(20))
    (sample,) = detector.explain(textures(1, seed=8))
    assert sample.mask is None
    assert sample.picture.shape == (32, 32)


def test_the_worst_place_of_a_fused_map_is_the_score_and_usual_places_stay_usual(fused: Detector) -> None:
    picture = np.linspace(0.0, 3.0, 32 * 32).reshape(32, 32)
    scores = {name: 2.0 * float(values.max()) for name, values in fused.fusion_.references_.items()}
    usual = {name: float(np.median(values)) for name, values in fused.fusion_.references_.items()}
    made = heat.fused_map({"patches": picture}, scores, usual, fused.fusion_)
    expected = fused.fusion_.score({name: np.array([value]) for name, value in scores.items()})[0]
    assert made.max() == made[-1, -1] == expected
    assert (np.diff(made.ravel()) >= 0).all()
    at_rest = fused.fusion_.score({name: np.array([value]) for name, value in usual.items()})[0]
    assert (made[heat.peaked(picture, scores["patches"]) < usual["patches"]] <= at_rest).all()


# --- tiles ---


@pytest.mark.parametrize(("height", "width"), [(100, 250), (64, 64), (30, 200), (65, 129)])
def test_tiles_cover_the_image_and_overlap_by_a_quarter(height: int, width: int) -> None:
    boxes = boxes_of(height, width, 64)
    seen = np.zeros((height, width), dtype=int)
    for top, left, bottom, right in boxes:
        seen[top:bottom, left:right] += 1
        assert (bottom - top, right - left) == (min(height, 64), min(width, 64))
    assert seen.min() == 1
    for side in range(height - 16 + 1):  # whatever is at most 16 pixels high lies whole in one row of tiles
        assert any(top <= side and side + 16 <= bottom for top, _, bottom, _ in boxes) or height < 16


def test_an_image_scores_as_its_worst_tile_and_a_blot_on_a_seam_is_found() -> None:
    modality = Image(tile=40)
    detector = fitted(PATCHES, modality=modality, images=textures(20, 100, 90), rate=0.2)
    images = textures(4, 100, 90, seed=9)
    tiles = np.concatenate([images[:, t:b, left:r] for t, left, b, r in boxes_of(100, 90, 40).tolist()])
    alone = copy.copy(detector)
    alone.modality_ = replace(detector.modality_, tile=None)
    alone.modality_.restore(detector.modality_.state())
    worst = alone.anomaly_scores(tiles).reshape(-1, 4).max(axis=0)
    np.testing.assert_allclose(detector.anomaly_scores(images), worst, rtol=1e-5)
    seams = np.unique([box[:2] for box in boxes_of(100, 90, 40).tolist()])[1:]
    spoilt = images.copy()
    for image, seam in zip(spoilt, np.resize(seams, 4), strict=True):
        image[seam - 4 : seam + 4, 36:44] = 10
    assert (detector.anomaly_scores(spoilt) > detector.anomaly_scores(images)).all()
    explained = detector.explain(spoilt)
    assert (detector.detect(spoilt).is_anomaly == [sample.mask.any() for sample in explained]).all()
    found = peaks(explained)
    assert (np.abs(found - np.stack([np.resize(seams, 4), np.full(4, 40)], axis=1)).max(axis=1) <= 7).mean() >= 0.75
    assert explained[0].picture.shape == (100, 90)


def test_tiles_blend_without_a_seam() -> None:
    smooth = np.add.outer(np.arange(70.0), np.arange(90.0))
    boxes = boxes_of(70, 90, 32)
    parts = [smooth[top:bottom, left:right] for top, left, bottom, right in boxes.tolist()]
    np.testing.assert_allclose(heat.blended(parts, boxes, (70, 90)), smooth)
    apart = [part + 5.0 * (number % 2) for number, part in enumerate(parts)]
    jumps = np.abs(np.diff(heat.blended(apart, boxes, (70, 90)), axis=1))
    assert jumps.max() < 1.0 + 5.0 / 3.0  # pieces put side by side would jump by 5


def test_tiles_of_files_and_of_smaller_images_are_read(tmp_path) -> None:
    from PIL import Image as Pillow

    for number, image in enumerate([*textures(20, 50, 70), *textures(5, 20, 24)]):
        Pillow.fromarray(image).save(tmp_path / f"{number:02}.png")
    detector = Detector(Image(tile=32), branches=[PATCHES], threshold=thresholds.Conformal(false_alarm_rate=0.2))
    detector.fit(tmp_path)
    assert detector.anomaly_scores(tmp_path).shape == (25,)
    assert [sample.picture.shape for sample in detector.explain(tmp_path, only=[2, 22])] == [(50, 70), (20, 24)]


# --- pieces ---


def test_regions_are_those_of_the_mask_largest_share_first() -> None:
    picture = np.zeros((20, 30))
    picture[2:5, 3:7], picture[10:18, 20:28] = 4.0, 3.0
    first, second = regions(picture, picture > 2.0, 5)
    assert (first.at, second.at) == (((10, 20), (17, 27)), ((2, 3), (4, 6)))
    assert first.share == pytest.approx(192 / 240)
    assert len(regions(picture, picture > 2.0, 1)) == 1
    (only,) = regions(picture, np.zeros((20, 30), dtype=bool), 5)[:1]
    assert only.at == ((10, 20), (17, 27))


def test_hidden_windows_cover_the_image_and_are_filled_from_around() -> None:
    hidden = heat.windows((20, 28))
    assert hidden.any(axis=0).all()
    image = torch.full((1, 20, 28), 0.3)
    spot = image.clone()
    spot[0, hidden[10]] = 1.0
    filled = heat.without(spot, torch.from_numpy(hidden))
    assert torch.allclose(filled[10], image, atol=1e-6)
    assert torch.equal(filled[0][:, ~torch.from_numpy(hidden[0])], spot[:, ~torch.from_numpy(hidden[0])])
    whole = heat.occlusion_map(np.arange(len(hidden), dtype=float), hidden)
    assert whole.shape == (20, 28)
    assert whole[-1, -1] > whole[0, 0]


def test_overlays_are_written_one_for_each_explained_image(fused: Detector, tmp_path) -> None:
    from PIL import Image as Pillow

    spoilt = blotted(textures(3, seed=6))[0]
    explained = fused.explain(spoilt, only=[0, 2])
    files = write_overlays(fused.modality_, spoilt, explained, tmp_path / "maps", only=[0, 2])
    assert [file.name for file in files] == ["0000-0.png", "0001-2.png"]
    with Pillow.open(files[1]) as opened:
        made = np.asarray(opened)
    assert made.shape == (32, 32, 3)
    hottest = np.unravel_index(explained[1].picture.argmax(), (32, 32))
    assert made[hottest].max() > 50 + spoilt[2][hottest]  # the blot is dark
    (tmp_path / "file").touch()
    with pytest.raises(InvalidParameter, match="must be a folder"):
        write_overlays(fused.modality_, spoilt, explained, tmp_path / "file", only=[0, 2])


def test_an_overlay_keeps_what_is_cool_and_outlines_the_mask() -> None:
    pixels = np.full((1, 20, 20), 100, dtype=np.uint8)
    picture = np.zeros((20, 20))
    picture[5:10, 5:10] = 2.0
    made = overlay(pixels, picture, picture > 1.0)
    assert (made[picture == 0.0] == 100).all()
    assert (made[5, 5:10] == [0, 255, 255]).all()
    assert (made[7, 7] != 100).any()
    assert (made[7, 7] != [0, 255, 255]).any()
    cooler = overlay(pixels, picture, threshold=10.0)
    assert np.abs(cooler.astype(int) - 100).max() < np.abs(overlay(pixels, picture).astype(int) - 100).max()
    assert (overlay(np.full((5, 4, 4), 0.5), np.zeros((4, 4))) == 0).all()  # no range, no heat
