import math

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline

from unalike import views
from unalike.errors import InvalidInput, InvalidParameter
from unalike.resampling import mirrored, resampled, shifted, smooth
from unalike.seeding import RowGenerator
from unalike.views.series import (
    Crop,
    DropChannels,
    Jitter,
    MagnitudeWarp,
    MaskFrequencies,
    MaskSteps,
    Permute,
    Scale,
    Shift,
    TimeWarp,
)

N, CHANNELS, LENGTH = 500, 3, 40
NAN = math.nan


def windows(n=N, channels=CHANNELS, length=LENGTH):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, channels, length, generator=generator)


def ramps(n=N, length=LENGTH):
    """Each step tells its place."""
    return torch.arange(float(length)).expand(n, 2, length).clone()


def draw(n=N, seed=0):
    return RowGenerator(seed, torch.arange(n))


def test_resampling_is_numpy_s_interpolation():
    data = windows(5).double()
    positions = 45 * torch.rand(5, CHANNELS, 33, generator=torch.Generator().manual_seed(1)).double() - 2
    expected = [
        [np.interp(place, np.arange(LENGTH), row) for place, row in zip(places, rows, strict=True)]
        for places, rows in zip(positions.numpy(), data.numpy(), strict=True)
    ]
    np.testing.assert_allclose(resampled(data, positions).numpy(), np.array(expected), rtol=1e-12, atol=1e-12)


def test_what_lies_between_a_missing_step_and_another_is_missing():
    data = torch.tensor([[[0.0, 1.0, NAN, 3.0, 4.0]]])
    positions = torch.tensor([[0.5, 1.0, 1.25, 2.0, 2.75, 3.0, 3.5]])
    expected = torch.tensor([[[0.5, 1.0, NAN, NAN, NAN, 3.0, 3.5]]])
    torch.testing.assert_close(resampled(data, positions), expected, equal_nan=True)


def test_a_shift_is_numpy_s_mirror_image():
    data = windows(9)
    steps = torch.tensor([-39, -13, -2, -1, 0, 1, 5, 38, 39])
    for row, step, result in zip(data, steps.tolist(), shifted(data, steps), strict=True):
        padded = np.pad(row.numpy(), ((0, 0), (LENGTH - 1, LENGTH - 1)), mode="reflect")
        begin = LENGTH - 1 - step
        assert np.array_equal(result.numpy(), padded[:, begin : begin + LENGTH])


