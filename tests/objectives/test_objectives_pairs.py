from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from unalike import objectives
from unalike.errors import InvalidParameter
from unalike.objectives.pairs import two_views
from unalike.objectives.simclr import SimCLRObjective
from unalike.objectives.supcon import SupConObjective
from unalike.seeding import RowGenerator
from unalike.types import Batch


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("MoCo", {"momentum": np.float32(0.9), "queue": np.int64(64), "symmetric": np.bool_(True)}),
        ("SimCLR", {"temperature": np.float32(0.5), "head_layers": np.int8(1), "head_hidden": np.int64(8)}),
        ("CSI", {"shift_weight": np.float32(2.0), "least_change": np.float32(0.5), "head_width": np.int64(8)}),
        ("SupCon", {"anomaly_weight": np.float32(2.0), "temperature": np.float16(0.5)}),
        ("SyntheticContrast", {"box_margin": np.float32(0.5), "shell_radii": (np.float32(0.5), np.int64(3))}),
    ],
)
def test_numbers_of_numpy_are_taken_and_are_plain(kind: str, settings: dict) -> None:
    made = getattr(objectives, kind)(**settings)
    plain = {
        name: tuple(item.item() for item in value) if isinstance(value, tuple) else value.item()
        for name, value in settings.items()
    }
    assert made == getattr(objectives, kind)(**plain)
    flat = [item for field in fields(made) for item in np.atleast_1d(np.array(getattr(made, field.name), dtype=object))]
    assert not any(isinstance(item, np.generic) for item in flat)


@pytest.mark.parametrize(
    ("kind", "settings"), [("MoCo", {"momentum": np.float32(1)}), ("MoCo", {"queue": np.int64(0)})]
)
def test_numbers_of_numpy_out_of_range_are_refused(kind: str, settings: dict) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        getattr(objectives, kind)(**settings)


def test_simclr_and_supcon_draw_the_same_two_views() -> None:
    def jitter(data, generator):
        return data + generator.normal(*data.shape[1:])

    data, index = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.arange(5)
    batch = Batch(data, index)
    expected = two_views(batch, jitter, RowGenerator(3, index))
    assert not torch.equal(expected[:5], expected[5:])
    again = RowGenerator(3, index)
    assert torch.equal(expected, torch.cat([jitter(data, again), jitter(data, again)]))
    parts = nn.Identity(), nn.Identity()
    for objective in (SimCLRObjective(*parts, 0.5), SupConObjective(*parts, objectives.SupCon())):
        assert torch.equal(objective.pairs(batch, jitter, RowGenerator(3, index)), expected)
