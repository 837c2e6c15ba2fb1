import math

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from unalike import views
from unalike.errors import InvalidInput, InvalidParameter
from unalike.seeding import RowGenerator
from unalike.views.image import pixels

COLOR_OFF = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


def draw(n, seed=0):
    return RowGenerator(seed, torch.arange(n))


def photos(n=4, channels=3, height=17, width=12, low=0.3, high=0.6):
    """Values away from 0 and 1, so that torchvision's clipping does nothing."""
    generator = torch.Generator().manual_seed(1)
    return low + (high - low) * torch.rand(n, channels, height, width, generator=generator)


def ramps(n, height=20, width=30):
    """Channels that say where a pixel is: its column and row, as shares of the image."""
    right = (torch.arange(width) + 0.5) / width
    down = (torch.arange(height) + 0.5) / height
    return torch.stack([right.expand(height, width), down[:, None].expand(height, width)]).expand(n, 2, height, width)


def place(n=1, **settings):
    values = {"width": 1.0, "height": 1.0, "x": 0.0, "y": 0.0, "angle": 0.0} | settings
    return pixels.Placement(**{name: torch.full((n,), value) for name, value in values.items()})


@pytest.mark.parametrize(("view", "dim"), [(views.HorizontalFlip(p=1.0), 3), (views.VerticalFlip(p=1.0), 2)])
def test_flips_mirror_pixel_for_pixel(view, dim):
    data = photos()
    assert torch.equal(view(data, draw(4)), data.flip(dim))


@pytest.mark.parametrize("kind", [views.HorizontalFlip, views.VerticalFlip])
def test_flips_take_each_row_by_chance(kind):
    data = ramps(1000)
    flipped = (kind(p=0.3)(data, draw(1000)) != data).flatten(1).any(dim=1)
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_affine_flips_as_the_flips_do():
    data = photos()
    both = views.Affine(horizontal_flip=1.0, vertical_flip=1.0)(data, draw(4))
    torch.testing.assert_close(both, data.flip(2, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(17, 12), (10, 21), (16, 16)])
@pytest.mark.parametrize("degrees", [30.0, -75.0, 90.0])
def test_rotation_equals_torchvisions(size, degrees):
    data = photos(height=size[0], width=size[1])
    result = views.Rotate(degrees=(degrees, degrees), padding="zeros")(data, draw(4))
    expected = tv.rotate(data, degrees, interpolation=tv.InterpolationMode.BILINEAR)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


def test_rotation_draws_both_ways_up_to_its_limit():
    data = ramps(500, 21, 21)
    result = views.Rotate(degrees=20.0, padding="border")(data, draw(500))
    # Near the centre the ramp of columns is a plane; its slopes give the angle.
    right = result[:, 0, 10, 12] - result[:, 0, 10, 8]
    down = result[:, 0, 12, 10] - result[:, 0, 8, 10]
    angle = torch.rad2deg(torch.atan2(down, right))
    assert angle.min() >= -20.01
    assert angle.max() <= 20.01
    assert angle.std().item() == pytest.approx(40 / math.sqrt(12), rel=0.1)


@pytest.mark.parametrize(("top", "left", "height", "width"), [(3, 2, 9, 6), (0, 0, 17, 12), (8, 6, 9, 6)])
def test_a_window_equals_torchvisions_resized_crop(top, left, height, width):
    data = photos(n=1)
    window = place(width=width / 12, height=height / 17, x=(2 * left + width) / 12 - 1, y=(2 * top + height) / 17 - 1)
    result = pixels.look(data, window, (34, 24), "border")
    expected = tv.resized_crop(data, top, left, height, width, [34, 24], antialias=False)
    # At its rim a crop of torchvision's does not see the pixels around it.
    torch.testing.assert_close(result[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3], rtol=0, atol=1e-4)


def test_a_window_moved_by_whole_pixels_shows_these_pixels():
    data = photos(n=1)
    moved = pixels.look(data, place(x=2 * 3 / 12, y=-2 * 2 / 17), (17, 12), "zeros")
    expected = torch.zeros_like(data)
    expected[..., 2:, :9] = data[..., :15, 3:]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)