def test_mirrored_steps_of_a_single_step_are_that_step():
    assert mirrored(torch.tensor([-3, 0, 4]), 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_smooth_curve_is_the_spline_of_catmull_and_rom(count):
    knots = torch.randn(2, count, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for values, curve in zip(knots.numpy(), smooth(knots, 50).numpy(), strict=True):
        padded = np.concatenate([[2 * values[0] - values[1]], values, [2 * values[-1] - values[-2]]])
        spline = CubicHermiteSpline(np.arange(count), values, (padded[2:] - padded[:-2]) / 2)
        np.testing.assert_allclose(curve, spline(np.linspace(0, count - 1, 50)), rtol=1e-10, atol=1e-10)


def test_jitter_adds_independent_noise_of_its_size():
    data = windows()
    noise = Jitter(sigma=0.3)(data, draw()) - data
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert abs(torch.corrcoef(noise.flatten(1)[:, :2].T)[0, 1].item()) < 0.15


@pytest.mark.parametrize("joint", [True, False])
def test_scaling_is_by_a_positive_factor_per_channel_or_window(joint):
    data = windows() + 5.0
    factor = Scale(sigma=0.5, joint=joint)(data, draw()) / data
    torch.testing.assert_close(factor, factor[..., :1].expand_as(factor), rtol=1e-4, atol=1e-5)
    assert (factor > 0).all()
    assert factor[:, 0, 0].log().std().item() == pytest.approx(0.5, rel=0.1)
    assert torch.allclose(factor[:, 0], factor[:, 1], rtol=1e-4) == joint


def test_a_magnitude_warp_is_a_positive_smooth_curve():
    curve = MagnitudeWarp(sigma=0.3, knots=3)(torch.ones(N, CHANNELS, LENGTH), draw())
    assert (curve > 0).all()
    assert curve.log()[..., 0].std().item() == pytest.approx(0.3, rel=0.1)
    assert (curve.log().diff(dim=2).abs() < 0.15).all()
    assert not torch.allclose(curve[:, 0], curve[:, 1])


def test_a_time_warp_keeps_ends_and_order_and_is_alike_in_all_channels():
    warped = TimeWarp(sigma=0.6, knots=4)(ramps(), draw())
    assert (warped[..., 0] == 0).all()
    torch.testing.assert_close(warped[..., -1], torch.full((N, 2), LENGTH - 1.0))
    assert (warped.diff(dim=2) > 0).all()
    assert torch.equal(warped[:, 0], warped[:, 1])
    assert (warped - ramps()).abs().amax(dim=2).median() > 1.0


def test_a_shift_goes_to_both_sides_as_far_as_it_may():
    moved = Shift(most=0.1)(ramps(), draw())
    steps = LENGTH // 2 - moved[:, 0, LENGTH // 2]
    assert steps.unique().tolist() == list(range(-4, 5))


def test_a_shift_above_none_is_one_step_at_least_and_less_than_all():
    assert Shift(most=0.001)(ramps(), draw())[:, 0, 20].unique().tolist() == [19.0, 20.0, 21.0]
    assert Shift(most=1.0)(ramps(), draw())[:, 0, 0].unique().tolist() == list(range(LENGTH))


def test_a_crop_is_a_stretched_part():
    cropped = Crop(share=(0.4, 0.6))(ramps(), draw())
    speed = cropped.diff(dim=2)
    torch.testing.assert_close(speed, speed[..., :1].expand_as(speed), rtol=0, atol=1e-4)
    assert speed.amin().item() == pytest.approx(0.4, abs=0.01)
    assert speed.amax().item() == pytest.approx(0.6, abs=0.01)
    assert cropped.amin() < 1.0
    assert cropped.amax() > LENGTH - 2.0


@pytest.mark.parametrize(
    "view",
    [Jitter(sigma=0), Scale(sigma=0), MagnitudeWarp(sigma=0), TimeWarp(sigma=0), Shift(most=0), Crop(share=(1, 1))],
    ids=lambda view: type(view).__name__,
)
def test_at_its_lower_end_a_view_changes_nothing_and_spreads_no_gap(view):
    data = windows()
    data[:, :, 10] = NAN
    assert torch.equal(view(data, draw()).nan_to_num(99.0), data.nan_to_num(99.0))


def test_masking_hides_the_stated_share_in_runs():
    result = MaskSteps(share=0.2, run=0.1)(windows(2000), draw(2000))
    hidden = result.isnan()
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert hidden.float().mean(dim=(0, 1)).std() < 0.02  # alike at the ends and in the middle
    inner = [len(run) for row in hidden[:50, 0].int().tolist() for run in "".join(map(str, row)).strip("1").split("0")]
    assert min(length for length in inner if length) == 4


def test_masking_alike_in_all_channels():
    hidden = MaskSteps(share=0.3, joint=True)(windows(), draw()).isnan()
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    hidden = MaskSteps(share=0.3)(windows(), draw()).isnan()
    assert not torch.equal(hidden[:, 0], hidden[:, 2])


def test_masking_leaves_a_window_something():
    data = windows(2000, 1, 6)
    data[:, :, :4] = NAN
    result = MaskSteps(share=0.9, run=0.4)(data, draw(2000))
    assert (~result.isnan()).any(dim=2).all()


@pytest.mark.parametrize("length", [40, 41, 43, 3])
def test_permutation_keeps_pieces_whole_and_steps_all(length):
    result = Permute(pieces=4)(ramps(length=length), draw())[:, 0]
    assert torch.equal(result.sort(dim=1).values, ramps(length=length)[:, 0])
    assert ((result.diff(dim=1) != 1).sum(dim=1) <= 3).all()
    assert len(result[:, 0].unique()) == min(4, length)


def test_dropping_keeps_a_channel_that_has_values():
    data = windows()
    data[:100, 1:] = NAN
    result = DropChannels(rate=0.9)(data, draw())
    gone = result.isnan().all(dim=2)
    assert torch.equal(result.isnan().any(dim=2), gone)
    assert not gone[:100, 0].any()
    assert not gone.all(dim=1).any()
    assert len(result[100:][~gone[100:]]) < len(data[100:].flatten(0, 1)) / 2


def test_masked_frequencies_are_gone_and_the_others_as_they_were():
    data = windows().double()
    before, after = (torch.fft.rfft(rows).abs() for rows in (data, MaskFrequencies(share=0.3)(data, draw())))
    gone = after < 1e-9
    torch.testing.assert_close(after[~gone], before[~gone])
    assert gone.double().mean(dim=(0, 1))[1:].mean().item() == pytest.approx(0.3, abs=0.02)
    assert not gone[..., 0].any()


def test_masking_all_frequencies_leaves_the_mean_of_the_known_steps():
    data = windows()
    data[:, :, 5:20] = NAN
    result = MaskFrequencies(share=1.0)(data, draw())
    assert torch.equal(result.isnan(), data.isnan())
    mean = data.nanmean(dim=2, keepdim=True).expand_as(data)
    torch.testing.assert_close(result[~data.isnan()], mean[~data.isnan()])


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("name", [name for name, entry in views.NAMES.items() if "series" in entry or "warp" in entry])
def test_the_shortest_windows_are_taken(name, length):
    data = windows(20, 2, length)
    result = views.as_view(name)(data, draw(20))
    assert result.shape == data.shape


@pytest.mark.parametrize("name", [name for name, entry in views.NAMES.items() if "series" in entry or "warp" in entry])
def test_other_data_is_refused(name):
    for data in (torch.zeros(4, 10), torch.zeros(4, 2, 0), torch.zeros(4, 2, 10, dtype=torch.int64)):
        with pytest.raises(InvalidInput, match=r"\(n, channels, length\)"):
            views.as_view(name)(data, draw(4))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Jitter(sigma=-1), "sigma"),
        (lambda: Scale(sigma=NAN), "sigma"),
        (lambda: MagnitudeWarp(knots=1), "knots"),
        (lambda: TimeWarp(knots=2.5), "knots"),
        (lambda: Shift(most=1.1), "most"),
        (lambda: Crop(share=(0, 1)), "share"),
        (lambda: Crop(share=(0.9, 0.5)), "share"),
        (lambda: MaskSteps(share=1), "share"),
        (lambda: MaskSteps(run=0), "run"),
        (lambda: Permute(pieces=1), "pieces"),
        (lambda: DropChannels(rate=2), "rate"),
        (lambda: MaskFrequencies(share=-0.1), "share"),
    ],
)
def test_settings_out_of_range_are_refused(make, name):
    with pytest.raises(InvalidParameter, match=f"`{name}"):
        make()
