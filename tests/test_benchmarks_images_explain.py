"""The benchmark of heat maps on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import images_explain


@pytest.mark.parametrize("size", [(28, 28), (90, 224)])
def test_an_ellipse_lies_within_the_image_and_covers_a_little_of_it(size: tuple[int, int]) -> None:
    for seed in range(30):
        mask = images_explain.ellipse(*size, np.random.default_rng(seed))
        assert mask.shape == size
        assert 0.005 < mask.mean() < 0.07
    middles = [np.argwhere(images_explain.ellipse(28, 28, np.random.default_rng(s))).mean(axis=0) for s in range(200)]
    assert np.ptp(middles, axis=0).min() > 15


def test_only_the_mask_changes_and_by_the_strength() -> None:
    image = np.full((20, 20), 40, dtype=np.uint8)
    image[10:] = 200
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:5, 2:5] = True
    made = images_explain.planted(image, mask, 0.5)
    assert np.array_equal(made.image[~mask], image[~mask])
    assert set(made.image[mask].tolist()) == {148}
    assert set(images_explain.planted(image, mask[::-1], 0.5).image[mask[::-1]].tolist()) == {100}
    assert images_explain.points_into(np.abs(made.image - 40.0) * (image == 40), mask)
    assert not images_explain.points_into(made.image.astype(float), mask)


def test_the_farthest_pixel_is_counted_in_its_own_deviations() -> None:
    generator = np.random.default_rng(0)
    train = generator.integers(100, 110, (50, 12, 12)).astype(np.uint8)
    train[:, 0, 0] = generator.integers(0, 255, 50)
    image = train[0].copy()
    image[0, 0], image[7, 3] = 255, 130
    picture = images_explain.FarthestPixel(list(train)).picture(image)
    assert np.unravel_index(np.argmax(picture), picture.shape) == (7, 3)
    larger = images_explain.FarthestPixel(list(train)).picture(image.repeat(2, axis=0).repeat(2, axis=1))
    assert larger.shape == (24, 24)


def test_the_table_means_over_the_sets_of_a_family() -> None:
    lines = [
        {"data": f"shoes/{at}", "method": "pretrained/0.3", "reached": "0.8", "hit": hit, "z_hit": "0.5",
         "chance": "0.02", "explain_ms": "40", "detect_ms": "4"}
        for at, hit in enumerate(("0.5", "1.0"))
    ]  # fmt: skip
    (_, line) = images_explain.table(lines)
    assert line == ["pretrained", "shoes", "2", "0.3", "0.80", "75.0%", "50.0%", "2.0%", "40", "4"]
