import json
import math

import pytest
import torch

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives import InjectAnomalies
from unalike.objectives.kinds import KINDS
from unalike.persistence.codec import Packer, Unpacker
from unalike.seeding import RowGenerator
from unalike.views import as_view

N, CHANNELS, LENGTH = 300, 3, 50
NAN = math.nan


def windows(n=N, channels=CHANNELS, length=LENGTH, seed=0):
    """Waves of another phase in each channel of each window."""
    phase = 6.3 * torch.rand(n, channels, 1, generator=torch.Generator().manual_seed(seed))
    return (0.5 * torch.arange(float(length)) + phase).sin()


def constant(n=N, channels=CHANNELS, length=LENGTH):
    """Each channel of each window has a value of its own; all windows of a pool have the same."""
    return torch.arange(float(channels))[:, None].expand(n, channels, length).clone()


def draw(n=N, seed=0):
    return RowGenerator(seed, torch.arange(n))


def injected(kind, data, pool=None, seed=0, **settings):
    kinds = tuple(KINDS) if kind == "all" else (kind,)
    injection = InjectAnomalies(kinds=kinds, **settings).prepare(windows(50, *data.shape[1:]) if pool is None else pool)
    return injection(data, draw(len(data), seed))


def changed_steps(made, data):
    """``(n, length)``: steps at which any channel changed."""
    return ((made != data) & ~(made.isnan() & data.isnan())).any(dim=1)