def test_crops_have_the_stated_area_and_shape_and_stay_inside():
    data = ramps(2000, 20, 30)
    result = views.RandomResizedCrop(scale=(0.2, 0.7), ratio=(0.8, 1.25))(data, draw(2000))
    # Away from the rim, where reflection bends them, ramps stay ramps.
    width = (result[:, 0, 10, 20] - result[:, 0, 10, 10]) * 3.0
    height = (result[:, 1, 15, 15] - result[:, 1, 5, 15]) * 2.0
    area, shape = width * height, width / height
    assert area.min() >= 0.2 - 1e-3
    assert area.max() <= 0.7 + 1e-3
    assert area.mean().item() == pytest.approx(0.45, abs=0.01)
    assert shape.min() >= 0.8 - 1e-3
    assert shape.max() <= 1.25 + 1e-3
    assert shape.log().mean().item() == pytest.approx(0.0, abs=0.01)
    center = (result[:, 0, 10, 15] + result[:, 0, 10, 14]) / 2
    assert (center - width / 2).min() >= -1e-3
    assert (center + width / 2).max() <= 1 + 1e-3
    assert (center - width / 2).min() < 0.01


def test_a_crop_keeps_its_area_where_its_shape_would_not_fit():
    data = ramps(300, 24, 24)
    result = views.RandomResizedCrop(scale=(0.9, 0.9), ratio=(3.0, 3.0))(data, draw(300))
    width = (result[:, 0, 12, 16] - result[:, 0, 12, 8]) * 3.0
    height = (result[:, 1, 16, 12] - result[:, 1, 8, 12]) * 3.0
    torch.testing.assert_close(width, torch.ones(300), rtol=0, atol=1e-3)
    torch.testing.assert_close(height, torch.full((300,), 0.9), rtol=0, atol=1e-3)


def test_a_crop_has_the_proportions_of_its_result():
    data = ramps(200, 20, 40)
    result = views.RandomResizedCrop(scale=(0.2, 0.2), ratio=(1.0, 1.0), size=16)(data, draw(200))
    assert result.shape == (200, 2, 16, 16)
    width = (result[:, 0, 8, 12] - result[:, 0, 8, 4]) * 2.0 * 40
    height = (result[:, 1, 12, 8] - result[:, 1, 4, 8]) * 2.0 * 20
    torch.testing.assert_close(width, height, rtol=1e-3, atol=1e-3)


def test_shifts_stay_within_the_stated_fraction():
    data = ramps(1000, 20, 30)
    result = views.Translate(fraction=0.2, p=0.5)(data, draw(1000))
    shift = result[:, :, 10, 15] - data[:, :, 10, 15]
    assert shift.abs().max() <= 0.2 + 1e-3
    still = (shift.abs() < 1e-5).all(dim=1)
    assert still.float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert shift[~still].std(dim=0).tolist() == pytest.approx([0.4 / math.sqrt(12)] * 2, rel=0.1)


@pytest.mark.parametrize(
    ("setting", "reference"),
    [("brightness", tv.adjust_brightness), ("contrast", tv.adjust_contrast), ("saturation", tv.adjust_saturation)],
)
@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_light_and_color_follow_torchvision(setting, reference, factor):
    data = photos()
    result = views.ColorJitter(**COLOR_OFF | {setting: (factor, factor)})(data, draw(4))
    torch.testing.assert_close(result, reference(data, factor), rtol=0, atol=2e-4)


def test_jitter_is_brightness_then_contrast_then_saturation():
    data = photos()
    view = views.ColorJitter(brightness=(1.2, 1.2), contrast=(0.7, 0.7), saturation=(1.4, 1.4), hue=0.0)
    expected = tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(data, 1.2), 0.7), 1.4)
    torch.testing.assert_close(view(data, draw(4)), expected, rtol=0, atol=3e-4)


def test_contrast_of_grey_images_follows_torchvision():
    data = photos(channels=1)
    result = views.ColorJitter(brightness=0.0, contrast=(1.4, 1.4))(data, draw(4))
    torch.testing.assert_close(result, tv.adjust_contrast(data, 1.4), rtol=0, atol=1e-5)


@pytest.mark.parametrize("turns", [0.1, -0.25, 0.5])
def test_hue_turns_the_color_plane_of_yiq(turns):
    data = photos()
    result = views.ColorJitter(**COLOR_OFF | {"hue": (turns, turns)})(data, draw(4))
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    before, after = (np.einsum("ij,njhw->nihw", to_yiq, x.numpy().astype(float)) for x in (data, result))
    turned = (before[:, 1] + 1j * before[:, 2]) * np.exp(2j * np.pi * turns)
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-4)
    np.testing.assert_allclose(after[:, 1] + 1j * after[:, 2], turned, atol=1e-4)


