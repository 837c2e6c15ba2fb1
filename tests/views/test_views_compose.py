import functools
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn
from torchvision.transforms import v2

from unalike import views
from unalike.errors import InvalidInput, InvalidParameter
from unalike.seeding import RowGenerator, isolated
from unalike.views.compose import Compose, PerBatch, PerSample, as_view


def draw(n, seed=0):
    return RowGenerator(seed, torch.arange(n))


def images(n=6, channels=3):
    return torch.rand(n, channels, 8, 6, generator=torch.Generator().manual_seed(0))


def jitter(data, generator):
    return data + generator.normal(*data.shape[1:])


class FakeAlbumentations:
    """As albumentations 2: a generator of its own, called by keyword, refuses anything but an array."""

    def __init__(self):
        self.generator = np.random.default_rng()

    def set_random_seed(self, seed):
        self.generator = np.random.default_rng(seed)

    def __call__(self, *args, force_apply=False, **data):
        assert not args
        assert data["image"].ndim == 3
        assert data["image"].flags.c_contiguous
        return {"image": data["image"] * self.generator.random() + np.arange(data["image"].shape[2])}


class FakeTsaug:
    """As tsaug 0.2: not callable, `seed` None draws from the operating system, arrays (N, T, C)."""

    def __init__(self):
        self.seed = None

    def augment(self, X):
        assert X.ndim == 3
        return X + np.random.RandomState(self.seed).normal(size=(len(X), X.shape[1], 1))


class FakePipe:
    def __init__(self, *members):
        self.members = members

    def __iter__(self):
        return iter(self.members)

    def augment(self, X):
        for member in self.members:
            X = member.augment(X)
        return X


def test_compose_runs_in_order_on_one_generator():
    data, generator = images(), draw(6)
    expected = views.Cutout(p=1.0)(views.Rotate()(data, generator), generator)
    assert torch.equal(Compose((views.Rotate(), views.Cutout(p=1.0)))(data, draw(6)), expected)
    assert not torch.equal(Compose((views.Cutout(p=1.0), views.Rotate()))(data, draw(6)), expected)


def test_compose_takes_views_functions_names_and_sequences():
    view = Compose([views.Rotate(), jitter, torch.flip, "cutout", ["vertical-flip"], v2.RandomHorizontalFlip(p=1.0)])
    assert view.views[0] == views.Rotate()
    assert view.views[1] is jitter
    assert view.views[3] == views.Cutout()
    assert view.views[4] == Compose((views.VerticalFlip(),))
    assert isinstance(view.views[5], PerSample)


def test_compose_prepares_its_members():
    view = Compose((views.MaskCells(), [views.MixUp()], views.CorruptCells()))
    rows = torch.zeros(3, 2, 2)
    prepared = view.prepare(rows)
    assert torch.equal(prepared.views[1].views[0].pool, rows)
    assert torch.equal(prepared.views[2].pool, rows)
    assert view.views[2].pool is None


@pytest.mark.parametrize("wrong", [(), None, views.Rotate()])
def test_compose_needs_a_sequence(wrong):
    with pytest.raises(InvalidParameter, match=r"`views` must be a sequence.*Compose\(\(first, second\)\)"):
        Compose(wrong)


class Noisy(nn.Module):
    def forward(self, data, generator):
        return jitter(data, generator)


@pytest.mark.parametrize(
    "given", [views.Rotate(), jitter, Noisy(), functools.partial(jitter), lambda data, generator=None: data]
)
def test_what_takes_a_generator_is_used_as_it_is(given):
    assert as_view(given) is given


@pytest.mark.parametrize(
    "given", [torch.sigmoid, lambda x: x, v2.ColorJitter(0.2), nn.Identity(), FakeAlbumentations(), FakeTsaug()]
)
def test_anything_else_that_is_called_goes_sample_by_sample(given):
    view = as_view(given)
    assert isinstance(view, PerSample)
    assert view.function is given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "got None. Leave views= out"),
        (3, "must be a view, a function"),
        (views.Rotate, r"got the class Rotate. Make one: Rotate\(\)"),
        ("rotated", r"`views` must be one of \['affine'.*got 'rotated'"),
        (lambda a, b, c: a, r"needs \['a', 'b', 'c'\].*functools.partial"),
    ],
)
def test_what_is_no_view_is_refused_with_advice(given, message):
    with pytest.raises(InvalidParameter, match=message):
        as_view(given)