@pytest.mark.parametrize("kind", [*KINDS, "all"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", [windows, constant, lambda *shape: torch.zeros(shape)], ids=["waves", "flat", "zeros"])
@pytest.mark.parametrize("unit", ["window", "channel"])
def test_every_negative_differs_from_its_window(kind, channels, make, unit):
    data = make(N, channels, LENGTH)
    made = injected(kind, data, pool=data[:20], least_change=0.2, unit=unit)
    assert made.isfinite().all()
    # A window that is flat has a tenth of the channel's deviation for its unit.
    units = 1.0 if unit == "channel" else data.std(dim=2, correction=0).clamp(min=0.1)
    assert ((made - data).abs().amax(dim=2) / units).amax(dim=1).min() >= 0.2 - 1e-5


@pytest.mark.parametrize("unit", ["window", "channel"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_stays_missing_and_nothing_else_becomes_so(kind, unit):
    data, pool = windows(), windows(50, seed=1)
    data[:, 0, 10:30] = NAN
    data[:100, 1] = NAN
    data[200:, :, :45] = NAN  # padded: nearly nothing is there
    pool[:, :, ::3] = NAN
    made = injected(kind, data, pool, unit=unit)
    assert torch.equal(made.isnan(), data.isnan())
    least = 0.1 if unit == "channel" else 0.01  # the unit of a window of which little was measured may be a tenth
    assert ((made - data).abs().nan_to_num(0.0).flatten(1).amax(dim=1) >= least - 1e-5).all()


def test_a_window_that_is_wholly_missing_stays_as_it_is():
    assert injected("all", torch.full((N, 2, LENGTH), NAN)).isnan().all()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"spike"}))
def test_anomalies_lie_in_one_stretch_of_the_stated_length(kind):
    data = windows()
    steps = changed_steps(injected(kind, data, length=(0.2, 0.4)), data)
    step = torch.arange(LENGTH)
    first = torch.where(steps, step, LENGTH).amin(dim=1)
    last = torch.where(steps, step, -1).amax(dim=1)
    assert (last - first + 1).max() in (19, 20)
    assert (last - first + 1).min() >= 8  # the first step of a stretch may have the value that it had
    assert first.min() <= 1
    assert last.max() == LENGTH - 1


def test_spikes_are_short_and_large():
    data = windows()
    made = injected("spike", data, spike_steps=2, spike_size=(3.0, 4.0), unit="channel")
    assert set(changed_steps(made, data).sum(dim=1).tolist()) == {1, 2}
    size = (made - data).abs()[(made != data)]
    assert 3.0 <= size.min() < 3.1
    assert 3.9 < size.max() <= 4.0001
    assert (made - data).amin() < 0 < (made - data).amax()


@pytest.mark.parametrize(("share", "counts"), [((0.0, 0.0), {1}), ((1.0, 1.0), {3}), ((0.0, 1.0), {1, 2, 3})])
def test_channels_are_a_random_subset_that_is_never_empty(share, counts):
    data = windows()
    hit = (injected("level-shift", data, channels=share) != data).any(dim=2)
    assert set(hit.sum(dim=1).tolist()) == counts
    if counts != {3}:
        assert hit.float().mean(dim=0).std() < 0.1


def test_kinds_are_drawn_for_each_window():
    zeros = torch.zeros(4 * N, 1, LENGTH)
    made = InjectAnomalies(kinds=("level-shift", "trend"))(zeros, draw(4 * N))
    levels = torch.tensor([len(row[row != 0].unique()) for row in made])
    assert (levels == 1).float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_a_level_shift_is_constant_and_a_trend_grows():
    zeros, sizes = torch.zeros(N, 1, LENGTH), {"shift_size": (0.5, 3.0), "unit": "channel"}
    shift, trend = injected("level-shift", zeros, **sizes)[:, 0], injected("trend", zeros, **sizes)[:, 0]
    for row in shift:
        assert len(row[row != 0].unique()) == 1
    for row in trend:
        inside = row[row != 0].abs()
        assert (inside.diff() > 0).all()
        assert 0.5 - 1e-5 <= inside[-1] <= 3.0 + 1e-5


def test_speed_replays_the_stretch_at_another_rate():
    ramp = torch.arange(float(LENGTH)).expand(N, 1, LENGTH).clone()
    made = injected("speed", ramp, speed=(2.0, 2.0), length=(0.2, 0.2))[:, 0]
    rates = []
    for row, before in zip(made, ramp[:, 0], strict=True):
        changed = (row != before).nonzero()[:, 0]
        if changed[0] < 30:  # later the content is mirrored at the end of the window
            assert (row[changed].diff().diff().abs() < 1e-4).all()
            rates.append(round((row[changed[1]] - row[changed[0]]).item(), 3))
    assert set(rates) == {0.5, 2.0}
    assert 0.35 < rates.count(2.0) / len(rates) < 0.65


def test_a_flat_line_holds_the_first_value():
    data = windows()
    made = injected("flat-line", data, channels=(1.0, 1.0), length=(0.1, 0.5), unit="channel")
    for row, before in zip(made[:50, 0], data[:50, 0], strict=True):
        held = (row != before).nonzero()[:, 0]
        assert len(row[held].unique()) == 1
        assert row[held[0]] == before[held[0] - 1]


def test_mixed_up_channels_have_the_values_of_another():
    data = windows() + 10.0 * torch.arange(3.0)[:, None]
    made = injected("channel-mix-up", data, unit="channel")
    changed = made != data
    other = torch.stack([(made == data.roll(by, dims=1)) for by in (1, 2)])
    assert (other.any(dim=0) | ~changed).all()
    assert min((one & changed).sum() for one in other) > 0.3 * changed.sum()


def test_values_of_another_window_where_there_is_one_channel():
    data = windows(channels=1)
    pool = torch.arange(5.0)[:, None, None] * 100 + torch.arange(LENGTH) + 1000
    made = injected("channel-mix-up", data, pool.expand(5, 1, LENGTH), unit="channel")
    for row, before in zip(made[:, 0], data[:, 0], strict=True):
        taken = row[row != before]
        assert (taken >= 1000).all()
        assert (taken.diff() == 1).all()
    assert len((made[made >= 1000] // 100).unique()) == 5


def test_a_stretch_from_elsewhere_joins_where_it_begins():
    data = windows()
    # Of each window the values climb at a rate of its own, whatever the stretch that is taken.
    pool = (torch.arange(5.0) + 2.0)[:, None, None] * torch.arange(LENGTH) + 1000
    made = injected("elsewhere", data, pool.expand(5, 3, LENGTH), length=(0.1, 0.5), unit="channel")
    rates = set()
    for row, before in zip(made.flatten(0, 1), data.flatten(0, 1), strict=True):
        changed = ((row - before).abs() > 0.01).nonzero()[:, 0]
        if len(changed):
            first = changed[0] - 1  # it keeps its value
            taken = row[first : changed[-1] + 1]
            steps = taken.diff()
            assert torch.allclose(steps, steps.mean(), atol=1e-3)
            rates.add(round(steps.mean().item()))
    assert rates == {2, 3, 4, 5, 6}


def slow_reversed(window, start, span):
    made = window.clone()
    for step in range(start, start + span):
        made[step] = window[start + (start + span - 1) - step]
    return made


def slow_smoothed(window, start, span):
    made, last = window.clone(), len(window) - 1
    reach = max(len(window) // 64, 1)
    for step in range(start, start + span):
        around = [window[min(max(step + reach * by, 0), last)] for by in range(-4, 5)]
        made[step] = torch.stack(around).nanmean()
    return made


@pytest.mark.parametrize(("kind", "twin"), [("reversed", slow_reversed), ("smoothed", slow_smoothed)])
@pytest.mark.parametrize("length", [50, 150])
@pytest.mark.parametrize("unit", ["window", "channel"])
def test_what_runs_backwards_or_is_smoothed_is_its_slow_twin(kind, twin, length, unit):
    data = torch.randn(40, 1, length, generator=torch.Generator().manual_seed(0))
    made = injected(kind, data, unit=unit, length=(0.3, 0.6))
    for row, before in zip(made[:, 0], data[:, 0], strict=True):
        changed = ((row - before).abs() > 1e-5).nonzero()[:, 0]
        start, span = int(changed[0]), int(changed[-1] - changed[0]) + 1
        assert 0.3 * length - 1 <= span <= 0.6 * length
        assert torch.allclose(row, twin(before, start, span), atol=1e-5)


def test_moved_values_are_those_of_a_little_before_or_after():
    length = 100
    ramp = torch.arange(float(length)).expand(N, 1, length).clone()
    made = injected("moved", ramp, length=(0.1, 0.3), unit="channel")[:, 0]
    moves = set()
    for row, before in zip(made, ramp[:, 0], strict=True):
        changed = (row != before).nonzero()[:, 0]
        if changed[0] >= 31 and changed[-1] < length - 31:  # elsewhere the content is mirrored at the end of the window
            apart = (row - before)[changed]
            assert (apart == apart[0]).all()
            moves.add(int(apart[0]))
    assert {abs(move) for move in moves} <= set(range(6, 32))
    assert min(moves) < -20
    assert max(moves) > 20
    assert min(map(abs, moves)) < 10


@pytest.mark.parametrize("kind", ["reversed", "moved", "smoothed"])
def test_what_a_kind_would_leave_alone_gets_a_level_shift(kind):
    flat = torch.ones(N, 2, LENGTH)
    made = injected(kind, flat, unit="channel", shift_size=(0.5, 0.5), channels=(1.0, 1.0))
    for row in (made - flat).flatten(0, 1):
        assert torch.allclose(row[row != 0].abs(), torch.tensor(0.5))


def test_lengths_and_sizes_are_log_uniform():
    zeros, many = torch.zeros(2000, 1, 1000), 2000
    made = injected("level-shift", zeros, shift_size=(0.1, 10.0), length=(0.01, 1.0), unit="channel")
    size, span = made.abs().amax(dim=(1, 2)), (made != 0).sum(dim=2)[:, 0]
    for values, low in ((size, 0.1), (span, 10.0)):
        logs = (values.log10() - math.log10(low)) / 2.0  # from 0 to 1
        assert -1e-4 <= logs.min() < 0.02
        assert 0.98 < logs.max() <= 1.0 + 1e-4
        for share in (0.25, 0.5, 0.75):
            assert (logs < share).sum() / many == pytest.approx(share, abs=0.04)


def test_sizes_are_in_deviations_of_the_window_or_of_the_channel():
    data = windows(N, 2) * torch.tensor([1.0, 7.0])[:, None]
    sizes = {"shift_size": (2.0, 2.0), "channels": (1.0, 1.0)}
    by_window, by_channel = (injected("level-shift", data, unit=unit, **sizes) - data for unit in ("window", "channel"))
    moved = by_window.abs().amax(dim=2)
    assert torch.allclose(moved, 2.0 * data.std(dim=2, correction=0), rtol=1e-4)
    assert torch.allclose(by_channel.abs().amax(dim=2), torch.tensor(2.0), rtol=1e-4)
    flat = torch.zeros(N, 1, LENGTH)
    assert torch.allclose(injected("level-shift", flat, **sizes).abs().amax(dim=2), torch.tensor(0.2))
    holes = data.clone()
    holes[:, :, ::2] = NAN
    moved = (injected("level-shift", holes, **sizes) - holes).abs().nan_to_num(0.0).amax(dim=2)
    kept = data[:, :, 1::2].std(dim=2, correction=0)
    assert torch.allclose(moved[moved > 0], 2.0 * kept[moved > 0], rtol=1e-4)


def test_spikes_grow_with_the_window():
    zeros = torch.zeros(N, 1, 200)
    assert (injected("spike", zeros) != 0).sum(dim=2).unique().tolist() == list(range(1, 11))
    assert (injected("spike", zeros, spike_steps=12) != 0).sum(dim=2).unique().tolist() == list(range(1, 13))


def test_amplitude_scales_about_the_mean_of_the_stretch():
    data = windows() + 3.0
    made = injected("amplitude", data, channels=(1.0, 1.0), length=(0.5, 0.5), amplitude=(2.0, 2.0))
    ratios = []
    for row, before in zip(made[:50, 0], data[:50, 0], strict=True):
        at = row != before
        assert row[at].mean().item() == pytest.approx(before[at].mean().item(), abs=0.05)
        ratios.append((row[at].std() / before[at].std()).item())
    assert {round(ratio, 1) for ratio in ratios} == {0.5, 2.0}


def test_kinds_that_take_other_windows_need_some():
    with pytest.raises(NotFitted, match="elsewhere"):
        InjectAnomalies()(windows(), draw())
    with pytest.raises(NotFitted, match="channel-mix-up"):
        InjectAnomalies(kinds=("channel-mix-up",))(windows(channels=1), draw())
    mixed = InjectAnomalies(kinds=("channel-mix-up", "spike"))(windows(), draw())
    assert not torch.equal(mixed, windows())
    with pytest.raises(InvalidInput, match="prepared with"):
        InjectAnomalies().prepare(windows(length=20))(windows(), draw())


def test_it_keeps_few_windows_and_does_not_hold_on_to_the_others():
    sample = windows(2500, 1, 20)
    pool = InjectAnomalies().prepare(sample).pool
    assert len(pool) == 1000
    assert pool.untyped_storage().nbytes() == 1000 * 20 * 4
    assert InjectAnomalies().prepare(torch.zeros(6, 2**13, 1000)).pool.shape[0] == 2


def test_it_is_a_view_and_goes_through_json_without_its_pool():
    injection = InjectAnomalies(kinds=("spike", "trend"), length=(0.1, 0.2)).prepare(windows())
    assert as_view(injection) is injection
    packer = Packer()
    packed = json.loads(json.dumps(packer.settings(injection, "views")))
    assert not packer.arrays
    again = Unpacker(packer.arrays, packer.blobs).value(packed)
    assert again == injection
    assert again.pool is None


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("spikes",)}, "kinds"),
        ({"kinds": "spike"}, "kinds"),
        ({"length": (0.0, 0.5)}, "length"),
        ({"length": (0.5, 1.5)}, "length"),
        ({"length": 0.5}, "length"),
        ({"channels": (0.6, 0.5)}, "channels"),
        ({"spike_steps": 0}, "spike_steps"),
        ({"spike_size": (0, 1)}, "spike_size"),
        ({"noise_size": (1, math.inf)}, "noise_size"),
        ({"speed": (1.0, 2.0)}, "speed"),
        ({"amplitude": (0.5, 2.0)}, "amplitude"),
        ({"least_change": 0.6}, "least_change"),
        ({"shift_size": (0.05, 2.0)}, "least_change"),
        ({"unit": "training"}, "unit"),
    ],
)
def test_settings_out_of_range_are_refused(settings, name):
    with pytest.raises(InvalidParameter, match=f"`{name}`"):
        InjectAnomalies(**settings)


@pytest.mark.parametrize("data", [torch.zeros(3, 4), torch.zeros(3, 0, 4), torch.zeros(3, 1, 4, dtype=torch.int64)])
def test_what_are_no_windows_is_refused(data):
    with pytest.raises(InvalidInput, match=r"\(n, channels, length\)"):
        InjectAnomalies(kinds=("spike",))(data, draw(3))
    with pytest.raises(InvalidInput, match=r"\(n, channels, length\)"):
        InjectAnomalies().prepare(data)
