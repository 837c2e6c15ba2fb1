"""One suite over every view: what `types.View` promises."""

import dataclasses
import random
from functools import partial

import numpy as np
import pytest
import torch

from unalike import objectives, texts, views
from unalike.seeding import RowGenerator

N = 9
SEED = 5
LEVELS = (0, 4, 0, 0, 3)


def image_data(channels, n=N, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(n, channels, 12, 10, generator=generator, dtype=torch.float64).to(dtype)


def table_data(n=N, dtype=torch.float32):
    generator = torch.Generator().manual_seed(4)
    values = torch.randn(n, len(LEVELS), generator=generator, dtype=torch.float64)
    for column, level in enumerate(LEVELS):
        if level:
            values[:, column] = torch.randint(0, level, (n,), generator=generator).double()
    missing = (torch.rand(n, len(LEVELS), generator=generator) < 0.2).double()
    return torch.stack([values * (1 - missing), missing], dim=2).to(dtype)


def series_data(channels, n=N, dtype=torch.float32):
    """The first windows are whole; others have gaps, are padded at the left or lack a channel."""
    generator = torch.Generator().manual_seed(6)
    data = torch.randn(n, channels, 24, generator=generator, dtype=torch.float64).cumsum(dim=2)
    data[3:5, :, 7:9] = torch.nan
    data[5, :, :10] = torch.nan
    if channels > 1:
        data[6, 1] = torch.nan
    return data.to(dtype)


WORDS = (
    "Dear",
    "Ms.",
    "Smith,",
    "you're",
    "late!",
    "no.",
    "42",
    "今天的天气很好。",
    "e\u0301a",
    "👍🏽",
    "soon",
    "then",
)


def text_data(n=N, dtype=torch.int32):
    """Texts of many words and scripts."""
    order = torch.rand(n, len(WORDS), generator=torch.Generator().manual_seed(7)).argsort(dim=1)
    return texts.encoded([" ".join(WORDS[at] for at in row) for row in order.tolist()], 90).to(dtype)


def is_text(view):
    return type(view).__module__ in ("unalike.views.text", "unalike.views.textnoise", "unalike.views.spoiltext")


def is_table(view):
    return type(view).__module__ == "unalike.views.table"


def is_series(view):
    return type(view).__module__ in ("unalike.views.series", "unalike.views.warping")


def equal(left, right):
    """As `torch.equal`, where NaN equals NaN."""
    return torch.equal(left.isnan(), right.isnan()) and torch.equal(left.nan_to_num(), right.nan_to_num())


close = partial(torch.testing.assert_close, equal_nan=True)


NAMED = {name: views.as_view(name) for name in views.NAMES}
TABLES = {name: view for name, view in NAMED.items() if is_table(view)} | {
    "noise, typed": views.table.Noise(levels=LEVELS),
    "mix-up, typed": views.table.MixUp(levels=LEVELS),
    "neighbor-cells, typed": views.table.NeighborCells(levels=LEVELS),
    "standard-table": views.standard_table_view(LEVELS),
    "compose-table": views.Compose((views.table.MixUp(), views.table.MaskCells())),
    "per-sample-table": views.PerSample(lambda row: row + torch.randn(row.shape, dtype=row.dtype)),
}
SERIES = {name: view for name, view in NAMED.items() if is_series(view)} | {
    "scale, joint": views.Scale(joint=True),
    "mask-steps, joint": views.MaskSteps(share=0.3, run=0.2, joint=True),
    "inject-anomalies": objectives.InjectAnomalies(),
    "compose-series": views.Compose((views.TimeWarp(), views.Shift(), views.MaskSteps(), views.MaskFrequencies())),
}
TEXTS = {name: view for name, view in NAMED.items() if is_text(view)} | {
    "mask-span, by a word": views.MaskSpan(mask="[MASK]"),
    "standard-text": views.standard_text_view(),
}
IMAGES = {
    name: view for name, view in NAMED.items() if not is_table(view) and not is_series(view) and not is_text(view)
} | {
    "affine, all": views.Affine(
        scale=(0.3, 1.0), ratio=(0.5, 2.0), horizontal_flip=0.5, vertical_flip=0.5, degrees=40.0, translate=0.2, p=0.7
    ),
    "synthetic-defect": objectives.SyntheticDefect(contents=("elsewhere", "another", "shade", "noise")),
    "spoil-image": objectives.SpoilImage(),
    "compose": views.Compose((views.GaussianNoise(p=1.0), views.Rotate(), views.ColorJitter(p=0.5), views.Cutout())),
    "per-sample": views.PerSample(lambda image: image * np.random.rand() + random.gauss(0, 1), input="numpy"),
}
COLORLESS = ("grayscale",)
# By default it changes nothing; the last channel stays; so few images do not tell whether they are symmetric.
UNCHANGING = ("affine", "drop-channels, 1 channels", "symmetric-flip")

CASES = [pytest.param(view, table_data, id=name) for name, view in TABLES.items()]
CASES += [pytest.param(view, text_data, id=name) for name, view in TEXTS.items()]
CASES += [
    pytest.param(view, partial(image_data, channels), id=f"{name}, {channels} channels")
    for channels in (1, 3, 5)
    for name, view in [*IMAGES.items(), ("standard-image", views.standard_image_view((channels, 64, 80)))]
]
CASES += [
    pytest.param(view, partial(series_data, channels), id=f"{name}, {channels} channels")
    for channels in (1, 3)
    for name, view in SERIES.items()
]
CHANGING = [
    case
    for case in CASES
    if case.id.split(",")[0] not in COLORLESS and not {case.id, case.id.rpartition(", ")[0]} & set(UNCHANGING)
] + [pytest.param(views.Grayscale(p=0.5), partial(image_data, 3), id="grayscale")]


def prepared(view, data):
    if not hasattr(view, "prepare"):
        return view
    if data.ndim == 2:
        return view.prepare(text_data(50))
    if data.ndim == 4:
        return view.prepare(image_data(data.shape[1]))
    return view.prepare(table_data(50) if data.shape[-1] == 2 else series_data(data.shape[1], 50))


def applied(view, data, index=None, seed=SEED):
    index = torch.arange(100, 100 + len(data)) if index is None else index
    return prepared(view, data)(data, RowGenerator(seed, index))


@pytest.mark.parametrize(
    "view",
    [*TABLES.values(), *IMAGES.values(), *SERIES.values(), *TEXTS.values()],
    ids=[*TABLES, *IMAGES, *SERIES, *TEXTS],
)
def test_is_a_frozen_value(view):
    field = next((field.name for field in dataclasses.fields(view)), "anything")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(view, field, getattr(view, field, None))
    same = dataclasses.replace(view)
    assert same == view
    assert hash(same) == hash(view)
    assert repr(view).startswith(type(view).__name__ + "(")


@pytest.mark.parametrize("view", [*NAMED.values()], ids=[*NAMED])
def test_its_repr_makes_it_again_without_what_it_has_seen(view):
    data = text_data() if is_text(view) else table_data()
    seen = view.prepare(data) if hasattr(view, "prepare") else view
    assert eval(repr(seen), {name: getattr(views, name) for name in views.__all__}) == view  # noqa: S307


@pytest.mark.parametrize(("view", "data"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gives_a_new_finite_tensor_of_the_same_kind(view, data, dtype):
    if data is text_data:
        dtype = {torch.float32: torch.int32, torch.float64: torch.int64}[dtype]
    given = data(dtype=dtype)
    before = given.clone()
    result = applied(view, given)
    assert result.shape == given.shape
    assert result.dtype == dtype
    assert not result.isinf().any()
    assert getattr(data, "func", data) is series_data or not result.isnan().any()
    assert data is text_data or not (given.isnan().all(dim=-1) & ~result.isnan().all(dim=-1)).any()
    result.fill_(-7.0)
    assert equal(given, before)


@pytest.mark.parametrize(("view", "data"), CASES)
def test_a_row_depends_on_seed_and_index_only(view, data):
    given, index = data(), torch.arange(100, 100 + N)
    whole = applied(view, given, index)
    order = torch.tensor([4, 0, 8, 2, 6, 1, 3, 7, 5])
    close(applied(view, given[order], index[order]), whole[order], rtol=1e-5, atol=1e-6)
    some = torch.tensor([7, 2, 3])
    close(applied(view, given[some], index[some]), whole[some], rtol=1e-5, atol=1e-6)
    for row in (0, 5):
        alone = applied(view, given[row : row + 1], index[row : row + 1])
        close(alone[0], whole[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("view", "data"), CASES)
def test_one_seed_gives_one_result(view, data):
    assert equal(applied(view, data()), applied(view, data()))


@pytest.mark.parametrize(("view", "data"), CHANGING)
def test_seeds_and_calls_differ(view, data):
    given = data()
    assert not equal(applied(view, given, seed=1), applied(view, given, seed=2))
    assert not equal(applied(view, given, seed=1), given)
    view = prepared(view, given)
    generator = RowGenerator(1, torch.arange(N))
    assert not equal(view(given, generator), view(given, generator))


@pytest.mark.parametrize(("view", "data"), CASES)
def test_leaves_the_global_generators_alone(view, data):
    given = data()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    applied(view, given)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize(("view", "data"), CASES)
def test_draws_as_much_for_any_batch(view, data):
    # A view that drew less for some batches would shift the numbers of the views after it.
    given = data()
    view = prepared(view, given)
    after = []
    for rows in (slice(None), slice(0, 1), slice(3, 5)):
        generator = RowGenerator(SEED, torch.arange(N)[rows])
        view(given[rows], generator)
        after.append(generator.uniform())
    assert torch.equal(after[1], after[0][:1])
    assert torch.equal(after[2], after[0][3:5])


@pytest.mark.parametrize(("view", "data"), CASES)
def test_does_not_follow_autocast_to_fewer_bits(view, data):
    given = data()
    expected = applied(view, given)
    with torch.autocast("cpu", torch.bfloat16):
        assert equal(applied(view, given), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gives_the_same_on_a_gpu():
    index = torch.arange(100, 100 + N, device="cuda")
    for view, data in (case.values for case in CASES):
        if not isinstance(view, views.PerSample):
            result = applied(view, data().cuda(), index)
            assert result.device == index.device
            close(result.cpu(), applied(view, data()), rtol=1e-4, atol=1e-4)
