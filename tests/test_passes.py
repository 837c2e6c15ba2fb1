"""Branches that share a frozen encoder: one pass, one copy of its weights, and the scores of two."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from unalike import Branch, Detector, load, save
from unalike.encoders import MLP, RawTable
from unalike.scorers import KNN, Mahalanobis
from unalike.thresholds import Conformal
from unalike.types import Schema

ROWS = np.random.default_rng(0).normal(size=(240, 4))
NEW = np.random.default_rng(1).normal(size=(40, 4)) * 2.0
RATE = Conformal(false_alarm_rate=0.1)
seen: list[int] = []


class Counting(nn.Module):
    """Counts the rows that it embeds."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1.0, 1.0, 32).reshape(4, 8).sin())

    def forward(self, data: Tensor) -> Tensor:
        seen.append(len(data))
        return data[:, :, 0] @ self.weight


@dataclass(frozen=True)
class WithArray:
    """Settings whose comparison is an array."""

    values: np.ndarray

    def build(self, schema: Schema) -> Counting:
        return Counting()


def detector(*encoders: object) -> Detector:
    scorers = (KNN(k=3), KNN(k=1), Mahalanobis())
    branches = [
        Branch(name=f"b{number}", encoder=encoder, scorer=scorer)
        for number, (encoder, scorer) in enumerate(zip(encoders, scorers, strict=False))
    ]
    return Detector("table", branches=branches, reference_fraction=0.2, threshold=RATE, random_state=0)


def embedded(action: Callable[[], object]) -> int:
    """Rows embedded by an action, without the pairs of zeros that try an encoder when it is built."""
    seen.clear()
    action()
    return sum(n for n in seen if n != 2)


def test_two_branches_embed_as_often_as_one() -> None:
    encoder = Counting()
    one, two = detector(encoder), detector(encoder, encoder)
    verbs: list[Callable[[Detector], object]] = [
        lambda made: made.fit(ROWS),
        lambda made: made.detect(NEW),
        lambda made: made.update(NEW, into="scorer"),
    ]
    for verb in verbs:
        assert embedded(lambda verb=verb: verb(one)) == embedded(lambda verb=verb: verb(two)) > 0
    assert two.branches_[0].judge.encoder is two.branches_[1].judge.encoder


def test_a_fit_embeds_every_row_once() -> None:
    """Those that calibrate too, which are watched for drift besides."""
    made = detector(Counting())
    assert embedded(lambda: made.fit(ROWS)) == len(ROWS)
    assert len(made.watched_.embeddings) == 48


def test_shared_or_not_the_scores_are_the_same() -> None:
    encoder = Counting()
    shared, apart = detector(encoder, encoder).fit(ROWS), detector(encoder, Counting()).fit(ROWS)
    assert apart.branches_[0].judge.encoder is not apart.branches_[1].judge.encoder
    np.testing.assert_array_equal(shared.anomaly_scores(NEW), apart.anomaly_scores(NEW))
    np.testing.assert_array_equal(shared.detect(NEW).p_values, apart.detect(NEW).p_values)


def test_equal_settings_that_draw_other_weights_stay_apart() -> None:
    first, second = detector(MLP(hidden=(16,)), MLP(hidden=(16,))).fit(ROWS).branches_
    assert first.judge.encoder is not second.judge.encoder
    assert not torch.equal(next(first.judge.encoder.parameters()), next(second.judge.encoder.parameters()))


def test_settings_that_cannot_be_compared_stay_apart() -> None:
    first, second = (WithArray(np.ones(4)) for _ in range(2))
    branches = detector(first, second).fit(ROWS).branches_
    assert branches[0].judge.encoder is not branches[1].judge.encoder


def test_a_saved_model_holds_shared_weights_once(tmp_path: Path) -> None:
    shared = detector(RawTable(), RawTable(), RawTable()).fit(ROWS)
    encoder = Counting()
    models = [detector(encoder, encoder).fit(ROWS), detector(encoder, Counting()).fit(ROWS)]
    paths = [save(model, tmp_path / f"{number}.unalike") for number, model in enumerate(models)]
    weights = [safetensors.torch.load(zipfile.ZipFile(path).read("weights.safetensors")) for path in paths]
    assert [len(held) for held in weights] == [1, 2]
    again = load(paths[0], encoder=Counting())
    assert again.branches_[0].judge.encoder is again.branches_[1].judge.encoder
    np.testing.assert_array_equal(again.anomaly_scores(NEW), models[0].anomaly_scores(NEW))
    back = load(save(shared, tmp_path / "own.unalike"))
    np.testing.assert_array_equal(back.anomaly_scores(NEW), shared.anomaly_scores(NEW))
