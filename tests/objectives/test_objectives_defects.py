from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from unalike.encoders import ConvNet, Timm
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives import DefectContrast, SpoiledContrast, SpoilImage, SyntheticDefect
from unalike.objectives.defects import CONTENTS, SHAPES
from unalike.seeding import RowGenerator, derive, isolated
from unalike.types import Batch, Schema

N = 64


def images(n=N, seed=0, shape=(3, 24, 20)):
    return RowGenerator(seed, torch.arange(n)).uniform(*shape)


def generator(n=N, seed=1):
    return RowGenerator(seed, torch.arange(n))


def same(data, generator):
    return data.clone()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("content", CONTENTS)
def test_only_what_is_masked_changes_and_something_does(shape, content):
    data = images()
    defect = SyntheticDefect(shapes=(shape,), contents=(content,)).prepare(images(seed=2))
    made, where = defect.spoil(data, generator())
    assert where.shape == (N, 1, 24, 20)
    assert where.dtype == torch.bool
    assert torch.equal(torch.where(where, data, made), data)
    moved = (made - data).abs().flatten(1).amax(dim=1)
    assert (moved >= 0.2 * data.flatten(1).std(dim=1)).all()
    assert torch.equal(defect(data, generator()), made)


@pytest.mark.parametrize("shape", ["box", "blob"])
def test_the_area_is_as_asked_for(shape):
    _, where = SyntheticDefect(shapes=(shape,), area=(0.1, 0.2)).spoil(images(), generator())
    share = where.float().mean(dim=(1, 2, 3))
    assert share.min() > 0.08
    assert share.max() < 0.23
    assert share.std() > 0.01


def test_scars_are_thin_and_at_any_angle():
    _, where = SyntheticDefect(shapes=("scar",), scar=(0.5, 0.5)).spoil(images(shape=(1, 40, 40)), generator())
    rows, columns = where.any(dim=3).sum(dim=(1, 2)), where.any(dim=2).sum(dim=(1, 2))
    assert where.sum(dim=(1, 2, 3)).max() <= 20 * 5 + 20
    assert (rows > 1.5 * columns).any()
    assert (columns > 1.5 * rows).any()


def test_pixels_come_from_elsewhere_in_the_image_or_from_another():
    data, pool = images(), images(seed=2)
    for content, source in (("elsewhere", data), ("another", pool)):
        defect = SyntheticDefect(shapes=("box",), contents=(content,)).prepare(pool)
        made, where = defect.spoil(data, generator())
        for row in range(8):
            inside = where[row, 0].nonzero()
            top, left = inside.amin(dim=0)
            height, width = inside.amax(dim=0) - inside.amin(dim=0) + 1
            patch = made[row, :, top : top + height, left : left + width]
            found = source[row : row + 1] if content == "elsewhere" else source
            windows = found.unfold(2, int(height), 1).unfold(3, int(width), 1)  # (m, c, rows, columns, h, w)
            assert (windows - patch[None, :, None, None]).abs().amax(dim=(1, 4, 5)).min() == 0.0


def test_flat_images_get_a_shade():
    data = torch.full((8, 1, 10, 10), 0.5)
    made, where = SyntheticDefect(contents=("elsewhere",)).spoil(data, generator(8))
    assert ((made != data) == where).all()
    assert SyntheticDefect()(torch.zeros(2, 1, 5, 5), generator(2)).abs().amax() > 0


