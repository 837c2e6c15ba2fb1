"""Two gloo processes equal one: one spawn computes everything, the tests compare."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unalike import parallel
from unalike.objectives import (
    CARLA,
    CSI,
    ChannelContrast,
    InjectedContrast,
    MoCo,
    PaAno,
    SimCLR,
    SupCon,
    TemporalContrast,
    Triplet,
)
from unalike.objectives.build import build_objective
from unalike.objectives.losses import info_nce, nt_xent
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch

RANKS, ROWS, COLUMNS, LENGTH = 2, 10, 3, 12
PATIENCE = 180.0  # seconds; idle machines take 8, busy ones five times that


class Encoder(nn.Module):
    width = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(COLUMNS, self.width)

    def forward(self, data):
        return self.layer(data[..., 0])


class SeriesEncoder(nn.Module):
    width = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(COLUMNS * LENGTH, self.width)

    def forward(self, data):
        return self.layer(data.nan_to_num().flatten(1))


class ChannelEncoder(nn.Module):
    width, channel_width = 12, 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(LENGTH, self.channel_width)

    def of_channels(self, rows):
        return self.layer(rows)


class Bare(nn.Module):
    """A loss of `unalike.objectives.losses` on the encoder itself."""

    def __init__(self, encoder, loss):
        super().__init__()
        self.encoder = encoder
        self.loss = loss

    def forward(self, batch, views, generator):
        return self.loss(self.encoder(batch.data), self.encoder(views(batch.data, generator)), temperature=0.3)


def negated(data):
    return 1.0 - data


OBJECTIVES = {
    "csi": CSI(shifts=(negated,)),
    "moco": MoCo(queue=64, symmetric=True),
    "supcon": SupCon(attract_normals=True),
    "nt-xent": lambda encoder: Bare(encoder, nt_xent),
    "info-nce": lambda encoder: Bare(encoder, info_nce),
    "simclr": "simclr",
    "simclr, hard": SimCLR(hardness=0.5),
    "triplet": Triplet(),
    "synthetic-contrast": "synthetic-contrast",
}


SERIES = {
    "carla": CARLA(),
    "channels": ChannelContrast(),
    "channels, labels": ChannelContrast(temperature=0.3),
    "carla, labels": CARLA(hardest=False),
    "injected": InjectedContrast(margin_weight=1.0, with_views=True),
    "paano": PaAno(unrelated=3),
    "paano, labels": PaAno(negative="nearest", with_views=True),
    "temporal": TemporalContrast(),
    "temporal, labels": TemporalContrast(injected=True),
}
OBJECTIVES |= SERIES


def views(data, generator):
    if data.shape[2] == LENGTH:
        return data + 0.1 * generator.normal(*data.shape[1:])
    return torch.stack((data[..., 0] + 0.5 * generator.normal(data.shape[1]), data[..., 1]), dim=-1)


def windows():
    """Some overlap in time, within a process and between two."""
    return RowGenerator(0, torch.arange(ROWS)).normal(COLUMNS, LENGTH).double().cumsum(dim=2)


def rows():
    values = RowGenerator(0, torch.arange(ROWS)).normal(COLUMNS).double()
    return torch.stack((values, torch.zeros_like(values)), dim=-1)


def encoder_for(name):
    if name not in SERIES:
        return Encoder()
    return ChannelEncoder() if "channels" in name else SeriesEncoder()


def loss_and_gradients(name, part, wrap):
    """The loss of the rows in `part` and the gradient of every weight, after averaging over the ranks."""
    with isolated(1):
        encoder = encoder_for(name)
    module = build_objective(OBJECTIVES[name], encoder, 2).double()
    data = windows() if name in SERIES else rows()
    if hasattr(module, "prepare"):
        module.prepare(data)
    label = (torch.arange(ROWS) % 5 == 0).long()[part] if name == "supcon" or "labels" in name else None
    time = 7 * torch.arange(ROWS)[part] if name in SERIES else None
    batch = Batch(data=data[part], index=torch.arange(ROWS)[part], label=label, time=time)
    wrapped = wrap(module)  # by name: DDP must outlive `backward` to average
    loss = wrapped(batch, views, RowGenerator(3, batch.index))
    loss.backward()
    if hasattr(module, "after_step"):
        module.after_step()
    weights = {name: weight.grad for name, weight in module.named_parameters() if weight.requires_grad}
    return loss.detach(), weights, sorted(module.queue_index.tolist()) if name == "moco" else None


def gathered():
    """What `gather` gives of this rank's rows, and the gradient that they get back."""
    own = (10.0 * parallel.rank() + torch.arange(4.0)).reshape(2, 2).requires_grad_()
    everything = parallel.gather(own)
    (everything * (1.0 + parallel.rank())).sum().backward()
    return everything.detach(), own.grad


def work(rank, folder):
    torch.set_num_threads(1)
    # A file, not a port: nothing to collide with.
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS, timeout=timedelta(seconds=PATIENCE)
    )
    part = slice(rank * ROWS // RANKS, (rank + 1) * ROWS // RANKS)
    results = {name: loss_and_gradients(name, part, DistributedDataParallel) for name in OBJECTIVES}
    results["place"] = (parallel.rank(), parallel.world_size())
    results["gather"] = gathered()
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    context = torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=RANKS, join=False)
    until = time.monotonic() + PATIENCE
    try:
        while not context.join(timeout=1.0):
            assert time.monotonic() < until, "the two processes did not end in time"
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def test_one_process_is_the_trivial_case():
    values = torch.arange(3.0)
    assert (parallel.rank(), parallel.world_size()) == (0, 1)
    assert parallel.gather(values) is values


def test_every_rank_knows_its_place(ranks):
    assert [found["place"] for found in ranks] == [(0, 2), (1, 2)]


def test_gather_puts_the_ranks_in_order_and_brings_gradient_back(ranks):
    expected = torch.tensor([[0.0, 1.0], [2.0, 3.0], [10.0, 11.0], [12.0, 13.0]])
    for found in ranks:
        everything, gradient = found["gather"]
        assert torch.equal(everything, expected)
        # Rank 0 pays 1 for every gathered value and rank 1 pays 2: each row hears of both.
        assert torch.equal(gradient, torch.full((2, 2), 3.0))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_equal_one(ranks, name):
    loss, gradients, queued = loss_and_gradients(name, slice(None), lambda module: module)
    mean = torch.stack([found[name][0] for found in ranks]).mean()
    assert torch.allclose(mean, loss, rtol=0, atol=1e-6)
    assert gradients["encoder.layer.weight"].abs().max() > 1e-3
    for found in ranks:
        for weight, gradient in gradients.items():
            assert torch.allclose(found[name][1][weight], gradient, rtol=0, atol=1e-6), weight
        if queued is not None:  # both ranks have one queue, of rows of both
            assert found[name][2] == ranks[0][name][2]
            assert len(found[name][2]) == len(queued)
            assert {row < ROWS // 2 for row in found[name][2]} == {True, False}
