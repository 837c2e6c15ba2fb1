"""The branches that series are judged by, where the user names none."""

from __future__ import annotations

import math

from unalike.encoders.window import RawWindow, WindowStatistics
from unalike.scorers.blocks import PerBlock
from unalike.scorers.neighbors import KNN
from unalike.types import Branch, View
from unalike.views.compose import Compose
from unalike.views.series import Jitter, Scale

_LEAST_RMS = 0.025
"""Of a channel's standard deviation: a smaller usual distance per step counts as this one."""


def view() -> View:
    """A neighbouring window, jittered and scaled."""
    return Compose((Jitter(), Scale()))


def branches(channels: int, window: int) -> tuple[Branch, ...]:
    """The raw windows and their statistics."""
    nearest = KNN(k=3, distance="mean", most_rows=5_000 if channels == 1 else 2_000)
    raw = RawWindow()
    if channels == 1:
        return (
            Branch(name="windows", encoder=raw, scorer=nearest),
            Branch(name="statistics", encoder=WindowStatistics(), scorer=nearest),
        )
    least = _LEAST_RMS * math.sqrt(window)
    return (
        Branch(name="windows", encoder=raw, scorer=PerBlock(nearest, blocks=channels, least_unit=least)),
        Branch(name="statistics", encoder=WindowStatistics(), scorer=nearest),
    )