def test_jitter_changes_the_stated_share_of_rows():
    data = photos(n=1000, height=3, width=3)
    changed = (views.ColorJitter(p=0.3)(data, draw(1000)) - data).abs().flatten(1).amax(dim=1) > 1e-5
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_grey_follows_torchvision_and_keeps_the_other_rows():
    data = photos(n=200)
    result = views.Grayscale(p=0.4)(data, draw(200))
    grey = (result[:, 0] == result[:, 1]).flatten(1).all(dim=1)
    assert 0.25 < grey.float().mean() < 0.55
    torch.testing.assert_close(result[grey], tv.rgb_to_grayscale(data[grey], 3), rtol=0, atol=2e-4)
    assert torch.equal(result[~grey], data[~grey])


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_color_operations_skip_or_refuse_what_has_no_color(channels):
    data = photos(channels=channels)
    assert torch.equal(views.Grayscale(p=1.0)(data, draw(4)), data)
    color_only = views.ColorJitter(brightness=0.0, contrast=0.0, saturation=0.9, hue=0.5)
    torch.testing.assert_close(color_only(data, draw(4)), data)
    for strict in (views.Grayscale(when_no_color="error"), views.ColorJitter(when_no_color="error")):
        with pytest.raises(InvalidInput, match=rf"3 channels of colour.*got {channels}.*when_no_color='skip'"):
            strict(data, draw(4))
    views.ColorJitter(saturation=0.0, hue=0.0, when_no_color="error")(data, draw(4))


@pytest.mark.parametrize(("sigma", "kernel_size"), [(0.3, 3), (1.0, 5), (2.5, 11)])
def test_blur_equals_torchvisions(sigma, kernel_size):
    data = photos(channels=5)
    result = views.GaussianBlur(sigma=(sigma, sigma), p=1.0, kernel_size=kernel_size)(data, draw(4))
    torch.testing.assert_close(result, tv.gaussian_blur(data, [kernel_size] * 2, [sigma] * 2), rtol=0, atol=1e-5)


def test_blur_draws_its_width_for_each_row_and_leaves_the_others():
    data = photos(n=1).expand(300, 3, 17, 12)
    result = views.GaussianBlur(sigma=(0.5, 2.0), p=0.5)(data, draw(300))
    same = (result == data).flatten(1).all(dim=1)
    assert same.float().mean().item() == pytest.approx(0.5, abs=0.1)
    roughness = result[~same].diff(dim=3).abs().mean(dim=(1, 2, 3))
    assert len(roughness.unique()) == (~same).sum()


def test_blur_fits_images_smaller_than_its_kernel():
    data = photos(height=3, width=1)
    result = views.GaussianBlur(sigma=(3.0, 3.0), p=1.0)(data, draw(4))
    torch.testing.assert_close(result, tv.gaussian_blur(data, [1, 5], [3.0, 3.0]), rtol=0, atol=1e-5)


def test_cutout_covers_one_rectangle_with_the_mean():
    data = photos(n=500, height=20, width=20)
    result = views.Cutout(scale=(0.1, 0.3), ratio=(0.5, 2.0), p=0.6)(data, draw(500))
    covered = (result != data).any(dim=1)
    hit = covered.flatten(1).any(dim=1)
    assert hit.float().mean().item() == pytest.approx(0.6, abs=0.07)
    share = covered[hit].float().mean(dim=(1, 2))
    assert share.min() >= 0.1 - 0.03
    assert share.max() <= 0.3 + 0.03
    rectangle = covered.any(dim=2)[:, :, None] & covered.any(dim=1)[:, None, :]
    assert torch.equal(covered, rectangle)
    filled = torch.where(covered[:, None], data.mean(dim=(2, 3), keepdim=True), data)
    assert torch.equal(result, filled)
    touched = covered.any(dim=0)
    assert touched[0, 0]
    assert touched[-1, -1]


def test_noise_has_the_stated_share_of_the_samples_spread():
    data = photos(n=6, channels=2, height=80, width=80) * torch.tensor([1.0, 50.0])[:, None, None]
    noise = views.GaussianNoise(scale=(0.3, 0.3), p=1.0)(data, draw(6)) - data
    share = noise.std(dim=(2, 3)) / data.std(dim=(2, 3))
    torch.testing.assert_close(share, torch.full((6, 2), 0.3), rtol=0.05, atol=0)
    flat = torch.full((2, 1, 4, 4), 7.0)
    assert torch.equal(views.GaussianNoise(p=1.0)(flat, draw(2)), flat)