def test_per_sample_draws_anew_for_each_row_of_a_torchvision_transform():
    data = images(1).expand(40, 3, 8, 6)
    transform = v2.Compose(
        [v2.RandomResizedCrop((8, 6), antialias=True), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4)]
    )
    result = as_view(transform)(data, draw(40))
    assert len(result.flatten(1).unique(dim=0)) == 40
    rows = []
    for sample, seed in zip(data, draw(40).seeds(), strict=True):
        with isolated(seed):
            rows.append(transform(sample))
    assert torch.equal(result, torch.stack(rows))


def test_per_sample_seeds_every_global_generator():
    view = PerSample(lambda x: x * 0 + torch.tensor([random.gauss(0, 1), np.random.rand(), torch.rand(()).item()]))
    first, again = view(torch.zeros(5, 3), draw(5)), view(torch.zeros(5, 3), draw(5))
    assert torch.equal(first, again)
    assert len(first.unique()) == 15


def test_albumentations_gets_arrays_with_channels_last_and_its_own_seed():
    data, transform = images(), FakeAlbumentations()
    state = transform.generator.bit_generator.state
    result = as_view(transform)(data, draw(6))
    factors = torch.tensor([np.random.default_rng(seed).random() for seed in draw(6).seeds()])
    expected = data * factors[:, None, None, None] + torch.arange(3.0)[:, None, None]
    torch.testing.assert_close(result, expected, check_dtype=False)
    assert result.dtype == torch.float32
    assert transform.generator.bit_generator.state == state


@pytest.mark.parametrize("augmenter", [FakeTsaug(), FakePipe(FakeTsaug(), FakeTsaug())], ids=["one", "pipe"])
def test_tsaug_gets_series_with_time_first_and_a_seed_for_each_row(augmenter):
    data = torch.zeros(4, 2, 9)
    result = as_view(augmenter)(data, draw(4))
    assert result.shape == data.shape
    assert torch.equal(result, as_view(augmenter)(data, draw(4)))
    # The fake adds one number per step to all channels: layout is kept, and rows differ.
    assert torch.equal(result[:, 0], result[:, 1])
    assert len(result[:, 0].flatten().unique()) == 36
    assert all(member.seed is None for member in getattr(augmenter, "members", [augmenter]))
    with pytest.raises(InvalidInput, match=r"series of shape \(n, channels, length\)"):
        as_view(augmenter)(images(), draw(6))


def test_seeds_of_a_pipe_differ_by_member():
    one = as_view(FakeTsaug())(torch.zeros(4, 1, 9), draw(4))
    two = as_view(FakePipe(FakeTsaug(), FakeTsaug()))(torch.zeros(4, 1, 9), draw(4))
    assert not torch.allclose(two, 2 * one)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pil_images_come_in_8_bits_and_go_back_to_fractions(channels):
    data = images(channels=channels)
    result = PerSample(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), input="pil")(data, draw(6))
    assert torch.equal(result, ((data * 255).round() / 255).flip(3))


