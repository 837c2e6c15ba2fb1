"""Near copies: bursts are told from images that are alike by chance."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from unalike import Detector, find_groups, thresholds
from unalike.errors import InputWarning
from unalike.fitting import warn_of_near_copies
from unalike.modalities import Image
from unalike.modalities.nearcopies import group, look, standardised

Pixels = np.ndarray[Any, Any]


def scenes(n: int, seed: int = 0, ways: int = 12) -> Pixels:
    """``(n, 24, 24)``: smooth pictures that differ in so many ways."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24] / 24
    waves = np.stack([np.sin(3 * (i % 4 + 1) * x + i) * np.cos(3 * (i // 4 + 1) * y + i) for i in range(ways)])
    return np.tensordot(rng.normal(size=(n, ways)), waves, axes=1)


def bursts(n: int, of: int, seed: int = 0) -> tuple[Pixels, Pixels]:
    """``n`` pictures, `of` each of one scene in another light with some noise, in any order; and whose they are."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(n // of), of))
    seen = scenes(n // of, seed)[codes]
    light = rng.uniform(0.3, 2.0, (len(codes), 1, 1))
    return seen * light + rng.normal(0, 0.05, seen.shape) + rng.uniform(-1, 1, light.shape), codes


def small(pixels: Pixels) -> Pixels:
    return Image().thumbnails(Image().check(pixels))


def looked(pixels: Pixels) -> Any:
    found = look(small(pixels))
    assert found is not None
    return found


@pytest.mark.parametrize("ways", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("n", [60, 600])
def test_few_independent_images_have_near_copies_in_whatever_few_ways_they_differ(ways: int, n: int) -> None:
    found = looked(scenes(n, ways=ways) if ways > 1 else turning(n))
    assert not found.many
    assert not found.consecutive


def turning(n: int) -> Pixels:
    """Pictures that differ in one way."""
    shift = np.random.default_rng(0).uniform(0, 3, (n, 1, 1))
    y, x = np.mgrid[:24, :24] / 24
    return np.exp(-((x * 4 - shift) ** 2) - y)


def test_digits_of_one_kind_are_no_near_copies() -> None:
    X, y = load_digits(return_X_y=True)
    for kind in range(10):
        found = looked(X[y == kind].reshape(-1, 8, 8))
        assert not found.many
        assert not found.consecutive


@pytest.mark.parametrize("of", [2, 3, 6, 30])
def test_bursts_are_found_in_any_light(of: int) -> None:
    pixels, codes = bursts(480, of)
    found = looked(pixels)
    assert found.many
    assert len(set(codes[found.example])) == 1
    made = group(small(pixels))
    same, linked = codes[:, None] == codes, made[:, None] == made
    pairs = np.triu_indices(len(codes), 1)
    assert (same & linked)[pairs].sum() >= 0.9 * linked[pairs].sum()
    assert (same & linked)[pairs].sum() >= 0.9 * same[pairs].sum()


def test_light_does_not_count_and_content_does() -> None:
    pixels = scenes(50)
    np.testing.assert_allclose(small(pixels), small(pixels * 3.0 - 5.0), atol=1e-5)
    assert not looked(scenes(50)).many
    np.testing.assert_array_equal(small(np.zeros((2, 5, 5))), np.zeros((2, 256)))


def test_neighbours_agree_with_a_plain_search() -> None:
    pixels, _ = bursts(90, 3)
    thumbs = small(pixels)
    distances = np.linalg.norm(thumbs[:, None] - thumbs, axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    ordered = np.sort(distances, axis=1)
    k = 18  # a fifth of the images
    ways = np.median(np.log(ordered[:, 2 * k - 1] / ordered[:, k - 1])) / sum(1 / i for i in range(k, 2 * k))
    limits = min(0.4, (0.05 / (k - 1)) ** ways) * ordered[:, k - 1]
    found = looked(pixels)
    assert found.share == pytest.approx((ordered[:, 0] <= limits).mean())
    assert found.adjacent == pytest.approx((np.abs(nearest - np.arange(90)) == 1).mean())


def test_blank_images_and_few_are_not_judged() -> None:
    assert look(small(np.zeros((100, 5, 5)))) is None
    assert look(small(scenes(39))) is None
    assert group(small(np.zeros((100, 5, 5)))).tolist() == list(range(100))


def test_equal_images_are_near_copies() -> None:
    pixels = np.repeat(scenes(50), 2, axis=0)
    assert looked(pixels).share == 1.0
    assert len(np.unique(group(small(pixels)))) == 50


def test_thumbnails_of_files_and_arrays_agree(tmp_path: Any) -> None:
    from PIL import Image as Pillow

    pixels = np.random.default_rng(0).integers(0, 255, (4, 30, 20, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        Pillow.fromarray(image).save(tmp_path / f"{number}.png")
    np.testing.assert_allclose(Image().thumbnails(Image().check(tmp_path)), small(pixels), atol=1e-6)


def test_standardised_values_have_unit_length() -> None:
    values = np.random.default_rng(0).normal(5, 2, (6, 256))
    made = standardised(values)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1.0)
    np.testing.assert_allclose(made.mean(axis=1), 0.0, atol=1e-12)


# The warning


def quick() -> Detector:
    return Detector("image", switch_off=["contrast"], threshold=thresholds.Conformal(false_alarm_rate=0.2))


def test_a_fit_warns_of_bursts_unless_groups_are_given() -> None:
    pixels, codes = bursts(120, 4)
    with pytest.warns(
        InputWarning, match=r"\d+% of the images have a near copy, such as .*unalike\.find_groups\(X\)"
    ) as told:
        quick().fit(pixels)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        quick().fit(pixels, groups=codes)
        quick().fit(pixels, groups=find_groups(pixels))
        quick().fit(scenes(120))


def test_frames_that_follow_each_other_are_told_apart_from_bursts() -> None:
    """A camera that moves on without a stop: each frame is like its neighbours, and there are no groups."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24] / 24
    steps = np.cumsum(rng.uniform(0.5, 1.0, 100))[:, None, None] * 0.2
    frames = np.sin(9 * x + steps) * np.cos(5 * y - 0.7 * steps) + np.sin(4 * x * y + 0.31 * steps)
    with pytest.warns(InputWarning, match=r", such as .*Give .*time=.*as images that follow upon each other are alike"):
        warn_of_near_copies(Image(), Image().check(frames))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        quick().fit(frames, time=range(100))