@pytest.mark.parametrize(
    "view", [views.ColorJitter(clip=(0.0, 1.0)), views.GaussianNoise(scale=(2.0, 2.0), p=1.0, clip=(0.0, 1.0))]
)
def test_results_are_cut_only_where_asked(view):
    data = photos(n=50, low=0.0, high=1.0)
    cut = view(data, draw(50))
    free = type(view)(**{**vars(view), "clip": None})(data, draw(50))
    assert free.max() > 1.05
    assert torch.equal(cut, free.clamp(0.0, 1.0))


@pytest.mark.parametrize("name", [name for name, entry in views.NAMES.items() if "image" in entry])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_views_hold_for_any_scale_of_the_data(name, channels):
    # 16-bit counts and standardised values go through as fractions do.
    view, data = views.as_view(name), photos(n=12, channels=channels, low=-1.0, high=1.0).double()
    result = view(data, draw(12))
    assert result.min() < -0.5
    torch.testing.assert_close(view(65535.0 * data, draw(12)), 65535.0 * result, rtol=1e-6, atol=1e-6)


def test_the_standard_view_fits_the_channels():
    color = views.standard_image_view((3, 32, 32))
    assert [type(view).__name__ for view in color.views] == ["Affine", "ColorJitter", "Grayscale"]
    assert [type(view).__name__ for view in views.standard_image_view((3, 96, 96)).views][-1] == "GaussianBlur"
    grey, many = (views.standard_image_view((channels, 32, 32)).views for channels in (1, 6))
    assert grey[0].horizontal_flip == 0.0
    assert many[0].horizontal_flip == 0.5
    for mild in (grey, many):
        assert not any(hasattr(view, "saturation") for view in mild)
    with pytest.raises(InvalidParameter, match=r"`shape` must be \(channels, height, width\)"):
        views.standard_image_view((32, 32))


@pytest.mark.parametrize("name", [name for name, entry in views.NAMES.items() if "image" in entry])
def test_an_image_of_one_pixel_stays_finite(name):
    result = views.as_view(name)(photos(n=20, height=1, width=1), draw(20))
    assert result.shape == (20, 3, 1, 1)
    assert result.isfinite().all()


@pytest.mark.parametrize("data", [torch.zeros(2, 3, 4), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)])
@pytest.mark.parametrize("name", [name for name, entry in views.NAMES.items() if "image" in entry])
def test_refuses_what_is_no_image(name, data):
    with pytest.raises(InvalidInput, match=r"\(n, channels, height, width\) in floating point"):
        views.as_view(name)(data, draw(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: views.HorizontalFlip(p=1.2), "`p` must be a probability"),
        (lambda: views.RandomResizedCrop(scale=(0.0, 1.0)), "`scale` must be"),
        (lambda: views.RandomResizedCrop(scale=(0.8, 0.2)), r"got \(0.8, 0.2\)"),
        (lambda: views.RandomResizedCrop(ratio=(0.0, 1.0)), "`ratio` must be"),
        (lambda: views.RandomResizedCrop(size=(0, 3)), "`size` must be"),
        (lambda: views.RandomResizedCrop(size=3.5), "`size` must be"),
        (lambda: views.Rotate(degrees=-4.0), "`degrees` must be a number from 0"),
        (lambda: views.Rotate(padding="wrap"), "`padding` must be 'reflection'"),
        (lambda: views.Translate(fraction=2.0), "`fraction` must be a probability|`fraction`"),
        (lambda: views.ColorJitter(brightness=(-0.5, 1.0)), "`brightness` must be"),
        (lambda: views.ColorJitter(hue=0.7), "`hue` must be a number from 0 to 0.5"),
        (lambda: views.ColorJitter(clip=(1.0, 0.0)), "`clip` must be"),
        (lambda: views.ColorJitter(when_no_color="warn"), "`when_no_color` must be"),
        (lambda: views.GaussianBlur(sigma=(0.0, 1.0)), "`sigma` must be"),
        (lambda: views.GaussianBlur(kernel_size=4), "`kernel_size` must be odd"),
        (lambda: views.GaussianNoise(scale=(0.0, math.inf)), "`scale` must be"),
        (lambda: views.Cutout(scale=(0.1, 1.1)), "`scale` must be"),
    ],
)
def test_refuses_settings_out_of_range(make, message):
    with pytest.raises(InvalidParameter, match=message):
        make()