def test_pil_images_have_their_usual_modes_and_may_end_as_tensors():
    modes = []
    transform = v2.Compose(
        [
            lambda image: modes.append(image.mode) or image,
            ImageOps.mirror,
            v2.ToImage(),
            v2.ToDtype(torch.float32, True),
        ]
    )
    result = PerSample(transform, input="pil")(images(2), draw(2))
    assert modes == ["RGB", "RGB"]
    torch.testing.assert_close(result, images(2).flip(3), rtol=0, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("data", [images(channels=5), images() + 0.5, torch.zeros(2, 3)])
def test_pil_refuses_what_8_bits_cannot_hold(data):
    with pytest.raises(InvalidInput, match="Use input='numpy'"):
        PerSample(lambda image: image, input="pil")(data, draw(len(data)))


def test_arrays_of_images_have_channels_last_and_others_stay():
    shapes = []
    view = PerSample(lambda array: shapes.append(array.shape) or array, input="numpy")
    for data in (images(1), torch.rand(1, 4, 9), torch.rand(1, 5)):
        assert torch.equal(view(data, draw(1)), data)
    assert shapes == [(8, 6, 3), (4, 9), (5,)]
    flat = PerSample(lambda array: array[:, :, 0], input="numpy")(images(2, channels=1), draw(2))
    assert torch.equal(flat, images(2, channels=1))


@pytest.mark.parametrize("taken", ["tensor", "numpy"])
def test_a_transform_that_writes_into_its_sample_does_not_reach_the_data(taken):
    def zero(sample):
        sample[:] = 0.0
        return sample

    data = images()
    before = data.clone()
    assert (PerSample(zero, input=taken)(data, draw(6)) == 0).all()
    assert (PerBatch(zero)(data, draw(6)) == 0).all()
    assert torch.equal(data, before)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: None, "must return a tensor, a numpy array or an 8-bit PIL image; got None"),
        (lambda x: x[None], r"one shape with 3 dimensions; got \(1, 3, 8, 6\).*PerBatch"),
        (lambda x: x[:, : 4 + np.random.randint(4)], "must return samples of one shape"),
        (lambda x: (x * 255).to(torch.uint8), "must return floating point.*got torch.uint8"),
    ],
)
def test_per_sample_refuses_results_that_are_no_samples(function, message):
    with pytest.raises(InvalidParameter, match=message):
        PerSample(function)(images(), draw(6))


def test_per_sample_may_change_the_size():
    assert PerSample(v2.CenterCrop(4))(images(), draw(6)).shape == (6, 3, 4, 4)


def test_per_batch_calls_once_with_seeded_generators():
    calls = []

    def augment(batch):
        calls.append(len(batch))
        return batch + torch.rand(len(batch), 1, 1, 1) + random.gauss(0, 1) + np.random.rand()

    view, data = PerBatch(augment), images()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = view(data, draw(6))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.equal(first, view(data, draw(6)))
    assert not torch.equal(first, view(data, draw(6, seed=1)))
    generator = draw(6)
    assert not torch.equal(view(data, generator), view(data, generator))
    assert set(calls) == {6}


def test_per_batch_keeps_the_dtype():
    assert PerBatch(lambda x: x.double())(images(), draw(6)).dtype == torch.float32


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:2], r"tensor of 6 rows.*got \(2, 3, 8, 6\).*PerSample"),
        (lambda x: x.sum(), r"tensor of 6 rows"),
        (lambda x: x.numpy(), "got ndarray"),
        (lambda x: x > 0.5, "must return floating point"),
    ],
)
def test_per_batch_refuses_results_that_are_no_batch(function, message):
    with pytest.raises(InvalidParameter, match=message):
        PerBatch(function)(images(), draw(6))


@pytest.mark.parametrize("make", [lambda: PerBatch(3), lambda: PerSample(None), lambda: PerSample(v2.RandomCrop)])
def test_adapters_need_something_to_call(make):
    with pytest.raises(InvalidParameter, match="`function` must be callable"):
        make()


def test_per_sample_knows_three_kinds_of_input():
    with pytest.raises(InvalidParameter, match=r"`input` must be one of \['numpy', 'pil', 'tensor'\]; got 'jax'"):
        PerSample(abs, input="jax")


def test_names_resolve_lazily_and_cover_the_stage():
    code = (
        "import sys; from unalike import views; assert 'torch' not in sys.modules; "
        "views.image; assert views.image.Rotate is views.Rotate; assert views.table.Noise is views.Noise; "
        "assert views.compose.Compose is views.Compose"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
    for name in views.__all__:
        assert getattr(views, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Sharpen'"):
        _ = views.Sharpen
