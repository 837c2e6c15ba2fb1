"""Objectives for windows of series, against slow twins."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize, relu, softplus

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives import CARLA, InjectAnomalies, InjectedContrast, PaAno, SimCLR, TemporalContrast
from unalike.objectives.nearby import near, neighbors, triplet
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch

N, CHANNELS, LENGTH = 6, 2, 20
SPIKES = InjectAnomalies(kinds=("spike",))


class Encoder(nn.Module):
    """Remembers what it was shown."""

    width = 8

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(CHANNELS * LENGTH, self.width)
        self.seen = None

    def forward(self, data):
        self.seen = data
        return self.layer(data.nan_to_num().flatten(1)).tanh()


def noise(data, generator):
    return data + 0.1 * generator.normal(*data.shape[1:])


def unchanged(data, generator):
    return data.clone()


def built(settings, prepared=True):
    with isolated(0):
        module = settings.build(Encoder())
    if prepared:
        module.prepare(windows(30, seed=8))
    return module


def windows(n=N, seed=0):
    return RowGenerator(seed, torch.arange(n)).normal(CHANNELS, LENGTH)


def batch(times=None, labels=None, index=None, data=None):
    index = torch.arange(N) if index is None else torch.tensor(index)
    time = None if times is None else torch.tensor(times)
    label = None if labels is None else torch.tensor(labels)
    return Batch(data=windows(len(index)) if data is None else data, index=index, time=time, label=label)


def paid(module, rows, views=noise, seed=3):
    return module(rows, views, RowGenerator(seed, rows.index))


# Which windows are near


def test_windows_that_share_a_step_are_near_and_labelled_anomalies_have_no_time():
    times = [0, 19, 20, 39, -1, -1]
    rows = batch(times, [0, 0, 0, 0, 1, 1])
    expected = torch.eye(N, dtype=torch.bool)
    for one, other in ((0, 1), (1, 2), (2, 3)):
        expected[one, other] = expected[other, one] = True
    assert torch.equal(near(rows), expected)


def test_without_times_only_copies_of_a_sample_are_near():
    assert torch.equal(near(batch(index=[3, 1, 3])), torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]]).bool())


@pytest.mark.parametrize(("earlier", "expected"), [(True, [1, 2, 3]), (False, list(range(-3, 4)))])
def test_neighbours_begin_before_or_after(earlier, expected):
    data = torch.arange(float(LENGTH)).expand(200, 1, LENGTH)
    moved = neighbors(data, RowGenerator(0, torch.arange(200)), 0.15, earlier=earlier)
    assert (10 - moved[:, 0, 10]).unique().tolist() == expected


@pytest.mark.parametrize("earlier", [True, False])
def test_without_reach_the_neighbour_is_the_window(earlier):
    assert torch.equal(neighbors(windows(), RowGenerator(0, torch.arange(N)), 0.0, earlier=earlier), windows())


# Triplets


def test_a_triplet_takes_the_nearest_or_farthest_that_is_allowed():
    positive = torch.tensor([0.2, 0.2, 0.9])
    negatives = torch.tensor([[0.1, 0.5, 0.9], [0.1, 0.5, 0.9], [0.0, 0.0, 0.0]]).requires_grad_()
    allowed = torch.tensor([[False, True, True], [True, True, True], [False, False, False]])
    nearest = triplet(positive, negatives, allowed, 0.5)
    assert nearest.tolist() == pytest.approx([0.2, 0.6, 0.0])
    assert triplet(positive, negatives, allowed, 0.5, farthest=True).tolist() == pytest.approx([0.0, 0.0, 0.0])
    assert triplet(positive, negatives, allowed, 1.0, farthest=True).tolist() == pytest.approx([0.3, 0.3, 0.0])
    nearest.sum().backward()
    assert negatives.grad.tolist() == [[0, -1, 0], [-1, 0, 0], [0, 0, 0]]


# Temporal contrast


def test_without_neighbours_and_times_temporal_contrast_is_simclr():
    temporal = built(TemporalContrast(temperature=0.3, neighbor=0.0))
    simclr = built(SimCLR(temperature=0.3), prepared=False)
    simclr.load_state_dict(temporal.state_dict())
    # The neighbour draws one number between the two views.
    rows = batch(index=[0, 1, 2, 2, 4, 5])
    z = temporal.head(temporal.encoder(temporal.pairs(rows, noise, RowGenerator(3, rows.index))))
    torch.testing.assert_close(temporal.loss(z, rows), simclr.loss(z, rows))


@pytest.mark.parametrize("labels", [None, [0, 0, 0, 0, 0, 1]])
@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("injected", [False, True])
def test_temporal_contrast_is_its_slow_twin(labels, overlaps, injected):
    rows = batch([0, 5, 30, 60, 75, -1], labels)
    module = built(TemporalContrast(temperature=0.5, overlaps=overlaps, injected=injected))
    z = module.head(module.encoder(module.pairs(rows, noise, RowGenerator(3, rows.index))))
    assert len(z) == (18 if injected else 12)
    unit = normalize(z.detach().double(), dim=1)
    together = {(0, 1), (3, 4)} | (set() if labels else {(0, 5), (1, 5)})
    cost = 0.0
    for anchor in range(12):
        own, pair = anchor % N, (anchor + N) % 12
        total = math.exp(unit[anchor] @ unit[pair] / 0.5)
        for other in range(len(z)):
            window = other % N
            overlapping = (min(own, window), max(own, window)) in together
            if other < 12 and (window == own or (overlapping and not overlaps)):
                continue
            if other >= 12 and labels and window == 5:
                continue
            total += math.exp(unit[anchor] @ unit[other] / 0.5)
        cost += math.log(total) - unit[anchor] @ unit[pair] / 0.5
    assert module.loss(z, rows).item() == pytest.approx((cost / 12).item(), rel=1e-5)


def test_the_second_view_is_of_a_neighbour_and_the_third_of_an_anomaly():
    module = built(TemporalContrast(neighbor=0.2, injected=True, injection=SPIKES))
    rows = batch(data=torch.arange(float(LENGTH)).expand(N, CHANNELS, LENGTH).clone())
    first, second, third = module.pairs(rows, unchanged, RowGenerator(3, rows.index)).chunk(3)
    assert torch.equal(first, rows.data)
    assert ((second - first)[..., 8:12].abs().amax(dim=(1, 2)) <= 4).all()
    assert not torch.equal(second, first)
    assert set((third != first).any(dim=1).sum(dim=1).tolist()) <= {1, 2, 3}


# Injected contrast


def test_real_and_injected_windows_weigh_the_same_and_labelled_anomalies_join():
    rows = batch(labels=[0, 0, 0, 0, 1, 1])
    module = built(InjectedContrast(injection=SPIKES, per_window=2))
    loss = paid(module, rows)
    seen = module.encoder.seen
    assert len(seen) == 4 + 8 + 2
    assert torch.equal(seen[:4], rows.data[:4])
    assert torch.equal(seen[12:], rows.data[4:])
    assert ((seen[4:12] != rows.data[:4].repeat(2, 1, 1)).flatten(1).any(dim=1)).all()
    logits = module.logit(module.encoder(seen))[:, 0]
    expected = softplus(-logits[:4]).mean() + softplus(logits[4:]).mean()
    torch.testing.assert_close(loss, expected)


def test_the_margin_is_paid_in_the_embedding():
    rows = batch()
    plain = built(InjectedContrast(injection=SPIKES, per_window=2))
    module = built(InjectedContrast(injection=SPIKES, per_window=2, margin_weight=2.0, margin=0.7))
    difference = paid(module, rows) - paid(plain, rows)
    real, first, second, near = normalize(module.encoder(module.encoder.seen), dim=1).chunk(4)
    close = 1 - (real * near).sum(dim=1)
    short = [relu(close + 0.7 - 1 + (real * drawn).sum(dim=1)).mean() for drawn in (first, second)]
    torch.testing.assert_close(difference, 2.0 * (short[0] + short[1]) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("with_views", [True, False])
def test_views_are_for_real_and_injected_windows_alike(with_views):
    module = built(InjectedContrast(injection=SPIKES, with_views=with_views))
    rows = batch(data=torch.zeros(N, CHANNELS, LENGTH))
    paid(module, rows, lambda data, generator: data + 100.0)
    assert (module.encoder.seen.median() > 50) == with_views
    spikes = (module.encoder.seen[N:] != 100.0 * with_views).any(dim=1).sum(dim=1)
    assert 1 <= spikes.min() <= spikes.max() <= 3


def test_negatives_have_names_for_a_check_of_views():
    module = built(InjectedContrast(per_window=3))
    made = module.negatives(windows(), RowGenerator(0, torch.arange(N)))
    assert len(made) == N * len(module.kinds)
    assert module.kinds == ("injected", "injected 2", "injected 3")
    assert built(CARLA()).kinds == ("injected",)


# CARLA


@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("labels", [None, [0, 0, 0, 1, 0, 1]])
def test_carla_is_its_slow_twin(hardest, labels):
    rows = batch(labels=labels)
    module = built(CARLA(hardest=hardest, margin=0.6))
    loss = paid(module, rows)
    z = normalize(module.head(module.encoder(module.encoder.seen)).detach().double(), dim=1)
    anchor, positive, negative = z.chunk(3)
    normal = [i for i in range(N) if not labels or not labels[i]]
    total = 0.0
    for i in normal:
        candidates = [negative[j] for j in (normal if hardest else [i])]
        candidates += [anchor[j] for j in range(N) if j not in normal]
        nearest = min(1 - anchor[i] @ candidate for candidate in candidates)
        total += max(0.0, 1 - anchor[i] @ positive[i] + 0.6 - nearest)
    assert loss.item() == pytest.approx(float(total) / len(normal), rel=1e-5)


def test_carla_s_positive_lies_in_the_past():
    module = built(CARLA(neighbor=0.15, injection=SPIKES))
    ramp = torch.arange(float(LENGTH)).expand(50, CHANNELS, LENGTH).clone()
    rows = batch(index=list(range(50)), data=ramp)
    first, past, negative = module.pairs(rows, unchanged, RowGenerator(3, rows.index)).chunk(3)
    assert torch.equal(first, ramp)
    assert (10 - past[:, 0, 10]).unique().tolist() == [1, 2, 3]
    assert (negative != ramp).flatten(1).any(dim=1).all()


# PaAno


@pytest.mark.parametrize("negative", ["farthest", "nearest"])
@pytest.mark.parametrize("labels", [None, [0, 0, 0, 0, 0, 1]])
def test_paano_s_triplets_are_their_slow_twin(negative, labels):
    rows = batch([0, 5, 30, 60, 75, -100], labels)
    module = built(PaAno(negative=negative, margin=0.8)).eval()
    loss = paid(module, rows)
    anchor, positive = normalize(module.head(module.encoder(module.encoder.seen)).detach().double(), dim=1).chunk(2)
    together = {(0, 1), (3, 4)}
    normal = [i for i in range(N) if not labels or not labels[i]]
    choose = max if negative == "farthest" else min
    total = 0.0
    for i in normal:
        close = 1 - anchor[i] @ positive[i]
        others = [j for j in normal if j != i and (min(i, j), max(i, j)) not in together]
        total += max(0.0, close + 0.8 - choose(1 - anchor[i] @ positive[j] for j in others))
        if labels:
            total += max(0.0, close + 0.8 - (1 - anchor[i] @ positive[5]))
    assert loss.item() == pytest.approx(float(total) / len(normal), rel=1e-5)


def test_paano_tells_the_half_that_follows_from_those_of_windows_that_do_not_overlap():
    rows = batch([0, 5, 30, 60, 75, 200])
    module = built(PaAno(unrelated=N, pretext_weight=2.0))
    told = paid(module, rows) - paid(module.eval(), rows)
    paid(module.train(), rows)
    first, second = module.encoder.seen[2 * N :].chunk(2)
    for half, part in ((first, rows.data[..., :10]), (second, rows.data[..., 10:])):
        assert half[..., :10].isnan().all()
        assert torch.equal(half[..., 10:], part)
    one, other = module.encoder(first), module.encoder(second)
    together = {(0, 1), (3, 4)}
    cost = 0.0
    for i in range(N):
        unlike = [j for j in range(N) if j != i and (min(i, j), max(i, j)) not in together]
        wrong = [softplus(module.pretext(torch.cat((one[i], other[j])))) for j in unlike]
        cost += softplus(-module.pretext(torch.cat((one[i], other[i])))) + sum(wrong) / len(unlike)
    torch.testing.assert_close(told, 2.0 * cost[0] / N, rtol=1e-4, atol=1e-5)


def test_the_pretext_task_ends_and_moves_no_other_draw():
    rows = batch()
    module = built(PaAno(pretext_steps=2))
    costs = []
    for _ in range(4):
        costs.append(paid(module, rows).item())
        module.after_step()
    assert costs[0] > costs[1] > costs[2] == costs[3] == paid(module.eval(), rows).item()
    paid(module.train(), rows).backward()
    assert all(parameter.grad is not None for parameter in module.pretext.parameters())  # as DDP wants it


def test_half_a_window_of_which_nothing_is_known_is_not_told():
    rows = batch()
    rows.data[:5, :, :10] = math.nan
    module = built(PaAno())
    told = paid(module, rows) - paid(module.eval(), rows)
    paid(module.train(), rows)
    first, second = module.encoder(module.encoder.seen[2 * N :]).chunk(2)
    expected = softplus(-module.pretext(torch.cat((first[5], second[5]))))[0]
    torch.testing.assert_close(told, expected, rtol=1e-4, atol=1e-5)


# Common


@pytest.mark.parametrize("settings", [CARLA(), InjectedContrast(), PaAno(), TemporalContrast(injected=True)])
def test_windows_with_gaps_train(settings):
    rows = batch([0, 4, 40, 80, 120, 160])
    rows.data[0, :, :12] = math.nan
    rows.data[1, 0] = math.nan
    rows.data[2] = math.nan
    module = built(settings)
    loss = paid(module, rows)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("settings", [CARLA(), InjectedContrast(), TemporalContrast(injected=True)])
def test_anomalies_from_other_windows_need_a_sample_which_no_saved_model_holds(settings):
    with pytest.raises(NotFitted, match="prepare"):
        paid(built(settings, prepared=False), batch())
    module = built(settings)
    assert not any("pool" in name for name in module.state_dict())
    assert module.double().injector.pool.dtype == torch.float64


@pytest.mark.parametrize("settings", [CARLA(), InjectedContrast(), PaAno(), TemporalContrast()])
def test_other_data_is_refused(settings):
    with pytest.raises(InvalidInput, match=r"\(n, channels, length\)"):
        built(settings, prepared=False).prepare(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: TemporalContrast(temperature=0.0), "temperature"),
        (lambda: TemporalContrast(neighbor=1.5), "neighbor"),
        (lambda: TemporalContrast(injection="spike"), "injection"),
        (lambda: TemporalContrast(head_layers=4), "head_layers"),
        (lambda: InjectedContrast(per_window=0), "per_window"),
        (lambda: InjectedContrast(margin_weight=-1), "margin_weight"),
        (lambda: InjectedContrast(margin=0), "margin"),
        (lambda: CARLA(margin=math.inf), "margin"),
        (lambda: CARLA(neighbor=True), "neighbor"),
        (lambda: PaAno(negative="hardest"), "negative"),
        (lambda: PaAno(pretext_steps=-1), "pretext_steps"),
        (lambda: PaAno(unrelated=0), "unrelated"),
    ],
)
def test_settings_out_of_range_are_refused(make, name):
    with pytest.raises(InvalidParameter, match=f"`{name}`"):
        make()
