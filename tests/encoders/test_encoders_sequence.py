"""The trained encoders of windows: what they share, and each network."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from unalike.encoders import TCN, PatchTransformer, Recurrent, SeriesCNN
from unalike.encoders.build import build_encoder
from unalike.encoders.sequence import StepBatchNorm, StepConv
from unalike.errors import InvalidParameter
from unalike.types import Schema

KINDS = [TCN, SeriesCNN, Recurrent, PatchTransformer]
NAN = float("nan")
every = pytest.mark.parametrize("kind", KINDS)


def windows(n=6, channels=3, length=40, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, length, generator=draws).cumsum(dim=2)


def made(settings, channels=3, length=40, seed=0):
    return build_encoder(settings, Schema((channels, length)), seed).eval()


def close(one, other, tolerance=1e-5):
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.inference_mode():
        yield


@every
def test_independent_channels_are_one_network_applied_to_each(kind):
    data = windows()
    apart, alone = made(kind(channels="independent")), made(kind(), channels=1)
    alone.load_state_dict(apart.state_dict())
    assert apart.width == 3 * alone.width
    for channel, block in enumerate(apart(data).chunk(3, dim=1)):
        assert close(block, alone(data[:, channel : channel + 1]))


@every
def test_joint_channels_are_seen_together(kind):
    data, changed = windows(), windows()
    changed[:, 2] = changed[:, 2].flip(1)
    joint, apart = made(kind(amplitude=False)), made(kind(amplitude=False, channels="independent"))
    assert (joint(data) - joint(changed)).abs().amax(dim=1).min() > 1e-4
    kept = apart(data).chunk(3, dim=1), apart(changed).chunk(3, dim=1)
    assert close(kept[0][0], kept[1][0])
    assert not close(kept[0][2], kept[1][2], 1e-3)


@every
@pytest.mark.parametrize("channels", ["joint", "independent"])
def test_the_amplitude_stands_last(kind, channels):
    data = windows()
    encoder = made(kind(channels=channels))
    embeddings = encoder(data)
    if channels == "independent":
        embeddings = embeddings.view(6, 3, -1)[..., -encoder.amplitude_width :].flatten(1)
    else:
        embeddings = embeddings[:, -encoder.amplitude_width :]
    cells = data.double()
    spread = (cells.var(dim=2, correction=0) + 0.05**2).sqrt()
    expected = torch.stack([cells.mean(dim=2), spread.log()], dim=2).flatten(1)
    assert close(embeddings.double(), expected)
    without = made(kind(channels=channels, amplitude=False))
    assert without.amplitude_width == 0
    assert encoder.width == without.width + 6


@every
def test_instance_norm_leaves_level_and_scale_to_the_amplitude_alone(kind):
    data = 10.0 * windows()
    shape = made(kind(amplitude=False))
    assert close(shape(data), shape(3.0 * data + 7.0), 1e-3)
    assert not close(made(kind())(data), made(kind())(3.0 * data + 7.0), 1e-2)
    sees = made(kind(amplitude=False, instance_norm=False))
    assert not close(sees(data), sees(data + 7.0), 1e-2)


@every
@pytest.mark.parametrize("missing", [False, True])
def test_what_is_missing_is_the_mean_of_the_window_and_told_when_asked(kind, missing):
    data = windows()
    gaps = data.clone()
    gaps[:, :, 5:15] = NAN
    filled = torch.where(gaps.isnan(), gaps.nanmean(dim=2, keepdim=True), gaps)
    encoder = made(kind(missing=missing, instance_norm=False, amplitude=False))
    plain = encoder(torch.where(gaps.isnan(), 0.0, gaps))
    assert torch.isfinite(encoder(gaps)).all()
    assert close(encoder(gaps), plain) != missing
    centred = made(kind(amplitude=False))
    if not missing:
        spread = ((gaps - gaps.nanmean(dim=2, keepdim=True)).square().nanmean(dim=2, keepdim=True) + 0.0025).sqrt()
        by_hand = made(kind(amplitude=False, instance_norm=False))
        assert close(centred(gaps), by_hand((filled - gaps.nanmean(dim=2, keepdim=True)) / spread), 1e-4)


@every
def test_a_window_without_missing_cells_is_not_masked(kind, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "masked_fill", lambda *a: pytest.fail("masked"))
    made(kind(missing=True))(windows())


@every
@pytest.mark.parametrize("pool", ["mean", "mean-max", "last"])
def test_places_are_pooled_to_the_embedding(kind, pool):
    data = windows()
    for channels in ("joint", "independent"):
        encoder = made(kind(pool=pool, channels=channels))
        places, embeddings = encoder.locations(data), encoder(data)
        assert places.shape == (6, encoder.grid[0], encoder.width)
        blocks = places.unflatten(2, (1 if channels == "joint" else 3, -1))
        found = embeddings.unflatten(1, (1 if channels == "joint" else 3, -1))
        half = (blocks.shape[-1] - encoder.amplitude_width) // 2
        if pool == "mean":
            assert close(blocks.mean(dim=1), found)
        elif pool == "last":
            assert close(blocks[:, -1], found)
        else:
            assert close(blocks.mean(dim=1)[..., :half], found[..., :half])
            assert close(blocks.amax(dim=1)[..., half : 2 * half], found[..., half : 2 * half])


@every
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 100])
def test_windows_of_any_length_do(kind, length):
    data = windows(length=length)
    encoder = made(kind(), length=length)
    assert torch.isfinite(encoder(data)).all()
    assert encoder.locations(data).shape[1] == encoder.grid[0]
    anything = made(kind(), length=-1)
    assert anything.grid == (-1,)
    assert anything(data).shape == (6, anything.width)
    assert anything(windows(length=length + 5)).shape == (6, anything.width)


@every
def test_a_window_is_embedded_alone_as_in_a_batch(kind):
    data = 5.0 * windows(64, length=61)
    data[7, 1, 3:20], data[9, 0] = NAN, NAN
    encoder = made(kind(channels="independent", missing=True), length=61)
    alone = torch.cat([encoder(data[row : row + 1]) for row in range(64)])
    assert close(alone, encoder(data))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("kernel", [1, 2, 5])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 6, 25])
def test_a_convolution_is_torch_s_on_a_window_whose_ends_go_on(stride, dilation, kernel, causal, length):
    ours = StepConv(3, 4, kernel, stride=stride, dilation=dilation, causal=causal)
    steps = windows(2, 3, length)
    reach, outputs = (kernel - 1) * dilation, -(-length // stride)
    total = max((outputs - 1) * stride + reach + 1 - length, 0)
    before = reach if causal else total // 2
    padded = functional.pad(steps, (before, reach + stride), mode="replicate")
    weight = ours.linear.weight.unflatten(1, (kernel, 3)).transpose(1, 2)
    expected = functional.conv1d(padded, weight, ours.linear.bias, stride=stride, dilation=dilation)[..., :outputs]
    assert close(ours(steps.transpose(1, 2)).transpose(1, 2), expected)


def test_a_causal_network_sees_no_later_step_and_all_earlier_ones():
    data, later = windows(), windows()
    later[:, :, 25:] = 0.0
    encoder = made(TCN(causal=True, instance_norm=False, amplitude=False))
    one, other = encoder.locations(data), encoder.locations(later)
    assert close(one[:, :25], other[:, :25])
    assert not close(one[:, 25:], other[:, 25:], 1e-3)
    first = data.clone()
    first[:, :, 0] += 5.0
    assert (encoder.locations(first)[:, -1] - one[:, -1]).abs().amax(dim=1).min() > 1e-5


def test_a_tcn_has_as_many_levels_as_it_takes_to_see_the_window():
    for length, levels in ((1, 1), (5, 1), (6, 2), (13, 2), (14, 3), (61, 4), (62, 5), (-1, 6)):
        assert len(made(TCN(), length=length).body) == levels
    assert len(made(TCN(levels=2), length=500).body) == 2


def test_batch_normalization_is_of_samples_and_steps():
    steps = windows(8, 5, 20).transpose(1, 2)
    norm = StepBatchNorm(5).train()
    expected = (steps - steps.mean(dim=(0, 1))) / (steps.var(dim=(0, 1), correction=0) + norm.eps).sqrt()
    assert close(norm(steps), expected, 1e-4)


def test_patches_follow_each_other_to_the_end():
    for length, patches in ((3, 1), (16, 1), (17, 2), (24, 3), (40, 5), (41, 5), (48, 6)):
        encoder = made(PatchTransformer(), length=length)
        assert encoder.grid == (patches,)
        assert encoder.locations(windows(length=length)).shape[1] == patches
        data, ended = windows(length=length), windows(length=length)
        ended[:, :, -1] += 3.0
        plain = made(PatchTransformer(instance_norm=False), length=length)
        assert not close(plain(data), plain(ended), 1e-3)


def test_a_transformer_knows_the_order_of_its_patches():
    data = windows(length=32)
    encoder = made(PatchTransformer(patch=8, stride=8, amplitude=False), length=32)
    swapped = torch.cat([data[..., 8:16], data[..., :8], data[..., 16:]], dim=2)
    assert not close(encoder(data), encoder(swapped), 1e-3)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *((kind, settings) for kind in KINDS for settings in ({"channels": "both"}, {"pool": "max"}, {"missing": 1})),
        *((kind, {"features": 0}) for kind in KINDS),
        (SeriesCNN, {"features": ()}),
        (SeriesCNN, {"kernels": (3, 3)}),
        (SeriesCNN, {"normalization": "group"}),
        (TCN, {"kernel": 1}),
        (TCN, {"levels": 0}),
        (TCN, {"causal": "yes"}),
        (Recurrent, {"cell": "rnn"}),
        (Recurrent, {"layers": 0}),
        (PatchTransformer, {"features": 30}),
        (PatchTransformer, {"stride": 0}),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings):
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}`.* must"):
        kind(**settings)


@every
def test_other_data_are_refused(kind):
    with pytest.raises(InvalidParameter, match=f"`encoder` {kind.__name__} must get windows of a time series"):
        build_encoder(kind(), Schema((3, 8, 8)), 0)
