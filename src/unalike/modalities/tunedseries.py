"""The branches that series are judged by, where the user names none."""

from __future__ import annotations

from dataclasses import replace

from unalike.encoders.channelcnn import ChannelCNN
from unalike.encoders.spectrum import WindowSpectrum
from unalike.encoders.window import RawWindow, WindowStatistics
from unalike.encoders.windowcnn import WindowCNN
from unalike.objectives.anomalies import InjectAnomalies
from unalike.objectives.channels import ChannelContrast
from unalike.objectives.injected import InjectedContrast
from unalike.objectives.kinds import KINDS
from unalike.scorers.blocks import PerBlock
from unalike.scorers.neighbors import KNN
from unalike.scorers.ratio import NeighborRatio
from unalike.types import Branch, Training, View
from unalike.views.compose import Compose
from unalike.views.series import Jitter, Scale


def view() -> View:
    """The window, a little larger or smaller and with a little noise."""
    return Compose((Scale(sigma=0.03), Jitter(sigma=0.02)))


def branches(channels: int) -> tuple[Branch, ...]:
    """A network that knows real windows from spoilt ones, the windows themselves, and what is said of them.

    Parameters
    ----------
    channels : int
        Of the records.
    """
    return _of_one() if channels == 1 else _of_many(channels)


def labelled_branches() -> tuple[Branch, ...]:
    """Beside them where there are labelled anomalies: which is nearer, a normal window or one of those?"""
    near = Branch(name="labelled", encoder=WindowStatistics(), scorer=NeighborRatio(log=False), weight=2.0)
    return near, replace(near, name="labelled-spectrum", encoder=WindowSpectrum())


def _of_one() -> tuple[Branch, ...]:
    nearest = KNN(k=3, distance="mean", most_rows=5_000)
    kinds = tuple(kind for kind in KINDS if kind != "channel-mix-up")
    return (
        Branch(
            name="contrast",
            encoder=WindowCNN(),
            objective=InjectedContrast(injection=InjectAnomalies(kinds=kinds), with_views=True),
            scorer=nearest,
            training=Training(
                steps=150, batch_size=64, optimizer="adamw", learning_rate=3e-3, weight_decay=1e-4, warmup=0.1
            ),
        ),
        Branch(name="windows", encoder=RawWindow(center=True), scorer=nearest),
        Branch(name="statistics", encoder=WindowStatistics(), scorer=nearest),
        Branch(name="spectrum", encoder=WindowSpectrum(), scorer=nearest),
    )


def _of_many(channels: int) -> tuple[Branch, ...]:
    nearest = KNN(k=3, distance="mean", most_rows=2_000)
    each = PerBlock(nearest, blocks=channels, least_unit=0.5)
    return (
        Branch(
            name="contrast",
            encoder=ChannelCNN(),
            objective=ChannelContrast(),
            scorer=each,
            training=Training(
                steps=250, batch_size=192, optimizer="adamw", learning_rate=2e-3, weight_decay=1e-4, warmup=0.05
            ),
        ),
        Branch(name="windows", encoder=RawWindow(), scorer=each),
        Branch(name="statistics", encoder=WindowStatistics(), scorer=nearest),
    )