def test_another_image_must_be_known_and_of_the_same_shape():
    defect = SyntheticDefect(contents=("another",))
    with pytest.raises(NotFitted, match="prepare"):
        defect(images(), generator())
    with pytest.raises(InvalidInput, match="shape"):
        defect.prepare(images(shape=(3, 9, 9)))(images(), generator())
    with pytest.raises(InvalidInput, match="images"):
        defect.prepare(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shapes": ("round",)}, "shapes"),
        ({"contents": ()}, "contents"),
        ({"area": (0.2, 0.1)}, "area"),
        ({"scar": (0.0, 0.5)}, "scar"),
        ({"strength": 1.0}, "strength"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(InvalidParameter, match=message):
        SyntheticDefect(**settings)


@pytest.mark.parametrize("kind", ["turned", "defect", "halves", "warped", "stretched", "shaded"])
def test_every_kind_spoils(kind):
    data = images(shape=(1, 16, 16))
    data[:, :, :4] += 1.0  # up is up
    spoil = SpoilImage(kinds=(kind,)).prepare(data)
    assert spoil.used == (kind,)
    changed = (spoil(data, generator()) - data).abs().flatten(1).amax(dim=1)
    assert (changed > 0.05).all()


def test_turns_that_leave_the_data_as_it_is_are_left_out():
    noise = images(shape=(1, 16, 16))
    assert SpoilImage().prepare(noise).turns == ()
    assert SpoilImage(kinds=("turned",)).prepare(noise).used == ("warped",)
    upright = noise + torch.linspace(1.0, -1.0, 16).abs()[:, None]  # as it is upside down
    assert SpoilImage().prepare(upright).turns == (1, 3)
    assert SpoilImage().prepare(torch.linspace(2.0, 0.0, 24)[:, None] + images()).turns == (2,)


def test_turned_images_are_turned():
    data = images(shape=(1, 16, 16)) + torch.linspace(5.0, 0.0, 16)[:, None]
    made = SpoilImage(kinds=("turned",)).prepare(data)(data, generator())
    turned = torch.stack([torch.rot90(data, turn, (2, 3)) for turn in (1, 2, 3)])
    hits = (turned == made).flatten(2).all(dim=2)
    assert (hits.sum(dim=0) == 1).all()
    assert hits.any(dim=1).all()


class Flat(nn.Linear):
    width = 6

    def __init__(self):
        super().__init__(64, 6)

    def forward(self, data):
        return super().forward(data.flatten(1))


def test_loss_of_spoiled_images_is_that_of_a_classifier():
    data = images(12, shape=(1, 8, 8))
    with isolated(0):
        objective = SpoiledContrast(per_image=2).build(Flat())
    objective.prepare(data)
    batch = Batch(data=data, index=torch.arange(12), label=torch.tensor([0] * 10 + [1] * 2))
    copies = RowGenerator(derive(0, "spoiled-contrast"), generator(12, 4).integers(2**62, 2).T.flatten())
    spoiled = objective.negatives(torch.cat((data, data)), copies)
    assert not torch.equal(spoiled[:12], spoiled[12:])
    spoiled = torch.cat((spoiled[:10], spoiled[12:22]))
    logits = objective.logit(objective.encoder(torch.cat((data[:10], spoiled, data[10:])))).squeeze(1)
    target = torch.cat((torch.ones(10), torch.zeros(22)))
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    expected = each[:10].mean() + each[10:].mean()
    assert torch.allclose(objective(batch, same, generator(12, 4)), expected, atol=1e-6)


def built_places(settings=None):
    with isolated(0):
        encoder = ConvNet(channels=(4, 8), width=6, grid=1).build(Schema((1, 16, 16)))
        return (settings or DefectContrast()).build(encoder)


def test_loss_of_places_is_that_of_a_classifier_place_by_place():
    data = images(6, shape=(1, 16, 16))
    objective = built_places(DefectContrast(defect=SyntheticDefect(area=(0.2, 0.3)), least_cover=0.5))
    objective.prepare(data)
    batch = Batch(data=data, index=torch.arange(6), label=torch.tensor([0, 0, 0, 0, 0, 1]))
    spoiled, where = objective.settings.defect.spoil(data, generator(6, 3))
    costs_normal, costs_defect = [], []
    rows, columns = objective.encoder.grid
    for image in range(5):
        plain, made = (
            objective.logit(objective.encoder.locations(d[image : image + 1]))[0, :, 0] for d in (data, spoiled)
        )
        costs_normal += [math.log1p(math.exp(-float(value))) for value in plain.detach()]
        cells = where[image, 0].float().view(rows, 16 // rows, columns, 16 // columns).mean(dim=(1, 3)).flatten()
        for value, cover in zip(made.detach().tolist(), cells.tolist(), strict=True):
            if cover >= 0.5 or cover == float(cells.max()):
                costs_defect.append(math.log1p(math.exp(value)))
            elif cover == 0.0:
                costs_normal.append(math.log1p(math.exp(-value)))
    lowest = objective.logit(objective.encoder.locations(data[5:]))[0, :, 0].detach().min()
    costs_defect.append(math.log1p(math.exp(float(lowest))))
    expected = sum(costs_normal) / len(costs_normal) + sum(costs_defect) / len(costs_defect)
    assert float(objective(batch, same, generator(6, 3)).detach()) == pytest.approx(expected, rel=1e-4)


def test_training_finds_defects_it_has_not_seen_and_only_the_last_block_moves():
    data = 0.1 * images(48, shape=(3, 32, 32)) + torch.linspace(0.0, 1.0, 32)
    with isolated(0):
        encoder = Timm(name="test_resnet", layers=(1, 2), trainable=1).build(Schema((3, 32, 32)))
        objective = DefectContrast().build(encoder)
    encoder.prepare(data)
    objective.prepare(data)
    frozen = {n: p.clone() for n, p in objective.named_parameters() if not p.requires_grad}
    assert frozen
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    batch = Batch(data=data, index=torch.arange(48))
    objective.train()
    for step in range(25):
        loss = objective(batch, same, generator(48, step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = data.clone()
    new[:, :, 8:16, 8:16] += 0.7
    logits = objective.logit(objective.eval().encoder.locations(new))[:, :, 0].view(48, *encoder.grid)
    rows, columns = encoder.grid
    inside = logits[:, rows // 4 : rows // 2, columns // 4 : columns // 2].mean()
    assert inside < logits[:, rows // 2 :, columns // 2 :].mean() - 1.0
    for name, value in frozen.items():
        assert torch.equal(value, objective.get_parameter(name)), name


def test_an_encoder_without_places_is_refused():
    with pytest.raises(InvalidParameter, match="locations"):
        DefectContrast().build(Flat())


@pytest.mark.parametrize(
    "make",
    [lambda: DefectContrast(least_cover=0.0), lambda: SpoiledContrast(per_image=0), lambda: SpoilImage(kinds=())],
)
def test_objectives_with_settings_out_of_range(make):
    with pytest.raises(InvalidParameter):
        make()
