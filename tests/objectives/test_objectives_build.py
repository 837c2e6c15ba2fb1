from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import unalike.objectives as stage
from unalike.errors import InvalidParameter
from unalike.objectives.build import build_objective
from unalike.objectives.simclr import SimCLR


class Linear(nn.Linear):
    width = 3

    def __init__(self):
        super().__init__(2, 3)


class OfTheUser(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.bias = nn.Parameter(torch.randn(()))


class ThatCopies(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = Linear()


def test_a_name_settings_and_a_callable_put_the_encoder_in():
    encoder = Linear()
    for objective in ("simclr", SimCLR(head_layers=1), OfTheUser, lambda given: OfTheUser(given)):
        assert build_objective(objective, encoder, 0).encoder is encoder


def test_a_name_stands_for_the_default_settings():
    named, given = (build_objective(objective, Linear(), 5) for objective in ("simclr", SimCLR()))
    assert all(torch.equal(a, b) for a, b in zip(named.head.parameters(), given.head.parameters(), strict=True))


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    one, same, other = (build_objective(OfTheUser, Linear.__new__(Linear), seed) for seed in (1, 1, 2))
    assert torch.equal(one.bias, same.bias)
    assert not torch.equal(one.bias, other.bias)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (
            "simcrl",
            r"`objective` must be one of \['carla', 'channels', 'csi', .*'simclr', .*\].*got 'simcrl'",
        ),
        (SimCLR, r"must be an instance of its settings; got the class SimCLR. Give SimCLR\(\)"),
        (OfTheUser(Linear()), r"got a module that is already made, OfTheUser. Give its class"),
        (3, r"settings with a method `build\(encoder\)` or a callable that takes the encoder; got 3"),
        (lambda encoder: None, r"must make a torch.nn.Module; got NoneType from <lambda>"),
        (lambda encoder: encoder, r"attribute `encoder` is the encoder it was given; <lambda> did not"),
        (ThatCopies, r"attribute `encoder` is the encoder it was given; ThatCopies did not"),
    ],
)
def test_what_is_no_objective_is_refused(objective, message):
    with pytest.raises(InvalidParameter, match=message):
        build_objective(objective, Linear(), 0)


def test_the_stage_exports_its_names_without_importing_torch():
    named = {entry.rpartition(":")[2] for entry in stage.NAMES.values()}
    assert set(stage.__all__) == {"NAMES", "InjectAnomalies", "SpoilImage", "SyntheticDefect", *named}
    assert stage.SimCLR is SimCLR
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = stage.Nothing
    code = "import sys, unalike.objectives as o; assert o.NAMES; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
