"""The branches that series are judged by, where the user names none."""

from __future__ import annotations

from unalike.encoders.window import RawWindow, WindowStatistics
from unalike.scorers.blocks import PerBlock
from unalike.scorers.neighbors import KNN
from unalike.types import Branch, View
from unalike.views.compose import Compose
from unalike.views.series import Jitter, Scale


def view() -> View:
    """A neighbouring window, jittered and scaled."""
    return Compose((Jitter(), Scale()))


def branches(channels: int) -> tuple[Branch, ...]:
    """The raw windows and their statistics."""
    return (
        Branch(name="windows", encoder=RawWindow(), scorer=KNN(k=3)),
        Branch(name="statistics", encoder=WindowStatistics(), scorer=PerBlock(KNN(k=3), blocks=channels)),
    )
